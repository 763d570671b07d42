"""Conjugates, and the imaginary parts of them, are views: they share memory with their base, and a write turns what it writes."""

import copy
import io

import numpy as np
import pytest
from twin import same, same_error


def complexes(t, **options):
    return t.tensor([[1 + 2j, 3 - 1j, 0.5j], [4 + 0j, -2 - 2j, 1 + 1j]], **options)


def flags(*tensors):
    return [(x.is_conj(), x.is_neg(), x.stride(), x.storage_offset(), x._is_view()) for x in tensors]


def test_what_is_a_view():
    def program(t):
        x = complexes(t)
        y = x.conj()
        views = (
            y,
            y.conj(),
            y.T,
            y[0],
            y[:, 1:],
            y.real,
            y.imag,
            y.imag[1],
            x.mH,
            x.H,
            x.adjoint(),
            t.conj(x.T),
            y.unbind()[1],
            y.expand(2, 2, 3),
        )
        copies = (
            y.clone(),
            y * 1,
            y.resolve_conj(),
            y.imag.resolve_neg(),
            -y.imag,
            t.stack([y, y]),
            y.conj_physical(),
            t.zeros_like(y),
            y.sum(),
        )
        same_tensors = y.conj() is x, t.resolve_conj(x) is x, x.resolve_neg() is x, x.real.conj() is x.real, y.contiguous() is y
        same_memory = [view.untyped_storage().data_ptr() == x.data_ptr() for view in views]
        return (
            views,
            flags(*views),
            copies,
            [(z.is_conj(), z.is_neg()) for z in copies],
            same_tensors,
            same_memory,
            t.is_conj(y),
            t.is_neg(y),
        )

    same(program)


def test_writes_go_through():
    def program(t):
        x = complexes(t)
        y = x.conj()
        kept = [x.clone()]
        for write in (
            lambda: y.mul_(1j),
            lambda: y[0].fill_(5 + 1j),
            lambda: y.imag.fill_(7.0),
            lambda: y.real[1].add_(9),
            lambda: x.copy_(y),
            lambda: y.T.view(-1)[::2].zero_() if y.T.is_contiguous() else y.view(-1)[::2].zero_(),
            lambda: y.conj_physical_(),
            lambda: x.add_(1j),
            lambda: y.__setitem__((slice(None), t.tensor([0, 2])), 1 - 1j),
            lambda: t.mul(x, 2, out=y),
            lambda: y.imag.neg_(),
        ):
            write()
            kept += [x.clone(), y.clone(), y.imag.clone()]
        return kept

    same(program)


def test_gradients():
    def program(t):
        x = complexes(t, requires_grad=True)
        y = x.conj()
        z = (y.imag * y.real).sum() + (y @ x.T).abs().sum() + (y[0] * x[1]).imag.sum()
        z.backward()
        names = [type(v.grad_fn).__name__ for v in (y, y.imag, y.real, y.conj(), y.resolve_conj(), y.imag.resolve_neg())]
        below = type(y.imag.grad_fn.next_functions[0][0]).__name__
        return y, z, x.grad, names, below

    same(program)


def test_gradients_of_what_is_written():
    def program(t):
        x = complexes(t, requires_grad=True)
        w = x * 1
        v = w.conj()
        v.mul_(2j)
        w.imag.add_(1)
        v.imag[0] = 3
        print(w.grad_fn, v.grad_fn)
        ((w * v * (1 + 1j)).sum().abs() + w.imag.sum()).backward()
        return w, v, x.grad

    same(program)


def test_second_derivatives():
    def program(t):
        x = complexes(t, dtype=t.complex128, requires_grad=True)
        (first,) = t.autograd.grad((x.conj().imag ** 3 * x.real).sum(), x, create_graph=True)
        return first, t.autograd.grad(first.conj().imag.pow(2).sum(), x)

    same(program)


def test_a_write_to_what_was_saved_is_an_error():
    def program(t):
        x = complexes(t, requires_grad=True) * 1
        y = x.exp()
        y.conj().imag.mul_(2)
        y.sum().abs().backward()

    same_error(program, RuntimeError, "modified by an inplace operation")


def test_memory_of_numpy():
    def program(t):
        array = np.array([1 + 2j, 3 - 1j])
        y = t.from_numpy(array).conj()
        first = y.clone()
        array[0] = 7j
        y[1] = 2 + 5j
        y.imag[0] = 4
        y.index_put_((t.tensor([0]),), t.tensor([1j], dtype=t.complex128), accumulate=True)
        return first, y, array, y.tolist(), y[0].item(), y.numpy(force=True), y.resolve_conj().numpy(), y.imag.tolist(), y.to(t.complex64)

    same(program)


