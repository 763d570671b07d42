"""Views of complex numbers as real ones and the other way round, on the same memory."""

from __future__ import annotations

from typing import Any

from funnn.engine.memory import view_geometry as windows
from funnn.engine.ops.kit.table import FUNCTIONS, add_property, publish
from funnn.engine.ops.views.views import make_view, publish_copy
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype


def _to_real(input):
    """Complex numbers as pairs of real ones, in a new last dimension."""
    if not input.is_complex():
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return (_dtype.dtype.named(f"float{input.dtype.itemsize * 4}"),)


def _to_complex(input):
    """Pairs of real numbers in the last dimension as complex ones."""
    if input.dtype.name not in ("float16", "float32", "float64"):
        raise RuntimeError(
            f"view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: {input.dtype}"
        )
    return (_dtype.dtype.named(f"complex{input.dtype.itemsize * 16}"),)


def _publish(name: str, change: Any, grad: str, arguments: Any) -> None:
    def view(input):
        return make_view(input, change, arguments(input), grad)

    publish(name, view, arguments, method=False)
    publish_copy(f"{name}_copy", change, grad, arguments)


_publish("view_as_real", windows.view_as_real, "ViewAsRealBackward0", _to_real)
_publish("view_as_complex", windows.view_as_complex, "ViewAsComplexBackward0", _to_complex)


def conj(input):
    """The complex conjugate, as a view; a real tensor itself."""
    return make_view(input, windows.conj, (), "ConjBackward0") if input.is_complex() else input


def _neg_view(input):
    """The negatives, as a view."""
    if input.dtype is _dtype.bool_:
        raise NotImplementedError("\"neg_cpu\" not implemented for 'Bool'; logical_not() is the opposite of truth values")
    return make_view(input, windows.neg, (), "NegViewBackward0")


def resolve_conj(input):
    """A copy of a view of conjugates, in which they lie in memory; another tensor itself."""
    return input.clone() if input.is_conj() else input


def resolve_neg(input):
    """A copy of a view of negatives, in which they lie in memory; another tensor itself."""
    return input.clone() if input.is_neg() else input


for _function in (conj, resolve_conj, resolve_neg):
    publish(_function.__name__, _function)
publish("_conj", conj, method=False)
publish("_neg_view", _neg_view, method=False)
FUNCTIONS["is_conj"], FUNCTIONS["is_neg"] = Tensor.is_conj, Tensor.is_neg


def real(input):
    """The real parts, as a view; a real tensor itself."""
    return FUNCTIONS["view_as_real"](conj(input) if input.is_conj() else input).select(-1, 0) if input.is_complex() else input


def imag(input):
    """The imaginary parts, as a view; those of a view of conjugates, as a view of negatives."""
    if not input.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    pairs = FUNCTIONS["view_as_real"](conj(input) if input.is_conj() else input)
    return (_neg_view(pairs) if input.is_conj() else pairs).select(-1, 1)


def _writing_to(take: Any) -> Any:
    def write(self: Tensor, value: Any) -> None:
        part = take(self)
        part.copy_(value) if isinstance(value, Tensor) else part.fill_(value)

    return write


for _function in (real, imag):
    publish(_function.__name__, _function, method=False)
    add_property(_function.__name__, _function, _writing_to(_function))
