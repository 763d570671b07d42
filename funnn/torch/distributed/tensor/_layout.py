"""How a tensor lies on a mesh, and its parts brought from one layout into another, with gradients.

A gradient lies as its tensor does, but that of a summand is whole: each process has the gradient of the sum. So what brings a tensor into a layout
has its gradient brought back the other way.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tensor.tensor import Tensor
from funnn.torch import distributed as dist
from funnn.torch.autograd.function import Function
from funnn.torch.distributed._operands import array_of, tensor_of
from funnn.torch.distributed.collectives import gathered
from funnn.torch.distributed.device_mesh import DeviceMesh
from funnn.torch.distributed.tensor._jax import put_on_devices
from funnn.torch.distributed.tensor.placement_types import Partial, Placement, Replicate, Shard

_REDUCTIONS = {"sum": dist.ReduceOp.SUM, "avg": dist.ReduceOp.AVG, "min": dist.ReduceOp.MIN, "max": dist.ReduceOp.MAX}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How a tensor lies on a mesh.

    Attributes:
      mesh: the processes.
      placements: for each axis of the mesh.
      shape: of the whole tensor.
    """

    mesh: DeviceMesh
    placements: tuple[Placement, ...]
    shape: tuple[int, ...]


def normalized(placements: Any, mesh: DeviceMesh, rank: int) -> tuple[Placement, ...]:
    """Placements for each axis of a mesh, with dimensions counted from the front; all replicated where there are none.

    Raises:
      RuntimeError: there are more or fewer than axes, or a dimension that the tensor does not have.
    """
    found: list[Placement] = list(placements) if placements is not None else [Replicate()] * mesh.ndim
    if len(found) != mesh.ndim:
        raise RuntimeError(
            f"`placements` must have the same length as `device_mesh.ndim`! Found placements length: {len(found)}, and device_mesh.ndim: {mesh.ndim}."
        )
    for number, placement in enumerate(found):
        if not isinstance(placement, Placement):
            raise TypeError(f"expected placements to be Shard, Replicate or Partial, got {placement!r}")
        if isinstance(placement, Shard):
            if not -rank <= placement.dim < rank:
                raise IndexError(f"Shard(dim={placement.dim}) can't split a tensor of {rank} dimensions")
            found[number] = Shard(placement.dim % rank)
    return tuple(found)


