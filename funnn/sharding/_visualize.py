"""A table of what lies where."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Placement:
    """What :func:`visualize` returns; printed, it is a table.

    Attributes:
      rows: of each array: path, shape, dtype, spec as text, bytes of all of it, and bytes by device.
      bytes_by_device: the sum by device.
    """

    rows: tuple[tuple[str, tuple[int, ...], str, str, int, dict[Any, int]], ...]
    bytes_by_device: dict[Any, int]

    def __repr__(self) -> str:
        head = ("array", "shape", "type", "split", "bytes", "on a device")
        lines = [head]
        for path, shape, dtype, spec, size, parts in self.rows:
            lines.append((path, str(shape), dtype, spec, f"{size:,}", f"{max(parts.values(), default=0):,} on {len(parts)}"))
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        text.insert(1, "  ".join("-" * width for width in widths))
        total = sum(row[4] for row in self.rows)
        text.append(f"all: {total:,} bytes")
        text += [f"{device.platform}:{device.id}: {size:,} bytes" for device, size in self.bytes_by_device.items()]
        return "\n".join(text)


def visualize(tree: Any, shardings: Any = None) -> Placement:
    """Which device holds what of a tree of arrays, and how many bytes.

    Args:
      tree: a pytree of arrays, or of ``jax.ShapeDtypeStruct``.
      shardings: a tree of shardings, as :func:`named_shardings` gives them, to look at before anything is put anywhere; default the arrays' own.

    Returns:
      A :class:`Placement`, whose repr is a table: one line an array, and the bytes of each device.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.sharding import make_mesh, named_shardings
      >>> tree = {"weight": jnp.ones((4, 2)), "bias": jnp.ones(4)}
      >>> visualize(tree, named_shardings(tree, make_mesh({"data": 1}), ()))
      array   shape   type     split  bytes  on a device
      ------  ------  -------  -----  -----  -----------
      bias    (4,)    float32  whole  16     16 on 1
      weight  (4, 2)  float32  whole  32     32 on 1
      all: 48 bytes
      cpu:0: 48 bytes
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    given = [leaf.sharding for _, leaf in leaves] if shardings is None else jax.tree.leaves(shardings)
    rows, totals = [], dict[Any, int]()
    for (keys, leaf), sharding in zip(leaves, given, strict=True):
        shape, dtype = tuple(np.shape(leaf)), leaf.dtype
        itemsize = (
            jnp.dtype(dtype).itemsize
            if not jnp.issubdtype(dtype, jax.dtypes.prng_key)
            else jax.eval_shape(jax.random.key_data, leaf).size * 4 // max(math.prod(shape), 1)
        )
        part = math.prod(sharding.shard_shape(shape)) * itemsize
        parts = dict.fromkeys(sorted(sharding.device_set, key=lambda device: device.id), part)
        for device, size in parts.items():
            totals[device] = totals.get(device, 0) + size
        spec = getattr(sharding, "spec", None)
        text = "whole" if sharding.is_fully_replicated else str(spec if spec is not None else sharding)
        path = jax.tree_util.keystr(keys, simple=True, separator=".")
        rows.append((path, shape, str(dtype), text, math.prod(shape) * itemsize, parts))
    return Placement(tuple(rows), totals)
