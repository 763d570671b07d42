"""Collective operations of a group of one process as functions, through which gradients flow."""

from __future__ import annotations

from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.distributed import ReduceOp, of_group


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The tensor, as that of the one process."""
    of_group(group)
    return tensor.clone()


def reduce(tensor: Tensor, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The tensor, as that of the one process."""
    return all_reduce(tensor, op, group)


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """The tensor of process ``src``, which is this one."""
    return all_reduce(tensor, group=group)


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all processes."""
    return (all_reduce(tensor, group=group),)


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all processes."""
    return all_gather(tensor, group)


def scatter(tensors: Any, src: int = 0, group: Any = None) -> Tensor:
    """The tensor of this process among those of process ``src``."""
    (own,) = tensors
    return all_reduce(own, group=group)


def reduce_scatter(output: Tensor, input_list: Any, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The tensor of this process among sums over processes."""
    return scatter(input_list, group=group)


def all_to_all(output_tensor_list: Any, input_tensor_list: Any, group: Any = None) -> tuple[Tensor, ...]:
    """What each process has for this one."""
    return tuple([all_reduce(tensor, group=group) for tensor in input_tensor_list])
