"""Indexing, assignment and views that share memory, against torch: fixed cases, and random programs of views and writes."""

import re

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twin import same

INDICES = {
    "integer": lambda t: 1,
    "negative": lambda t: -2,
    "integers": lambda t: (1, 2),
    "three integers": lambda t: (1, 2, 3),
    "slice": lambda t: slice(1, 3),
    "slice with a step": lambda t: (slice(None, None, 2), slice(1, None, 3)),
    "open slices": lambda t: (slice(None), slice(-2, None), slice(None, -1)),
    "slice beyond the end": lambda t: (slice(2, 100), slice(-100, 1)),
    "empty slice": lambda t: slice(2, 1),
    "None": lambda t: (None, 1, None, slice(1, 2)),
    "Ellipsis": lambda t: (..., 1),
    "Ellipsis between": lambda t: (0, ..., 2),
    "Ellipsis and None": lambda t: (..., None),
    "everything": lambda t: ...,
    "nothing": lambda t: (),
    "mixed": lambda t: (slice(0, 2), 1, slice(None, None, 2)),
    "0-d tensor": lambda t: t.tensor(1),
    "NumPy integer": lambda t: np.int64(2),
    "tensor": lambda t: t.tensor([2, 0, 2]),
    "negative tensor": lambda t: t.tensor([-1, -3]),
    "int32 tensor": lambda t: t.tensor([1, 0], dtype=t.int32),
    "list": lambda t: [0, 2],
    "range": lambda t: (slice(None), [2, 1]),
    "empty list": lambda t: [],
    "array": lambda t: np.array([1, 2]),
    "matrix": lambda t: t.tensor([[0, 1], [1, 2]]),
    "two tensors": lambda t: (t.tensor([0, 2]), t.tensor([1, 3])),
    "broadcast tensors": lambda t: (t.tensor([[0], [2]]), t.tensor([1, 3])),
    "slice and tensor": lambda t: (slice(None), t.tensor([0, 0, 1])),
    "tensor and slice": lambda t: (t.tensor([0, 1]), slice(1, None)),
    "integer and tensor": lambda t: (1, t.tensor([0, 1])),
    "tensor and integer": lambda t: (t.tensor([0, 1]), slice(None), 2),
    "tensors apart": lambda t: (t.tensor([0, 1]), slice(None), t.tensor([1, 2])),
    "tensor after Ellipsis": lambda t: (..., t.tensor([3, 0])),
    "None and tensor": lambda t: (None, t.tensor([1, 0])),
    "mask": lambda t: t.tensor([True, False, True]),
    "mask of two": lambda t: t.arange(12).view(3, 4) % 2 == 0,
    "mask of all": lambda t: t.arange(60).view(3, 4, 5) % 7 == 0,
    "mask and slice": lambda t: (t.tensor([True, False, True]), slice(0, 2)),
    "mask and tensor": lambda t: (t.tensor([True, False, True]), t.tensor([1, 2])),
    "list of bools": lambda t: [True, False, True],
    "0-d mask": lambda t: t.tensor(True),
    "True": lambda t: True,
    "False": lambda t: False,
    "empty mask": lambda t: t.tensor([False, False, False]),
}


@pytest.mark.parametrize("name", INDICES)
def test_read(name):
    """Values, and whether the result is a view, with its strides."""

    def program(t):
        x = t.arange(60.0).view(3, 4, 5)
        y = x[INDICES[name](t)]
        result = [y, y.stride(), y.storage_offset() if y.numel() else 0, y.is_contiguous()]
        y.add_(100)
        return [*result, x]

    same(program)


