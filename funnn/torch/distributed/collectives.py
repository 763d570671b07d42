"""Collective operations on tensors: what torch.distributed has of them, by torch's names.

Each says in a Heading what all processes must have in common, computes on arrays, and writes what came into tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.distributed import reduce_op
from funnn.torch.distributed._communicator import Communicator
from funnn.torch.distributed._operands import array_of, check_count, check_list, check_same_dtype, check_tensor, tensor_of, write
from funnn.torch.distributed.group import joined, root_of
from funnn.torch.distributed.process_group import Heading, ProcessGroup
from funnn.torch.distributed.reduce_op import ReduceOp
from funnn.torch.distributed.work import Work

Compute = Callable[[Communicator, list[Heading]], Any]


def _done(group: ProcessGroup, work: Work, async_op: bool) -> Work | None:
    if async_op:
        return work
    group.settle(work)
    return None


def _heading(name: str, array: np.ndarray, detail: str = "", **more: Any) -> Heading:
    return Heading(name, detail, str(array.dtype), array.shape, **more)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait until all processes of the group have come here."""
    if (own := joined(group, "barrier")) is None:
        return None
    return _done(own, own.start(Heading("barrier"), None, lambda communicator, headings: None, lambda found: []), async_op)


def all_reduce(tensor: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Replace the tensor, in all processes, by the sum (or what ``op`` says) over them.

    Args:
      tensor: of the same shape and dtype in all processes.
      op: a ReduceOp.
      group: a group of new_group; by default all processes.
      async_op: whether to return a Work at once; the tensor has the sum after its ``wait``.

    Raises:
      DistBackendError: processes call different operations, one of them has ended, or one does not come in time.
    """
    check_tensor(tensor, "tensor")
    if (own := joined(group, "all_reduce")) is None:
        return None
    return _done(own, start_reduce(own, "all_reduce", [tensor], op), async_op)


def start_reduce(group: ProcessGroup, name: str, tensors: Sequence[Tensor], op: Any, root: int | None = None) -> Work:
    """Begin a reduction of tensors of one dtype; what comes is written in all processes, or at the root alone."""
    arrays = [array_of(tensor) for tensor in tensors]
    reduce_op.check_op(op, arrays[0].dtype, name)
    flat = reduce_op.prepare(op, arrays[0] if len(arrays) == 1 else np.concatenate([array.reshape(-1) for array in arrays]))
    ends = np.cumsum([array.size for array in arrays])[:-1]
    detail = f"{op.name}" if root is None else f"{op.name}, dst={root}"

    def finish(found: Any) -> list[Any]:
        if root in (None, group.rank()):
            for tensor, part in zip(tensors, np.split(found.reshape(-1), ends), strict=True):
                write(tensor, part, is_own=len(tensors) == 1)
        return list(tensors)

    return group.start(_heading(name, flat, detail), flat, lambda communicator, _: reduce_op.reduce(communicator, op, flat), finish)


def all_reduce_coalesced(tensors: Sequence[Tensor], op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """``all_reduce`` of several tensors of one dtype at once."""
    check_list(tensors, "tensors")
    check_same_dtype(tensors)
    if (own := joined(group, "all_reduce_coalesced")) is None:
        return None
    return _done(own, start_reduce(own, "all_reduce_coalesced", tensors, op), async_op)


def reduce(
    tensor: Tensor, dst: int | None = None, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False, group_dst: int | None = None
) -> Work | None:
    """``all_reduce``, of which the process ``dst`` alone gets what came; the others keep their tensors."""
    check_tensor(tensor, "tensor")
    if (own := joined(group, "reduce")) is None:
        return None
    return _done(own, start_reduce(own, "reduce", [tensor], op, root_of(own, "dst", dst, group_dst)), async_op)


def broadcast(
    tensor: Tensor, src: int | None = None, group: Any = None, async_op: bool = False, group_src: int | None = None
) -> Work | None:
    """Replace the tensor, in all processes, by that of the process ``src``."""
    check_tensor(tensor, "tensor")
    if (own := joined(group, "broadcast")) is None:
        return None
    root, array = root_of(own, "src", src, group_src), array_of(tensor)
    work = own.start(
        _heading("broadcast", array, f"src={root}"),
        array,
        lambda communicator, _: communicator.broadcast(array, root),
        lambda found: [write(tensor, found)],
    )
    return _done(own, work, async_op)


# -- gather


def _gather(communicator: Communicator, headings: list[Heading], array: np.ndarray) -> list[np.ndarray]:
    """The arrays of all processes, of sizes that may differ."""
    rows = communicator.gather_sizes(array, [int(np.prod(heading.shape)) for heading in headings])
    return [row.reshape(heading.shape) for row, heading in zip(rows, headings, strict=True)]


def _write_all(tensors: Sequence[Tensor], arrays: Sequence[np.ndarray], name: str) -> list[Any]:
    for rank, (tensor, array) in enumerate(zip(tensors, arrays, strict=True)):
        if tensor.numel() != array.size:
            raise RuntimeError(
                f"{name}: expected entry {rank} of the list to have the shape of what comes, {list(array.shape)}, got {list(tensor.shape)}"
            )
    return [write(tensor, array) for tensor, array in zip(tensors, arrays, strict=True)]


def all_gather(tensor_list: list[Tensor], tensor: Tensor, group: Any = None, async_op: bool = False) -> Work | None:
    """Put the tensor of each process into the list, in all processes; shapes may differ between processes, dtypes not."""
    check_list(tensor_list, "tensor_list")
    check_tensor(tensor, "tensor")
    check_same_dtype(tensor_list, tensor)
    if (own := joined(group, "all_gather")) is None:
        return None
    check_count(tensor_list, "tensor_list", "all_gather", own.size())
    array = array_of(tensor)
    work = own.start(
        _heading("all_gather", array, varies=True),
        array,
        lambda communicator, headings: _gather(communicator, headings, array),
        lambda found: _write_all(tensor_list, found, "all_gather"),
    )
    return _done(own, work, async_op)


def all_gather_into_tensor(output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False) -> Work | None:
    """Put the tensors of all processes into one, behind each other or stacked: it has the numbers of n inputs.

    Raises:
      ValueError: it has another count of numbers.
    """
    check_tensor(input_tensor, "input_tensor")
    check_tensor(output_tensor, "output_tensor")
    check_same_dtype(output_tensor, input_tensor)
    if (own := joined(group, "all_gather_into_tensor")) is None:
        return None
    _check_size(output_tensor, input_tensor, own.size(), "all_gather_into_tensor", "output_tensor", "input_tensor")
    array = array_of(input_tensor)
    work = own.start(
        _heading("all_gather_into_tensor", array),
        array,
        lambda communicator, _: communicator.gather(array),
        lambda found: [write(output_tensor, found)],
    )
    return _done(own, work, async_op)


def _check_size(large: Tensor, small: Tensor, count: int, what: str, large_name: str, small_name: str) -> None:
    if large.numel() != count * small.numel():
        raise ValueError(
            f"{what}: output tensor size must be equal to world_size times input tensor size: expected {large_name} to have {count} times the numbers of "
            f"{small_name} {list(small.shape)}, got {list(large.shape)}"
        )


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Put the tensor of each process into the list at the process ``dst``, 0 by default.

    Raises:
      ValueError: there is no list at ``dst``, or one elsewhere.
    """
    check_tensor(tensor, "tensor")
    if (own := joined(group, "gather")) is None:
        return None
    root = root_of(own, "dst", dst, group_dst, 0)
    outputs = _at_root(gather_list, own.rank() == root, own, "gather", "gather_list", "destination")
    array = array_of(tensor)
    check_same_dtype(outputs, tensor)
    work = own.start(
        _heading("gather", array, f"dst={root}"),
        array,
        lambda communicator, _: communicator.gather(array),
        lambda found: _write_all(outputs, list(found), "gather") if outputs else [],
    )
    return _done(own, work, async_op)


def _at_root(values: Any, is_root: bool, group: ProcessGroup, what: str, name: str, role: str) -> list[Tensor]:
    if not is_root:
        if values:
            raise ValueError(f"Argument ``{name}`` must NOT be specified on non-{role} ranks.")
        return []
    if not values:
        raise ValueError(f"Argument ``{name}`` must be specified on {role} rank.")
    check_list(values, name)
    check_count(values, name, what, group.size())
    return list(values)


# -- scatter


def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int | None = None,
    group: Any = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Replace the tensor of process i by entry i of the list of the process ``src``, 0 by default.

    Raises:
      ValueError: there is no list at ``src``, or one elsewhere.
    """
    check_tensor(tensor, "tensor")
    if (own := joined(group, "scatter")) is None:
        return None
    root = root_of(own, "src", src, group_src, 0)
    inputs = _at_root(scatter_list, own.rank() == root, own, "scatter", "scatter_list", "source")
    check_same_dtype(inputs, tensor)
    array = array_of(tensor)
    rows = _stack(inputs, "scatter") if inputs else np.zeros((own.size(), *array.shape), array.dtype)
    if rows.shape[1:] != array.shape:
        raise RuntimeError(
            f"scatter: expected the entries of scatter_list to have the shape of tensor, {list(array.shape)}, got {list(rows.shape[1:])}"
        )
    work = own.start(
        _heading("scatter", array, f"src={root}"),
        rows,
        lambda communicator, _: communicator.scatter(rows, root),
        lambda found: [write(tensor, found)],
    )
    return _done(own, work, async_op)


def _stack(tensors: Sequence[Tensor], what: str) -> np.ndarray:
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) != 1:
        raise RuntimeError(f"{what}: expected tensors of one shape in the list, got {[list(tensor.shape) for tensor in tensors]}")
    return np.stack([array_of(tensor) for tensor in tensors])


def _reduce_scatter(group: ProcessGroup, name: str, output: Tensor, rows: np.ndarray, op: Any, async_op: bool) -> Work | None:
    reduce_op.check_op(op, rows.dtype, name)
    flat = reduce_op.prepare(op, rows.reshape(group.size(), -1))
    work = group.start(
        _heading(name, rows, op.name),
        flat,
        lambda communicator, _: reduce_op.reduce_scatter(communicator, op, flat),
        lambda found: [write(output, found)],
    )
    return _done(group, work, async_op)


def reduce_scatter(
    output: Tensor, input_list: list[Tensor], op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False
) -> Work | None:
    """Replace ``output`` at process i by the sum (or what ``op`` says) over processes of entry i of their lists."""
    check_tensor(output, "output")
    check_list(input_list, "input_list")
    check_same_dtype(output, input_list)
    if (own := joined(group, "reduce_scatter")) is None:
        return None
    check_count(input_list, "input_list", "reduce_scatter", own.size())
    rows = _stack(input_list, "reduce_scatter")
    if rows[0].size != output.numel():
        raise RuntimeError(
            f"reduce_scatter: expected output to have the shape of the list's entries, {list(rows.shape[1:])}, got {list(output.shape)}"
        )
    return _reduce_scatter(own, "reduce_scatter", output, rows, op, async_op)


def reduce_scatter_tensor(output: Tensor, input: Tensor, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Replace ``output`` at process i by the sum (or what ``op`` says) over processes of part i of n equal ones of their inputs.

    Raises:
      ValueError: the input has not n times the numbers of the output.
    """
    check_tensor(output, "output")
    check_tensor(input, "input")
    check_same_dtype(output, input)
    if (own := joined(group, "reduce_scatter_tensor")) is None:
        return None
    _check_size(input, output, own.size(), "reduce_scatter_tensor", "input", "output")
    return _reduce_scatter(own, "reduce_scatter_tensor", output, array_of(input), op, async_op)


# -- all to all


def _start_exchange(group: ProcessGroup, name: str, parts: list[np.ndarray], finish: Callable[[list[np.ndarray]], list[Any]]) -> Work:
    """Begin to send part i to process i; ``numbers`` of a heading are the sizes of that process's parts."""
    flat = np.concatenate([part.reshape(-1) for part in parts])
    heading = Heading(name, "", str(flat.dtype), (), True, tuple(part.size for part in parts))
    return group.start(
        heading,
        flat,
        lambda communicator, headings: communicator.exchange_sizes(flat, [heading.numbers for heading in headings]),
        finish,
    )


def all_to_all(output_tensor_list: list[Tensor], input_tensor_list: list[Tensor], group: Any = None, async_op: bool = False) -> Work | None:
    """Send entry i of the input list to process i, and put what process i sends into entry i of the output list. Shapes may differ."""
    check_list(output_tensor_list, "output_tensor_list")
    check_list(input_tensor_list, "input_tensor_list")
    check_same_dtype(output_tensor_list, input_tensor_list)
    if (own := joined(group, "all_to_all")) is None:
        return None
    check_count(output_tensor_list, "output_tensor_list", "all_to_all", own.size())
    check_count(input_tensor_list, "input_tensor_list", "all_to_all", own.size())
    parts = [array_of(tensor) for tensor in input_tensor_list]
    work = _start_exchange(own, "all_to_all", parts, lambda found: _write_all(output_tensor_list, found, "all_to_all"))
    return _done(own, work, async_op)


def all_to_all_single(
    output: Tensor,
    input: Tensor,
    output_split_sizes: Sequence[int] | None = None,
    input_split_sizes: Sequence[int] | None = None,
    group: Any = None,
    async_op: bool = False,
) -> Work | None:
    """Send part i of the input to process i, and put what comes into the output, in the order of processes.

    Args:
      output_split_sizes, input_split_sizes: the sizes of the parts along dimension 0; equal ones by default.

    Raises:
      RuntimeError: the sizes do not add up to dimension 0, or it is not divisible by the number of processes.
    """
    check_tensor(output, "output")
    check_tensor(input, "input")
    check_same_dtype(output, input)
    if (own := joined(group, "all_to_all_single")) is None:
        return None
    array, rest = array_of(input), input.numel() // max(1, input.shape[0])
    parts = np.split(array, np.cumsum(_splits(input, input_split_sizes, own.size(), "input"))[:-1])
    wanted = [size * rest for size in _splits(output, output_split_sizes, own.size(), "output")]

    def finish(found: list[np.ndarray]) -> list[Any]:
        if [part.size for part in found] != wanted:
            raise RuntimeError(
                f"all_to_all_single: expected output_split_sizes to say what comes, {[part.size // max(1, rest) for part in found]} along dimension 0, got "
                f"{[size // max(1, rest) for size in wanted]}"
            )
        return [write(output, np.concatenate(found))]

    return _done(own, _start_exchange(own, "all_to_all_single", parts, finish), async_op)


def _splits(tensor: Tensor, sizes: Sequence[int] | None, count: int, name: str) -> list[int]:
    length = tensor.shape[0]
    if not sizes:
        if length % count:
            raise RuntimeError(
                f"Tensor's dim 0 does not divide equally across group size: {name} has {length} along dimension 0, and there are {count} processes"
            )
        return [length // count] * count
    check_count(sizes, f"{name}_split_sizes", "all_to_all_single", count)
    if sum(sizes) != length:
        raise RuntimeError(f"Split sizes doesn't match total dim 0 size: {name}_split_sizes {list(sizes)}, dimension 0 is {length}")
    return list(sizes)


def gathered(group: ProcessGroup, array: np.ndarray, name: str) -> list[np.ndarray]:
    """The arrays of one row of all processes, of lengths that may differ; waits."""
    work = group.start(
        _heading(name, array, varies=True),
        array,
        lambda communicator, headings: _gather(communicator, headings, array),
        lambda found: [tensor_of(part) for part in found],
    )
    group.settle(work)
    return [array_of(tensor) for tensor in work.result()]
