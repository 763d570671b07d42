"""torch._utils: the two functions of it that scripts import."""

from __future__ import annotations

from collections.abc import Sequence

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.tensor.tensor import Tensor


def _flatten_dense_tensors(tensors: Sequence[Tensor]) -> Tensor:
    """All values of the tensors in one vector, in order."""
    return FUNCTIONS["cat"]([tensor.contiguous().view(-1) for tensor in tensors])


def _unflatten_dense_tensors(flat: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The parts of a vector, in the sizes of the tensors."""
    parts = flat.split([tensor.numel() for tensor in tensors])
    return tuple(part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True))