@pytest.mark.parametrize("name", INDICES)
def test_write(name):
    def program(t):
        key = INDICES[name](t)
        results = []
        for value in (7, t.tensor([4.0])):
            x = t.arange(60.0).view(3, 4, 5)
            x[key] = value
            results.append(x)
        x = t.arange(60).view(3, 4, 5)
        x[key] = x[key].flip(0) * 2 if x[key].dim() else 1
        transposed = t.arange(60.0).view(5, 4, 3).permute(2, 1, 0)
        transposed[key] = -1
        if name not in ("tensor", "broadcast tensors", "slice and tensor", "matrix", "nested list"):  # no repeated index
            x[key] += 5
        return results, x, transposed

    same(program)


#: What is no view (views' gradients are tested below), and one view of each kind.
DIFFERENTIATED = [name for name in INDICES if re.search("tensor|list|mask|array|range|matrix|mixed|True", name)]


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_gradients(name):
    def program(t):
        x, v = t.arange(60.0).view(3, 4, 5).requires_grad_(), t.tensor(2.0, requires_grad=True)
        y = x * 1
        (x[INDICES[name](t)] ** 2).sum().backward()
        y[INDICES[name](t)] = v * 3
        (y * t.arange(60.0).view(3, 4, 5)).sum().backward()
        return x, v

    same(program)


def test_write_values():
    def program(t):
        x = t.zeros(3, 4)
        x[0] = t.arange(4)
        x[1, :2] = t.tensor([[5.0, 6.0]])
        x[:, 3] = t.tensor([1, 2, 3])
        x[2] = t.tensor([1, 2, 3, 4], dtype=t.int64)
        x[t.tensor([0, 1]), t.tensor([1, 2])] = t.tensor([10.0, 20.0])
        x[x > 9] = 0
        x[1:] += 1
        x[0, 0] -= 2
        x[0, 1] = True
        x[1, 0] = t.tensor(2.5)
        i = t.zeros(2, dtype=t.int64)
        i[0] = 2.7
        m = t.zeros(2, dtype=t.bool)
        m[1] = 5
        y = t.zeros(4)
        y.index_put_((t.tensor([1, 1, 2]),), t.tensor([1.0, 2.0, 3.0]), accumulate=True)
        return x, i, m, y

    same(program)


# -- views

