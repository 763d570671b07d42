"""The source of a translated jaxpr while it is written: its values, who may write into them, and the lines.

Three notions keep the source short and quick:

* A value is *thin* where its dimension is stored as 1 although the jaxpr says n: NumPy broadcasts operands of an elementwise operation
  itself, so ``broadcast_in_dim`` costs an index with None, and the array is made full only for what needs it so.
* A value is *writable* while no other value can reach its memory, so an operation that uses it last may write its result there.
* A value is *kept* if it outlives the block of source that is being written: arguments, constants, what loops take from outside.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

#: How a value is stored: as its shape says (None), as an array of rank 0 (SCALAR), or with 1 where the tuple says True.
Thin = tuple[bool, ...] | str | None
SCALAR = "scalar"

_SYMBOL = re.compile(r"[A-Za-z_]\w*")
_NOT_SYMBOLS = {"floordiv", "mod", "max", "min", "non_negative"}
_SMALL = 1 << 14  # bytes of an array that need not be freed early

DTYPES = frozenset(
    np.dtype(name)
    for name in (
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float32",
        "float64",
        "complex64",
        "complex128",
    )
)


def is_number(size: Any, number: int) -> bool:
    """Whether a size is surely this number."""
    return isinstance(size, int | np.integer) and int(size) == number


class Untranslatable(Exception):
    """A primitive, a dtype or an argument of a primitive has no rule; the message names it."""


class Value:
    """A value of the jaxpr, as the source names it."""

    __slots__ = ("depth", "dtype", "full", "kept", "name", "shape", "thin", "writable")

    def __init__(self, name: str, shape: tuple[Any, ...], dtype: Any, depth: int, kept: bool = False):
        self.name, self.shape, self.dtype, self.depth, self.kept = name, shape, dtype, depth, kept
        self.thin: Thin = None
        self.writable = False
        #: the name of the array with its full shape, once it was needed
        self.full: str | None = None


class Step(NamedTuple):
    """An equation whose operands and results are values; ``params`` are the primitive's."""

    primitive: Any
    params: dict[str, Any]
    inputs: list[Value]
    outputs: list[Value]


#: Writes a step: returns the expression of its one result, or writes lines itself and returns None.
Write = Callable[["Writer", Step], str | None]


class Rule(NamedTuple):
    """How a primitive is written.

    Attributes:
      write: writes it.
      updates: whether it can write its result into an operand that it uses last.
    """

    write: Write
    updates: bool = False


