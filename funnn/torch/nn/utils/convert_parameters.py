"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tensor.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The parameters, flattened and one after the other; gradients flow back to each. Source: torch.nn.utils.parameters_to_vector."""
    return ops["cat"]([parameter.view(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Let each parameter be its part of ``vec``, in the order of ``parameters``; they share its memory from then on.

    Raises:
      TypeError: ``vec`` is no tensor.
      RuntimeError: ``vec`` is too short.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for parameter in parameters:
        stop = start + parameter.numel()
        parameter.data = vec[start:stop].view_as(parameter).data
        start = stop
