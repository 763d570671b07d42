"""Tensors as the arrays that a collective operation sends, and arrays written into tensors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from funnn.engine.program.value import from_host
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype

ALIGNMENT = 64


def check_tensor(value: Any, name: str) -> None:
    """Raise where an argument is no tensor.

    Raises:
      TypeError: it isn't.
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"""Invalid function argument. Expected parameter `{name}` of type torch.Tensor
             but got {type(value)} instead."""
        )


def check_list(values: Any, name: str) -> None:
    """Raise where an argument is no list of tensors.

    Raises:
      TypeError: it isn't.
    """
    if not isinstance(values, (list, tuple)):
        raise TypeError(
            f"""Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]
             but got {type(values)} instead."""
        )
    if not all(isinstance(value, Tensor) for value in values):
        raise TypeError(
            f"""Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]
             but got {type(values)} with elements of type {[type(value) for value in values]}."""
        )


def check_same_dtype(*tensors: Any) -> None:
    """Raise where tensors differ in their type.

    Raises:
      ValueError: two do.
    """
    flat = [tensor for one in tensors for tensor in (one if isinstance(one, (list, tuple)) else [one])]
    for before, tensor in itertools.pairwise(flat):
        if tensor.dtype is not before.dtype:
            raise ValueError(f"Invalid usage of tensors with different dtypesFound {before.dtype} and  {tensor.dtype}")


def check_count(values: Sequence[Any], name: str, what: str, count: int) -> None:
    """Raise where a list has not one entry for each process.

    Raises:
      ValueError: it hasn't.
    """
    if len(values) != count:
        raise ValueError(f"{what}: expected {name} to have {count} entries, one for each process of the group, got {len(values)}")


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A copy of an array, row by row, where XLA can read it without another: at a multiple of 64 bytes."""
    memory = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    made = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    made[...] = array
    return made


def array_of(tensor: Tensor) -> np.ndarray:
    """A copy of a tensor's numbers, as they are now; whatever is pending runs before."""
    if tensor.dtype is _dtype.complex32:
        raise TypeError("torch.distributed has no complex32; send x.to(torch.complex64)")
    if tensor.is_sparse:
        raise RuntimeError("torch.distributed sends dense tensors; call to_dense(), or send indices() and values()")
    return aligned_copy(tensor.detach()._host())


def tensor_of(array: np.ndarray) -> Tensor:
    """A new tensor with the numbers of an array."""
    return Tensor._wrap(from_host(np.array(array, order="C")))


def write(tensor: Tensor, array: np.ndarray, is_own: bool = False) -> Tensor:
    """Replace a tensor's numbers, in place; it is not recorded for gradients, as in torch.

    Args:
      tensor: the tensor.
      array: the numbers, in any shape.
      is_own: whether nobody else has the array, nor is it a part of a larger one, so that it need not be copied.
    """
    found = array if is_own and array.flags.c_contiguous else np.array(array, order="C")
    tensor._write(from_host(found.reshape(tensor._shape())))
    return tensor
