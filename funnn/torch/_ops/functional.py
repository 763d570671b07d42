"""The public pure functions on Tensors: torch's names for their grad_fn, and the few that mutate or draw in torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from funnn import functional as F
from funnn.torch import _dtype
from funnn.torch._call import Op, call
from funnn.torch._inplace import assign
from funnn.torch._ops import views
from funnn.torch._ops.table import FUNCTIONS
from funnn.torch._random import default_generator
from funnn.torch._tensor import Tensor


def _linear_grad(input, weight, bias=None):
    if bias is None:
        return {1: "SqueezeBackward4", 2: "MmBackward0"}.get(input.dim(), "UnsafeViewBackward0")
    return "AddmmBackward0" if input.dim() == 2 else "ViewBackward0"


def _unbatched(name: str, rank: int) -> Callable:
    return lambda input, *args, **kwargs: "SqueezeBackward1" if input.dim() == rank else name


def _cross_entropy_grad(input, target, *args, **kwargs):
    if target.dtype.is_floating_point:
        return "DivBackward1" if kwargs.get("reduction", "mean") == "mean" else "NegBackward0"
    if kwargs.get("label_smoothing"):
        return "AddBackward0"
    return _nll_grad(input)


def _nll_grad(input, *args, **kwargs):
    return "NllLossBackward0" if input.dim() <= 2 else "NllLoss2DBackward0"


_GRADS: dict[Callable, Any] = {
    F.linear: _linear_grad,
    F.relu: "ReluBackward0",
    F.tanh: "TanhBackward0",
    F.sigmoid: "SigmoidBackward0",
    F.softmax: "SoftmaxBackward0",
    F.log_softmax: "LogSoftmaxBackward0",
    F.conv1d: _unbatched("ConvolutionBackward0", 2),
    F.conv2d: _unbatched("ConvolutionBackward0", 3),
    F.conv3d: _unbatched("ConvolutionBackward0", 4),
    F.max_pool1d: "SqueezeBackward1",
    F.max_pool2d: "MaxPool2DWithIndicesBackward0",
    F.max_pool3d: "MaxPool3DWithIndicesBackward0",
    F.avg_pool1d: "SqueezeBackward1",
    F.avg_pool2d: "AvgPool2DBackward0",
    F.avg_pool3d: "AvgPool3DBackward0",
    F.batch_norm: "NativeBatchNormBackward0",
    F.batch_norm_with_stats: "NativeBatchNormBackward0",
    F.layer_norm: "NativeLayerNormBackward0",
    F.embedding: "EmbeddingBackward0",
    F.cross_entropy: _cross_entropy_grad,
    F.nll_loss: _nll_grad,
    F.mse_loss: "MseLossBackward0",
    F.l1_loss: lambda *args, **kwargs: {"mean": "MeanBackward0", "sum": "SumBackward0"}.get(
        kwargs.get("reduction", "mean"), "AbsBackward0"
    ),
    F.apply_mask: "MulBackward0",
}
_SAVES: dict[Callable, tuple[str, ...]] = {
    F.relu: ("result",),
    F.tanh: ("result",),
    F.sigmoid: ("result",),
    F.softmax: ("result",),
    F.log_softmax: ("result",),
}
_ORDER: dict[Callable, tuple[int, ...]] = {F.linear: (2, 0, 1)}  # as addmm: the bias first
_runners: dict[Callable, Callable] = {}


def dispatch(function: Callable, args: tuple, kwargs: dict) -> Any:
    """Run a public pure function on Tensors."""
    run = _runners.get(function)
    if run is None:
        run = _runners[function] = _runner(function)
    return run(*args, **kwargs)


def op_of(function: Callable) -> Op:
    """The operation of a public pure function, with what torch calls its grad_fn and saves of it."""
    return Op(function.pure, _GRADS.get(function), scalars=function.scalars, saves=_SAVES.get(function, ()), order=_ORDER.get(function, ()))


def _runner(function: Callable) -> Callable:
    op = op_of(function)

    def run(*args: Any, **kwargs: Any) -> Any:
        return call(op, args, kwargs)

    def run_with_dtype(*args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return call(op, args, kwargs if dtype is None else {**kwargs, "dtype": _dtype.as_dtype(dtype).numpy})

    return run_with_dtype if "dtype" in inspect.signature(function).parameters else run


# -- in place where torch is


def _with_inplace(function: Callable) -> Callable:
    """Activations whose second argument ``inplace`` writes the result into the input."""
    op = op_of(function)

    def run(input: Tensor, inplace: bool = False) -> Tensor:
        result = call(op, (input,), {})
        return assign(input, result) if inplace else result

    return run


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, key: Any = None) -> Tensor:
    """Dropout with PyTorch's own random numbers: an element is kept where the generator's Bernoulli draw is 1."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if not training or p == 0 or input.numel() == 0:
        return input
    shape = tuple(input.shape)
    keep = default_generator.draw("bernoulli", 1.0 - p, shape, input.dtype.numpy) if p < 1 else FUNCTIONS["zeros_like"](input.detach())
    result = F.apply_mask(input, keep, p)
    return assign(input, result) if inplace else result


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """In training the running statistics are updated in place, as torch does."""
    if not training or running_mean is None:
        return _plain_batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    output, mean, var = F.batch_norm_with_stats(input, running_mean, running_var, weight, bias, momentum, eps)
    assign(running_mean, mean.detach())
    assign(running_var, var.detach())
    return output


_batch_norm_op = op_of(F.batch_norm)


def _plain_batch_norm(*args: Any) -> Tensor:
    return call(_batch_norm_op, args, {})


_runners.update(
    {
        F.relu: _with_inplace(F.relu),
        F.dropout: _dropout,
        F.batch_norm: _batch_norm,
        F.flatten: views.flatten,
        F.unflatten: FUNCTIONS["unflatten"],
    }
)

Tensor.__funnn_function__ = staticmethod(dispatch)  # the bridge: what a public pure function does when it meets a Tensor