class Writer:
    """The lines and constants of one function. ``depth`` counts the loops and branches around the line that is written."""

    def __init__(self, symbols: tuple[str, ...], rules: dict[str, Rule]):
        self.symbols, self.rules = symbols, rules
        self.lines: list[str] = []
        self.names: dict[str, Any] = {"np": np, "floordiv": _floordiv, "mod": _mod}
        self.depth = 1
        self.threads = False  # whether BLAS is called
        self._count = 0
        self._ending: set[Value] = set()
        self._dims: dict[Any, str] = {}

    # ---- names ----
    def name(self, letter: str = "v") -> str:
        self._count += 1
        return f"{letter}{self._count}"

    def value(self, aval: Any) -> Value:
        """A value that the source names, of this shape and dtype."""
        return Value(self.name(), getattr(aval, "shape", ()), getattr(aval, "dtype", None), self.depth)

    def bind(self, thing: Any) -> str:
        """The name of a constant."""
        name = self.name("k")
        self.names[name] = thing
        return name

    def use(self, function: Callable[..., Any]) -> str:
        """The name of a helper function."""
        self.names[function.__name__] = function
        return function.__name__

    def constant(self, value: Any, aval: Any) -> Value:
        """A constant of the jaxpr; a scalar is a NumPy scalar of its dtype."""
        dtype = np.dtype(aval.dtype)
        array = np.asarray(value) if dtype not in DTYPES else np.asarray(value, dtype)
        return Value(self.bind(array[()]), aval.shape, aval.dtype, 0, kept=True)

    # ---- shapes ----
    def dim(self, size: Any) -> str:
        """The source of a size."""
        if isinstance(size, int | np.integer):
            return str(int(size))
        text = self._dims.get(size)
        if text is None:
            text = _SYMBOL.sub(lambda word: self._symbol(word.group()), str(size)).replace("^", "**")
            self._dims[size] = text
        return text

    def _symbol(self, word: str) -> str:
        if word in _NOT_SYMBOLS:
            return word
        if word not in self.symbols:
            raise Untranslatable(f"the size {word} is not among the symbols {self.symbols}")
        return f"n_{word}"

    def dims(self, shape: Sequence[Any]) -> str:
        """The source of a shape."""
        return "(" + "".join([f"{self.dim(size)}, " for size in shape]).rstrip(" ") + ")"

    def product(self, sizes: Sequence[Any]) -> str:
        """The source of a product of sizes."""
        constant, rest = 1, []
        for size in sizes:
            if isinstance(size, int | np.integer):
                constant *= int(size)
            else:
                rest.append(f"({self.dim(size)})")
        return "*".join(([str(constant)] if constant != 1 or not rest else []) + rest)

    # ---- lines ----
    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def arrays(self, step: Step) -> list[str]:
        """The operands' names, with their full shapes."""
        return [self.array(value) for value in step.inputs]

    def array(self, value: Value) -> str:
        """The name of the value with its full shape."""
        if value.thin is None:
            return value.name
        if value.full is None:
            name = self.name("full")
            self.line(f"{name} = np.broadcast_to({value.name}, {self.dims(value.shape)})")
            value.writable = False
            if value.depth < self.depth:
                return name  # inside a loop or branch, which may not be taken
            value.full = name
        return value.full

    def ends(self, value: Value) -> bool:
        """Whether the step that is being written is the last to use the value."""
        return value in self._ending and not value.kept and value.depth == self.depth

    def overwritable(self, value: Value, out: Value, thin: Thin = None) -> bool:
        """Whether ``out``, stored as ``thin``, may be written over ``value``."""
        return (
            value.writable
            and value.thin == thin
            and thin != SCALAR
            and bool(out.shape)
            and value.dtype == out.dtype
            and value.shape == out.shape
            and self.ends(value)
        )

    def alias(self, value: Value, out: Value, once: bool = True) -> None:
        """``out`` may share the memory of ``value``; ``once`` says that no element of it stands there twice."""
        out.writable = value.writable and once and self.ends(value)
        value.writable = False

    # ---- blocks ----
    def inside(self, value: Value) -> bool:
        """Whether the value belongs to the block that is being written."""
        return value.depth == self.depth

    def steps(self, steps: Sequence[Step], results: Sequence[Value]) -> None:
        """Writes the steps that the results depend on."""
        needed = live_steps(steps, results)
        after = set(results)
        last: list[set[Value]] = []
        for step in reversed(needed):
            ending = {value for value in step.inputs if value not in after}
            after.update(step.inputs)
            last.append(ending)
        around = self._ending
        for step, ending in zip(needed, reversed(last), strict=True):
            self._ending = ending
            self._step(step)
            still = {output.name for output in step.outputs}
            gone = {name for value in ending if self.ends(value) and _large(value) for name in (value.name, value.full) if name} - still
            if gone:
                self.line(f"del {', '.join(sorted(gone))}")
        self._ending = around

    def rule(self, step: Step) -> Rule:
        """The rule of the step's primitive, which must have one for these dtypes."""
        name = step.primitive.name
        rule = self.rules.get(name)
        if rule is None:
            raise Untranslatable(f"the primitive {name} has no rule")
        for value in (*step.inputs, *step.outputs):
            if value.dtype not in DTYPES:
                raise Untranslatable(f"{name} of {value.dtype}")
        return rule

    def _step(self, step: Step) -> None:
        rule = self.rule(step)
        if len(step.outputs) == 1:
            step.outputs[0].writable = bool(step.outputs[0].shape)
        text = rule.write(self, step)
        if text is None or text == step.outputs[0].name:
            return
        for value in step.inputs:
            if text == value.name and (value.kept or self.ends(value) or not _large(value)):
                step.outputs[0].name = text  # another value under the same name, which is not deleted while the first may be used
                step.outputs[0].kept = not self.ends(value)
                return
        self.line(f"{step.outputs[0].name} = {text}")


def live_steps(steps: Sequence[Step], results: Sequence[Value]) -> list[Step]:
    """The steps that the results depend on."""
    wanted, kept = set(results), []
    for step in reversed(steps):
        if not wanted.isdisjoint(step.outputs):
            kept.append(step)
            wanted.update(step.inputs)
    return kept[::-1]


def _large(value: Value) -> bool:
    """Whether the memory of a value is worth freeing early."""
    size = np.dtype(value.dtype).itemsize
    for n in value.shape:
        if not isinstance(n, int):
            return True
        size *= n
    return bool(value.shape) and size > _SMALL


def _floordiv(a: int, b: int) -> int:
    return a // b


def _mod(a: int, b: int) -> int:
    return a % b
