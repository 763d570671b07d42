"""Differences of neighbours, derivatives and integrals of sampled functions."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.table import publish, row, write_out
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import common, promoted


def _ends(array, dim):
    """All but the first and all but the last along ``dim``."""
    size = array.shape[dim]
    return lax.slice_in_dim(array, min(1, size), size, axis=dim), lax.slice_in_dim(array, 0, max(size - 1, 0), axis=dim)


def diff(input, n=1, dim=-1, prepend: Array | None = None, append: Array | None = None):
    """The differences of neighbours along ``dim``, ``n`` times, after ``prepend`` and ``append`` were joined to the ends."""
    if input.ndim == 0:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    if n == 0:
        return input
    dim = wrap_dim(dim, input.ndim)
    parts = [part for part in (prepend, input, append) if part is not None]
    for part in parts:
        if part.ndim != input.ndim:
            raise RuntimeError(
                f"diff expects prepend or append to be the same dimension as input: got {part.ndim} dimensions, input has {input.ndim}"
            )
    joined = jnp.concatenate(common(*parts), dim) if len(parts) > 1 else input
    for _ in range(min(n, joined.shape[dim])):
        later, earlier = _ends(joined, dim)
        joined = later ^ earlier if joined.dtype == jnp.bool_ else later - earlier
    return joined


def _gradient_of_diff(input, n=1, dim=-1, prepend=None, append=None):
    size = input.size(dim) + sum(part.size(dim) for part in (prepend, append) if part is not None)
    return "CopyBackwards" if n == 0 else "SubBackward0" if size > n else "SliceBackward0"


_diff = Op(diff, _gradient_of_diff)


def _run_diff(input, n=1, dim=-1, prepend=None, append=None, *, out=None):
    result = call(_diff, (input, n, dim, prepend, append) if n else (input, n, dim), {})  # of no difference, the ends are no part
    return result if out is None else write_out(out, result)


publish("diff", _run_diff, diff)


# -- derivatives


def _derivative(input, steps, dim, edge_order):
    """The derivative along ``dim`` by differences: of second order inside, of ``edge_order`` at the ends; ``steps`` are a distance or places."""
    values = jnp.moveaxis(input, dim, -1)
    if getattr(steps, "ndim", 0):
        before, after = _distances(steps)
        inside = _three(
            values, -after / (before * (before + after)), (after - before) / (before * after), before / (after * (before + after))
        )
        first, last = steps[1] - steps[0], steps[-1] - steps[-2]
    else:
        first = last = steps
        before = after = steps
        inside = (values[..., 2:] - values[..., :-2]) / (2 * steps)
    if edge_order == 1:
        start = (values[..., 1:2] - values[..., :1]) / first
        end = (values[..., -1:] - values[..., -2:-1]) / last
    else:
        start, end = _second_order_ends(values, steps)
    return jnp.moveaxis(jnp.concatenate([start, inside, end], -1), -1, dim)


def _distances(places):
    distance = places[1:] - places[:-1]
    return distance[:-1], distance[1:]


def _three(values, a, b, c):
    return a * values[..., :-2] + b * values[..., 1:-1] + c * values[..., 2:]


def _second_order_ends(values, steps):
    """One-sided differences of three points."""
    if getattr(steps, "ndim", 0):
        gaps = steps[1:] - steps[:-1]
        (a, b), (c, d) = (gaps[0], gaps[1]), (gaps[-2], gaps[-1])
    else:
        a = b = c = d = steps
    start = _three(values[..., :3], -(2 * a + b) / (a * (a + b)), (a + b) / (a * b), -a / (b * (a + b)))
    end = _three(values[..., -3:], d / (c * (c + d)), -(d + c) / (c * d), (2 * d + c) / (d * (c + d)))
    return start, end


def _gradient(input, step, dim, edge_order):
    (input,) = promoted(input, floating=True)
    return _derivative(input, promoted(step, floating=True)[0] if hasattr(step, "dtype") else step, dim, edge_order)


_gradient_op = Op(_gradient, "CatBackward0")


def gradient(input, *, spacing=1, dim=None, edge_order=1):
    """The derivatives along the dimensions ``dim`` (all by default) by differences of second order.

    ``spacing`` is the distance of the samples, or one for each dimension, or a vector of places for each. At the ends the differences are
    one-sided, of ``edge_order`` 1 or 2.
    """
    dims = tuple(range(input.dim())) if dim is None else tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    dims = tuple(wrap_dim(d, input.dim()) for d in dims)
    spacing = 1 if spacing is None else spacing
    steps = tuple(spacing) if isinstance(spacing, (tuple, list)) else (spacing,) * len(dims)
    if len(steps) != len(dims):
        raise RuntimeError(
            f"torch.gradient expected spacing to be unspecified, a scalar or a list of length equal to 'dim', got {len(steps)} for {len(dims)} "
            "dimensions"
        )
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"torch.gradient: dim {dims} names a dimension several times")
    if edge_order not in (1, 2):
        raise RuntimeError(f"torch.gradient only supports edge_order=1 and edge_order=2, got {edge_order}")
    for step in steps:
        if isinstance(step, Tensor) and step.device != input.device:
            raise RuntimeError(
                f"torch.gradient expected each tensor to be on the same device, but got devices {input.device} and {step.device}!"
            )
    for d, step in zip(dims, steps, strict=True):
        if input.size(d) <= edge_order:
            raise RuntimeError(
                f"torch.gradient expected each dimension size to be at least edge_order+1: dimension {d} has {input.size(d)}, edge_order is {edge_order}"
            )
        if isinstance(step, Tensor) and step.dim() and tuple(step.shape) != (input.size(d),):
            raise RuntimeError(
                f"torch.gradient expected the places of dimension {d} to be a vector of {input.size(d)}, got {list(step.shape)}"
            )
    return tuple(call(_gradient_op, (input, step, d, edge_order), {}) for d, step in zip(dims, steps, strict=True))


publish("gradient", gradient, method=False)


# -- integrals


def _along(x, rank, dim):
    """A vector of places as an array that broadcasts along ``dim``; other arrays as they are."""
    return x.reshape([-1 if axis == dim else 1 for axis in range(rank)]) if x.ndim == 1 else x


def _pairs(y, x, dx, dim):
    """The sums of neighbours, and the distances between them: numbers, or arrays if ``x`` is given."""
    if x is not None and dx is not None:
        raise TypeError("trapezoid() takes the places x or the distance dx, not both")
    dim = wrap_dim(dim, y.ndim)
    later, earlier = _ends(y, dim)
    if x is None:
        return later + earlier, 1 if dx is None else dx, dim
    if x.ndim == 1 and x.shape[0] != y.shape[dim]:
        raise RuntimeError(f"trapezoid: there must be one `x` value for each sample point: got {x.shape[0]}, y has {y.shape[dim]}")
    x = _along(x, y.ndim, dim)
    x = x.reshape((1,) * (y.ndim - x.ndim) + x.shape)
    after, before = _ends(x, dim) if x.shape[dim] > 1 else (x, x)
    return later + earlier, after - before, dim


def trapezoid(y: Array, x: Array | None = None, *, dx=None, dim=-1):
    """The integral along ``dim`` by the trapezoidal rule, over the places ``x`` or at the distance ``dx`` (1)."""
    return _integral(jnp.sum, y, x, dx, dim)


def cumulative_trapezoid(y: Array, x: Array | None = None, *, dx=None, dim=-1):
    """The integrals along ``dim`` up to each sample after the first, by the trapezoidal rule."""
    return _integral(jnp.cumsum, y, x, dx, dim)


def _integral(total, y, x, dx, dim):
    """Sums of areas; those over places are halved after summing, so that integers overflow where torch's do."""
    heights, widths, dim = _pairs(y, x, dx, dim)
    if x is None:
        (heights,) = promoted(heights, floating=True)
        return total(jnp.multiply(*promoted(heights / 2, widths)), dim)
    areas = jnp.multiply(*promoted(heights, widths))
    areas = areas if jnp.issubdtype(areas.dtype, jnp.inexact) else areas.astype(jnp.int64)
    return promoted(total(areas, dim), floating=True)[0] / 2


def _gradient_of_trapezoid(y, x=None, **kwargs):
    return "MulBackward1" if x is None else "DivBackward1"


def trapz(y: Array, x: Array | None = None, *, dx=None, dim=-1):
    """The integral by the trapezoidal rule; an older name of ``trapezoid``."""
    return trapezoid(y, x, dx=dx, dim=dim)


row("trapezoid", trapezoid, _gradient_of_trapezoid, method=False)
row("trapz", trapz, _gradient_of_trapezoid, method=False)
row(
    "cumulative_trapezoid",
    cumulative_trapezoid,
    lambda y, x=None, **kwargs: "CumsumBackward0" if x is None else "DivBackward1",
    method=False,
)
