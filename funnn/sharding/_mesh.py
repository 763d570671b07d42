"""A mesh from the names and sizes of its axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh


def make_mesh(axes: Mapping[str, int], devices: Sequence[Any] | None = None, *, explicit: bool | Sequence[str] = False) -> Mesh:
    """Devices in a grid with named axes.

    Args:
      axes: size of each axis by name, the outermost first. One size may be -1: what is left of the devices.
      devices: default all, of all processes, in the order in which neighbours along the last axes are close.
      explicit: which axes are Explicit: an array's type says how it is split over them, and an operation that would have to guess is an error. True is
        all. Default False, all Auto: XLA decides how intermediate values are split. The layers and ``train_step`` are made for Auto axes.

    Raises:
      ValueError: the sizes do not give the number of devices, or a size is not positive.

    Source: jax.make_mesh.

    Example:
      >>> make_mesh({"data": -1, "model": 1}).shape["model"]
      1
    """
    sizes, count = dict(axes), len(jax.devices() if devices is None else devices)
    if not sizes:
        raise ValueError('make_mesh needs an axis at least, as in make_mesh({"data": -1})')
    unknown = [name for name, size in sizes.items() if size == -1]
    known = math.prod(size for size in sizes.values() if size != -1)
    if len(unknown) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
        raise ValueError(f"make_mesh takes positive sizes, of which one may be -1, but got {sizes}")
    if unknown and count % known == 0:
        sizes[unknown[0]] = count // known
    if math.prod(sizes.values()) != count:
        asked = " x ".join(f"{name}={size}" for name, size in axes.items())
        raise ValueError(f"make_mesh: {asked} does not make {count} device{'s' * (count != 1)}; give other sizes, or some of the devices")
    chosen = set(sizes) if explicit is True else set(explicit or ())
    if strange := chosen - set(sizes):
        raise ValueError(f"make_mesh: explicit names {sorted(strange)}, but the axes are {list(sizes)}")
    types = tuple(AxisType.Explicit if name in chosen else AxisType.Auto for name in sizes)
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), axis_types=types, devices=devices)
