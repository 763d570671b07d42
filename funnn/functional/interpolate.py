"""Resizing of signals, images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from funnn._types import Ints
from funnn.errors import ArgumentError, ArgumentValueError, DtypeError, ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._resize import Resize, resize, resize_bytes
from funnn.functional._warn import warn

Scale = float | Sequence[float]

#: Of each mode: the ranks that it takes, and the kind of taps along an axis.
_MODES = {
    "nearest": ((3, 4, 5), "nearest"),
    "nearest-exact": ((3, 4, 5), "nearest-exact"),
    "area": ((3, 4, 5), "area"),
    "linear": ((3,), "linear"),
    "bilinear": ((4,), "linear"),
    "trilinear": ((5,), "linear"),
    "bicubic": ((4,), "cubic"),
    "lanczos": ((4,), "lanczos"),
}


@public
def interpolate(
    input: jax.Array,
    size: Ints | None = None,
    scale_factor: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> jax.Array:
    """Resize the spatial axes of ``input`` to ``size``, or by ``scale_factor``.

    Output element i of an axis looks at the position ``r·(i + ½) − ½`` of the input, or with align_corners at ``r·i``. ``r`` is
    1 / scale_factor where that is given and not recomputed, else input size / output size, and with align_corners
    (input size − 1) / (output size − 1).

    Args:
      input: (N, C, W), (N, C, H, W) or (N, C, D, H, W).
      size: of the output's spatial axes, an int or one per axis.
      scale_factor: ``⌊size · scale_factor⌋`` is the output's size; a number or one per axis. Give either this or size.
      mode: 'nearest' (⌊r·i⌋, as OpenCV has it), 'nearest-exact' (⌊r·(i + ½)⌋), 'linear', 'bilinear' and 'trilinear' for one, two and three
        axes, 'bicubic' (Keys's kernel with a = −0.75; values may overshoot), 'area' (the mean of what an output covers) or 'lanczos' (three
        lobes, with antialias only); default 'nearest'.
      align_corners: whether the first and last elements of input and output coincide, in the linear modes and 'bicubic'; default False.
      recompute_scale_factor: compute r from the sizes although scale_factor is given; default False.
      antialias: stretch the filter over all inputs that an output covers when shrinking ('bilinear', 'bicubic' with a = −0.5, 'lanczos');
        default False.

    Returns:
      An array of the input's dtype. Positions are computed in float32 (in float64 for float64 input) with torch's roundings. uint8 takes the
      nearest modes, 'bilinear', 'bicubic' and 'lanczos'.

    Raises:
      ValueError: both or neither of size and scale_factor, or an option that the mode does not have.
      ShapeError: sizes do not fit the axes, or are empty.
      DtypeError: integers other than uint8, or uint8 in a mode that averages otherwise.
      NotImplementedError: the mode does not take an input of this rank.

    Source: torch.nn.functional.interpolate. With 'nearest' and a scale_factor that differs a little from a ratio 1 or 2 of the sizes, torch takes the
    ratio for images of at most 128 = H_out + W_out, and so does this; torch's derivative takes it always, this one is that of the value.

    Example:
      >>> import jax.numpy as jnp
      >>> interpolate(jnp.array([[[1.0, 3.0]]]), size=4, mode="linear").tolist()
      [[[1.0, 1.5, 2.5, 3.0]]]
    """
    input = check.array("input", input)
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ArgumentValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear, "
            f"but got align_corners={align_corners} with mode={mode!r}; leave it out"
        )
    if align_corners is not None and not isinstance(align_corners, bool):
        raise TypeError(f"interpolate(): argument 'align_corners' must be bool, not {type(align_corners).__name__}")
    sizes, scales = _sizes(input, size, scale_factor, mode, bool(recompute_scale_factor))
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.ndim == 4):
        raise ArgumentValueError(
            "Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as input, "
            f"but got mode={mode!r} and an input of size {check.shape(input)}"
        )
    kind = _kind(input, mode, bool(align_corners), antialias)
    if 0 in input.shape[1:] or min(sizes) < (0 if mode == "area" else 1):
        raise ShapeError(
            f"Input and output sizes should be greater than 0 (only the batch may be empty), but got input of size {check.shape(input)} "
            f"and output of size {list(sizes)}"
        )
    if input.shape[0] == 0 or 0 in sizes:
        return jnp.zeros((*input.shape[:2], *sizes), input.dtype)
    byte = input.dtype == jnp.uint8 and kind not in ("nearest", "nearest-exact")
    plans = tuple(
        Resize(
            axis,
            input.shape[axis],
            sizes[axis - 2],
            kind,
            scales[axis - 2],
            bool(align_corners),
            bool(antialias),
            double=input.dtype == jnp.float64,
            exact_ratios=input.ndim == 4 and sum(sizes) <= 128,
        )
        for axis in reversed(range(2, input.ndim))
    )
    return resize_bytes(input, plans) if byte else resize(input, plans)


def _sizes(
    input: jax.Array, size: Ints | None, scale_factor: Scale | None, mode: str, recompute: bool
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The output's sizes, and the scale of each axis where it does not follow from them."""
    n = input.ndim - 2
    if (size is None) == (scale_factor is None):
        if size is None:
            raise ArgumentValueError("either size or scale_factor should be defined, e.g. scale_factor=2")
        raise ArgumentValueError(f"only one of size or scale_factor should be defined, but got {size=} and {scale_factor=}")
    name, given = ("size", size) if scale_factor is None else ("scale_factor", scale_factor)
    values: tuple[Any, ...] = tuple(given) if isinstance(given, (tuple, list)) else (given,) * n
    if len(values) != n:
        raise ShapeValueError(
            f"Input and {'output' if name == 'size' else name} must have the same number of spatial dimensions, but got input with spatial "
            f"dimensions of {list(input.shape[2:])} and {name} of {list(values)}. Please provide input in (N, C, d1, d2, ..., dK) format and "
            f"{name} in (o1, o2, ..., oK) format."
        )
    if size is not None:
        if recompute:
            raise ArgumentValueError("recompute_scale_factor is not meaningful with an explicit size.")
        if not all(hasattr(value, "__index__") and not isinstance(value, bool) for value in values):
            raise TypeError(f"expected size to be an int or a tuple of ints, but got {size!r}")
        return tuple(map(int, values)), (None,) * n
    sizes = tuple(int(have * value) for have, value in zip(input.shape[2:], values, strict=True))
    # a scale that is not positive is no scale; torch takes the sizes then
    return sizes, tuple(None if recompute or mode == "area" or value <= 0 else float(value) for value in values)