REFUSED = {
    "numpy": (lambda t, y: y.numpy(), RuntimeError, "Can't call numpy.. on Tensor that has conjugate bit set. Use tensor.resolve_conj"),
    "asarray": (lambda t, y: np.asarray(y), RuntimeError, "Can't call numpy.. on Tensor that has conjugate bit set"),
    "numpy of negatives": (lambda t, y: y.imag.numpy(), RuntimeError, "negative bit set. Use tensor.resolve_neg...numpy.. instead"),
    "dlpack": (lambda t, y: y.__dlpack__(), BufferError, "Can't export tensors with the conjugate bit set"),
    "view_as_real": (lambda t, y: t.view_as_real(y), RuntimeError, "view_as_real doesn't work on unresolved conjugated tensors"),
    "view": (lambda t, y: y.view(t.float32), RuntimeError, "not supported for conjugate view tensors when converting to a different dtype"),
    "view of negatives": (
        lambda t, y: y.imag.view(t.int32),
        RuntimeError,
        "not supported for tensors with negative bit set when converting",
    ),
    "negatives of bools": (lambda t, y: str(t._neg_view(t.tensor([True]))), NotImplementedError, "not implemented for .Bool."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, error, text = REFUSED[name]
    same_error(lambda t: call(t, complexes(t).conj()), error, text)


def through_a_file(t, value):
    file = io.BytesIO()
    t.save(value, file)
    file.seek(0)
    return t.load(file)


def test_copies_files_and_negatives():
    def program(t):
        x = complexes(t)
        y = x.conj()
        deep = copy.deepcopy(y.T)
        loaded = through_a_file(t, {"x": x, "y": y, "both": t._neg_view(y)})
        loaded["imag"] = through_a_file(t, y.imag)
        loaded["y"][0, 0] = 9 + 1j
        other = complexes(t)
        other.set_(y)
        pairs = t._neg_view(t.view_as_real(x))
        shown = t.view_as_complex(pairs), t._neg_view(x).real, t.view_as_real(t._neg_view(x)), t._conj(t._neg_view(x)).imag
        return deep, flags(deep)[0][:3], loaded, flags(*loaded.values()), other, flags(other)[0][:2], shown, flags(*shown)

    same(program)


@pytest.mark.filterwarnings("ignore:ComplexHalf")
def test_numbers_of_two_halves():
    def program(t):
        x = complexes(t).to(t.complex32)
        y = x.conj()
        y[0, 0] = 5 + 3j
        y.mul_(2)
        return [z.to(t.complex64) for z in (x, y, x + y)], y.tolist(), y.is_conj(), y.imag.float(), y.imag.is_neg(), str(y)

    same(program)


def test_transformed_and_compiled():
    def program(t):
        x = complexes(t)

        def function(z):
            w = z.conj()
            w.imag.mul_(2)
            return (w * z).real + w.imag

        rows = t.func.vmap(lambda z: z.conj().resolve_conj().imag + z.conj().real)(x)
        return rows, t.func.grad(lambda z: z.conj().imag.pow(2).sum())(x), function(x.clone())

    same(program)


def test_compiled_calls_give_views():
    """Against the plain call: what a compiled function returns shares memory, as it does without."""
    import funnn.torch as shim

    def function(z):
        return z.conj(), z.conj().imag

    x = complexes(shim)
    y, part = shim.compile(function)(x)
    x.mul_(1j)
    part[0] = 0
    assert y.is_conj() and part.is_neg()
    np.testing.assert_array_equal(y.numpy(force=True), x.numpy().conj())
    assert x.imag[0].tolist() == [0, 0, 0]


@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize(
    "kind, view",
    [
        (kind, view)
        for kind in ("complex64", "complex128", "complex32")
        for view in ("conj", "neg", "both", "part")
        if (kind, view) != ("complex32", "both")  # PyTorch has no kernel that negates conjugates of that type
    ],
)
def test_numbers_drawn_into_a_view(kind, view):
    """The view shows the numbers drawn, whatever lies in memory."""

    def program(t):
        t.manual_seed(0)
        memory = t.zeros(2, 3, dtype=t.complex64).to(getattr(t, kind))
        views = {
            "conj": lambda x: x.conj(),
            "neg": lambda x: t._neg_view(x),
            "both": lambda x: t._neg_view(x.conj()),
            "part": lambda x: x.conj().t()[1:],
        }
        drawn = views[view](memory)
        drawn.normal_()
        first = memory.clone()
        drawn.uniform_(1, 2)
        return [x.to(t.complex64) for x in (first, memory, drawn)]

    same(program)
