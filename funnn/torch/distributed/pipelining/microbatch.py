"""Batches in parts, and what came of the parts put together."""

from __future__ import annotations

from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import flatten, unflatten

__all__ = ["TensorChunkSpec", "merge_chunks", "split_args_kwargs_into_chunks"]


class TensorChunkSpec:
    """Along which dimension a tensor is split."""

    def __init__(self, split_dim: int):
        self.split_dim = split_dim

    def __repr__(self) -> str:
        return f"torch.distributed.pipelining.microbatch.TensorChunkSpec({self.split_dim})"

    def __str__(self) -> str:
        return f"TensorChunkSpec({self.split_dim})"

    @staticmethod
    def from_tuple(chunk_dims: tuple[int, ...]) -> Any:
        """One for each dimension of a tuple."""
        return tuple(map(TensorChunkSpec, chunk_dims))

    @staticmethod
    def from_dict(chunk_dims: dict[str, int]) -> Any:
        """One for each dimension of a dict."""
        return {name: TensorChunkSpec(dim) for name, dim in chunk_dims.items()}


class _Replicate:
    """That a value is the same for all parts."""


def split_tensor(tensor: Tensor, dim: int, count: int) -> list[Tensor]:
    """Parts of a tensor, the first of which are longer by one where the length is not divisible.

    Raises:
      AssertionError: it is shorter than there are parts.
    """
    if tensor.size(dim) < count:
        raise AssertionError(
            f"Tensor size {tensor.size(dim)} is smaller than num_chunks {count}; pass a larger batch, or fewer n_microbatches"
        )
    return list(ops["tensor_split"](tensor, count, dim))


def split_args_kwargs_into_chunks(
    args: tuple, kwargs: dict[str, Any] | None, chunks: int, args_chunk_spec: Any = None, kwargs_chunk_spec: Any = None
) -> tuple[list[tuple], list[dict[str, Any]]]:
    """Arguments in parts: tensors split along dimension 0 or as specs say, everything else the same for all.

    Args:
      args, kwargs: nested in tuples, lists and dicts.
      chunks: how many parts.
      args_chunk_spec, kwargs_chunk_spec: a TensorChunkSpec for each value, nested in the same way.
    """
    leaves, structure = flatten((args, kwargs or {}))
    given = flatten((args_chunk_spec, kwargs_chunk_spec))[0] if args_chunk_spec is not None and kwargs_chunk_spec is not None else None
    if given is None:
        default_args = [TensorChunkSpec(0)] * len(flatten(args)[0])
        default_named = [TensorChunkSpec(0)] * len(flatten(kwargs or {})[0])
        given = (default_args if args_chunk_spec is None else flatten(args_chunk_spec)[0]) + (
            default_named if kwargs_chunk_spec is None else flatten(kwargs_chunk_spec)[0]
        )
    if len(given) != len(leaves):
        raise ValueError(f"args_chunk_spec, kwargs_chunk_spec: expected one for each of {len(leaves)} values, got {len(given)}")
    columns = [
        split_tensor(leaf, spec.split_dim, chunks) if isinstance(leaf, Tensor) and isinstance(spec, TensorChunkSpec) else [leaf] * chunks
        for leaf, spec in zip(leaves, given, strict=True)
    ]
    parts = [unflatten([column[number] for column in columns], structure) for number in range(chunks)]
    return [part[0] for part in parts], [part[1] for part in parts]


def merge_chunks(chunks: list[Any], chunk_spec: Any = None) -> Any:
    """What came of the parts as of the whole: tensors joined along dimension 0 or as specs say, of everything else the first."""
    flat = [flatten(chunk) for chunk in chunks]
    structure = flat[0][1]
    specs = [TensorChunkSpec(0)] * len(flat[0][0]) if chunk_spec is None else flatten(chunk_spec)[0]
    if len(specs) != len(flat[0][0]):
        raise ValueError(f"Chunk {chunks[0]} did not match chunk spec {chunk_spec}")
    merged = []
    for number, spec in enumerate(specs):
        values = [leaves[number] for leaves, _ in flat]
        is_joined = isinstance(spec, TensorChunkSpec) and isinstance(values[0], Tensor)
        merged.append(ops["cat"](values, spec.split_dim) if is_joined else values[0])
    return unflatten(merged, structure)