def _kind(input: jax.Array, mode: str, align_corners: bool, antialias: bool) -> str:
    """The kind of taps that a mode has along an axis, for input that it takes."""
    ranks, kind = _MODES.get(mode, ((), "")) if isinstance(mode, str) else ((), "")
    if mode == "lanczos" and align_corners:
        raise ArgumentError("Lanczos mode does not support align_corners=True; leave it out")
    if mode == "lanczos" and not antialias:
        raise ArgumentError("Lanczos mode requires antialias=True")
    if input.ndim in (3, 4, 5) and input.ndim not in ranks and len(ranks) == 1:
        raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {ranks[0]}D input")
    if input.ndim not in ranks:
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the modes: {' | '.join(_MODES)} (got {mode})"
        )
    bytes_too = kind in ("nearest", "nearest-exact") or mode in ("bilinear", "bicubic", "lanczos")
    if not jnp.issubdtype(input.dtype, jnp.floating) and not (bytes_too and input.dtype == jnp.uint8):
        raise DtypeError(
            f'"interpolate" with mode={mode!r} not implemented for {input.dtype}: input must be floating point{" or uint8" * bytes_too}. '
            "Convert it, e.g. input.astype(jnp.float32)."
        )
    return kind


def _deprecated(name: str) -> None:
    warn(f"`nn.functional.{name}` is deprecated. Use `nn.functional.interpolate` instead.")


@public
def upsample(
    input: jax.Array,
    size: Ints | None = None,
    scale_factor: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> jax.Array:
    """Resize the spatial axes; the former name of :func:`interpolate`, with a warning that it is deprecated.

    Args:
      input: (N, C, W), (N, C, H, W) or (N, C, D, H, W).
      size: of the output's spatial axes.
      scale_factor: the output's size by the input's; give either this or size.
      mode: as interpolate takes it; default 'nearest'.
      align_corners: whether the first and last elements of input and output coincide.

    Returns:
      ``interpolate(input, size, scale_factor, mode, align_corners)``.

    Source: torch.nn.functional.upsample.

    Example:
      >>> import warnings, jax.numpy as jnp
      >>> with warnings.catch_warnings(action="ignore"):
      ...     upsample(jnp.array([[[1.0, 3.0]]]), scale_factor=2).tolist()
      [[[1.0, 1.0, 3.0, 3.0]]]
    """
    _deprecated("upsample")
    return interpolate(input, size, scale_factor, mode, align_corners)


@public
def upsample_nearest(input: jax.Array, size: Ints | None = None, scale_factor: Scale | None = None) -> jax.Array:
    """Repeat the nearest element; a former name of :func:`interpolate` with mode 'nearest', with a warning that it is deprecated.

    Args:
      input: (N, C, W), (N, C, H, W) or (N, C, D, H, W).
      size: of the output's spatial axes.
      scale_factor: the output's size by the input's; give either this or size.

    Returns:
      ``interpolate(input, size, scale_factor, mode='nearest')``.

    Source: torch.nn.functional.upsample_nearest.

    Example:
      >>> import warnings, jax.numpy as jnp
      >>> with warnings.catch_warnings(action="ignore"):
      ...     upsample_nearest(jnp.array([[[1.0, 3.0]]]), size=4).tolist()
      [[[1.0, 1.0, 3.0, 3.0]]]
    """
    _deprecated("upsample_nearest")
    return interpolate(input, size, scale_factor, mode="nearest")


@public
def upsample_bilinear(input: jax.Array, size: Ints | None = None, scale_factor: Scale | None = None) -> jax.Array:
    """Resize images between aligned corners; a former name of :func:`interpolate`, with a warning that it is deprecated.

    Args:
      input: (N, C, H, W).
      size: of the output's spatial axes.
      scale_factor: the output's size by the input's; give either this or size.

    Returns:
      ``interpolate(input, size, scale_factor, mode='bilinear', align_corners=True)``.

    Source: torch.nn.functional.upsample_bilinear.

    Example:
      >>> import warnings, jax.numpy as jnp
      >>> with warnings.catch_warnings(action="ignore"):
      ...     upsample_bilinear(jnp.array([[[[1.0, 3.0]]]]), size=(1, 3)).tolist()
      [[[[1.0, 2.0, 3.0]]]]
    """
    _deprecated("upsample_bilinear")
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
