"""Values and first gradients at special points, against torch: at zeros, at the ends of domains, at infinities and NaN, where elements are equal.

What is left out stands in ``POINTS_LEFT_OUT`` and ``KINDS_LEFT_OUT``, with the difference that it is, or why it is none.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from allowed import Reason, listed, no_difference
from opinfo import found

import funnn.torch as shim
from funnn.engine.program import programs
from tests import exhaustive

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.opinfo.core import BinaryUfuncInfo, UnaryUfuncInfo

INF, NAN = float("inf"), float("nan")
POINTS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.0, 3.0, -3.0, INF, -INF, NAN)


@pytest.fixture(autouse=True, params=[pytest.param(True, id="by NumPy"), pytest.param(False, marks=exhaustive.mark, id="compiled")])
def how_it_runs(request, monkeypatch):
    """What comes once runs by NumPy's rules of the interpreter on a CPU, and is compiled elsewhere."""
    monkeypatch.setattr(programs, "is_on_cpu", lambda: request.param)


def gradients(t: Any, function: Callable, arrays: tuple) -> list[np.ndarray]:
    """The results, and the gradient of their sum in each operand."""
    operands = [t.tensor(array, requires_grad=True) for array in arrays]
    results = function(t, *operands)
    results = list(results) if isinstance(results, (tuple, list)) else [results]
    smooth = [result.abs() if result.is_complex() else result for result in results if result.requires_grad]
    pulled = t.autograd.grad(sum(result.sum() for result in smooth), operands, allow_unused=True) if smooth else [None] * len(arrays)
    zeros = [np.zeros_like(array) for array in arrays]
    return [result.detach().numpy() for result in results] + [
        zero if each is None else each.numpy(force=True) for each, zero in zip(pulled, zeros, strict=True)
    ]


def same_gradients(function: Callable, *arrays: np.ndarray) -> None:
    expected, got = (gradients(t, function, arrays) for t in (torch, shim))
    for number, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6, err_msg=f"array {number} of results and gradients")


def of_database(kind: type, *left_out: str) -> list[str]:
    """The differentiable operations of a kind of PyTorch's database."""
    names = {op.name for op in op_db if isinstance(op, kind) and op.supports_autograd and torch.float32 in op.dtypes}
    return sorted(name for name in names if callable(found(name)) and name not in left_out)


def at(t: Any, path: str) -> Callable:
    for name in path.split("."):
        t = getattr(t, name)
    return t


# -- element by element

#: Arguments that an operation needs.
ARGUMENTS = {
    "polygamma": (),
    "mvlgamma": (1,),
    "nn.functional.threshold": (0.0, -1.0),
    "logit": (0.1,),
    "nn.functional.hardtanh": (-0.5, 2.0),
}
#: (operation, point) that is left out, by reason.
POINTS_LEFT_OUT: dict[tuple[str, float], Reason] = {
    **{
        (f"nn.functional.{name}", NAN): listed("ends of vectors")
        for name in ("celu", "elu", "selu", "hardshrink", "softshrink", "hardtanh", "relu6", "hardswish")
    },
    **dict.fromkeys((("logit", NAN), ("nn.functional.gelu", INF)), listed("ends of vectors")),
    ("mvlgamma", -0.0): listed("nan in loops", "a pole: the sum of ∞ and −∞"),
    **dict.fromkeys((("digamma", point) for point in (-1.0, -2.0, -3.0)), listed("nan in loops", "the poles")),
    **dict.fromkeys((("special.i1", NAN), ("special.i1e", NAN)), no_difference("PyTorch gives 0.5 as the slope at NaN")),
    ("special.log_ndtr", -INF): listed("nan in loops"),
}
UNSPECIFIED = {name: tuple(point for other, point in POINTS_LEFT_OUT if other == name) for name, _ in POINTS_LEFT_OUT}
#: Operations that are called otherwise, below.
CALLED_OTHERWISE = {
    "fill": no_difference("its result does not depend on its operand"),
    "nn.functional.prelu": no_difference("it has two operands: see TWO"),
    **dict.fromkeys(
        ("polygamma", "special.polygamma"), no_difference("its order comes first, which no sample here has; digamma is its derivative")
    ),
}
UNARY = of_database(UnaryUfuncInfo, *CALLED_OTHERWISE)


