"""Random programs of tensors, arrays on their memory, and numbers that were computed from them, against torch."""

import copy
import gc
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_indexing_views import GRAD_STEPS, VIEW_STEPS, WRITE_STEPS, programs
from test_indexing_views import perform as make_step
from twin import same

from funnn.engine.memory import shared
from funnn.engine.ops.kit import index_kernels

ARRAY_STEPS = {
    "numpy": lambda t, x, n, a, b: x.detach().numpy(),
    "asarray": lambda t, x, n, a, b: np.asarray(x.detach()),
    "from_dlpack": lambda t, x, n, a, b: np.from_dlpack(x.detach()) if all(x.stride()) else None,
    "transposed": lambda t, x, n, a, b: n.T,
    "part": lambda t, x, n, a, b: n[a % len(n) :] if n.ndim and len(n) else None,
    "flat copy": lambda t, x, n, a, b: n.ravel().copy(),
}
NUMPY_STEPS = {
    "+=": lambda t, x, n, a, b: n.__iadd__(a + 1),
    "fill": lambda t, x, n, a, b: n.fill(b),
    "[a] =": lambda t, x, n, a, b: n.__setitem__(a % len(n), b) if n.ndim and len(n) else None,
    "out=": lambda t, x, n, a, b: np.multiply(n, 2, out=n),
    "sort": lambda t, x, n, a, b: n.sort() if n.ndim else None,
}
TENSOR_STEPS = {
    "from_numpy": lambda t, x, n, a, b: t.from_numpy(n),
    "as_tensor": lambda t, x, n, a, b: t.as_tensor(n),
    "tensor": lambda t, x, n, a, b: t.tensor(n),
    "dlpack": lambda t, x, n, a, b: t.from_dlpack(n),
    "detach": lambda t, x, n, a, b: x.detach(),
    "data": lambda t, x, n, a, b: x.data,
    "clone": lambda t, x, n, a, b: x.contiguous().clone(),
    "times": lambda t, x, n, a, b: x.contiguous() * 2,
    "sum": lambda t, x, n, a, b: x.sum(),
    "indexed": lambda t, x, n, a, b: x[t.tensor([a % x.size(0), b % x.size(0)])].contiguous(),
    "masked": lambda t, x, n, a, b: x[x > a].sum(),
    "deepcopy": lambda t, x, n, a, b: copy.deepcopy(x.contiguous()),
    "pickled": lambda t, x, n, a, b: pickle.loads(pickle.dumps(x.contiguous())),
    "double": lambda t, x, n, a, b: x.contiguous().double().float(),
}
MORE_WRITES = {
    "zero_": lambda t, x, n, a, b: x.zero_() if 0 not in x.stride() else None,
    "out": lambda t, x, n, a, b: t.add(x, 1, out=x) if 0 not in x.stride() else None,
    "copy of an array": lambda t, x, n, a, b: x.copy_(t.from_numpy(n)) if n.shape == tuple(x.shape) and 0 not in x.stride() else None,
    "resize_": lambda t, x, n, a, b: x.resize_(x.size(0)) is None or None,
    "set_": lambda t, x, n, a, b: x.set_(t.from_numpy(n)) is None or None,
    "index_add_": lambda t, x, n, a, b: x.index_add_(0, t.tensor([0]), t.ones(1, *x.shape[1:])) if 0 not in x.stride() else None,
    "address": lambda t, x, n, a, b: x.data_ptr() < 0 or None,
    "drop": lambda t, x, n, a, b: "drop",
}
STEPS = {
    **{name: (lambda t, x, n, a, b, f=f: f(t, x, a % x.dim(), a, b)) for name, f in (VIEW_STEPS | WRITE_STEPS).items()},
    **(ARRAY_STEPS | NUMPY_STEPS | TENSOR_STEPS | MORE_WRITES),
}
# many more views and writes of tensors than of arrays are known; draw both as often
KINDS = [list(kind) for kind in (VIEW_STEPS, WRITE_STEPS | MORE_WRITES, ARRAY_STEPS, NUMPY_STEPS, TENSOR_STEPS)]
number = st.integers(0, 3)
steps = st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from(KINDS).flatmap(st.sampled_from), number, number)
fast = settings(deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def perform(t, program, looks):
    """What the tensors and arrays hold after each step, if somebody looks then, and at the end; and what raised."""
    array = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    tensors, arrays, found = [t.arange(24.0).view(2, 3, 4), t.from_numpy(array)], [array], []
    for one, other, name, a, b in program:
        x, n = tensors[one % len(tensors)], arrays[other % len(arrays)]
        if not x.dim() or not x.numel():
            continue
        try:
            result = STEPS[name](t, x, n, a, b)
        except (RuntimeError, IndexError, ValueError) as error:
            found.append((name, type(error).__name__))
            continue
        if isinstance(result, np.ndarray) and name in ARRAY_STEPS:
            arrays.append(result)
        elif isinstance(result, str):
            arrays, n, result = [np.ones((2, 2), np.float32)], None, None
            gc.collect()
        elif result is not None and not isinstance(result, np.ndarray) and all(result is not item for item in tensors):
            tensors.append(result)
        if looks:
            found.append([(item.detach().clone(), item.storage_offset()) for item in tensors])
            found.append([[step for step, size in zip(item.stride(), item.shape, strict=True) if size > 1] for item in tensors])
            found.append([item.copy() for item in arrays])
    return found, tensors, [np.array(item) for item in arrays]


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
@pytest.mark.parametrize("looks", [True, False], ids=["looks", "waits"])
@settings(fast, max_examples=25)
@given(program=st.lists(steps, min_size=3, max_size=10))
def test_random_programs(looks, large, program):
    """Also with what is done of large memory alone."""
    with pytest.MonkeyPatch.context() as patch:
        if large:
            patch.setattr(shared, "_AT_ONCE", 0)
            patch.setattr(index_kernels, "_LARGE", 0)
        same(lambda t: perform(t, program, looks))


@settings(fast, max_examples=25)
@given(program=programs(VIEW_STEPS | GRAD_STEPS | {name: WRITE_STEPS[name] for name in ("add_", "mul_", "copy_", "fill_", "assign")}, 7))
def test_random_gradients(program):
    """Of tensors whose arrays are held."""

    def go(t):
        array, arrays = np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 24, []
        leaf = t.from_numpy(array).requires_grad_()
        pool = [leaf.clone(), leaf * 2]
        for step in program:
            arrays += [x.detach().numpy() for x in pool[::2]]
            make_step(t, pool, [step], VIEW_STEPS | WRITE_STEPS | GRAD_STEPS)
        try:
            sum((x * (i + 1)).sum() for i, x in enumerate(pool)).backward()
        except RuntimeError as error:
            return "modified" in str(error) or "more than one element" in str(error)
        with t.no_grad():
            leaf -= leaf.grad
        return leaf, array, [x.detach() for x in pool], [np.array(item) for item in arrays]

    same(go, (1e-4, 1e-4))
