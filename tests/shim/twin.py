"""PyTorch as the oracle of the shim: one program, run in both namespaces, must do the same.

A program is a function of the module ``torch``. It may print, return anything made of tensors, and raise; all of it is compared.
"""

from __future__ import annotations

import contextlib
import io
import re
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import funnn.torch as shim
from funnn.engine.program.graph import flush

# Relative and absolute tolerance of values and gradients.
TOLERANCE = {
    **{"float64": (1e-9, 1e-10), "float32": (2e-5, 2e-6), "bfloat16": (2e-2, 2e-2), "float16": (2e-3, 2e-3), "complex32": (2e-3, 2e-3)},
    **{"complex64": (2e-5, 2e-6), "complex128": (1e-9, 1e-10)},
}
Program = Callable[[Any], Any]


def run(program: Program, library: Any) -> tuple[Any, str]:
    """What the program returns and prints, with the addresses of objects masked."""
    library.manual_seed(0)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        result = program(library)
    return result, mask(printed.getvalue())


def cells(names: dict[str, Any]) -> dict[str, Program]:
    """The programs among a file's names that are cells of the seeds: ``c`` and the number of the document."""
    return {name: program for name, program in names.items() if re.match(r"c\d{3}_", name)}


def mask(text: str) -> str:
    return re.sub(r"0x[0-9a-f]+", "0x…", text)


def same(program: Program, tolerance: tuple[float, float] | None = None) -> None:
    """The program returns and prints the same in both libraries."""
    expected, text = run(program, torch)
    got, got_text = run(program, shim)
    compare(got, expected, "result", tolerance)
    assert got_text == text


def same_error(program: Program, error: type[Exception], text: str) -> None:
    """The program raises torch's class (or a subclass of it) in both libraries, and ``text`` (a regular expression) finds both messages."""
    with pytest.raises(error, match=text) as theirs:
        program(torch)
    traceback.clear_frames(theirs.tb)  # one of PyTorch's that prints turns torch.func off for as long as it is there
    with pytest.raises(error, match=text) as ours:
        program(shim)
        flush()  # what was wrong with values that are pending is said when they are known
    assert issubclass(ours.type, theirs.type), f"{ours.type}, torch has {theirs.type}"


def compare(got: Any, expected: Any, where: str = "result", tolerance: tuple[float, float] | None = None) -> None:
    """Equal values: tensors with shape, dtype, requires_grad and gradient; containers item by item; everything else by ==."""
    if isinstance(expected, torch.Tensor):
        compare_tensors(got, expected, where, tolerance)
    elif isinstance(expected, (torch.dtype, torch.device)):
        assert str(got) == str(expected), f"{where}: {got}, torch has {expected}"
    elif isinstance(expected, dict):
        assert list(got) == list(expected), f"{where}: keys"
        for key in expected:
            compare(got[key], expected[key], f"{where}[{key!r}]", tolerance)
    elif isinstance(expected, (tuple, list)):
        assert len(got) == len(expected), f"{where}: {len(got)} items, torch has {len(expected)}"
        assert isinstance(got, tuple) == isinstance(expected, tuple), f"{where}: {type(got)}, torch has {type(expected)}"
        for index, (a, b) in enumerate(zip(got, expected, strict=True)):
            compare(a, b, f"{where}[{index}]", tolerance)
    elif isinstance(expected, (float, complex, np.ndarray)):
        assert np.dtype(type(got)) == np.dtype(type(expected)) if isinstance(expected, (float, complex)) else got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, *(tolerance or (1e-5, 1e-6)), err_msg=where)
    else:
        assert type(got) is type(expected) and got == expected, f"{where}: {got!r}, torch has {expected!r}"


def compare_tensors(got: Any, expected: torch.Tensor, where: str, tolerance: tuple[float, float] | None) -> None:
    assert isinstance(got, shim.Tensor), f"{where}: {type(got)}"
    assert tuple(got.shape) == tuple(expected.shape), f"{where}: shape {got.shape}, torch has {expected.shape}"
    assert str(got.dtype) == str(expected.dtype), f"{where}: dtype {got.dtype}, torch has {expected.dtype}"
    assert str(got.layout) == str(expected.layout), f"{where}: layout {got.layout}, torch has {expected.layout}"
    assert got.requires_grad == expected.requires_grad, f"{where}: requires_grad {got.requires_grad}"
    rtol, atol = tolerance or TOLERANCE.get(str(expected.dtype).removeprefix("torch."), (0, 0))
    np.testing.assert_allclose(values(got), values(expected), rtol=rtol, atol=atol, err_msg=where)
    if expected.is_leaf:
        grad = got.grad if got.is_leaf else None  # asking one that is no leaf is warned of
        assert (grad is None) == (expected.grad is None), f"{where}.grad: {grad}, torch has {expected.grad}"
        if expected.grad is not None:
            compare_tensors(got.grad, expected.grad, f"{where}.grad", tolerance)


def values(tensor: Any) -> np.ndarray:
    """The values of either library's tensor, wide enough to subtract."""
    tensor = tensor.detach().to_dense()
    if tensor.dtype in (torch.bfloat16, shim.bfloat16):
        tensor = tensor.float()
    if tensor.dtype in (torch.complex32, shim.complex32):
        tensor = tensor.cfloat()
    array = np.asarray(tensor.numpy(force=True))  # by force, because torch has tensors that are zero, conjugate or negated by a flag
    return array.astype(np.int64) if array.dtype.kind in "iu" else array
