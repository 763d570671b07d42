"""Collective operations as functions, through which gradients flow: what goes one way forward comes back the other way.

A gradient is that of the sum of the losses of all processes, as in torch.distributed.nn.functional.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tensor.tensor import Tensor
from funnn.torch import distributed as dist
from funnn.torch.autograd.function import Function
from funnn.torch.distributed import ReduceOp

__all__ = ["all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "gather", "reduce", "reduce_scatter", "scatter"]


def _zeros(like: Tensor) -> Tensor:
    return ops["zeros_like"](like)


class _AllReduce(Function):
    @staticmethod
    def forward(ctx: Any, op: Any, group: Any, tensor: Tensor) -> Tensor:
        ctx.group, ctx.op = group, op
        total = tensor.clone()
        dist.all_reduce(total, op, group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return None, None, _AllReduce.apply(ctx.op, ctx.group, grad)


class _Reduce(Function):
    @staticmethod
    def forward(ctx: Any, dst: int, op: Any, group: Any, tensor: Tensor) -> Tensor:
        ctx.dst, ctx.group = dst, group
        total = tensor.clone()
        dist.reduce(total, dst, op, group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return None, None, None, _Broadcast.apply(ctx.dst, ctx.group, grad)


class _Broadcast(Function):
    @staticmethod
    def forward(ctx: Any, src: int, group: Any, tensor: Tensor) -> Tensor:
        ctx.src, ctx.group = src, group
        sent = tensor.clone()
        dist.broadcast(sent, src, group)
        return sent

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        total = _Reduce.apply(ctx.src, ReduceOp.SUM, ctx.group, grad)
        return None, None, total if dist.get_rank() == ctx.src else _zeros(total)


class _AllGather(Function):
    @staticmethod
    def forward(ctx: Any, group: Any, tensor: Tensor) -> tuple[Tensor, ...]:
        ctx.group = group
        found = [_zeros(tensor) for _ in range(dist.get_world_size(group))]
        dist.all_gather(found, tensor, group)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, _ReduceScatter.apply(ReduceOp.SUM, ctx.group, *grads)


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx: Any, op: Any, group: Any, *tensors: Tensor) -> Tensor:
        ctx.group = group
        output = _zeros(tensors[dist.get_rank(group)])
        dist.reduce_scatter(output, list(tensors), op, group)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return None, None, *_AllGather.apply(ctx.group, grad)


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, dst: int, group: Any, tensor: Tensor) -> tuple[Tensor, ...]:
        ctx.dst, ctx.group = dst, group
        found = [_zeros(tensor) for _ in range(dist.get_world_size(group))]
        dist.gather(tensor, found if dist.get_rank() == dst else None, dst, group)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return None, None, _Scatter.apply(ctx.dst, ctx.group, *grads)


class _Scatter(Function):
    @staticmethod
    def forward(ctx: Any, src: int, group: Any, *tensors: Tensor) -> Tensor:
        ctx.src, ctx.group = src, group
        output = _zeros(tensors[0])
        dist.scatter(output, list(tensors) if dist.get_rank() == src else None, src, group)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        found = _Gather.apply(ctx.src, ctx.group, grad)
        return None, None, *found


class _AllToAll(Function):
    @staticmethod
    def forward(ctx: Any, group: Any, outputs: list[Tensor], *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.group, ctx.shapes = group, [tensor.shape for tensor in tensors]
        found = [_zeros(output) for output in outputs]
        dist.all_to_all(found, list(tensors), group)
        return tuple(found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        outputs = [ops["zeros"](shape, dtype=grads[0].dtype) for shape in ctx.shapes]
        return None, None, *_AllToAll.apply(ctx.group, outputs, *grads)


class _AllToAllSingle(Function):
    @staticmethod
    def forward(ctx: Any, group: Any, output: Tensor, output_splits: Any, input_splits: Any, tensor: Tensor) -> Tensor:
        ctx.group, ctx.shape, ctx.splits = group, tensor.shape, (output_splits, input_splits)
        found = _zeros(output)
        dist.all_to_all_single(found, tensor, output_splits, input_splits, group)
        return found

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        output = ops["zeros"](ctx.shape, dtype=grad.dtype)
        return None, None, None, None, _AllToAllSingle.apply(ctx.group, output, *reversed(ctx.splits), grad)


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The sum (or what ``op`` says) over processes, at each of them; its gradient is the same of the gradients."""
    return _AllReduce.apply(op, group, tensor)


def reduce(tensor: Tensor, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """The sum (or what ``op`` says) over processes at the process ``dst``, the tensor itself elsewhere; its gradient is that of ``dst``."""
    return _Reduce.apply(dst, op, group, tensor)


def broadcast(tensor: Tensor, src: int, group: Any = None) -> Tensor:
    """The tensor of the process ``src``, whose gradient is the sum of those of all."""
    return _Broadcast.apply(src, group, tensor)


def all_gather(tensor: Tensor, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all processes, at each of them; the gradient of one is the sum over processes."""
    return _AllGather.apply(group, tensor)


def gather(tensor: Tensor, dst: int = 0, group: Any = None) -> tuple[Tensor, ...]:
    """The tensors of all processes at the process ``dst``, zeros elsewhere."""
    return _Gather.apply(dst, group, tensor)


def scatter(tensors: Sequence[Tensor], src: int = 0, group: Any = None) -> Tensor:
    """The tensor of this process among those of the process ``src``; the others pass tensors of the same shapes, of which only that counts."""
    return _Scatter.apply(src, group, *tensors)


def reduce_scatter(output: Tensor, input_list: Sequence[Tensor], op: Any = ReduceOp.SUM, group: Any = None) -> Tensor:
    """Of the entries that belong to this process, the sum (or what ``op`` says) over processes; ``output`` is not written."""
    return _ReduceScatter.apply(op, group, *input_list)


def all_to_all(output_tensor_list: Sequence[Tensor], input_tensor_list: Sequence[Tensor], group: Any = None) -> tuple[Tensor, ...]:
    """What each process has for this one, with the shapes of ``output_tensor_list``, which is not written."""
    return _AllToAll.apply(group, list(output_tensor_list), *input_tensor_list)


def all_to_all_single(
    output: Tensor, input: Tensor, output_split_sizes: Any = None, input_split_sizes: Any = None, group: Any = None
) -> Tensor:
    """What each process has for this one, in one tensor of the shape of ``output``, which is not written."""
    return _AllToAllSingle.apply(group, output, output_split_sizes, input_split_sizes, input)