def chunk_bounds(length: int, count: int, number: int) -> tuple[int, int]:
    """Where part ``number`` of ``count`` of a dimension begins and ends, as torch.chunk cuts; the last ones may be empty."""
    step = -(-length // count)
    return min(number * step, length), min((number + 1) * step, length)


def chunk_of(tensor: Tensor, dim: int, count: int, number: int) -> Tensor:
    """Part ``number`` of ``count`` along a dimension."""
    start, end = chunk_bounds(tensor.shape[dim], count, number)
    return tensor.narrow(dim, start, end - start)


def part_shape(layout: Layout) -> tuple[int, ...]:
    """The shape of this process's part; on devices of one process that of the whole, which its memory has."""
    shape, mesh, coordinate = list(layout.shape), layout.mesh, layout.mesh.get_coordinate()
    if mesh.devices is None and coordinate is not None:
        for axis, placement in enumerate(layout.placements):
            if isinstance(placement, Shard):
                start, end = chunk_bounds(shape[placement.dim], mesh.size(axis), coordinate[axis])
                shape[placement.dim] = end - start
    return tuple(shape)


def _gathered(part: Tensor, dim: int, group: Any) -> Tensor:
    """The parts of all processes of a group behind each other."""
    sizes = gathered(group, np.array(part.shape, np.int64), "DTensor")
    found = [ops["zeros"](tuple(size.tolist()), dtype=part.dtype) for size in sizes]
    dist.all_gather(found, part.contiguous(), group)
    return ops["cat"](found, dim)


def _whole(part: Tensor, placement: Placement, group: Any) -> Tensor:
    if isinstance(placement, Shard):
        return _gathered(part, placement.dim, group)
    if isinstance(placement, Partial):
        total = part.clone()
        dist.all_reduce(total, _REDUCTIONS[placement.reduce_op], group)
        return total
    return part


def moved(part: Tensor, source: Layout, target: tuple[Placement, ...], summands: bool = False) -> Tensor:
    """A part in another layout of the same tensor, without gradient.

    Args:
      part: this process's, laid out as ``source`` says.
      target: for each axis of the mesh.
      summands: whether a whole tensor becomes summands (one process keeps it, others have zeros); else each keeps it, as a gradient.
    """
    mesh, coordinate = source.mesh, source.mesh.get_coordinate()
    if coordinate is None:
        return part
    if mesh.devices is not None:
        return put_on_devices(part, mesh, target)
    differ = {axis for axis, (a, b) in enumerate(zip(source.placements, target, strict=True)) if a != b}
    split = [placement.dim for placement in (*source.placements, *target) if isinstance(placement, Shard)]
    if len(split) != len(set(split)):  # a dimension that several axes split is put together as a whole
        differ |= {
            axis for axis in range(mesh.ndim) if differ and (isinstance(source.placements[axis], Shard) or isinstance(target[axis], Shard))
        }
    for axis in sorted(differ, reverse=True):
        part = _whole(part, source.placements[axis], mesh.get_group(axis))
    for axis in sorted(differ):
        placement = target[axis]
        if isinstance(placement, Shard):
            part = chunk_of(part, placement.dim, mesh.size(axis), coordinate[axis])
        elif isinstance(placement, Partial) and summands and coordinate[axis]:
            part = ops["zeros_like"](part)
    return part.clone() if differ else part


def _of_gradient(placements: tuple[Placement, ...]) -> tuple[Placement, ...]:
    """How the gradient of a tensor lies: whole where the tensor is in summands."""
    return tuple(Replicate() if isinstance(placement, Partial) else placement for placement in placements)


class Move(Function):
    """``moved``, with its gradient."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, source: Layout, target: tuple[Placement, ...]) -> Tensor:
        ctx.layout, ctx.source = dataclasses.replace(source, placements=_of_gradient(target)), source
        return (
            moved(part, source, target, summands=True).view_as(part)
            if source.placements == target
            else moved(part, source, target, summands=True)
        )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return Move.apply(grad, ctx.layout, _of_gradient(ctx.source.placements)), None, None


class Spread(Function):
    """A whole tensor that each process uses for another part of the work: the gradient is the sum over the processes of a group."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return part.view_as(part)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        total = grad.clone()
        dist.all_reduce(total, group=ctx.group)
        return total, None


def whole_norms(parts: list[tuple[Tensor, Layout]], norm_type: float) -> Tensor:
    """The p-norms of whole tensors, in one row: the powers of their parts are summed (for ∞ and −∞, compared) over the processes that have them."""
    norms = np.empty(len(parts), np.float64)
    for mesh in dict.fromkeys(layout.mesh for _, layout in parts):
        alike = [number for number, (_, layout) in enumerate(parts) if layout.mesh == mesh]
        norms[alike] = _norms_on(mesh, [parts[number] for number in alike], norm_type)
    return tensor_of(norms.astype(parts[0][0].dtype.numpy))


def _norms_on(mesh: DeviceMesh, parts: list[tuple[Tensor, Layout]], norm_type: float) -> np.ndarray:
    arrays = []
    is_power = not math.isinf(norm_type)
    for part, layout in parts:
        if any(isinstance(placement, Partial) for placement in layout.placements):
            part = moved(part, layout, _of_gradient(layout.placements))
        size = np.abs(array_of(part)).astype(np.float64)
        if is_power:
            arrays.append(np.sum(size != 0) if norm_type == 0 else np.sum(size**norm_type))
        else:
            arrays.append(np.max(size, initial=0) if norm_type > 0 else np.min(size, initial=np.inf))
    row = np.array(arrays, np.float64)
    op = dist.ReduceOp.SUM if is_power else dist.ReduceOp.MAX if norm_type > 0 else dist.ReduceOp.MIN
    for axis in range(mesh.ndim):
        over = tensor_of(row)
        dist.all_reduce(over, op, mesh.get_group(axis))
        split = [isinstance(layout.placements[axis], Shard) for _, layout in parts]
        row = np.where(split, array_of(over), row)
    return row ** (1 / norm_type) if is_power and norm_type else row
