"""Numbers as they are after quantising and back, with the gradient of the identity inside the range: what quantisation-aware training computes with."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.elementwise import require
from funnn.engine.ops.kit.index_kernels import known
from funnn.engine.ops.kit.table import publish, row
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import dtype


def _check_range(zero_point: Any, quant_min: int, quant_max: int) -> None:
    if quant_min > quant_max:
        raise RuntimeError(f"`quant_min` should be less than or         equal to `quant_max`, but got {quant_min} and {quant_max}.")
    if isinstance(zero_point, int) and not quant_min <= zero_point <= quant_max:
        raise RuntimeError(f"`zero_point` must be between `quant_min` and `quant_max`; {zero_point} is not in [{quant_min}, {quant_max}].")


def _fake_quantize(input: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int, finite: bool = False) -> Any:
    """Rounded and back; ``finite``: infinities, as what is not a number, take the least place."""
    require("fake_quantize_tensor_cachemask_kernel_type_handling", input, "f")
    x = input.astype(jnp.float32) if input.dtype.itemsize < 4 else input
    first = isinstance(zero_point, jax.Array) and jnp.issubdtype(zero_point.dtype, jnp.floating)  # then it is added before it is rounded
    scale, zero_point = (jnp.asarray(value, np.float32) for value in (scale, zero_point))
    scaled = lax.stop_gradient(x) * (1 / scale)
    places = jnp.round(scaled + zero_point) if first else jnp.round(scaled) + zero_point
    inside = (places >= quant_min) & (places <= quant_max)
    nowhere = ~jnp.isfinite(places) if finite else jnp.isnan(places)
    places = jnp.where(nowhere, quant_min, jnp.clip(places, quant_min, quant_max))
    value = (places.astype(np.float32) - zero_point) * scale
    return value.astype(input.dtype) + jnp.where(inside, input - lax.stop_gradient(input), 0)


def fake_quantize_per_tensor_affine(input, scale, zero_point, quant_min, quant_max):
    """(clip(round(input/scale) + zero_point, quant_min, quant_max) − zero_point)·scale; the gradient is 1 where nothing was clipped, else 0."""
    _check_range(zero_point, quant_min, quant_max)
    for value in (scale, zero_point):
        if isinstance(value, jax.Array) and value.size != 1:
            raise RuntimeError(f"scale and zero_point are one number each, but one of them has shape {list(value.shape)}")
    scale, zero_point = (value.reshape(()) if isinstance(value, jax.Array) else value for value in (scale, zero_point))
    return _fake_quantize(input, scale, zero_point, quant_min, quant_max)


def fake_quantize_per_channel_affine(input, scale: Array, zero_point: Array, axis, quant_min, quant_max):
    """As :func:`fake_quantize_per_tensor_affine`, with a scale and a zero point for each slice along ``axis``."""
    kinds = [dtype.of(array.dtype).legacy for array in (scale, zero_point)]
    if kinds[0] not in ("Float", "BFloat16"):
        raise RuntimeError(f"Scale must be Float or BFloat16, found {kinds[0]}; convert it with .to(dtype)")
    if kinds[1] not in ("Int", "Float", "Half"):
        raise RuntimeError(f"Zero-point must be Int32, Float or Half, found {kinds[1]}; convert it with .to(dtype)")
    for name, array in (("scale", scale), ("zero point", zero_point)):
        if array.ndim != 1:
            raise RuntimeError(f"{name} should be a 1-D tensor, but it has {array.ndim} dimensions")
    if scale.shape != zero_point.shape:
        raise RuntimeError(
            f"scale and zero-point need to have the same dimensions, but got {list(scale.shape)} and {list(zero_point.shape)}"
        )
    _check_range(None, quant_min, quant_max)
    if wrap_dim(axis, input.ndim) != axis:
        raise RuntimeError(f"`axis` must be between 0 and number of dimensions of input; it is {axis}")
    if scale.shape[0] != input.shape[axis]:
        raise RuntimeError(
            f"dimensions of scale and zero-point are not consistent with input tensor: {scale.shape[0]} of them, and {input.shape[axis]} slices"
        )
    shape = [-1 if place == axis else 1 for place in range(input.ndim)]
    return _fake_quantize(input, scale.reshape(shape), zero_point.reshape(shape), quant_min, quant_max, True)


def _node_of_tensor(input, scale, zero_point, quant_min, quant_max):
    return f"FakeQuantizePerTensorAffineCachemask{'TensorQparams' if isinstance(scale, Tensor) else ''}Backward0"


_per_channel = Op(fake_quantize_per_channel_affine, "FakeQuantizePerChannelAffineCachemaskBackward0")


def _run_per_channel(input: Tensor, scale: Tensor, zero_point: Tensor, axis: Any, quant_min: Any, quant_max: Any) -> Any:
    """Whole zero points are looked at where they are known."""
    result = call(_per_channel, (input, scale, zero_point, axis, quant_min, quant_max), {})
    points = None if zero_point.dtype.is_floating_point else known(zero_point)
    if points is not None and points.size and not (points.min() >= quant_min and points.max() <= quant_max):
        raise RuntimeError(f"`zero_point` must be between `quant_min` and `quant_max`, but they are in [{points.min()}, {points.max()}].")
    return result


row("fake_quantize_per_tensor_affine", fake_quantize_per_tensor_affine, _node_of_tensor, scalars=("scale",), method=False, elementwise=True)
publish("fake_quantize_per_channel_affine", _run_per_channel, fake_quantize_per_channel_affine, method=False, elementwise=True)
