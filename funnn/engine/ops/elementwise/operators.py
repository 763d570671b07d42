"""Python's operators on Tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn.engine.ops.elementwise import bitwise, comparison, pointwise, unary  # noqa: F401
from funnn.engine.ops.kit.table import FUNCTIONS as f
from funnn.engine.tensor.tensor import Tensor


def _operand(other: Any) -> bool:
    return isinstance(other, (Tensor, int, float, complex)) or hasattr(other, "__array__")


def _method(function: Callable) -> Callable:
    return lambda self, other: function(self, other) if _operand(other) else NotImplemented


def _operator(name: str, function: Callable, reverse: Callable | None = None, inplace: Callable | None = None) -> None:
    """``self ∘ other``, ``other ∘ self`` and ``self ∘= other``."""
    for prefix, run in (("", function), ("r", reverse), ("i", inplace)):
        if run is not None:
            setattr(Tensor, f"__{prefix}{name}__", _method(run))


def _swapped(function: Callable) -> Callable:
    return lambda self, other: function(other, self)


def _invert(self: Tensor) -> Tensor:
    if self.dtype.category > 1:
        raise TypeError(f"~ (operator.invert) is only implemented on integer and Boolean-type tensors, not on {self.dtype}")
    return f["bitwise_not"](self)


_operator("add", f["add"], f["add"], Tensor.add_)
_operator("sub", f["sub"], f["rsub"], Tensor.sub_)
_operator("mul", f["mul"], f["mul"], Tensor.mul_)
_operator("truediv", f["div"], lambda self, other: f["mul"](f["reciprocal"](self), other), Tensor.div_)
_operator("floordiv", f["floor_divide"], _swapped(f["floor_divide"]), Tensor.floor_divide_)
_operator("mod", f["remainder"], _swapped(f["remainder"]), Tensor.remainder_)
_operator("pow", f["pow"], _swapped(f["pow"]), Tensor.pow_)
for _name in ("and", "or", "xor"):
    _operator(_name, f[f"bitwise_{_name}"], f[f"bitwise_{_name}"], getattr(Tensor, f"bitwise_{_name}_"))
for _name, _side in (("lshift", "left"), ("rshift", "right")):
    _plain = f[f"bitwise_{_side}_shift"]
    _operator(_name, _plain, _swapped(_plain), getattr(Tensor, f"bitwise_{_side}_shift_"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _operator(_name, f[_name])

Tensor.__div__, Tensor.__rdiv__, Tensor.__idiv__ = Tensor.__truediv__, Tensor.__rtruediv__, Tensor.__itruediv__
Tensor.__neg__ = f["neg"]
Tensor.__pos__ = f["positive"]
Tensor.__abs__ = f["abs"]
Tensor.__invert__ = _invert
Tensor.__array_priority__ = 1000
