"""What JAX refuses, in torch's words."""

from __future__ import annotations

import re
from typing import Any

import jax.numpy as jnp

from funnn import errors
from funnn._frames import is_within
from funnn.engine.tensor.sparse import NoDenseMemory
from funnn.engine.types.device import NoCudaError


def raised_by_jax(error: Exception) -> bool:
    """Whether the error comes from under the kernel, not from one of its own checks."""
    trace: Any = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return not is_within(trace.tb_frame, "funnn") or any("JAX" in note for note in getattr(error, "__notes__", ()))


#: What core functions advise, in torch's words.
_ADVICE = (
    (re.compile(r"\.astype\((?:jnp\.|torch\.)?(\w+)\)"), r".to(torch.\1)"),
    (re.compile(r"wrap it in jnp\.asarray\(\.\.\.\), or under funnn\.torch in torch\.tensor\(\.\.\.\)"), "make one with torch.tensor(...)"),
    (re.compile(r"\bjnp\."), "torch."),
    (re.compile(r"size \((\[[^\]]*\])\)"), r"size (torch.Size(\1))"),
)


def _named(base: type[Exception], name: str) -> type[Exception]:
    """A subclass that is called as Python's class of this name; a pickle has ``base``."""
    return type(name, (base,), {"__module__": "builtins", "__doc__": base.__doc__, "__reduce__": lambda self: (base, self.args)})


#: The classes of the core and of the engine, and what PyTorch raises in the same places; each is a subclass of it.
_CLASSES: dict[type[Exception], type[Exception]] = {
    base: _named(base, name)
    for base, name in (
        (errors.ShapeError, "RuntimeError"),
        (errors.ShapeValueError, "ValueError"),
        (errors.ArgumentError, "RuntimeError"),
        (errors.ArgumentValueError, "ValueError"),
        (errors.KeyRequiredError, "RuntimeError"),
        (errors.DtypeError, "RuntimeError"),
        (errors.AssertedError, "AssertionError"),
        (NoCudaError, "AssertionError"),
        (NoDenseMemory, "NotImplementedError"),
    )
}
_NOT_IMPLEMENTED = _named(errors.DtypeError, "NotImplementedError")


def speak_torch(error: Exception) -> None:
    """Give an error of the core torch's class by name, and its advice, which is for arrays, torch's names."""
    kind = _CLASSES.get(type(error))
    if kind is not None:
        error.__class__ = _NOT_IMPLEMENTED if isinstance(error, NotImplementedError) and "not implemented for" in str(error) else kind
    if error.args and isinstance(error.args[0], str):
        text = error.args[0]
        for pattern, words in _ADVICE:
            text = pattern.sub(words, text)
        error.args = (text, *error.args[1:])


#: What Python and JAX say of operands that are neither numbers nor arrays.
_OF_PYTHON = re.compile(
    r"unsupported operand type|requires ndarray or scalar|Only integer scalar arrays|not a valid (JAX type|value for)|can't multiply"
)
#: What JAX says of complex numbers where an operation takes none.
_OF_COMPLEX = re.compile(r"complex value|complex-valued|not well defined for complex|Clip received")


def in_torchs_words(error: Exception, name: str, arrays: tuple) -> Exception:
    """The error that torch raises where JAX refuses the operands: IndexError for a dimension that is not there, NotImplementedError for a dtype, else
    RuntimeError."""
    text = str(error).splitlines()[0]
    if isinstance(error, OverflowError):
        return RuntimeError(f"value cannot be converted without overflow in {name}(): {text}")
    if isinstance(error, TypeError) and _OF_PYTHON.search(text):
        return TypeError(f"{name}() got an argument of another kind than it takes: {text}")
    axis = re.search(r"axis (-?\d+) is out of bounds for array of dimension (\d+)", text)
    if axis is not None:
        dim, rank = int(axis[1]), max(int(axis[2]), 1)
        return IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim}) in {name}()")
    if "does not accept dtype" in text or (any(jnp.iscomplexobj(array) for array in arrays) and _OF_COMPLEX.search(text)):
        return NotImplementedError(f'"{name}" not implemented for operands of {[str(array.dtype) for array in arrays]}: {text}')
    return RuntimeError(f"{name}() got operands of shapes {[list(jnp.shape(array)) for array in arrays]}: {text}")
