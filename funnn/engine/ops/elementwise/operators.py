"""Python's operators on Tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.tensor.overrides import overriding
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import dtype


def _method(function: Callable, inplace: bool) -> Callable:
    def method(self: Tensor, other: Any) -> Tensor:
        if isinstance(other, (Tensor, int, float, complex)):
            return function(self, other)
        if isinstance(other, np.ndarray):  # in place, Python asks the operator that makes a new tensor, as with torch
            return NotImplemented if inplace else function(*_in_numpys_type(self, other))
        return function(self, other) if hasattr(other, "__array__") or overriding(type(other)) else NotImplemented

    return method


def _in_numpys_type(tensor: Tensor, array: np.ndarray) -> tuple[Tensor, Tensor]:
    """Both in the type that NumPy gives them, as torch leaves an operator beside an array to NumPy: there a 0-d array counts as any other."""
    kind = dtype.of(np.result_type(tensor.dtype.numpy, array.dtype))
    return tensor.to(kind), FUNCTIONS["as_tensor"](array, dtype=kind)


def _operator(name: str, function: Callable, reverse: Callable | None = None, inplace: Callable | None = None) -> None:
    """``self ∘ other``, ``other ∘ self`` and ``self ∘= other``."""
    for prefix, run in (("", function), ("r", reverse), ("i", inplace)):
        if run is not None:
            setattr(Tensor, f"__{prefix}{name}__", _method(run, prefix == "i"))


def _swapped(function: Callable) -> Callable:
    return lambda self, other: function(other, self)


def _invert(self: Tensor) -> Tensor:
    if self.dtype.category > 1:
        raise TypeError(f"~ (operator.invert) is only implemented on integer and Boolean-type tensors, not on {self.dtype}")
    return FUNCTIONS["bitwise_not"](self)


def define_operators() -> None:
    """Give Tensor its operators, once the rows that they are made of are there."""
    _operator("add", FUNCTIONS["add"], FUNCTIONS["add"], Tensor.add_)
    _operator("sub", FUNCTIONS["sub"], FUNCTIONS["rsub"], Tensor.sub_)
    _operator("mul", FUNCTIONS["mul"], FUNCTIONS["mul"], Tensor.mul_)
    _operator("truediv", FUNCTIONS["div"], lambda self, other: FUNCTIONS["mul"](FUNCTIONS["reciprocal"](self), other), Tensor.div_)
    _operator("floordiv", FUNCTIONS["floor_divide"], _swapped(FUNCTIONS["floor_divide"]), Tensor.floor_divide_)
    _operator("mod", FUNCTIONS["remainder"], _swapped(FUNCTIONS["remainder"]), Tensor.remainder_)
    _operator("pow", FUNCTIONS["pow"], _swapped(FUNCTIONS["pow"]), Tensor.pow_)
    for name in ("and", "or", "xor"):
        _operator(name, FUNCTIONS[f"bitwise_{name}"], FUNCTIONS[f"bitwise_{name}"], getattr(Tensor, f"bitwise_{name}_"))
    for name, side in (("lshift", "left"), ("rshift", "right")):
        plain = FUNCTIONS[f"bitwise_{side}_shift"]
        _operator(name, plain, _swapped(plain), getattr(Tensor, f"bitwise_{side}_shift_"))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        _operator(name, FUNCTIONS[name])

    Tensor.__div__, Tensor.__rdiv__, Tensor.__idiv__ = Tensor.__truediv__, Tensor.__rtruediv__, Tensor.__itruediv__
    Tensor.__neg__ = FUNCTIONS["neg"]
    Tensor.__pos__ = FUNCTIONS["positive"]
    Tensor.__abs__ = FUNCTIONS["abs"]
    Tensor.__invert__ = _invert
    Tensor.__array_priority__ = 1000
