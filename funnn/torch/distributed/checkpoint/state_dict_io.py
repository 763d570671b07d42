"""Writes and reads state dicts whose tensors may lie in several processes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.torch import distributed as dist
from funnn.torch.distributed.checkpoint.filesystem import CheckpointException, FileSystemReader, FileSystemWriter, Part
from funnn.torch.distributed.tensor._dtensor import DTensor, part_of
from funnn.torch.distributed.tensor._layout import Layout
from funnn.torch.distributed.tensor.placement_types import Replicate, Shard
from funnn.torch.futures import Future

__all__ = ["async_save", "load", "save"]


def _rank_and_size(group: Any, alone: bool) -> tuple[int, int]:
    return (0, 1) if alone or not dist.is_initialized() else (dist.get_rank(group), dist.get_world_size(group))


def _items(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[Any, Any] | list[Any], Any, Any]]:
    """The leaves of nested dicts and lists: (name, where it is, its key there, itself)."""
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in entries:
        name = (*path, str(key))
        if isinstance(item, dict) or (isinstance(item, list) and any(isinstance(one, (Tensor, dict, list)) for one in item)):
            yield from _items(item, name)
        else:
            yield ".".join(name), value, key, item


def _place(layout: Layout) -> tuple[tuple[int, ...], bool]:
    """Where this process's part begins, and whether it is the process that writes it."""
    offset, sizes, writes = [0] * len(layout.shape), list(layout.shape), True
    coordinate = layout.mesh.get_coordinate()
    if coordinate is None:
        return tuple(offset), False
    for axis, placement in enumerate(layout.placements):
        if isinstance(placement, Shard):
            step = -(-sizes[placement.dim] // layout.mesh.size(axis))
            start = min(coordinate[axis] * step, sizes[placement.dim])
            offset[placement.dim] += start
            sizes[placement.dim] = min(step, sizes[placement.dim] - start)
        else:
            writes = writes and coordinate[axis] == 0
    return tuple(offset), writes


def _settled(tensor: DTensor) -> DTensor:
    """The tensor with its summands summed."""
    return tensor.redistribute(placements=[one if isinstance(one, Shard) else Replicate() for one in tensor.placements])


def save(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: str | os.PathLike[str] | None = None,
    storage_writer: FileSystemWriter | None = None,
    planner: Any = None,
    process_group: Any = None,
    no_dist: bool = False,
    use_collectives: bool = True,
) -> None:
    """Write a state dict into a folder; all processes call it, each with its own.

    Of a DTensor each process writes its part. Other tensors and objects are taken from rank 0. A folder that an interrupted call left is not read.

    Args:
      state_dict: of tensors, DTensors and what ``torch.load`` reads, in nested dicts and lists.
      checkpoint_id: the folder.
      storage_writer: the folder as a FileSystemWriter.

    Raises:
      ValueError: no folder is named.
      NotImplementedError: ``planner``.
    """
    writer = storage_writer or FileSystemWriter(_folder(checkpoint_id))
    _check_planner(planner)
    rank, size = _rank_and_size(process_group, no_dist)
    tensors: dict[str, Any] = {}
    parts: dict[str, list[Any]] = {}
    objects, values = [], {}
    for name, _, _, item in _items(state_dict):
        tensor = _settled(item) if isinstance(item, DTensor) else item
        if isinstance(tensor, Tensor):
            is_whole = not isinstance(tensor, DTensor)
            offset, writes = ((0,) * tensor.dim(), rank == 0) if is_whole else _place(tensor._layout)
            own = tensor.detach() if is_whole else part_of(tensor).detach()
            tensors[name] = {"shape": list(tensor.shape), "dtype": str(tensor.dtype)}
            if writes:
                key = f"{name}/{len(values)}"
                values[key] = own.clone()
                parts[name] = [dataclasses.astuple(Part(rank, key, offset, tuple(own.shape)))]
        elif rank == 0:
            objects.append(name)
            values[name] = item
    if rank == 0:
        writer.begin()
    if size > 1:
        dist.barrier(process_group)
    writer.write(rank, values)
    everybody: list[Any] = [parts]
    if size > 1:
        everybody = [None] * size
        dist.all_gather_object(everybody, parts, process_group)
    if rank == 0:
        for name, entry in tensors.items():
            entry["parts"] = [part for theirs in everybody for part in theirs.get(name, ())]
        writer.finish({"tensors": tensors, "objects": objects})
    if size > 1:
        dist.barrier(process_group)


def async_save(state_dict: dict[str, Any], **options: Any) -> Future[None]:
    """``save``, which is done when this returns; a Future of it."""
    save(state_dict, **options)
    future: Future[None] = Future()
    future.set_result(None)
    return future


def load(
    state_dict: dict[str, Any],
    *,
    checkpoint_id: str | os.PathLike[str] | None = None,
    storage_reader: FileSystemReader | None = None,
    planner: Any = None,
    process_group: Any = None,
    no_dist: bool = False,
) -> None:
    """Read a state dict from a folder, in place: tensors get their numbers, DTensors those of their parts, other entries are replaced.

    How many processes there are, and how the tensors lie, may differ from when it was written.

    Args:
      state_dict: what is wanted; names that it has not are not read.
      checkpoint_id: the folder.
      storage_reader: the folder as a FileSystemReader.

    Raises:
      ValueError: no folder is named.
      CheckpointException: the checkpoint is not whole, or lacks a name, or has a tensor of another shape under it.
      NotImplementedError: ``planner``.
    """
    reader = storage_reader or FileSystemReader(_folder(checkpoint_id))
    _check_planner(planner)
    index = reader.index()
    for name, owner, key, item in list(_items(state_dict)):
        if isinstance(item, Tensor):
            if name not in index["tensors"]:
                raise CheckpointException(f"Missing key in checkpoint state_dict: {name}; {reader.path} has {', '.join(index['tensors'])}")
            _read_into(item, index["tensors"][name], reader, name)
        elif name in index["objects"]:
            owner[key] = reader.read(Part(0, name, (), ()))
        else:
            raise CheckpointException(f"Missing key in checkpoint state_dict: {name}")


def _read_into(tensor: Tensor, entry: dict[str, Any], reader: FileSystemReader, name: str) -> None:
    if list(tensor.shape) != entry["shape"]:
        raise CheckpointException(f"Size mismatch between saved {entry['shape']} and current: {list(tensor.shape)} for {name}")
    is_whole = not isinstance(tensor, DTensor)
    own = tensor if is_whole else part_of(tensor)
    offset = (0,) * tensor.dim() if is_whole else _place(tensor._layout)[0]
    with no_grad():
        found = ops["zeros_like"](own.detach())
        for part in [Part(*(tuple(one) if isinstance(one, list) else one for one in part)) for part in entry["parts"]]:
            first = [max(a, b) for a, b in zip(offset, part.offset, strict=True)]
            last = [min(a + n, b + m) for a, n, b, m in zip(offset, own.shape, part.offset, part.size, strict=True)]
            if all(a < b for a, b in zip(first, last, strict=True)):
                here, there = (
                    tuple(slice(a - start, b - start) for a, b, start in zip(first, last, starts, strict=True))
                    for starts in (offset, part.offset)
                )
                found[here] = reader.read(part)[there].to(found.dtype)
        own.detach().copy_(found)


def _folder(checkpoint_id: Any) -> Any:
    if checkpoint_id is None:
        raise ValueError("checkpoint_id is needed: the folder of the checkpoint")
    return checkpoint_id


def _check_planner(planner: Any) -> None:
    if planner is not None:
        raise NotImplementedError("torch.distributed.checkpoint has one way of planning; leave planner out")
