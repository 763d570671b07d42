"""The orders in which torch lays dimensions out in memory. XLA chooses its own; here they decide strides, and what is_contiguous says."""

from __future__ import annotations

from typing import Any


class memory_format:
    """An order of the dimensions in memory, such as ``torch.channels_last``."""

    def __init__(self, name: str, order: tuple[int, ...] | None = None):
        self.name, self.order = name, order

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class layout:
    """How a tensor's elements are kept: all of them (``torch.strided``), or those that are not zero, with where they are."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last", (0, 2, 3, 1))
channels_last_3d = memory_format("channels_last_3d", (0, 2, 3, 4, 1))
strided = layout("strided")
sparse_coo, sparse_csr, sparse_csc = layout("sparse_coo"), layout("sparse_csr"), layout("sparse_csc")
sparse_bsr, sparse_bsc = layout("sparse_bsr"), layout("sparse_bsc")  # which no tensor here has


def order_of(format: Any, rank: int) -> tuple[int, ...] | None:
    """The dimensions from the outermost in memory to the innermost, or None for their usual order."""
    if format is None:
        return None
    if not isinstance(format, memory_format):
        raise TypeError(f"argument 'memory_format' must be torch.memory_format, not {type(format).__name__}")
    if format.order is not None and len(format.order) != rank:
        raise RuntimeError(f"required rank {len(format.order)} tensor to use {format.name} format, got {rank} dimensions")
    return format.order


def stride_in_order(shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a tensor whose dimensions lie in memory in that order, the outermost first."""
    stride, step = [0] * len(shape), 1
    for dim in reversed(order):
        stride[dim] = step
        step *= max(shape[dim], 1)
    return tuple(stride)


def memory_order(tensor: Any) -> list[int]:
    """The dimensions from the one whose neighbours lie farthest apart in memory to that whose neighbours lie closest."""
    stride = tensor.stride()
    return sorted(range(len(stride)), key=lambda dim: -stride[dim])