VIEWS = {
    "select": lambda x: x.select(1, 2),
    "narrow": lambda x: x.narrow(0, 1, 2),
    "view": lambda x: x.view(4, 15),
    "view of more": lambda x: x.view(3, 2, 2, 1, 5),
    "reshape": lambda x: x.reshape(-1),
    "transpose": lambda x: x.transpose(0, 2),
    "permute": lambda x: x.permute(1, 2, 0),
    "expand": lambda x: x[:, :1].expand(3, 4, 5),
    "diagonal": lambda x: x.diagonal(1, 1, 2),
    "negative diagonal": lambda x: x.diagonal(-1),
    "unfold": lambda x: x.unfold(2, 2, 3),
    "overlapping unfold": lambda x: x.unfold(1, 3, 1),
    "split": lambda x: x.split(2, 1)[1],
    "chunk": lambda x: x.chunk(3, -1)[2],
    "unbind": lambda x: x.unbind(1)[3],
    "squeeze": lambda x: x[:, 1:2].squeeze(1),
    "squeeze all": lambda x: x[:1, :, 2:3].squeeze(),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "unsqueeze last": lambda x: x[::2].unsqueeze(-1),
    "data": lambda x: x.data,
    "detach": lambda x: x.detach(),
    "T": lambda x: x[0].T,
    "mT": lambda x: x.mT,
    "t": lambda x: x[:, 0].t(),
    "movedim": lambda x: x.movedim(0, -1),
    "flatten": lambda x: x.flatten(1),
    "flatten of a slice": lambda x: x[:, 1:3].flatten(1),
    "unflatten": lambda x: x.unflatten(1, (2, 2)),
    "view of a slice": lambda x: x[1:].view(-1, 5),
    "view of a step": lambda x: x[::2].view(2, 20),
    "view_as": lambda x: x.view_as(x.reshape(20, 3)),
    "as_strided": lambda x: x.as_strided((2, 3), (7, 2), 4),
    "reshape that copies": lambda x: x.transpose(0, 1).reshape(4, 15),
    "slices of views": lambda x: x[1:].transpose(0, 2)[::2, 1:3][1],
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "ravel": lambda x: x.ravel(),
    "broadcast_to": lambda x: x[:, :1].broadcast_to((2, 3, 4, 5)),
    "contiguous": lambda x: x.contiguous(),
    "contiguous of a transpose": lambda x: x.transpose(0, 1).contiguous(),
    "iteration": lambda x: list(x)[2],
    "0-d": lambda x: x[0, 0, 1].view(1, 1),
    "empty": lambda x: x[:0].view(0, 20),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(name):
    """Values, strides and offset; a write to the base is seen by the view, a write to the view by base and siblings."""

    def program(t):
        x = t.arange(60.0).view(3, 4, 5)
        sibling, y = x[1], VIEWS[name](x)
        result = [y.clone(), y.shape, y.stride(), y.storage_offset(), y.is_contiguous()]
        x.mul_(2)
        result += [y.clone(), y.data_ptr() == x.data_ptr() or y.storage_offset() > 0] if y.numel() else []
        try:
            y.add_(t.arange(float(y.numel())).view(y.shape))
        except RuntimeError as error:
            result.append("single memory location" in str(error))
        return [*result, x, sibling, y] if name != "overlapping unfold" else result

    same(program)


@pytest.mark.parametrize("name", [name for name in VIEWS if name not in ("data", "detach", "overlapping unfold", "as_strided")])
def test_gradients_of_views(name):
    """Through the view, and through a base that was written to through the view."""

    def program(t):
        x = t.arange(60.0).view(3, 4, 5).div_(10).requires_grad_()
        base = x * 1
        y = VIEWS[name](base)
        text = str(y.grad_fn)
        (y**2).sum().backward(retain_graph=True)
        if name not in ("expand", "broadcast_to"):
            try:
                y.mul_(3)
            except RuntimeError as error:
                assert name in ("split", "chunk", "unbind", "iteration") and "is a view and is being modified inplace" in str(error)
                text += str(error)[:20]
        (base**2 + y.sum()).sum().backward()
        return x, text.split(" object")[0]

    same(program)


# -- random programs

VIEW_STEPS = {
    "select": lambda t, x, d, a, b: x.select(d, a % x.size(d)),
    "slice": lambda t, x, d, a, b: x[(slice(None),) * d + (slice(a % x.size(d), None, b % 2 + 1),)],
    "narrow": lambda t, x, d, a, b: x.narrow(d, a % x.size(d), 1 + b % (x.size(d) - a % x.size(d))),
    "transpose": lambda t, x, d, a, b: x.transpose(d, a % x.dim()),
    "flatten": lambda t, x, d, a, b: x.reshape(-1),
    "view": lambda t, x, d, a, b: x.view(-1, x.size(-1)),
    "unsqueeze": lambda t, x, d, a, b: x.unsqueeze(d),
    "squeeze": lambda t, x, d, a, b: x.squeeze(),
    "expand": lambda t, x, d, a, b: x.unsqueeze(d).expand(*x.shape[:d], 2, *x.shape[d:]),
    "diagonal": lambda t, x, d, a, b: x.diagonal(a % 2, d, (d + 1) % x.dim()),
    "unfold": lambda t, x, d, a, b: x.unfold(d, 1 + a % min(2, x.size(d)), 2),
    "chunk": lambda t, x, d, a, b: x.chunk(2, d)[0],
    "unbind": lambda t, x, d, a, b: x.unbind(d)[a % x.size(d)],
    "permute": lambda t, x, d, a, b: x.permute(*((i + a) % x.dim() for i in range(x.dim()))),
}
WRITE_STEPS = {
    "add_": lambda t, x, d, a, b: x.add_(a + 1),
    "mul_": lambda t, x, d, a, b: x.mul_(b + 2),
    "fill_": lambda t, x, d, a, b: x.fill_(a) if 0 not in x.stride() else None,
    "copy_": lambda t, x, d, a, b: x.copy_(t.arange(float(x.numel())).view(x.shape)),
    "assign": lambda t, x, d, a, b: x.__setitem__(a % x.size(0), b),
    "mask": lambda t, x, d, a, b: (
        x.__setitem__(x > 3 * a, b) if 0 not in x.stride() else None
    ),  # torch warns that it will not write to expanded tensors
    "add_ itself": lambda t, x, d, a, b: x.add_(x),
}
# New memory comes from contiguous tensors: torch gives x.t() * 2 the strides of x.t(), the shim those of a contiguous tensor.
COPY_STEPS = {
    "data": lambda t, x, d, a, b: x.data,
    "clone": lambda t, x, d, a, b: x.contiguous().clone(),
    "times": lambda t, x, d, a, b: x.contiguous() * 2,
}
GRAD_STEPS = {
    "times itself": lambda t, x, d, a, b: x.contiguous() * x,
    "sin_": lambda t, x, d, a, b: x.sin_(),
    "sum": lambda t, x, d, a, b: x.sum(d, keepdim=True),
    "tanh_": lambda t, x, d, a, b: x.tanh_(),
    "plus": lambda t, x, d, a, b: x.contiguous() + 1,
    "copy_ of a part": lambda t, x, d, a, b: x[0].copy_(x[-1] * 2),
}


def programs(steps, length):
    number = st.integers(0, 3)
    return st.lists(st.tuples(st.integers(0, 9), st.sampled_from(sorted(steps)), number, number, number), min_size=2, max_size=length)


def perform(t, pool, program, steps):
    """Run the steps, each on a tensor of the pool; results that are new tensors join it. Returns what raised."""
    raised = []
    for which, name, dim, a, b in program:
        x = pool[which % len(pool)]
        if x.dim() and x.numel():
            try:
                y = steps[name](t, x, dim % x.dim(), a, b)
            except (RuntimeError, IndexError) as error:
                raised.append((name, type(error).__name__))
                continue
            if y is not None and all(y is not item for item in pool):
                pool.append(y)
    return raised


fast = settings(deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@settings(fast, max_examples=30)
@given(programs(VIEW_STEPS | WRITE_STEPS | COPY_STEPS, 8))
def test_random_views_and_writes(program):
    steps = VIEW_STEPS | WRITE_STEPS | COPY_STEPS

    def go(t):
        pool = [t.arange(24.0).view(2, 3, 4)]
        raised = perform(t, pool, program, steps)
        versions = [] if any(step[1] == "data" for step in program) else [x._version for x in pool]  # torch counts those of .data apart
        return raised, versions, [(x, x.shape, x.stride(), x.storage_offset(), x.is_contiguous()) for x in pool]

    with jax.disable_jit():
        same(go)


@settings(fast, max_examples=30)
@given(programs(VIEW_STEPS | GRAD_STEPS | {name: WRITE_STEPS[name] for name in ("add_", "mul_", "copy_", "fill_", "assign")}, 7))
def test_random_gradients(program):
    steps = VIEW_STEPS | WRITE_STEPS | GRAD_STEPS

    def go(t):
        leaf = (t.arange(24.0) / 24).view(2, 3, 4).requires_grad_()
        pool = [leaf.clone()]
        raised = perform(t, pool, program, steps)
        try:
            sum((x * (i + 1)).sum() for i, x in enumerate(pool)).backward()
        except RuntimeError as error:
            return raised, re.search(
                "modified by an inplace operation|has been modified inplace|does not require grad|more than one element", str(error)
            )[0]
        return raised, leaf, [x.detach() for x in pool], [x.requires_grad for x in pool]

    same(go, tolerance=(1e-4, 1e-4))
