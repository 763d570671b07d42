"""How values of several processes become one."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from funnn.torch.distributed._communicator import Communicator


class ReduceOp(enum.Enum):
    """How values of several processes become one: by a sum, mean, product, the least or greatest, or bit by bit."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR, PREMUL_SUM = range(9)
    RedOpType: ClassVar[type]

    def __repr__(self) -> str:
        return f"<RedOpType.{self.name}: {self.value}>"

    def __str__(self) -> str:
        return f"RedOpType.{self.name}"


ReduceOp.RedOpType = ReduceOp  # the class of its values, which torch has within it


class PremulSum:
    """A sum of values that were multiplied by a factor; see ``_make_nccl_premul_sum``."""

    name, value = ReduceOp.PREMUL_SUM.name, ReduceOp.PREMUL_SUM.value

    def __init__(self, factor: Any):
        self.factor = factor


def _make_nccl_premul_sum(factor: Any) -> PremulSum:
    """A sum of values that are multiplied by ``factor``, a number or a tensor, before."""
    return PremulSum(factor)


_BITWISE: dict[ReduceOp, Callable[..., Any]] = {
    ReduceOp.BAND: np.bitwise_and.reduce,
    ReduceOp.BOR: np.bitwise_or.reduce,
    ReduceOp.BXOR: np.bitwise_xor.reduce,
}


def check_op(op: Any, dtype: np.dtype, what: str) -> None:
    """Raise where there is no such reduction of numbers of a type.

    Raises:
      ValueError: one of complex numbers that needs an order or bits, or no ReduceOp at all.
      RuntimeError: bits of what are no integers, or the mean of integers; instead of ValueError where PyTorch leaves complex numbers to Gloo.
    """
    if not isinstance(op, (ReduceOp, PremulSum)):
        raise ValueError(f"{what}: expected op to be a torch.distributed.ReduceOp, got {op!r}")
    if dtype.kind == "c" and op not in (ReduceOp.SUM, ReduceOp.AVG) and not isinstance(op, PremulSum):
        if what.startswith("all_reduce"):
            raise ValueError(f"all_reduce does not support {op} on complex tensors")
        gloos = "reduce" if what == "reduce" else "all_reduce"  # its words, in which a blank is missing
        raise RuntimeError(
            f"{gloos} does not supporton complex tensors; {what} of complex numbers takes ReduceOp.SUM or ReduceOp.AVG, got {op}"
        )
    is_integer = dtype.kind in "iub"
    if op in _BITWISE and not is_integer:
        raise RuntimeError(f"Cannot use ReduceOp.{op.name} with non-integral dtype")
    if op is ReduceOp.AVG and is_integer:
        raise RuntimeError(f"{what}: result type Float can't be cast to the desired output type {dtype}; take ReduceOp.SUM and divide")
    if op is ReduceOp.PREMUL_SUM:
        raise ValueError(f"{what}: PREMUL_SUM needs its factor: op=torch.distributed._make_nccl_premul_sum(factor)")


def reduce_rows(op: Any, rows: np.ndarray) -> np.ndarray:
    """One array of those of all processes, (n, …), in the type of its numbers."""
    dtype = rows.dtype
    if op in _BITWISE:
        return np.asarray(_BITWISE[op](rows, axis=0), dtype)
    if op is ReduceOp.PRODUCT:
        return np.asarray(np.multiply.reduce(rows, axis=0), dtype)
    if op is ReduceOp.MIN:
        return np.asarray(np.minimum.reduce(rows, axis=0), dtype)
    if op is ReduceOp.MAX:
        return np.asarray(np.maximum.reduce(rows, axis=0), dtype)
    total = np.asarray(np.add.reduce(rows, axis=0), dtype)
    return _mean(total, len(rows)) if op is ReduceOp.AVG else total


def _mean(total: np.ndarray, count: int) -> np.ndarray:
    return np.asarray(total / np.asarray(count, total.dtype), total.dtype)


def prepare(op: Any, array: np.ndarray) -> np.ndarray:
    """What a process sends of an array: times the factor where ``op`` has one."""
    return np.asarray(array * np.asarray(op.factor, array.dtype), array.dtype) if isinstance(op, PremulSum) else array


def reduce(communicator: Communicator, op: Any, array: np.ndarray) -> np.ndarray:
    """One array of those of all processes, at each of them; of what ``prepare`` made."""
    if array.dtype == bool and op is ReduceOp.SUM:
        op = ReduceOp.BOR  # as a sum of truth values is
    if op is ReduceOp.PRODUCT or op in _BITWISE:
        return reduce_rows(op, communicator.gather(array))
    if op is ReduceOp.MIN:
        return communicator.min(array)
    if op is ReduceOp.MAX:
        return communicator.max(array)
    total = communicator.sum(array)
    return _mean(total, communicator.size) if op is ReduceOp.AVG else total


def reduce_scatter(communicator: Communicator, op: Any, array: np.ndarray) -> np.ndarray:
    """Of the rows i of all processes' arrays (n, k) one, at process i; of what ``prepare`` made."""
    if array.dtype != bool and (op in (ReduceOp.SUM, ReduceOp.AVG) or isinstance(op, PremulSum)):
        total = communicator.scatter_sum(array).astype(array.dtype, copy=False)
        return _mean(total, communicator.size) if op is ReduceOp.AVG else total
    return reduce_rows(op, communicator.exchange(array))
