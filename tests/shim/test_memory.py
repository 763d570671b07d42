"""Memory: what views of every kind share with their base, copies do not, and how tensors lie in it."""

import pytest
from twin import same, same_error

import funnn.torch as shim

# -- writes through a view are seen by the base and by other views


def numbers(t, *shape, grad=False):
    x = t.arange(1.0, 1 + t.zeros(shape).numel(), dtype=t.float64).reshape(shape)
    return x.requires_grad_() if grad else x


#: views of a (4, 6) tensor
VIEWS = {
    "atleast_3d": lambda t, x: t.atleast_3d(x),
    "broadcast_tensors": lambda t, x: t.broadcast_tensors(x, t.zeros(6, dtype=t.float64))[0],
    "diagonal": lambda t, x: x.diagonal(1),
    "dsplit": lambda t, x: t.dsplit(x.view(2, 2, 6), 3)[1],
    "hsplit": lambda t, x: t.hsplit(x, [1, 4])[1],
    "vsplit": lambda t, x: x.vsplit(2)[0],
    "tensor_split": lambda t, x: x.tensor_split(4, 1)[2],
    "split_with_sizes": lambda t, x: x.split_with_sizes([1, 3], 0)[1],
    "meshgrid": lambda t, x: t.meshgrid(x[0], indexing="ij")[0],
    "movedim": lambda t, x: x.movedim(0, 1),
    "narrow": lambda t, x: x.narrow(1, t.tensor(2), 3),
    "swapaxes": lambda t, x: x.swapaxes(0, 1)[1:],
    "unflatten": lambda t, x: x.unflatten(1, (3, -1))[:, 1],
    "unfold": lambda t, x: x.unfold(1, 2, 3)[0],
    "as_strided": lambda t, x: x[1:].as_strided((2, 3), (1, 4), 7),
    "T": lambda t, x: x.T[2],
    "mT": lambda t, x: x.mT,
    "mH": lambda t, x: x.mH,
    "H": lambda t, x: x.H,
    "adjoint": lambda t, x: t.adjoint(x),
    "view_as_complex": lambda t, x: t.view_as_real(t.view_as_complex(x.view(4, 3, 2))[1:, 2]),
    "view": lambda t, x: x.view(2, 12)[1],
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_write_is_seen_by_base_and_views(name):
    def program(t):
        x = numbers(t, 4, 6)
        view, other = VIEWS[name](t, x), x[1]
        view.mul_(10)
        x[2] = -1
        return x, view, other, view.shape, view.stride(), view.storage_offset()

    same(program)


@pytest.mark.parametrize("name", [name for name in VIEWS if not name.endswith("split") and name not in ("split_with_sizes", "meshgrid")])
def test_a_write_is_recorded(name):
    def program(t):
        x = numbers(t, 4, 6, grad=True)
        y = x * 2
        view, other = VIEWS[name](t, y), y[1]
        view.mul_(view.detach() + 1)
        y[2] *= 3
        (y * numbers(t, 4, 6)).sum().backward(retain_graph=True)
        (other**2).sum().backward()
        return y, view, other, x.grad

    same(program)


def test_complex_numbers_and_their_parts():
    def program(t):
        z = t.tensor([[1 + 2j, 3 - 1j], [0.5j, 2.0]], dtype=t.complex128, requires_grad=True)
        w = z * (1 - 2j)
        t.view_as_real(w)[0] *= 2
        w.real[1] = 5
        w.imag = w.imag * 3
        (w * w.conj()).real.sum().backward()
        pairs = t.view_as_real(w.detach())
        plain = w.detach().clone()
        plain.real, plain.imag = 1, t.tensor([2.0, 3.0], dtype=t.float64)
        return w, z.grad, pairs, pairs.stride(), t.real(plain), t.imag(plain), w.real.storage_offset(), w.imag.storage_offset()

    same(program)


def test_numbers_seen_as_others():
    def program(t):
        x = t.arange(12, dtype=t.int32).reshape(3, 4)
        bits = x.view(t.uint8)
        bits[1, 1] = 7
        wide = x[:, 2:].view(t.int64)
        wide[2] += 1
        f = t.tensor([1.0, -2.5, 0.1])
        f.view(t.int32)[0] ^= -(2**31)
        truth = t.tensor([True, False]).view(t.uint8)
        return x, bits, bits.shape, bits.stride(), wide, f, x.view(t.float32).dtype, truth, f.requires_grad_().view(dtype=t.float32)

    same(program)


def test_in_place_views():
    def program(t):
        x = numbers(t, 2, 3, grad=True)
        y = (x * 2).swapaxes_(0, 1)
        z = (x * 3).as_strided_((2, 2), (1, 2), 1)
        (y[0].sum() + (z * z).sum()).backward()
        return y, z, y.is_contiguous(), x.grad, numbers(t, 1, 3).squeeze_(0), numbers(t, 3).unsqueeze_(1), numbers(t, 2, 3).t_()

    same(program)


def test_pieces_of_one_call_are_not_written_with_gradients():
    def program(t):
        (numbers(t, 4, grad=True) * 2).split_with_sizes([2, 2])[0].mul_(2)

    same_error(program, RuntimeError, "is a view and is being modified inplace")


# -- copies


COPIES = {
    "alias_copy": (),
    "as_strided_copy": ((2, 2), (1, 3), 1),
    "diagonal_copy": (1,),
    "permute_copy": ((1, 0),),
    "select_copy": (0, 1),
    "slice_copy": (1, 1, None, 2),
    "split_copy": (2,),
    "split_with_sizes_copy": ([1, 3],),
    "unbind_copy": (1,),
    "view_copy": ((8, 3),),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_shares_nothing(name):
    def program(t):
        x = numbers(t, 4, 6, grad=True)
        y = x * 1
        copy = getattr(t, name)(y, *COPIES[name])
        pieces = copy if isinstance(copy, tuple) else (copy,)
        y.zero_()
        grads = t.autograd.grad(sum((p * p).sum() for p in pieces), x) if pieces[0].requires_grad else ()
        return copy, grads, [p.is_contiguous() for p in pieces], pieces[0].grad_fn and pieces[0].grad_fn.name()

    same(program)


def test_unsafe_pieces():
    """They share memory, but not history: a write through one is not seen by gradients."""

    def program(t):
        x = numbers(t, 4, 6, grad=True)
        y = x * 1
        pieces = t.unsafe_split(y, 3), t.unsafe_split_with_sizes(y, [1, 3]), t.unsafe_chunk(y, 2, 1)
        pieces[0][0].mul_(2)
        (pieces[0][0].sum() + (pieces[2][1] ** 2).sum() + y.sum()).backward()
        return pieces, y, x.grad, [p.grad_fn.name() for piece in pieces for p in piece], pieces[2][1].stride()

    same(program)


def test_complex_copies():
    def program(t):
        z = t.tensor([1 + 2j, 3 - 1j])
        pairs = t.view_as_real_copy(z)
        pairs += 1
        return z, pairs, t.view_as_complex_copy(pairs)

    same(program)


def test_into_part_of_a_tensor():
    """``out=`` writes into the memory that the given tensor sees."""

    def program(t):
        memory = t.zeros(3, 4)
        result = t.add(t.ones(4), 1, out=memory[1])
        t.gather(t.arange(4.0), 0, t.tensor([3, 0, 1]), out=memory[:, 2])
        empty = t.empty(0)
        t.cat([t.ones(2), t.zeros(1)], out=empty)
        pieces = [t.empty(2), t.empty(2)]
        t.split_copy(t.arange(4.0), 2, out=pieces)
        return memory, result, empty, pieces

    same(program)


def test_out_of_another_kind():
    same_error(
        lambda t: t.add(t.ones(2), 0.5, out=t.zeros(2, dtype=t.int64)), RuntimeError, "can't be cast to the desired output type Long"
    )


def test_out_that_must_grow():
    def program(t):
        with pytest.warns(UserWarning, match="An output with one or more elements was resized"):
            t.add(t.ones(2, 3), 1, out=(out := t.zeros(2)))
        return out

    same(program)


# -- how tensors lie in memory


def test_memory_formats():
    def program(t):
        x = numbers(t, 2, 3, 2, 2, grad=True)
        last = x.contiguous(memory_format=t.channels_last)
        y = (x * 1).to(t.float32, memory_format=t.channels_last)
        y[0].mul_(2)
        y.view(-1) if y.is_contiguous() else y.permute(0, 2, 3, 1)[..., 0].add_(1)
        ((last + y) * numbers(t, 2, 3, 2, 2)).sum().backward()
        volume = numbers(t, 1, 2, 2, 2, 2).clone(memory_format=t.channels_last_3d)
        orders = [
            (z.stride(), z.is_contiguous(), z.is_contiguous(memory_format=t.channels_last))
            for z in (x, last, y, volume, numbers(t, 2, 1, 3, 3))
        ]
        return last, y, x.grad, volume, orders, str(t.channels_last), str(x.layout), x.layout == t.strided

    same(program)


def test_a_format_for_other_ranks():
    same_error(
        lambda t: t.zeros(2, 3).contiguous(memory_format=t.channels_last), RuntimeError, "required rank 4 tensor to use channels_last"
    )


def test_views_of_a_rearranged_tensor_are_written_with_gradients():
    def program(t):
        x = numbers(t, 1, 2, 2, 2, grad=True)
        y = x.clone(memory_format=t.channels_last)
        row, column = y[0, :, 0], y[..., 1]
        row.mul_(3)
        column.mul_(t.tensor([[[1.0, 2.0], [3.0, 4.0]]], dtype=t.float64))
        (y * y).sum().backward()
        return y, row, column, x.grad

    same(program)


def test_empty_tensors_with_strides():
    def program(t):
        made = (
            t.empty_strided((2, 3), (1, 2)),
            t.empty_permuted((2, 3, 4), (2, 0, 1), dtype=t.int64),
            t.zeros(1).new_empty_strided((2, 2), (3, 1)),
            t.empty_strided((0, 3), (1, 1)),
        )
        for tensor in made:
            tensor.fill_(7)
        return made, [(tensor.stride(), tensor.dtype, tensor.is_contiguous()) for tensor in made]

    same(program)


def test_resizing():
    def program(t):
        x = numbers(t, 2, 3)
        row, y = x[1], x.clone()
        x.resize_(3, 2)
        x[2, 1] = 100
        row.resize_(2)
        y.resize_as_(t.zeros(2, 2))
        larger = t.zeros(0).resize_(2, 2)
        return x, row, y, larger.shape, t.zeros(4)[1:].resize_(3).storage_offset()

    same(program)


def test_resizing_with_history():
    same_error(lambda t: numbers(t, 3, grad=True).resize_(2), RuntimeError, "cannot resize variables that require grad")


# -- other names


def test_other_names():
    def program(t):
        x, y = numbers(t, 3), numbers(t, 2)
        grid = t.tensor([[[[0.5, -0.25], [-1.0, 0.0]]]], dtype=t.float64)
        return t.ger(x, y), t.row_stack([x, x]), t.grid_sampler(numbers(t, 1, 1, 3, 3), grid, 0, 1, True)

    same(program)


def test_writing_outside_the_tensor_a_view_was_taken_from():
    x = shim.arange(6.0).requires_grad_()
    base = (x * 3).as_strided_((2, 2), (1, 2), 1)
    base.as_strided((2,), (1,), 2).mul_(2)
    with pytest.raises(NotImplementedError, match=r"a view \(as_strided\) that reaches outside the tensor it was taken from"):
        base.as_strided((2,), (1,), 0).mul_(2)
    base.sum().backward()
    assert x.grad.tolist() == [0, 3, 6, 6, 3, 0]
