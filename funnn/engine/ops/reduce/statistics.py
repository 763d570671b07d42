"""Quantiles and covariances."""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.elementwise import wide_type
from funnn.engine.ops.kit.index_kernels import known
from funnn.engine.ops.kit.table import publish, row, write_out
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.warning import warn
from funnn.functional._norm_kernel import near_mean

_ROUNDED = {"lower": jnp.floor, "higher": jnp.ceil, "nearest": jnp.round}


def _quantile(input, q, dim, keepdim, interpolation, ignore_nan):
    dim = None if dim is None else wrap_dim(dim, input.ndim)
    if dim is None or input.ndim == 0:
        values, kept = input.reshape(-1), (1,) * input.ndim if keepdim else ()
    else:
        values = jnp.moveaxis(input, dim, -1)
        kept = values.shape[:-1] if not keepdim else input.shape[:dim] + (1,) + input.shape[dim + 1 :]
    values = jnp.sort(values, -1)
    last = values.shape[-1] - 1
    missing = jnp.sum(jnp.isnan(values), -1, keepdims=True)
    places = q.reshape(-1)
    if ignore_nan:
        places = places * jnp.maximum(last - missing, 0).astype(q.dtype)
    else:
        places = jnp.where(missing > 0, last, places * last)
    places = _ROUNDED.get(interpolation, lambda x: x)(places)
    below = jnp.floor(places)
    result = jnp.take_along_axis(values, below.astype(jnp.int64), -1)
    if interpolation in ("linear", "midpoint"):
        weight = jnp.full_like(places, 0.5) if interpolation == "midpoint" else places - below
        above = jnp.take_along_axis(values, jnp.ceil(places).astype(jnp.int64), -1)
        step = above - result
        result = jnp.where(weight < 0.5, result + weight * step, above - step * (1 - weight))
    return jnp.moveaxis(result, -1, 0).reshape(q.shape + kept)


def _publish_quantile(name: str, ignore_nan: bool) -> None:
    op = Op(_quantile, "SqueezeBackward4", autocast={"cpu": FLOAT32})

    def quantile_of(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
        if thread.autocast is not None:
            (input, q), _ = thread.autocast.operands(op, (input, q), {})
        if input.dtype.name not in ("float32", "float64"):
            raise RuntimeError(f"{name}() input tensor must be either float or double dtype, got {input.dtype}; use x.float()")
        if not input.numel():
            raise RuntimeError(f"{name}() input tensor must be non-empty")
        if interpolation not in ("linear", "midpoint", *_ROUNDED):
            raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {interpolation}")
        if not isinstance(q, Tensor):
            if not 0 <= q <= 1:
                raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
            q = input.new_tensor(q)
        if q.dim() > 1:
            raise RuntimeError(f"{name}() q must be a scalar or 1D tensor, got {q.dim()} dimensions")
        if q.dtype is not input.dtype:
            raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor: got {q.dtype} and {input.dtype}")
        if interpolation != "linear":
            q = q.detach()  # a step function of it
        result = call(op, (input, q, dim, keepdim, interpolation, ignore_nan), {})
        return result if out is None else write_out(out, result)

    kept = " of what is not NaN" if ignore_nan else "; NaN where there is one"
    quantile_of.__doc__ = f"The value below which a share ``q`` of the elements over ``dim`` (all by default) lies{kept}."
    publish(name, quantile_of, exact_out=True)


_publish_quantile("quantile", ignore_nan=False)
_publish_quantile("nanquantile", ignore_nan=True)


# -- covariances


def cov(input, *, correction=1, fweights=None, aweights=None):
    """The covariances of variables (rows) over observations (columns): Σ w (x − x̄)(y − ȳ)* / norm.

    ``fweights`` are counts of the observations, ``aweights`` their weights.
    """
    if input.ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions but got an input with {input.ndim} dimensions")
    if input.dtype == jnp.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        input = input.astype(_dtype.get_default_dtype().numpy)
    x = jnp.atleast_2d(input)
    x = x - near_mean(x, (1,)) if wide_type(x.dtype) == x.dtype else x
    count = x.shape[1]
    weights = None
    for name, given, kinds in (("fweights", fweights, jnp.integer), ("aweights", aweights, jnp.floating)):
        if given is None:
            continue
        if given.ndim > 1 or not jnp.issubdtype(given.dtype, kinds) or given.size != count:
            raise RuntimeError(
                f"cov(): expected {name} to be a vector of {count} {'integers' if kinds is jnp.integer else 'floats'}, one for each observation, "
                f"got shape {list(given.shape)} and dtype {_dtype.dtype.of(given.dtype)}"
            )
        weights = given if weights is None else weights * given
    total = count if weights is None else jnp.sum(weights)
    shared = x if weights is None else x * weights
    mean = jnp.sum(shared, 1, keepdims=True) / total
    if correction == 0 or aweights is None:
        norm = total - correction
    else:
        norm = total - correction * jnp.sum(weights * aweights) / total
    if isinstance(norm, int) and norm <= 0:
        warn("cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.")
    norm = jnp.maximum(norm, 0)
    x = x - mean
    weighted = x if weights is None else x * weights
    return jnp.squeeze(jnp.matmul(x, jnp.conj(weighted.T), precision=lax.Precision.HIGHEST).astype(x.dtype) / norm.astype(x.real.dtype))


def corrcoef(input):
    """The correlations of variables (rows) over observations (columns), kept between −1 and 1."""
    covariances = cov(input)
    if covariances.ndim == 0:
        return covariances / covariances
    deviations = jnp.sqrt(jnp.real(jnp.diagonal(covariances)))
    result = covariances / deviations[:, None] / deviations[None, :]
    if not jnp.iscomplexobj(result):
        return _within_one(result)
    return lax.complex(_within_one(result.real), _within_one(result.imag))


def _within_one(x):
    return jnp.where(x < -1, -1, jnp.where(x > 1, 1, x))


def _gradient_of_corrcoef(input):
    if input.dim() < 2 or input.size(0) == 1:
        return "DivBackward0"
    return "ComplexBackward0" if input.is_complex() else "ClampBackward1"


_cov_op = Op(cov, "SqueezeBackward0")


def _run_cov(input, *, correction=1, fweights=None, aweights=None):
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        values = None if given is None else known(given)
        if values is not None and values.min() < 0:
            raise RuntimeError(f"cov(): {name} cannot be negative, got {values.min()}")
    return call(_cov_op, (input,), {"correction": correction, "fweights": fweights, "aweights": aweights})


publish("cov", _run_cov, cov)
row("corrcoef", corrcoef, _gradient_of_corrcoef)