def without(points: tuple[float, ...], values: np.ndarray) -> np.ndarray:
    """Which values are none of the points; −0 is not 0."""
    return ~np.logical_or.reduce(
        [np.isnan(values) if p != p else (values == p) & (np.signbit(values) == (str(p)[0] == "-")) for p in points]
    )


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name):
    x = np.array(POINTS * 6, np.float32)
    x = x[without(UNSPECIFIED[name], x)] if name in UNSPECIFIED else x
    same_gradients(lambda t, x: at(t, name)(x, *ARGUMENTS.get(name, ())), x)


#: Of two operands.
MADE_OF_PARTS = dict.fromkeys(("complex", "polar"), no_difference("their results are complex, and infinite parts have no angle"))
TWO = {
    **{name: lambda t, x, y, name=name: at(t, name)(x, y) for name in of_database(BinaryUfuncInfo, *MADE_OF_PARTS)},
    "pow of a number": lambda t, x, y: 2.0**x + 0.0**y,
    **{f"to the power of {p}": lambda t, x, y, p=p: x**p + y for p in (0.0, 0, 1, 1.0, 2, 0.5, -1.0, INF)},
    "clamp": lambda t, x, y: t.clamp(x, y, t.ones_like(x)),
    "lerp": lambda t, x, y: t.lerp(x, y, t.full_like(x, 0.25)),
    "prelu": lambda t, x, y: at(t, "nn.functional.prelu")(x.reshape(1, -1), y),
}


@pytest.mark.parametrize("name", TWO)
def test_two_operands(name):
    pairs = np.array(list(itertools.product(POINTS, POINTS)), np.float32)
    same_gradients(TWO[name], pairs[:, 0].copy(), pairs[:, 1].copy())


# -- losses, of all pairs of finite points

F = "nn.functional."
LOSSES = {
    **{
        name: lambda t, x, y, name=name: at(t, F + name)(x, y, reduction="none")
        for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits", "hinge_embedding_loss")
    },
    "soft_margin_loss": lambda t, x, y: at(t, F + "soft_margin_loss")(x, y.detach(), reduction="none"),
    "poisson_nll_loss": lambda t, x, y: at(t, F + "poisson_nll_loss")(x, y, reduction="none"),
    "kl_div": lambda t, x, y: at(t, F + "kl_div")(x, y.detach(), reduction="none"),  # at a target of 0, PyTorch's gradient in it is 0/0
    "kl_div of logarithms": lambda t, x, y: at(t, F + "kl_div")(x, y, reduction="none", log_target=True),
    "smooth_l1_loss, no bend": lambda t, x, y: at(t, F + "smooth_l1_loss")(x, y, beta=0.0, reduction="none"),
    "smooth_l1_loss, wide": lambda t, x, y: at(t, F + "smooth_l1_loss")(x, y, beta=2.0, reduction="none"),
    "huber_loss, wide": lambda t, x, y: at(t, F + "huber_loss")(x, y, delta=2.0, reduction="none"),
    "margin_ranking_loss": lambda t, x, y: at(t, F + "margin_ranking_loss")(x, y, t.ones_like(x), reduction="none"),
    "gaussian_nll_loss": lambda t, x, y: at(t, F + "gaussian_nll_loss")(x, y, t.zeros_like(x), reduction="none"),
    "pairwise_distance": lambda t, x, y: at(t, F + "pairwise_distance")(x.reshape(-1, 9), y.reshape(-1, 9)),
    "focal loss": lambda t, x, y: (1 - x.sigmoid()) ** 0.0 * at(t, F + "binary_cross_entropy_with_logits")(x, y.detach(), reduction="none"),
}
#: Those in which infinities and NaN count as PyTorch has them, too.
EVERYWHERE = ("l1_loss", "smooth_l1_loss", "smooth_l1_loss, wide", "huber_loss", "mse_loss", "margin_ranking_loss", "hinge_embedding_loss")


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    points = POINTS if name in EVERYWHERE else POINTS[:-3]
    pairs = np.array(list(itertools.product(points, points)), np.float32)
    same_gradients(LOSSES[name], pairs[:, 0].copy(), pairs[:, 1].copy())


