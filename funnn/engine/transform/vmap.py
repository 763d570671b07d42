"""torch.vmap: a function of one example as a function of many."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform.transform import batched
from funnn.engine.types import tree as _tree

_concatenated = Op(lambda arrays, dim: jnp.concatenate(arrays, dim), "CatBackward0")


def vmap(func: Callable, in_dims: Any = 0, out_dims: Any = 0, randomness: str = "error", *, chunk_size: int | None = None) -> Callable:
    """``func`` for every index of a dimension of its arguments, all at once.

    Args:
      func: a function of Tensors, in nested tuples, lists and dicts, that returns such.
      in_dims: which dimension of an argument is mapped; None where the argument is the same for all. One number for all positional arguments, or
        a structure like theirs. Keyword arguments are not mapped.
      out_dims: where the mapped dimension goes in the outputs; None for an output that does not depend on it.
      randomness: "error" refuses random operations inside, "different" draws for each example, "same" once for all.
      chunk_size: how many examples are computed at once; all by default.

    Raises:
      ValueError: in_dims or out_dims that do not fit, different sizes, no mapped tensor, outputs that are no tensors.
      RuntimeError: a value asked for inside (item, if), random numbers with "error".

    Example:
      >>> import funnn.torch as torch
      >>> vmap(torch.dot)(torch.ones(3, 2), torch.ones(3, 2))
      tensor([2., 2., 2.])
    """
    if randomness not in ("error", "different", "same"):
        raise RuntimeError(f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}")
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    name = getattr(func, "__name__", repr(func))

    @functools.wraps(func, updated=())
    def mapped(*args: Any, **kwargs: Any) -> Any:
        leaves, structure, dims = _arguments(name, in_dims, args, kwargs)
        size = _size(leaves, dims)
        if chunk_size is None or size <= chunk_size:
            return _run(func, name, leaves, structure, dims, out_dims, size, randomness)
        return _in_chunks(func, name, leaves, structure, dims, out_dims, size, randomness, chunk_size)

    return mapped


def _arguments(name: str, in_dims: Any, args: tuple, kwargs: dict) -> tuple[list, Any, list]:
    """The arguments' leaves, their structure, and each leaf's dimension, not negative, or None."""
    if not isinstance(in_dims, (int, tuple)) or isinstance(in_dims, bool):
        what = "expected `in_dims` to be int or a (potentially nested) tuple matching the structure of inputs"
        raise ValueError(f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): {what}, got: {type(in_dims)}.")
    if not args and not kwargs:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to vmap over a function with no inputs. "
            "The latter is unsupported."
        )
    _, of_args = _tree.flatten(args)
    dims = _tree.spread(in_dims, of_args)
    if dims is None:
        raise ValueError(
            f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): in_dims is not compatible with the structure of `inputs`. in_dims has structure "
            f"{_tree.flatten(in_dims)[1]} but inputs has structure {of_args}."
        )
    leaves, structure = _tree.flatten((args, kwargs))
    dims = [*dims, *[None] * (len(leaves) - len(dims))]
    where = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>): Got in_dim="
    for number, (leaf, dim) in enumerate(zip(leaves, dims, strict=True)):
        if dim is None:
            continue
        if not isinstance(dim, int):
            raise ValueError(f"{where}{dim} for an input but in_dim must be either an integer dimension or None.")
        if not isinstance(leaf, Tensor):
            raise ValueError(
                f"{where}{dim} for an input but the input is of type {type(leaf)}. We cannot vmap over non-Tensor arguments, please use None as the "
                "respective in_dim"
            )
        if not -leaf.dim() <= dim < leaf.dim():
            raise ValueError(
                f"{where}{dim} for some input, but that input is a Tensor of dimensionality {leaf.dim()} so expected in_dim to satisfy "
                f"-{leaf.dim()} <= in_dim < {leaf.dim()}."
            )
        dims[number] = dim % leaf.dim()
    return leaves, structure, dims


def _size(leaves: list, dims: list) -> int:
    sizes = [leaf.size(dim) for leaf, dim in zip(leaves, dims, strict=True) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if len(set(sizes)) > 1:
        raise ValueError(
            f"vmap: Expected all tensors to have the same size in the mapped dimension, got sizes {sizes} for the mapped dimension"
        )
    return sizes[0]


def _run(func: Callable, name: str, leaves: list, structure: Any, dims: list, out_dims: Any, size: int, randomness: str) -> Any:
    places = [number for number, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and dims[number] is not None]
    tensors = [leaves[number].movedim(dims[number], 0) if dims[number] else leaves[number] for number in places]
    shared: list[Tensor] = []
    found: dict[str, Any] = {}

    def of_one(items: list[Tensor]) -> list[Tensor]:
        filled = list(leaves)
        for number, item in zip(places, items, strict=True):
            filled[number] = item
        args, kwargs = _tree.unflatten(filled, structure)
        outputs, found["structure"] = _tree.flatten(func(*args, **kwargs))
        found["dims"] = to = _out_dims(name, out_dims, outputs, found["structure"])
        shared[:] = [output for output, dim in zip(outputs, to, strict=True) if dim is None]
        if any(thread.tracing.is_inside(output._operand()) for output in shared if isinstance(output, Tensor)):
            raise ValueError(f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None")
        return [output for output, dim in zip(outputs, to, strict=True) if dim is not None]

    results = iter(batched(of_one, tensors, [True] * len(tensors), size, randomness))
    rest = iter(shared)
    outputs = [next(rest) if dim is None else _moved(next(results), dim) for dim in found["dims"]]
    return _tree.unflatten(outputs, found["structure"])


def _moved(result: Tensor, dim: int) -> Tensor:
    return result.movedim(0, dim) if dim else result


def _out_dims(name: str, out_dims: Any, outputs: list, structure: Any) -> list:
    if not isinstance(out_dims, (int, tuple, list, dict, type(None))):
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python collection of ints representing where in the "
            "outputs the vmapped dimension should appear."
        )
    if structure is not _tree.LEAF and isinstance(out_dims, tuple) and len(out_dims) == 1 and structure.kind is not tuple:
        out_dims = out_dims[0]
    if structure is _tree.LEAF and isinstance(out_dims, tuple) and len(out_dims) == 1:
        out_dims = out_dims[0]
    dims = _tree.spread(out_dims, structure)
    if dims is None:
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the structure of `outputs`. out_dims has structure "
            f"{_tree.flatten(out_dims)[1]} but outputs has structure {structure}."
        )
    for output, dim in zip(outputs, dims, strict=True):
        if not isinstance(output, Tensor) and dim is not None:
            raise ValueError(
                f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(output)}. Did you mean to set out_dims= to None for output?"
            )
    return dims


def _in_chunks(
    func: Callable, name: str, leaves: list, structure: Any, dims: list, out_dims: Any, size: int, randomness: str, chunk: int
) -> Any:
    """``chunk`` examples at a time, put together afterwards."""
    parts, form = [], None
    for start in range(0, size, chunk):
        length = min(chunk, size - start)
        piece = [leaf if dim is None else leaf.narrow(dim, start, length) for leaf, dim in zip(leaves, dims, strict=True)]
        part, form = _tree.flatten(_run(func, name, piece, structure, dims, out_dims, length, randomness))
        parts.append(part)
    to = _out_dims(name, out_dims, parts[0], form)
    return _tree.unflatten(
        [
            items[0] if dim is None else call(_concatenated, (items, dim), {})
            for items, dim in zip(zip(*parts, strict=True), to, strict=True)
        ],
        form,
    )
