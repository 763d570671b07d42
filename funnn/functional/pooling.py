"""Max, average and power-average pooling over one, two or three spatial axes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from funnn._types import Arrays, Ints
from funnn.errors import ArgumentError, ShapeError
from funnn.functional import _checks as check
from funnn.functional import _windows as windows
from funnn.functional._dispatch import P, Public, PublicFunction, R, public
from funnn.functional._slope import magnitude


class MaxPool(Public, Protocol):
    def __call__(
        self,
        input: jax.Array,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> jax.Array | tuple[jax.Array, jax.Array]: ...


class MaxPoolWithIndices(Public, Protocol):
    def __call__(
        self,
        input: jax.Array,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> tuple[jax.Array, jax.Array]: ...


class AvgPool(Public, Protocol):
    def __call__(
        self,
        input: jax.Array,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> jax.Array: ...


class LPPool(Public, Protocol):
    def __call__(
        self, input: jax.Array, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
    ) -> jax.Array: ...


Axis = tuple[int, int, int, int, int, int]  # size, out, kernel, stride, padding and dilation


def _out_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """The number of windows along an axis. In ceil_mode a last, partial window counts unless it starts in the right padding."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    out = (-(-room // stride) if ceil_mode else room // stride) + 1
    if ceil_mode and (out - 1) * stride >= size + padding:
        out -= 1
    return out


def _geometry(
    name: str, n: int, input: jax.Array, kernel_size: Ints, stride: Ints | None, padding: Ints, dilation: Ints, ceil_mode: bool
) -> list[Axis]:
    """Check a pool's arguments."""
    size = check.shape(input)
    if input.ndim not in (n + 1, n + 2) or 0 in size[-n - 1 :]:
        raise ShapeError(
            f"{name}: Expected {n + 1}D or {n + 2}D (batch mode) tensor with optional 0 dim batch size for input "
            f"(non-empty apart from the batch), but got:{size}. {name} takes (N, C, *spatial) or (C, *spatial)."
        )
    kernels = check.ntuple(name, "kernel_size", kernel_size, n)
    strides = kernels if stride is None or stride in ((), []) else check.ntuple(name, "stride", stride, n)
    pads, dilations = check.ntuple(name, "padding", padding, n), check.ntuple(name, "dilation", dilation, n)
    for word, values in (("kernel_size", kernels), ("stride", strides), ("dilation", dilations)):
        if min(values) < 1:
            raise ArgumentError(f"{name}: {word} should be greater than zero (it should not be zero), but got {list(values)}")
    for k, p, d in zip(kernels, pads, dilations, strict=True):
        if p < 0:
            raise ArgumentError(f"{name}: pad must be non-negative, but got pad: {p}")
        if p > (d * (k - 1) + 1) // 2:
            raise ArgumentError(
                f"{name}: pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and dilation={d}"
            )
    outs = [_out_size(*axis, ceil_mode) for axis in zip(size[-n:], kernels, strides, pads, dilations, strict=True)]
    if not check.has_symbol(outs) and min(outs) < 1:
        by, channels = "x".join, size[-n - 1]
        raise ShapeError(
            f"{name}: Given input size: ({by(map(str, size[-n - 1 :]))}). Calculated output size: ({by(map(str, [channels, *outs]))}). "
            "Output size is too small: give a larger input, a smaller kernel_size or dilation, or more padding."
        )
    return list(zip(size[-n:], outs, kernels, strides, pads, dilations, strict=True))


def _pool(arrays: Arrays, geometry: list[Axis], combine: windows.Combine, fills: tuple[float, ...], counts_padding: bool = False) -> Arrays:
    """Pad the last axes with ``fills`` and combine their windows: the one pool that all are rows of.

    Unless the padding counts, a window that begins in it begins with its first element.
    """
    rank = arrays[0].ndim - len(geometry)
    config = [(0, 0, 0)] * rank
    for size, out, kernel, stride, padding, dilation in geometry:
        needed = (out - 1) * stride + dilation * (kernel - 1) + 1
        missing = needed - size - padding
        config.append((padding, jax.core.max_dim(missing, 0) if check.has_symbol((missing,)) else max(missing, 0), 0))
    if any(low or high for low, high, _ in config):
        arrays = tuple(lax.pad(x, jnp.asarray(fill, x.dtype), config) for x, fill in zip(arrays, fills, strict=True))
    for axis in reversed(range(len(geometry))):
        _, out, kernel, stride, padding, dilation = geometry[axis]
        arrays = windows.regular(arrays, rank + axis, out, kernel, stride, dilation, combine, 0 if counts_padding else padding)
    return arrays


def _divisors(geometry: list[Axis], count_include_pad: bool) -> Any:
    """How many elements each window averages: with the padding or without, but never beyond it."""
    counts: list[Any] = []
    module: Any = jnp if check.has_symbol(*geometry) else np
    for size, out, kernel, stride, padding, _ in geometry:
        start = module.arange(out) * stride - padding
        end = module.minimum(start + kernel, size + padding)
        if not count_include_pad:
            start, end = module.maximum(start, 0), module.minimum(end, size)
        counts.append(end - start)
    return functools.reduce(module.multiply, module.ix_(*counts))


