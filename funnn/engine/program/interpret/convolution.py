"""Convolution: windows of the input are copied side by side, so that one product of matrices a group does the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from funnn.engine.program.interpret import blas_threads
from funnn.engine.program.interpret.layout import pad
from funnn.engine.program.interpret.writer import Rule, Step, Writer


def _conv(writer: Writer, step: Step) -> str:
    params, result = step.params, step.outputs[0]
    numbers = params["dimension_numbers"]
    names, dtype = writer.arrays(step), np.dtype(result.dtype)
    for number, value in enumerate(step.inputs):
        if np.dtype(value.dtype) != dtype:
            names[number] = f"{names[number]}.astype({writer.bind(dtype)})"
    writer.threads = True
    specs = tuple(tuple(spec) for spec in (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec))
    padding = "(" + "".join(f"{writer.dims(pair)}, " for pair in params["padding"]) + ")"
    rest = [params["window_strides"], params["lhs_dilation"], params["rhs_dilation"]]
    groups = f"{writer.dim(params['feature_group_count'])}, {writer.dim(params['batch_group_count'])}"
    return f"{writer.use(convolve)}({names[0]}, {names[1]}, {specs}, {padding}, {', '.join(map(writer.dims, rest))}, {groups})"


def convolve(
    x: Any,
    kernel: Any,
    specs: tuple[tuple[int, ...], ...],
    padding: tuple[tuple[int, int], ...],
    strides: tuple[int, ...],
    dilation: tuple[int, ...],
    kernel_dilation: tuple[int, ...],
    groups: int,
    batch_groups: int,
) -> Any:
    """XLA's convolution; the three ``specs`` say where batch, channels and space stand in the input, the kernel and the result."""
    x, kernel = x.transpose(specs[0]), kernel.transpose(specs[1])
    if batch_groups > 1:  # each group of examples has its own channels of the result
        x = x.reshape((batch_groups, x.shape[0] // batch_groups) + x.shape[1:])
        x = x.swapaxes(0, 1).reshape((x.shape[1], batch_groups * x.shape[2]) + x.shape[3:])
        groups = batch_groups
    if any(low or high for low, high in padding) or any(d > 1 for d in dilation):
        config = tuple([(0, 0, 0), (0, 0, 0)] + [(low, high, d - 1) for (low, high), d in zip(padding, dilation, strict=True)])
        x = pad(x, x.dtype.type(0), config)
    count, outputs, window = x.shape[0], kernel.shape[0], kernel.shape[2:]
    spans = [(k - 1) * d + 1 for k, d in zip(window, kernel_dilation, strict=True)]
    space = tuple([max(0, (n - span) // s + 1) for n, span, s in zip(x.shape[2:], spans, strides, strict=True)])
    inner, back = kernel.shape[1], np.argsort(specs[2])
    if 0 in space or 0 in x.shape or 0 in kernel.shape:
        return np.zeros((count, outputs, *space), x.dtype).transpose(back)
    shape = (count, groups, inner, *window, *space)
    step = x.strides
    moves = (
        tuple([n * d for n, d in zip(step[2:], kernel_dilation, strict=True)]),
        tuple([n * s for n, s in zip(step[2:], strides, strict=True)]),
    )
    views = as_strided(x, shape, (step[0], step[1] * inner, step[1], *moves[0], *moves[1]), writeable=False)
    each = outputs // groups
    if inner * int(np.prod(window)) * each <= 64 and groups > 1:  # depthwise: products of matrices would be tiny
        result = _depthwise(views, kernel.reshape((groups, each, inner, *window)), space, inner, window)
    else:
        length = int(np.prod(space))
        columns = views.reshape((count, groups, inner * int(np.prod(window)), length))
        weights = kernel.reshape((groups, each, columns.shape[2]))
        steps = count * groups * each * columns.shape[2] * length
        result = blas_threads.product(np.matmul, steps, weights, columns)
    return result.reshape((count, outputs, *space)).transpose(back)


def _depthwise(views: Any, weights: Any, space: tuple[int, ...], inner: int, window: tuple[int, ...]) -> Any:
    count, groups, each = views.shape[0], weights.shape[0], weights.shape[1]
    result = np.zeros((count, groups, each, *space), views.dtype)
    ones = (1,) * len(space)
    for place in np.ndindex(inner, *window):
        weight = weights[(slice(None), slice(None), *place)].reshape((groups, each, *ones))
        result += weight * views[(slice(None), slice(None), *place)][:, :, None]
    return result


RULES: dict[str, Rule] = {"conv_general_dilated": Rule(_conv)}