def test_cross_entropy_at_its_ends():
    x, y = (np.array(values, np.float32) for values in ([0, 1, 0.5, 0, 1], [0, 0, 1, 1, 1]))
    same_gradients(lambda t, x, y: at(t, F + "binary_cross_entropy")(x, y, reduction="none"), x, y)


# -- norms and distances, of zeros and of equal numbers

MATRICES = {
    "zeros": np.zeros((2, 3), np.float32),
    "ties": np.array([[1, 1, -1], [2, 2, 0]], np.float32),
    "equal": np.ones((3, 3), np.float32),
}
ORDERS = (0, 0.5, 1, 1.5, 2, 3, INF, -1, -2, -INF)
NORMS = {
    "norm": (ORDERS, lambda t, x, p: t.norm(x, p, dim=1)),
    "vector_norm": (ORDERS, lambda t, x, p: t.linalg.vector_norm(x, p)),
    "normalize": (ORDERS, lambda t, x, p: at(t, F + "normalize")(x, p=p)),
    "pdist": (ORDERS[:7], lambda t, x, p: at(t, F + "pdist")(x, p=p)),
    "cdist": (ORDERS[:7], lambda t, x, p: t.cdist(x, x.flip(0), p=p)),
    "dist": (ORDERS[1:], lambda t, x, p: t.dist(x, x.flip(0), p=p)),
    "pairwise_distance": (ORDERS, lambda t, x, p: at(t, F + "pairwise_distance")(x, x.flip(0), p=p, eps=0.0)),
    "renorm": (ORDERS[1:7], lambda t, x, p: t.renorm(x, p, 0, 1.0)),
    "lp_pool1d": ((0.5, 1, 2, 3, -1), lambda t, x, p: at(t, F + "lp_pool1d")(x, p, 2)),
    "triplet_margin_loss": (ORDERS, lambda t, x, p: at(t, F + "triplet_margin_loss")(x, x.flip(0), x + 1, p=p)),
    "matrix_norm": (("fro", "nuc", 1, -1, 2, -2, INF, -INF), lambda t, x, p: t.linalg.matrix_norm(x, p)),
    "cosine_similarity": ((0, 1), lambda t, x, p: at(t, F + "cosine_similarity")(x, p * x.flip(0))),
    "cosine_embedding_loss": ((0, 1), lambda t, x, p: at(t, F + "cosine_embedding_loss")(x, p * x.flip(0), t.ones(x.shape[0]))),
}


@pytest.mark.parametrize("p", (INF, -INF))
def test_norm_of_the_largest_at_nan_and_infinity(p):
    for vector in ([1, NAN, 2], [0, INF, 2], [INF, -INF, 0], [NAN, NAN, 0]):
        same_gradients(lambda t, x: t.linalg.vector_norm(x, p), np.array(vector, np.float32))


def test_gamma_beside_its_pole():
    same_gradients(lambda t, x: t.digamma(x), np.array([1e-40, -1e-40, 1e-30, -1e-30], np.float32))


@pytest.mark.parametrize("name, p", [(name, p) for name, (orders, _) in NORMS.items() for p in orders])
def test_norms(name, p):
    for matrix in MATRICES.values():
        same_gradients(lambda t, x: NORMS[name][1](t, x, p), matrix)


# -- reductions and choices, where elements are equal, infinite or NaN