def lowest(x: jax.Array) -> float:
    return -np.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min


def _max_pool(
    name: str, n: int, input: jax.Array, kernel_size: Ints, stride: Ints | None, padding: Ints, dilation: Ints, ceil_mode: bool
) -> jax.Array:
    input = check.array("input", input)
    geometry = _geometry(name, n, input, kernel_size, stride, padding, dilation, ceil_mode)
    return _pool((input,), geometry, windows.first_max, (lowest(input),))[0]


def _max_pool_with_indices(
    name: str, n: int, input: jax.Array, kernel_size: Ints, stride: Ints | None, padding: Ints, dilation: Ints, ceil_mode: bool
) -> tuple[jax.Array, jax.Array]:
    input = check.array("input", input)
    geometry = _geometry(name, n, input, kernel_size, stride, padding, dilation, ceil_mode)
    rank = input.ndim - n
    numbers = windows.positions(input.shape[rank:], rank)
    values, positions = _pool((input, numbers), geometry, windows.first_max_with_position, (lowest(input), -1))
    return values, positions


def _avg_pool(
    name: str,
    n: int,
    input: jax.Array,
    kernel_size: Ints,
    stride: Ints | None,
    padding: Ints,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> jax.Array:
    input = check.array("input", input)
    whole = jnp.issubdtype(input.dtype, jnp.signedinteger)
    input = input if whole else check.floating(name, "input", input)
    if divisor_override == 0:
        raise ArgumentError(f"{name}: divisor must be not zero, but got divisor_override=0")
    geometry = _geometry(name, n, input, kernel_size, stride, padding, 1, ceil_mode)
    wide = input.dtype if whole else check.accumulator(input.dtype)
    divisors = _divisors(geometry, count_include_pad) if divisor_override is None else np.asarray(divisor_override)
    total = _pool((input.astype(wide),), geometry, windows.add, (0,), counts_padding=True)[0]
    same = not isinstance(divisors, jax.Array) and (divisors == divisors.flat[0]).all()
    divisor = jnp.asarray(divisors.flat[0] if same else divisors, wide)
    # integers are divided towards zero, as in torch
    return lax.div(total, jnp.broadcast_to(divisor, total.shape)) if whole else (total / divisor).astype(input.dtype)


def _lp_pool(name: str, n: int, input: jax.Array, norm_type: float, kernel_size: Ints, stride: Ints | None, ceil_mode: bool) -> jax.Array:
    input = check.floating(name, "input", input)
    size = math.prod(check.ntuple(name, "kernel_size", kernel_size, n))
    if norm_type in (math.inf, -math.inf):
        sign = 1 if norm_type > 0 else -1
        return sign * _max_pool(name, n, sign * magnitude(input), kernel_size, stride, 0, 1, ceil_mode)
    mean = _avg_pool(name, n, jnp.power(input, norm_type), kernel_size, stride, 0, ceil_mode, True)
    # as torch writes it: a mean below zero (an odd norm of negative values) is taken to its root with its sign
    return jnp.power(jnp.where(mean == 0, jnp.zeros((), mean.dtype), mean) * size, 1.0 / norm_type)


_DOC = """{Kind} the windows over the last {n} axes of ``input``.

    {formula}, where p and k run over {n} axes.

    Args:
      input: ``x``, of shape (N, C, {axes}), or (C, {axes}) without a batch.{norm}
      kernel_size: size of the window, an int or one per axis.
      stride: step between windows; default kernel_size.{padded}{dilation}
      ceil_mode: also keep a last, partial window, unless it starts in the right padding; default False.{extra}

    Returns:
      An array of shape (N, C, {outs}), or without N, with ``L_out = ⌊(L + 2·padding − {reach}) / stride⌋ + 1`` along
      each axis (⌈ ⌉ in ceil_mode), of the input's dtype.

    Raises:
      ShapeError: the rank is wrong, or the input is smaller than the window.
      ArgumentError: a size or a padding is out of range.{errors}

    Source: torch.nn.functional.{name}. {note}

    Example:
      >>> import jax.numpy as jnp
      >>> {name}(jnp.arange(4.0).reshape(1, {ones}4), {first}{window}).squeeze().tolist()
      {result}
    """


def _document(kernel: Callable[P, R], name: str, n: int, norm: str = "", first: str = "", **words: str) -> PublicFunction[P, R]:
    """Name a row and fill in its docstring."""
    kernel.__name__ = kernel.__qualname__ = name
    axes = "DHW"[-n:]
    kernel.__doc__ = _DOC.format(
        name=name,
        n=n,
        axes=", ".join(axes),
        outs=", ".join(f"{a}_out" for a in axes),
        ones="1, " * (n - 1),
        window=f"({'1, ' * (n - 1)}2)" if n > 1 else "2",
        norm=norm,
        first=first,
        **words,
    )
    return public(kernel)


def _max_row(n: int) -> MaxPool:
    def max_pool(
        input: jax.Array,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        if return_indices:
            return _max_pool_with_indices(f"max_pool{n}d", n, input, kernel_size, stride, padding, dilation, ceil_mode)
        return _max_pool(f"max_pool{n}d", n, input, kernel_size, stride, padding, dilation, ceil_mode)

    return _document(
        max_pool,
        f"max_pool{n}d",
        n,
        Kind="Take the maximum of",
        formula="``y[p] = max_k x[stride·p + dilation·k − padding]``",
        padded="\n      padding: −∞ added on both sides, at most half the window; default 0.",
        dilation="\n      dilation: step between a window's elements, an int or one per axis; default 1.",
        extra="\n      return_indices: also return where each maximum is, counted over the flattened spatial axes; default False.",
        reach="dilation·(k − 1) − 1",
        errors="",
        note="NaN in a window gives NaN. The gradient goes to a window's first maximum.",
        result="[1.0, 3.0]",
    )


_AVG_WORDS = {
    "Kind": "Average",
    "formula": "``y[p] = Σ_k x[stride·p + k − padding] / divisor``",
    "padded": "\n      padding: zeros added on both sides, at most half the window; default 0.",
    "dilation": "",
    "extra": "\n      count_include_pad: count padding in the divisor; default True.",
    "reach": "k",
    "errors": "\n      DtypeError: input is neither floating point nor a signed integer.",
    "note": "Half precision is summed in float32; integers are divided towards zero.",
    "result": "[0.5, 2.5]",
}


def _avg_row(n: int) -> AvgPool:
    def avg_pool(
        input: jax.Array,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> jax.Array:
        return _avg_pool(f"avg_pool{n}d", n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    override = "\n      divisor_override: divide every window's sum by this number instead; default none."
    return _document(avg_pool, f"avg_pool{n}d", n, **{**_AVG_WORDS, "extra": _AVG_WORDS["extra"] + override})


def _avg_pool1d(  # without a divisor_override, as in torch
    input: jax.Array,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> jax.Array:
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


max_pool1d, max_pool2d, max_pool3d = _max_row(1), _max_row(2), _max_row(3)
avg_pool1d, avg_pool2d, avg_pool3d = _document(_avg_pool1d, "avg_pool1d", 1, **_AVG_WORDS), _avg_row(2), _avg_row(3)


def _with_indices_row(n: int) -> MaxPoolWithIndices:
    def with_indices(
        input: jax.Array,
        kernel_size: Ints,
        stride: Ints | None = None,
        padding: Ints = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> tuple[jax.Array, jax.Array]:
        return _max_pool_with_indices(f"max_pool{n}d", n, input, kernel_size, stride, padding, dilation, ceil_mode)

    name = f"max_pool{n}d_with_indices"
    with_indices.__name__ = with_indices.__qualname__ = name
    shape = "(1, " + "1, " * (n - 1) + "4)"
    window = f"({'1, ' * (n - 1)}2)" if n > 1 else "2"
    with_indices.__doc__ = f"""``max_pool{n}d`` with ``return_indices=True``: the maxima and where they are.

    Args:
      input, kernel_size, stride, padding, dilation, ceil_mode: as max_pool{n}d.
      return_indices: accepted for torch's signature and ignored.

    Returns:
      (output, indices), both of the output's shape; indices count over the flattened spatial axes.

    Raises:
      ShapeError, ArgumentError: as max_pool{n}d.

    Source: torch.nn.functional.{name}.

    Example:
      >>> import jax.numpy as jnp
      >>> {name}(jnp.arange(4.0).reshape{shape}, {window})[1].squeeze().tolist()
      [1, 3]
    """
    return public(with_indices)


def _lp_row(n: int) -> LPPool:
    def lp_pool(input: jax.Array, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False) -> jax.Array:
        return _lp_pool(f"lp_pool{n}d", n, input, norm_type, kernel_size, stride, ceil_mode)

    return _document(
        lp_pool,
        f"lp_pool{n}d",
        n,
        Kind="Take the power average of",
        formula="``y[p] = (Σ_k x[stride·p + k]^norm_type)^(1 / norm_type)``",
        norm="\n      norm_type: the exponent; ∞ and −∞ take the largest and the smallest |x|.",
        padded="",
        dilation="",
        extra="",
        reach="k",
        errors="\n      DtypeError: input is not floating point.",
        note="A partial window of ceil_mode is averaged and multiplied by the full window's size, as there.",
        result="[1.0, 3.605551242828369]",
        first="2.0, ",
    )


max_pool1d_with_indices, max_pool2d_with_indices, max_pool3d_with_indices = (_with_indices_row(n) for n in (1, 2, 3))
lp_pool1d, lp_pool2d, lp_pool3d = (_lp_row(n) for n in (1, 2, 3))
