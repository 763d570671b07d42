"""Convolution (cross-correlation, as in every deep learning library) over one, two or three spatial axes."""

from __future__ import annotations

from typing import Protocol

import jax
import jax.numpy as jnp
from jax import lax

from funnn._types import Ints
from funnn.errors import ArgumentError, DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional import _conv_kernel as kernel
from funnn.functional._conv_xla import Geometry
from funnn.functional._dispatch import Public, public
from funnn.functional._warn import left_to_collector


class Conv(Public, Protocol):
    def __call__(
        self,
        input: jax.Array,
        weight: jax.Array,
        bias: jax.Array | None = None,
        stride: Ints = 1,
        padding: str | Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
    ) -> jax.Array: ...


class ConvTranspose(Public, Protocol):
    def __call__(
        self,
        input: jax.Array,
        weight: jax.Array,
        bias: jax.Array | None = None,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        dilation: Ints = 1,
    ) -> jax.Array: ...


def _padding(
    name: str, padding: str | Ints, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> list[tuple[int, int]]:
    """The (before, after) padding of each axis."""
    n = len(kernel)
    if not isinstance(padding, str):
        pads = check.ntuple(name, "padding", padding, n)
        if any(p < 0 for p in pads):
            raise ArgumentError(f"{name}: negative padding is not supported, but got padding={list(pads)}")
        return [(p, p) for p in pads]
    if padding == "valid":
        return [(0, 0)] * n
    if padding != "same":
        raise ArgumentError(f"{name}: Invalid padding string: {padding!r}, should be one of 'valid', 'same'")
    if any(s != 1 for s in stride):
        raise ArgumentError(
            f"{name}: padding='same' is not supported for strided convolutions, but got stride={list(stride)}; set stride=1"
        )
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(
        isinstance(total, int) and total % 2 for total in totals
    ):  # which costs nothing here; users of funnn.torch hear it, as from torch
        left_to_collector(
            "Using padding='same' with even kernel lengths and odd dilation may require a zero-padded copy of the input be created",
            UserWarning,
            once=True,
        )
    return [(total // 2, total - total // 2) for total in totals]  # the odd one goes to the end, as in torch


def _check_ranks(name: str, n: int, input: jax.Array, weight: jax.Array, channels: str, groups: int) -> None:
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(
            f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: {check.shape(input)}"
        )
    if weight.ndim != n + 2:
        raise ShapeError(f"{name}: expected a {n + 2}D weight ({channels}, *kernel_size), but got size: {check.shape(weight)}")
    if groups < 1:
        raise ArgumentError(f"{name}: non-positive groups is not supported, but got groups={groups}")


def _check_shapes(name: str, n: int, input: jax.Array, weight: jax.Array, bias: jax.Array | None, groups: int) -> None:
    _check_ranks(name, n, input, weight, "out_channels, in_channels / groups", groups)
    size, kernel = check.shape(input), check.shape(weight)
    if kernel[0] % groups:
        raise ShapeError(
            f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size {kernel} instead"
        )
    channels = size[-n - 1]
    if channels != kernel[1] * groups:
        raise ShapeError(
            f"Given groups={groups}, weight of size {kernel}, expected input{size} to have {kernel[1] * groups} channels, "
            f"but got {channels} channels instead. {name} takes (N, C_in, *spatial): give an input with {kernel[1] * groups} channels, "
            f"or a weight of size {[kernel[0], channels // groups, *kernel[2:]]}."
        )
    if bias is not None and bias.shape != (kernel[0],):
        raise ShapeError(
            f"Given weight of size {kernel}, expected bias to be 1-dimensional with {kernel[0]} elements, "
            f"but got bias of size {check.shape(bias)} instead"
        )


def _same_dtype(name: str, input: jax.Array, weight: jax.Array, bias: jax.Array | None) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    input = check.array("input", input)
    if input.dtype == jnp.bool_:
        raise DtypeError(f'"{name}" not implemented for bool: input must hold numbers. Convert it, e.g. input.astype(jnp.float32).')
    return input, check.like(name, "weight", weight, input), None if bias is None else check.like(name, "bias", bias, input)


def _conv(
    name: str,
    n: int,
    input: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None,
    stride: Ints,
    padding: str | Ints,
    dilation: Ints,
    groups: int,
) -> jax.Array:
    """The convolution over the last ``n`` axes that conv1d, conv2d and conv3d are rows of."""
    input, weight, bias = _same_dtype(name, input, weight, bias)
    _check_shapes(name, n, input, weight, bias, groups)
    stride = check.ntuple(name, "stride", stride, n)
    dilation = check.ntuple(name, "dilation", dilation, n)
    if min(stride) < 1:
        raise ArgumentError(f"{name}: non-positive stride is not supported, but got stride={list(stride)}")
    if min(dilation) < 1:
        raise ArgumentError(f"{name}: dilation should be greater than zero, but got {list(dilation)}")
    pads = _padding(name, padding, weight.shape[2:], stride, dilation)
    padded = [size + sum(pad) for size, pad in zip(input.shape[-n:], pads, strict=True)]
    reach = [d * (k - 1) + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    if not check.has_symbol(padded) and any(r > p for r, p in zip(reach, padded, strict=True)):
        by = " x ".join
        raise ShapeError(
            f"Calculated padded input size per channel: ({by(map(str, padded))}). Kernel size: ({by(map(str, reach))}). "
            f"Kernel size can't be greater than actual input size. {name} got input of size {check.shape(input)}: "
            "give a larger input, a smaller kernel or dilation, or more padding."
        )
    batched = input.ndim == n + 2
    x = input if batched else input[None]
    out = tuple((p - r) // s + 1 for p, r, s in zip(padded, reach, stride, strict=True))
    geometry = Geometry(x.shape[2:], out, weight.shape[2:], stride, dilation, tuple(low for low, _ in pads), groups)
    output = kernel.correlate(x, weight, geometry)
    if bias is not None:
        output = output + lax.expand_dims(bias, range(1, n + 1))
    return output if batched else output[0]


def _conv_transpose(
    name: str,
    n: int,
    input: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None,
    stride: Ints,
    padding: Ints,
    output_padding: Ints,
    groups: int,
    dilation: Ints,
) -> jax.Array:
    """The transpose of ``_conv`` in its input: a convolution of the input spread out by the stride, with the kernel turned round."""
    input, weight, bias = _same_dtype(name, input, weight, bias)
    _check_ranks(name, n, input, weight, "in_channels, out_channels / groups", groups)
    size, shape = check.shape(input), check.shape(weight)
    channels = size[-n - 1]
    if channels != shape[0] or channels % groups:
        raise ShapeError(
            f"Given transposed=1, weight of size {shape}, expected input{size} to have {shape[0]} channels, but got {channels} channels "
            f"instead, in groups={groups}, which must divide them"
        )
    if bias is not None and bias.shape != (shape[1] * groups,):
        raise ShapeError(
            f"Given transposed=1, weight of size {shape}, expected bias to be 1-dimensional with {shape[1] * groups} elements, "
            f"but got bias of size {check.shape(bias)} instead"
        )
    strides, pads = check.ntuple(name, "stride", stride, n), check.ntuple(name, "padding", padding, n)
    extras, dilations = check.ntuple(name, "output_padding", output_padding, n), check.ntuple(name, "dilation", dilation, n)
    if min(strides) < 1:
        raise ArgumentError(f"{name}: non-positive stride is not supported, but got stride={list(strides)}")
    if min(dilations) < 1:
        raise ArgumentError(f"{name}: dilation should be greater than zero, but got {list(dilations)}")
    if min(pads) < 0 or min(extras) < 0:
        raise ArgumentError(f"{name}: negative padding is not supported, but got padding={list(pads)}, output_padding={list(extras)}")
    for extra, s, d in zip(extras, strides, dilations, strict=True):
        if extra >= max(s, d):
            raise ArgumentError(
                f"output padding must be smaller than either stride or dilation, but got output_padding={list(extras)} "
                f"stride={list(strides)} dilation={list(dilations)}"
            )
    reach = [d * (k - 1) for k, d in zip(shape[2:], dilations, strict=True)]
    sizes = [(length - 1) * s - 2 * p + r + e + 1 for length, s, p, r, e in zip(size[-n:], strides, pads, reach, extras, strict=True)]
    if not check.has_symbol(sizes) and min(sizes) < 1:
        raise ShapeError(
            f"{name}: Given input size per channel: {size[-n:]}. Calculated output size per channel: {sizes}. Output size is too small"
        )
    batched = input.ndim == n + 2
    geometry = Geometry(tuple(sizes), tuple(size[-n:]), weight.shape[2:], strides, dilations, pads, groups)
    output = kernel.spread(input if batched else input[None], weight, geometry)
    if bias is not None:
        output = output + lax.expand_dims(bias, range(1, n + 1))
    return output if batched else output[0]


_DOC = """Convolve (cross-correlate) over the last {n} axes of ``input``.

    ``y[n, o, p] = b[o] + Σ_c Σ_k W[o, c, k] · x[n, g·C + c, stride·p + dilation·k − padding]``, where p and k run over {n} axes,
    C is in_channels / groups, and g is the group that output channel o belongs to.

    Args:
      input: ``x``, of shape (N, C_in, {axes}), or (C_in, {axes}) without a batch.
      weight: ``W``, of shape (C_out, C_in / groups, {kernels}).
      bias: ``b``, of shape (C_out,); default none.
      stride: step between windows, an int or one per axis; default 1.
      padding: zeros on both sides, an int or one per axis, 'valid' (none) or 'same' (output as large as the input; stride 1 only);
        default 0.
      dilation: step between kernel elements, an int or one per axis; default 1.
      groups: number of blocks that the channels are split into; it divides C_in and C_out; default 1.

    Returns:
      An array of shape (N, C_out, {outs}), or without N, with ``L_out = ⌊(L + 2·padding − dilation·(k − 1) − 1) / stride⌋ + 1``
      along each axis, of the input's dtype.

    Raises:
      ShapeError: ranks, channels or sizes do not fit; the text says which.
      DtypeError: input, weight and bias differ in dtype, or are not floating point.
      ValueError: stride, padding, dilation or groups out of range.

    Source: torch.nn.functional.{name}.

    Example:
      >>> import jax.numpy as jnp
      >>> {name}(jnp.ones((1, {ones})), jnp.ones((1, 1, {twos})), padding="same").shape
      (1, {ones})
    """


def _row(n: int) -> Conv:
    def conv(
        input: jax.Array,
        weight: jax.Array,
        bias: jax.Array | None = None,
        stride: Ints = 1,
        padding: str | Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
    ) -> jax.Array:
        return _conv(name, n, input, weight, bias, stride, padding, dilation, groups)

    name = conv.__name__ = conv.__qualname__ = f"conv{n}d"

    def sizes(pattern: str) -> str:
        return ", ".join(pattern.format(a) for a in "DHW"[-n:])

    conv.__doc__ = _DOC.format(
        name=name, n=n, axes=sizes("{}"), kernels=sizes("k{}"), outs=sizes("{}_out"), ones=", ".join("1567"[: n + 1]), twos=sizes("3")
    )
    return public(conv)


conv1d, conv2d, conv3d = _row(1), _row(2), _row(3)


_TRANSPOSE_DOC = """Apply the transpose of a convolution over the last {n} axes: what conv{n}d does to the gradient of its output.

    ``y[n, o, stride·p + dilation·k − padding] += Σ_c W[c, o, k] · x[n, c, p]``, plus ``b[o]``, within each group of channels.

    Args:
      input: ``x``, of shape (N, C_in, {axes}), or (C_in, {axes}) without a batch.
      weight: ``W``, of shape (C_in, C_out / groups, {kernels}).
      bias: ``b``, of shape (C_out,); default none.
      stride: step between the windows of the output, an int or one per axis; default 1.
      padding: what is cut off on both sides of the output; default 0.
      output_padding: what is added at the end of the output, smaller than stride or dilation; default 0.
      groups: number of blocks that the channels are split into; default 1.
      dilation: step between kernel elements; default 1.

    Returns:
      An array of shape (N, C_out, {outs}), or without N, with
      ``L_out = (L − 1) · stride − 2 · padding + dilation · (k − 1) + output_padding + 1`` along each axis, of the input's dtype.

    Raises:
      ShapeError: ranks, channels or sizes do not fit; the text says which.
      DtypeError: input, weight and bias differ in dtype, or are boolean.
      ArgumentError: stride, padding, output_padding, dilation or groups out of range.

    Source: torch.nn.functional.{name}.

    Example:
      >>> import jax.numpy as jnp
      >>> {name}(jnp.ones((1, {ones})), jnp.ones((1, 1, {twos})), stride=2).shape
      (1, {doubled})
    """


def _transpose_row(n: int) -> ConvTranspose:
    def conv_transpose(
        input: jax.Array,
        weight: jax.Array,
        bias: jax.Array | None = None,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        dilation: Ints = 1,
    ) -> jax.Array:
        return _conv_transpose(f"conv_transpose{n}d", n, input, weight, bias, stride, padding, output_padding, groups, dilation)

    axes = "DHW"[-n:]
    conv_transpose.__name__ = conv_transpose.__qualname__ = f"conv_transpose{n}d"
    conv_transpose.__doc__ = _TRANSPOSE_DOC.format(
        name=conv_transpose.__name__,
        n=n,
        axes=", ".join(axes),
        kernels=", ".join(f"k_{a}" for a in axes),
        outs=", ".join(f"{a}_out" for a in axes),
        ones=", ".join(["3"] * n),
        twos=", ".join(["2"] * n),
        doubled=", ".join(["6"] * n),
    )
    return public(conv_transpose)


conv_transpose1d, conv_transpose2d, conv_transpose3d = (_transpose_row(n) for n in (1, 2, 3))


@public
def conv_tbc(input: jax.Array, weight: jax.Array, bias: jax.Array, pad: int = 0) -> jax.Array:
    """Convolve over time, which is the first axis: ``y[t, n, o] = b[o] + Σ_k Σ_c W[k, c, o] · x[t + k − pad, n, c]``.

    Args:
      input: ``x``, of shape (T, N, C_in).
      weight: ``W``, of shape (k, C_in, C_out).
      bias: ``b``, of shape (C_out,).
      pad: zeros on both sides of time; default 0.

    Returns:
      An array of shape (T + 2·pad − k + 1, N, C_out), of the input's dtype.

    Raises:
      ShapeError: ranks, channels or sizes do not fit.
      DtypeError: input, weight and bias differ in dtype, or are boolean.

    Source: torch.nn.functional.conv_tbc.

    Example:
      >>> import jax.numpy as jnp
      >>> conv_tbc(jnp.ones((5, 1, 2)), jnp.ones((3, 2, 1)), jnp.zeros(1), pad=1)[:, 0, 0].tolist()
      [4.0, 6.0, 6.0, 6.0, 4.0]
    """
    input, weight, biases = _same_dtype("conv_tbc", input, weight, bias)
    if input.ndim != 3 or weight.ndim != 3:
        raise ShapeError(
            f"Input must have 3 dims: time, batch, in_channel, and weight 3: kernel, in_channel, out_channel; got input of size "
            f"{check.shape(input)} and weight of size {check.shape(weight)}"
        )
    return jnp.moveaxis(_conv("conv_tbc", 1, jnp.moveaxis(input, 0, 2), jnp.transpose(weight, (2, 1, 0)), biases, 1, pad, 1, 1), 2, 0)