EQUAL = np.array([[1, 2, 2, 1, 0], [0, 0, 0, 0, 0], [-1, -1, 3, 3, 3], [5, 4, 3, 2, 1]], np.float32)
INFINITE = np.array([[INF, 2, INF, 1, -INF], [-INF, -INF, -INF, -INF, -INF], [NAN, 1, NAN, 2, 3], [NAN] * 5], np.float32)
INDEX = [[0, 1, 1, 0, 2]] * 4
REDUCTIONS = {
    "max": lambda t, x: [x.max(), *x.max(1), *x.max(0)],
    "min": lambda t, x: [x.min(), *x.min(1), *x.min(0)],
    "amax": lambda t, x: [x.amax(1), x.amin((0, 1)), *t.aminmax(x, dim=1)],
    "arg": lambda t, x: [x.argmax(1), x.argmin(0), x.argmax(), x.argmin(), x.sum()],
    "median": lambda t, x: [x.median(), *x.median(1), x.nanmedian()],
    "sort": lambda t, x: [*x.sort(1), *x.sort(0, descending=True), *t.sort(x, dim=1, stable=True), x.msort()],
    "cummax": lambda t, x: [*x.cummax(1), *x.cummin(1)],
    "sums": lambda t, x: [x.cumsum(1), x.logsumexp(1), x.logsumexp((0, 1)), x.nansum(1), x.nan_to_num()],
    "quantile": lambda t, x: [x.quantile(t.tensor([0.0, 0.25, 0.5, 1.0]), dim=1), x.nanquantile(0.3, dim=1)],
    "softmax": lambda t, x: [x.softmax(1), x.log_softmax(1), at(t, F + "softmin")(x, 1)],
    "max_pool1d": lambda t, x: [at(t, F + "max_pool1d")(x, 2), at(t, F + "adaptive_max_pool1d")(x, 3)],
    "max_pool2d": lambda t, x: at(t, F + "max_pool2d")(x[None], 2),
    "max_pool, overlapping": lambda t, x: [at(t, F + "max_pool1d")(x, 3, 1, 1), at(t, F + "max_pool2d")(x[None], 3, 1, 1)],
    "max_pool, with steps": lambda t, x: [
        at(t, F + "max_pool1d")(x, 3, 1, 1, 2),
        at(t, F + "max_pool2d")(x[None], 2, 2, 1, 2, ceil_mode=True),
    ],
    "layer_norm": lambda t, x: [at(t, F + "layer_norm")(x, (5,)), at(t, F + "rms_norm")(x, (5,))],
    "batch_norm": lambda t, x: [at(t, F + "batch_norm")(x, None, None, training=True), at(t, F + "instance_norm")(x[None])],
    "cross_entropy": lambda t, x: [at(t, F + name)(x, t.tensor([0, 1, 2, 3])) for name in ("cross_entropy", "nll_loss")],
    "clamp": lambda t, x: x.clamp(0, 2),
    "multi_margin_loss": lambda t, x: at(t, F + "multi_margin_loss")(x, t.tensor([0, 1, 2, 3])),
    "multilabel_margin_loss": lambda t, x: at(t, F + "multilabel_margin_loss")(
        x, t.tensor([[0, 1, -1, 2, 2], [0, 1, 2, 3, 4], *[[1, -1, 0, 0, 0]] * 2])
    ),
    "embedding_bag": lambda t, x: at(t, F + "embedding_bag")(t.tensor([[0, 1, 2], [1, 1, 3]]), x, mode="max"),
    "values of mode": lambda t, x: x.mode(1).values.detach(),
    "products": lambda t, x: [x.prod(), x.prod(1), x.cumprod(1), (x + 0.5).prod(), (x + 0.5).prod(1), (x + 0.5).cumprod(1)],
    "std": lambda t, x: [x.std(1), x.var(1), *t.std_mean(x, 1)],
    "values of kthvalue": lambda t, x: [
        x.kthvalue(2, 1).values.detach(),
        x.topk(2, 1).values.detach(),
        x.topk(3, 0, largest=False).values.detach(),
    ],
    "max_unpool1d": lambda t, x: at(t, F + "max_unpool1d")(*at(t, F + "max_pool1d")(x, 2, return_indices=True), 2),
    "scatter_reduce": lambda t, x: [t.zeros(4, 3).scatter_reduce(1, t.tensor(INDEX), x, how) for how in ("amax", "amin", "prod", "mean")],
    "corrcoef": lambda t, x: t.cov(x),
}
FINITE = {
    "mode": lambda t, x: x.mode(1),
    "logcumsumexp": lambda t, x: x.logcumsumexp(1),
    "nanmedian": lambda t, x: x.nanmedian(1),
}


#: Where INFINITE is left out.
KINDS_LEFT_OUT = {
    "logcumsumexp": listed("nan in loops", "∞ − ∞ in gradients"),
    "mode": listed("equal numbers", "which of several NaN"),
    "nanmedian": no_difference("the index of one of several NaN is not specified"),
}


def test_what_is_left_out_has_a_reason():
    assert KINDS_LEFT_OUT.keys() == FINITE.keys()


@pytest.mark.parametrize("name", [*REDUCTIONS, *FINITE])
def test_reductions(name):
    same_gradients({**REDUCTIONS, **FINITE}[name], EQUAL)
    if name in REDUCTIONS:
        same_gradients(REDUCTIONS[name], INFINITE)
