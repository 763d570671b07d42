"""Every sample that PyTorch's own test suite feeds to torch.nn.functional, and every input that it expects to be refused."""

from __future__ import annotations

import contextlib
import random
import re
import warnings
from collections.abc import Callable

import jax
import pytest
import torch
from oracle import assert_same, compare, dtype_name, mode, to_jax

import funnn.functional as F

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

#: Operations of the database that stand for a function of torch.nn.functional under another name.
OTHER_NAMES = {"softmax": "softmax", "log_softmax": "log_softmax", "sigmoid": "sigmoid", "tanh": "tanh"}
BEYOND = {"flatten": F.flatten, "unflatten": F.unflatten}
MOST = 14  # samples an operation and dtype; max pools have up to 1440, of which a fixed random choice runs

#: What cannot pass: operation's name -> (the samples it concerns, the reason).
CANNOT: dict[str, tuple[Callable, str]] = {
    "nn.functional.batch_norm": (lambda args, kwargs: args[0].ndim < 2, "an empty input of rank 1 has no channel axis"),
}
#: Functions whose samples draw random numbers even where the database pins torch's generator: compared in test_random.py instead.
RANDOM: set[str] = set()
#: Where the database's dtypes are wider than the kernel's: operation's name -> (dtypes left out, the reason).
NO_DTYPE: dict[str, tuple[set[str], str]] = {}
#: Error inputs that are no errors here: operation's name -> (pattern of torch's message, the reason).
NO_ERROR: dict[str, tuple[str, str]] = {}
#: Operations whose float64 second derivatives are compared with torch's: a spread over the kernels.
SECOND = [
    "nn.functional.conv2d", "nn.functional.layer_norm", "nn.functional.batch_norm", "nn.functional.cross_entropy", "softmax", "log_softmax",
    "nn.functional.mse_loss", "nn.functional.linear", "nn.functional.avg_pool2d", "nn.functional.max_pool2d", "nn.functional.embedding",
    "nn.functional.nll_loss", "tanh", "sigmoid",
]  # fmt: skip
#: Tolerances that differ from oracle.TOLERANCE: operation's name -> {dtype: (rtol, atol)}, each with its reason beside it.
TOLERANCES: dict[str, dict[str, tuple[float, float]]] = {}


def twin(op) -> Callable | None:
    """funnn's function for an operation of the database."""
    name = op.name.removeprefix("nn.functional.")
    if op.name == "nn.functional.embedding":
        return lambda weight, index, **kwargs: F.embedding(index, weight, **kwargs)  # as the sample orders them
    if name != op.name or name in OTHER_NAMES:
        return getattr(F, OTHER_NAMES.get(name, name), None)
    return BEYOND.get(op.name)


OPS = [op for op in op_db if twin(op) is not None]


def op_id(op) -> str:
    return f"{op.name.removeprefix('nn.functional.')}{'-' if op.variant_test_name else ''}{op.variant_test_name}"


every_op = pytest.mark.parametrize("op", OPS, ids=op_id)


def samples(op, dtype: torch.dtype, grad: bool, most: int = MOST) -> list[tuple]:
    concerns = CANNOT.get(op.name, (lambda args, kwargs: False, ""))[0]
    found = [((s.input, *s.args), s.kwargs) for s in op.sample_inputs("cpu", dtype, requires_grad=grad)]
    found = [s for s in found if not concerns(*s)]
    return found if len(found) <= most else random.Random(0).sample(found, most)


def run_all(op, chosen: list[tuple], run: Callable) -> None:
    failures = []
    for args, kwargs in chosen:
        try:
            run(args, kwargs)
        except Exception as e:
            shown = [tuple(a.shape) if isinstance(a, torch.Tensor) else a for a in args]
            failures.append(f"{shown} {kwargs}: {type(e).__name__}: {str(e)[:300]}")
    assert not failures, f"{len(failures)} of {len(chosen)} samples fail:\n" + "\n".join(failures[:5])


def test_every_operation_of_the_database_has_its_function():
    missing = {op.name for op in op_db if op.name.startswith("nn.functional.") and twin(op) is None}
    assert missing == set()


@pytest.mark.filterwarnings("ignore")
@every_op
def test_samples(op):
    """Outputs and gradients in float32."""
    if op.name in RANDOM or torch.float32 not in op.dtypes:
        pytest.skip("compared in test_random.py" if op.name in RANDOM else "takes no float32")
    chosen = samples(op, torch.float32, op.supports_autograd)
    assert chosen, f"{op.name} has no sample left"
    tolerance = TOLERANCES.get(op.name, {}).get("float32")
    run_all(op, chosen, lambda args, kwargs: compare(twin(op), op.op, args, kwargs, tolerance=tolerance))


DTYPES = [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool]


def dtypes_of(op) -> list[torch.dtype]:
    left_out = NO_DTYPE.get(op.name, (set(), ""))[0]
    return [dtype for dtype in DTYPES if dtype in op.dtypes and dtype_name(torch.empty(0, dtype=dtype)) not in left_out]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("op", "dtype"), [(op, dtype) for op in OPS for dtype in dtypes_of(op)], ids=lambda v: op_id(v) if hasattr(v, "name") else str(v)[6:]
)
def test_other_dtypes(op, dtype):
    """Outputs in the other dtypes that torch lists for the operation."""
    if op.name in RANDOM:
        pytest.skip("compared in test_random.py")
    name = str(dtype).removeprefix("torch.")
    tolerance = TOLERANCES.get(op.name, {}).get(name)

    def run(args, kwargs):
        expected = op.op(*args, **kwargs)
        with mode("float64") if dtype in (torch.float64, torch.int64) else contextlib.nullcontext():
            got = jax.jit(lambda: twin(op)(*to_jax(args), **to_jax(kwargs)))()
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
                assert_same(a, b, "output", tolerance, wide=dtype in (torch.float64, torch.int64))

    run_all(op, samples(op, dtype, False, most=3), run)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", [op for op in OPS if op.name in SECOND and torch.float64 in op.dtypes], ids=op_id)
def test_second_derivatives(op):
    """The gradient of a function of the gradient, in float64: reverse over reverse, and forward over reverse against it."""

    def run(args, kwargs):
        with mode("float64"):
            compare(twin(op), op.op, args, kwargs, second=True)

    run_all(op, samples(op, torch.float64, True, most=3), run)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", [op for op in OPS if op.error_inputs_func is not None], ids=op_id)
def test_error_inputs(op):
    """What torch refuses is refused, with an exception that torch's users would catch and a message that says something."""
    pattern = NO_ERROR.get(op.name, (r"(?!)", ""))[0]
    for bad in op.error_inputs("cpu"):
        if re.search(pattern, bad.error_regex):
            continue
        sample = bad.sample_input
        args, kwargs = to_jax((sample.input, *sample.args)), to_jax(sample.kwargs)
        with pytest.raises((bad.error_type, NotImplementedError)) as info:
            twin(op)(*args, **kwargs)
        assert len(str(info.value)) > 20, f"a message without content: {info.value!r} for {bad.error_regex}"
