"""Products of matrices, and Fourier transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funnn.engine.program.interpret import blas_threads
from funnn.engine.program.interpret.writer import Rule, Step, Untranslatable, Writer


def _moved(name: str, order: Sequence[int]) -> str:
    """The source of a transposed array."""
    if tuple(order) == tuple(range(len(order))):
        return name
    return f"{name}.T" if tuple(order) == (1, 0) else f"{name}.transpose({tuple(order)})"


def _dot_general(writer: Writer, step: Step) -> str:
    left, right = step.inputs
    result = step.outputs[0]
    (cl, cr), (bl, br) = step.params["dimension_numbers"]
    names = writer.arrays(step)
    dtype = np.dtype(result.dtype)
    for number, value in enumerate((left, right)):
        if np.dtype(value.dtype) != dtype:
            names[number] = f"{names[number]}.astype({writer.bind(dtype)})"
    fl = [i for i in range(len(left.shape)) if i not in cl and i not in bl]
    fr = [i for i in range(len(right.shape)) if i not in cr and i not in br]
    batch, inner = [left.shape[i] for i in bl], [left.shape[i] for i in cl]
    rows, columns = [left.shape[i] for i in fl], [right.shape[i] for i in fr]
    if dtype.kind in "fc":
        writer.threads = True
    steps = writer.product([*batch, *inner, *rows, *columns])
    if not bl and len(cl) == 1 and len(fl) <= 1 and len(fr) <= 1:
        a, b = _moved(names[0], [*fl, *cl]), _moved(names[1], [*cr, *fr])
        return _product(writer, "np.dot", steps, a, b)
    a, b = _moved(names[0], [*bl, *fl, *cl]), _moved(names[1], [*br, *cr, *fr])
    if len(fl) != 1 or len(cl) != 1:
        a = f"{a}.reshape({_merged(writer, batch, rows, inner)})"
    if len(fr) != 1 or len(cr) != 1:
        b = f"{b}.reshape({_merged(writer, batch, inner, columns)})"
    text = _product(writer, "np.dot" if not bl else writer.use(matmul), steps, a, b)
    return text if len(fl) == 1 and len(fr) == 1 else f"{text}.reshape({writer.dims(result.shape)})"


def _merged(writer: Writer, batch: Sequence[Any], rows: Sequence[Any], columns: Sequence[Any]) -> str:
    return f"({''.join(f'{writer.dim(size)}, ' for size in batch)}{writer.product(rows)}, {writer.product(columns)})"


def _product(writer: Writer, function: str, steps: str, *operands: str) -> str:
    if steps.isdigit() and int(steps) < blas_threads.LARGE:
        return f"{function}({', '.join(operands)})"
    return f"{writer.use(blas_threads.product)}({', '.join([function, steps, *operands])})"


def matmul(a: Any, b: Any) -> Any:
    """Products of stacks of matrices, which BLAS takes only if the rows or the columns are contiguous."""
    size = a.itemsize
    if size not in a.strides[-2:]:
        a = np.ascontiguousarray(a)
    if size not in b.strides[-2:]:
        b = np.ascontiguousarray(b)
    return np.matmul(a, b)


# ---- Fourier transforms ----
def _fft(writer: Writer, step: Step) -> str:
    from scipy import fft  # type: ignore[import-untyped]

    lengths = step.params["fft_lengths"]
    kind = getattr(step.params["fft_type"], "name", str(step.params["fft_type"])).upper().rsplit(".", 1)[-1]
    names = {"FFT": "fftn", "IFFT": "ifftn", "RFFT": "rfftn", "IRFFT": "irfftn"}
    if kind not in names:
        raise Untranslatable(f"{step.primitive.name} of type {kind}")
    axes = tuple(range(-len(lengths), 0))
    if not lengths:
        return writer.array(step.inputs[0])
    return f"{writer.bind(getattr(fft, names[kind]))}({writer.array(step.inputs[0])}, {writer.dims(lengths)}, {axes})"


RULES: dict[str, Rule] = {
    "dot_general": Rule(_dot_general),
    "fft": Rule(_fft),
}
