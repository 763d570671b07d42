"""Convolution by oneDNN, which XLA:CPU has in it and does not use by itself: a custom call of XLA's own, in programs for one CPU device.

oneDNN is what PyTorch convolves with on a CPU, too. It takes float32 images in any layout. Here all have the channels first, so that no layout changes
between layers. XLA's call knows only the convolution itself, which gives its two transposes as follows:

- An input's gradient, at stride 1, is the convolution of g with the kernel turned round; at a stride that divides the kernel's size, that of blocks.
- The weight's gradient is one with g as the kernel and images as what is summed over. Its rows would be as short as the kernel's, which is slow. So x
  has the channels last there, and one row holds the numbers of all channels: with as many numbers between g's as there are channels, the result's row
  has the kernel's numbers of all channels.

Whether it is a call is settled when a program is lowered. What the call can't take is what ``otherwise`` makes of it, and so is all in

- programs for several devices, which XLA divides, and exported ones, which may run on other machines;
- programs that may be written to a disk or sent to another process, those of JAX's persistent compilation cache and of forked processes: XLA can't
  serialise a program with the call, and does not say so but reads what is not there. (So can't ``jax.experimental.serialize_executable``.) Who owns
  the process may compile in a context ``unkept``.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import batching, mlir

from funnn.functional._conv_xla import Geometry
from funnn.functional._varying import vary_alike

#: The releases of JAX whose XLA was tried, from the first to before the second: what the call says is no part of JAX's contract.
_TRIED = (0, 10), (0, 13)

#: What a processor must have, as Linux calls it. With AVX2 alone nothing is faster than without the call, and depthwise convolutions take ten times as long.
_AVX512 = {"avx512f", "avx512bw", "avx512dq", "avx512vl"}
_PROCESS = os.getpid()
_SECONDS = "jax_persistent_cache_min_compile_time_secs"  # programs that were compiled in less are not kept
_NONE = ((0, 0), (0, 0))

Way = Callable[..., jax.Array]


def correlate(x: jax.Array, w: jax.Array, geometry: Geometry, otherwise: Way) -> jax.Array:
    """∂T/∂g, of two spatial axes."""
    return _choose(_correlate, otherwise, (x.shape[0], w.shape[0], *geometry.out), x, w, geometry, _takes(x, geometry))


def spread(g: jax.Array, w: jax.Array, geometry: Geometry, otherwise: Way) -> jax.Array:
    """∂T/∂x, of two spatial axes."""
    shape = (g.shape[0], geometry.groups * w.shape[1], *geometry.size)
    if set(geometry.stride) == {1}:
        return _choose(_spread, otherwise, shape, g, w, geometry, _takes(g, _turned(geometry)))
    divides = not any(k % s for k, s in zip(geometry.kernel, geometry.stride, strict=True))
    return _choose(
        _spread_in_blocks, otherwise, shape, g, w, geometry, divides and geometry.groups == 1 == max(geometry.dilation) and _takes(g)
    )


def contract(x: jax.Array, g: jax.Array, geometry: Geometry, otherwise: Way) -> jax.Array:
    """∂T/∂w, of two spatial axes."""
    alone = geometry.groups == x.shape[1] == g.shape[1] > 1
    way, takes = (_contract_alone, _takes(x)) if alone else (_contract, set(geometry.dilation) == {1} and _takes(x))
    shape = (g.shape[1], x.shape[1] // geometry.groups, *geometry.kernel)
    return _choose(way, otherwise, shape, x, g, geometry, takes)


@functools.cache
def is_there() -> bool:
    """Whether this machine and this XLA have it."""
    if not (_TRIED[0] <= jax.__version_info__[:2] < _TRIED[1] and sys.platform == "linux" and platform.machine() == "x86_64"):
        return False
    try:
        return _AVX512.issubset(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False


def is_kept() -> bool:
    """Whether programs that are compiled now may be serialised."""
    kept = jax.config.values["jax_compilation_cache_dir"] is not None and jax.config.values[_SECONDS] < math.inf
    return kept or os.getpid() != _PROCESS


@contextlib.contextmanager
def unkept() -> Iterator[None]:
    """A context in which JAX keeps nothing of what is compiled, in the whole process: no other thread may compile meanwhile."""
    before = jax.config.values[_SECONDS]
    jax.config.update(_SECONDS, math.inf)
    try:
        yield
    finally:
        jax.config.update(_SECONDS, before)


def _takes(x: jax.Array, geometry: Geometry | None = None) -> bool:
    """Whether the call has this type, and with a geometry its padding."""
    return x.dtype == jnp.float32 and is_there() and (geometry is None or min(map(min, geometry.pads)) >= 0)


# -- the three sums


def _correlate(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    shape = (x.shape[0], w.shape[0], *geometry.out)
    return _call(x, w, "OIHW", shape, geometry.stride, geometry.dilation, geometry.pads, geometry.groups)


def _turned(geometry: Geometry) -> Geometry:
    """That of the convolution of g, at stride 1, which gives x."""
    one = (1,) * len(geometry.kernel)
    return geometry._replace(size=geometry.out, out=geometry.size, stride=one, padding=tuple(low for low, _ in geometry.turned_pads))


def _spread(g: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    turned, w = _turned(geometry), lax.rev(w, (2, 3))
    if geometry.groups > 1:
        w = jnp.moveaxis(w.reshape(geometry.groups, -1, *w.shape[1:]), 1, 2)
        w = w.reshape(-1, *w.shape[2:])
    names = "IOHW" if geometry.groups == 1 else "OIHW"
    shape = (g.shape[0], w.shape[names.index("O")], *geometry.size)
    return _call(g, w, names, shape, turned.stride, turned.dilation, turned.pads, geometry.groups)


def _spread_in_blocks(g: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """With blocks of the stride's size as one place, and their numbers as so many results, the stride is 1."""
    (images, _, *out), (results, channels), stride = g.shape, w.shape[:2], geometry.stride
    height, width = (k // s for k, s in zip(geometry.kernel, stride, strict=True))
    w = lax.rev(w.reshape(results, channels, height, stride[0], width, stride[1]), (2, 4))
    w = jnp.moveaxis(w, (3, 5), (2, 3)).reshape(results, -1, height, width)
    blocks = [max(out, -(-(size + low) // s)) for out, size, low, s in zip(out, geometry.size, geometry.padding, stride, strict=True)]
    pads = [(height - 1, blocks[0] - out[0]), (width - 1, blocks[1] - out[1])]
    x = _call(g, w, "IOHW", (images, w.shape[1], *blocks), (1, 1), (1, 1), pads, 1)
    x = jnp.moveaxis(x.reshape(images, channels, *stride, *blocks), (2, 3), (3, 5))
    x = x.reshape(images, channels, blocks[0] * stride[0], blocks[1] * stride[1])
    ends = zip(geometry.size, geometry.padding, x.shape[2:], strict=True)
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *((-low, size + low - length, 0) for size, low, length in ends)])


def _contract(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    groups, images, results, (height, width) = geometry.groups, x.shape[0], g.shape[1], geometry.kernel
    x = _padded(x, geometry)
    channels, rows = x.shape[1] // groups, x.shape[2]
    x = jnp.moveaxis(x.reshape(images, groups, channels, rows, -1), (1, 2), (0, -1)).reshape(1, groups * images, rows, -1)
    apart = (geometry.stride[0], geometry.stride[1] * channels)
    w = _call(x, g, "IOHW", (1, results, height, width * channels), (1, 1), apart, _NONE, groups)
    return jnp.moveaxis(w.reshape(results, height, width, channels), -1, 1)


def _contract_alone(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    """Of groups of one channel and one result: each channel of each image is a group of the call."""
    shape, x = (*x.shape[:2], *geometry.kernel), _padded(x, geometry)
    groups = shape[0] * shape[1]
    x, g = x.reshape(1, groups, *x.shape[2:]), g.reshape(groups, 1, *g.shape[2:])
    w = _call(x, g, "OIHW", (1, groups, *geometry.kernel), geometry.dilation, geometry.stride, _NONE, groups)
    return jnp.sum(w.reshape(shape), 0)[:, None]


def _padded(x: jax.Array, geometry: Geometry) -> jax.Array:
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *((low, high, 0) for low, high in geometry.pads)])


# -- the call


def _call(
    x: jax.Array,
    w: jax.Array,
    kernel: str,
    shape: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    pads: Sequence[tuple[int, int]],
    groups: int,
) -> jax.Array:
    """One call, of x (N, C, H, W); ``kernel`` are the axes of w, and ``shape`` the result's."""
    image = {"data": {"batch_dim": 0, "feature_dim": 1, "spatial_dims": [2, 3]}}
    places = {"output_feature_dim": kernel.index("O"), "input_feature_dim": kernel.index("I"), "spatial_dims": [2, 3]}
    low, high = ([ends[side] for ends in pads] for side in (0, 1))
    window = {"pad_left": low, "pad_right": high, "strides": list(stride), "window_dilations": list(dilation)}
    config = {"dims": 4, "feature_groups": groups, "input": image, "kernel": {"filter": places}, "output": image, "window": window}
    result: jax.Array = _call_p.bind(x, w, shape=tuple(shape), config=json.dumps({"onednn_conv_config": config}))
    return result


def _lower_call(context: Any, x: Any, w: Any, *, shape: Sequence[int], config: str) -> Any:
    return jax.ffi.ffi_lowering("__onednn$convolution", backend_config=config, api_version=2)(context, x, w)


_call_p = Primitive("funnn_onednn_convolution")
_call_p.def_abstract_eval(lambda x, w, shape, config: x.update(shape=shape))
mlir.register_lowering(_call_p, _lower_call)


# -- the choice


def _choose(way: Way, otherwise: Way, shape: tuple[int, ...], a: jax.Array, b: jax.Array, geometry: Geometry, takes: bool) -> jax.Array:
    if not takes:
        return otherwise(a, b, geometry)
    result: jax.Array = _choice_p.bind(*vary_alike(a, b), way=way, otherwise=otherwise, shape=shape, geometry=geometry)
    return result


def _lower_choice(context: Any, a: Any, b: Any, *, way: Way, otherwise: Way, shape: tuple[int, ...], geometry: Geometry) -> Any:
    module = context.module_context
    alone = getattr(module.axis_context, "num_devices", None) == 1 and not module.lowering_parameters.for_export and not is_kept()
    return mlir.lower_fun(functools.partial(way if alone else otherwise, geometry=geometry), multiple_results=False)(context, a, b)


def _batch_choice(arrays: Any, axes: Any, *, way: Way, otherwise: Way, shape: tuple[int, ...], geometry: Geometry) -> Any:
    """Where images alone are mapped, they are more images; else what JAX makes of the other way."""
    a, b = arrays
    if axes[1] is not None or way in (_contract, _contract_alone):
        return jax.vmap(functools.partial(otherwise, geometry=geometry), axes)(a, b), 0
    a = jnp.moveaxis(a, axes[0], 0)
    members, images = a.shape[:2]
    result = _choose(way, otherwise, (members * images, *shape[1:]), a.reshape(-1, *a.shape[2:]), b, geometry, takes=True)
    return result.reshape(members, images, *shape[1:]), 0


_choice_p = Primitive("funnn_convolution_choice")
_choice_p.def_impl(lambda a, b, **settings: jax.jit(functools.partial(_choice_p.bind, **settings))(a, b))
_choice_p.def_abstract_eval(lambda a, b, way, otherwise, shape, geometry: a.update(shape=shape))
mlir.register_lowering(_choice_p, _lower_choice)
batching.primitive_batchers[_choice_p] = _batch_choice
