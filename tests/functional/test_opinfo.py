"""Every sample that PyTorch's own test suite feeds to torch.nn.functional, and every input that it expects to be refused."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable

import jax
import pytest
import torch
from oracle import HALVES, assert_same, compare, in_float64, mode, mode_for, to_jax

import funnn.functional as F
import funnn.torch as ft
from tests import exhaustive
from tests.quick import quick

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db

#: Operations of the database that stand for a function of torch.nn.functional under another name.
OTHER_NAMES = {"softmax": "softmax", "log_softmax": "log_softmax", "sigmoid": "sigmoid", "tanh": "tanh"}
BEYOND = {"flatten": F.flatten, "unflatten": F.unflatten}
#: Samples an operation and dtype; max pools have up to 1440, of which a fixed random choice runs.
MOST = exhaustive.most(2, 4)

#: What cannot pass: operation's name -> (the samples it concerns, the reason).
CANNOT: dict[str, tuple[Callable, str]] = {
    "nn.functional.one_hot": (
        lambda args, kwargs: kwargs.get("num_classes", -1) == -1,
        "the largest index is unknown under jit; test_sparse.py",
    ),
    "nn.functional.batch_norm": (lambda args, kwargs: args[0].ndim < 2, "an empty input of rank 1 has no channel axis"),
}
#: Draws that depend on values, which only the shim makes as torch does: compared in test_random.py instead.
RANDOM = {"nn.functional.rrelu"}
#: Operations whose float64 second derivatives are compared with torch's: a spread over the kernels.
SECOND = [
    "nn.functional.conv2d", "nn.functional.layer_norm", "nn.functional.batch_norm", "nn.functional.cross_entropy", "softmax", "log_softmax",
    "nn.functional.mse_loss", "nn.functional.linear", "nn.functional.avg_pool2d", "nn.functional.max_pool2d", "nn.functional.embedding",
    "nn.functional.nll_loss", "tanh", "sigmoid", "nn.functional.grid_sample", "nn.functional.interpolate",
    "nn.functional.pad", "nn.functional.fold", "nn.functional.unfold", "nn.functional.multi_head_attention_forward",
    "nn.functional.binary_cross_entropy_with_logits", "nn.functional.huber_loss",
    "nn.functional.gaussian_nll_loss", "nn.functional.kl_div", "nn.functional.triplet_margin_loss", "nn.functional.gelu", "nn.functional.silu",
    "nn.functional.mish", "nn.functional.elu", "nn.functional.softplus", "nn.functional.hardswish", "nn.functional.prelu", "nn.functional.glu",
    "nn.functional.bilinear", "nn.functional.cosine_similarity",
]  # fmt: skip
#: Tolerances that differ from oracle.TOLERANCE: operation's name -> {dtype: (rtol, atol)}, each with its reason beside it.
TOLERANCES: dict[str, dict[str, tuple[float, float]]] = {
    # scores up to 500: torch's float32 gradients are off by up to 1.1e-4 from its own in float64, ours by up to 1.0e-4
    "nn.functional.scaled_dot_product_attention": {"float32": (2e-5, 2e-4)},
    # scores of some hundreds, rounded to half precision: torch's output is off by up to 1.0 from its own in float64; test_attention.py has others
    "nn.functional.multi_head_attention_forward": {"float16": (4e-3, 1.0)},
    # torch's gradient is off by 7.6e-5 from its own in float64, and is multiplied by a cotangent of up to 3; ours is off by 1.2e-5
    "nn.functional.ctc_loss": {"float32": (3e-4, 3e-4)},
    # outputs up to 900: torch's are off by 1.0e-4 from its own in float64, ours by 1.4e-4
    "nn.functional.conv_transpose3d": {"float32": (2e-5, 2e-4)},
}


def twin(op) -> Callable | None:
    """funnn's function for an operation of the database."""
    name = op.name.removeprefix("nn.functional.")
    if name in ("embedding", "embedding_bag"):
        return lambda weight, index, **kwargs: getattr(F, name)(index, weight, **kwargs)  # as the sample orders them
    if name == "triplet_margin_with_distance_loss":  # the samples' distance is torch's Module of the default one
        return lambda *args, distance_function=None, **kwargs: F.triplet_margin_with_distance_loss(*args, **kwargs)
    function = getattr(F, OTHER_NAMES.get(name, name), None) if name != op.name or name in OTHER_NAMES else BEYOND.get(op.name)
    if getattr(function, "key_name", None) is None:
        return function

    def seeded(*args, **kwargs):
        """With the numbers that torch draws: the database seeds its generator so before every call."""
        ft.manual_seed(42)
        return function(*args, **kwargs, **{function.key_name: ft.default_generator})

    return seeded


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
    return [dtype for dtype in DTYPES if dtype in op.dtypes]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("op", "dtype"),
    exhaustive.one_each(
        [(op, dtype) for op in OPS for dtype in dtypes_of(op)],
        lambda pair: op_id(pair[0]),
        lambda pair: f"{op_id(pair[0])}-{str(pair[1])[6:]}",
    ),
)
def test_other_dtypes(op, dtype):
    """Outputs in the other dtypes that torch lists for the operation."""
    if op.name in RANDOM:
        pytest.skip("compared in test_random.py")
    name = str(dtype).removeprefix("torch.")
    tolerance = TOLERANCES.get(op.name, {}).get(name)

    def run(args, kwargs):
        expected = op.op(*args, **kwargs)
        with mode("float64") if dtype is torch.int64 else mode_for(args, expected):
            got = quick(lambda: twin(op)(*to_jax(args), **to_jax(kwargs)))()
            try:
                same(got, expected)
            except AssertionError:
                if dtype not in HALVES:
                    raise
                same(got, in_float64(op.op, args, kwargs, expected))

    def same(got, expected):
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            assert_same(a, b, "output", tolerance, wide=dtype in (torch.float64, torch.int64))

    run_all(op, samples(op, dtype, False, exhaustive.most(1, 2)), run)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", [op for op in OPS if op.name in SECOND and torch.float64 in op.dtypes], ids=op_id)
def test_second_derivatives(op):
    """The gradient of a function of the gradient, in float64: reverse over reverse, and forward over reverse against it."""

    def run(args, kwargs):
        with mode("float64"):
            compare(twin(op), op.op, args, kwargs, second=True)

    run_all(op, samples(op, torch.float64, True, exhaustive.most(1, 3)), run)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", [op for op in OPS if op.error_inputs_func is not None], ids=op_id)
def test_error_inputs(op):
    """What torch refuses is refused, with an exception that torch's users would catch and a message that says something."""
    for bad in op.error_inputs("cpu"):
        sample = bad.sample_input
        args, kwargs = to_jax((sample.input, *sample.args)), to_jax(sample.kwargs)
        with pytest.raises((bad.error_type, NotImplementedError)) as info:
            twin(op)(*args, **kwargs)
        assert len(str(info.value)) > 20, f"a message without content: {info.value!r} for {bad.error_regex}"
