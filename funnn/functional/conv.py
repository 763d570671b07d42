"""Convolution (cross-correlation, as in every deep learning library) over one, two or three spatial axes."""

from __future__ import annotations

from collections.abc import Sequence

import jax
from jax import lax

from funnn.errors import ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public

Ints = int | Sequence[int]


def _padding(name: str, padding: str | Ints, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]):
    """The (before, after) padding of each axis."""
    n = len(kernel)
    if not isinstance(padding, str):
        pads = check.ntuple(name, "padding", padding, n)
        if any(p < 0 for p in pads):
            raise ValueError(f"{name}: negative padding is not supported, but got padding={list(pads)}")
        return [(p, p) for p in pads]
    if padding == "valid":
        return [(0, 0)] * n
    if padding != "same":
        raise ValueError(f"{name}: Invalid padding string: {padding!r}, should be one of 'valid', 'same'")
    if any(s != 1 for s in stride):
        raise ValueError(f"{name}: padding='same' is not supported for strided convolutions, but got stride={list(stride)}; set stride=1")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]  # the odd one goes to the end, as in torch


def _check_shapes(name: str, n: int, input: jax.Array, weight: jax.Array, bias: jax.Array | None, groups: int) -> None:
    size, kernel = check.shape(input), check.shape(weight)
    if input.ndim not in (n + 1, n + 2):
        raise ShapeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to {name}, but got input of size: {size}")
    if weight.ndim != n + 2:
        raise ShapeError(f"{name}: expected a {n + 2}D weight (out_channels, in_channels / groups, *kernel_size), but got size: {kernel}")
    if groups < 1:
        raise ValueError(f"{name}: non-positive groups is not supported, but got groups={groups}")
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
    input = check.floating(name, "input", input)
    weight = check.like(name, "weight", weight, input)
    bias = bias if bias is None else check.like(name, "bias", bias, input)
    _check_shapes(name, n, input, weight, bias, groups)
    stride = check.ntuple(name, "stride", stride, n)
    dilation = check.ntuple(name, "dilation", dilation, n)
    if min(stride) < 1:
        raise ValueError(f"{name}: non-positive stride is not supported, but got stride={list(stride)}")
    if min(dilation) < 1:
        raise ValueError(f"{name}: dilation should be greater than zero, but got {list(dilation)}")
    kernel = weight.shape[2:]
    pads = _padding(name, padding, kernel, stride, dilation)
    padded = [size + sum(pad) for size, pad in zip(input.shape[-n:], pads, strict=True)]
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    if any(r > p for r, p in zip(reach, padded, strict=True)):
        by = " x ".join
        raise ShapeError(
            f"Calculated padded input size per channel: ({by(map(str, padded))}). Kernel size: ({by(map(str, reach))}). "
            f"Kernel size can't be greater than actual input size. {name} got input of size {check.shape(input)}: "
            "give a larger input, a smaller kernel or dilation, or more padding."
        )
    batched = input.ndim == n + 2
    x = input if batched else input[None]
    axes = "DHW"[-n:]
    output = lax.conv_general_dilated(
        x,
        weight,
        stride,
        pads,
        rhs_dilation=dilation,
        dimension_numbers=("NC" + axes, "OI" + axes, "NC" + axes),
        feature_group_count=groups,
    )
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


def _row(n: int):  # the return type is left to inference, which keeps the whole signature visible to editors
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
