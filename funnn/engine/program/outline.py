"""Values without numbers, those of tensors on the device 'meta': a shape and a type, from which those of results follow, and nothing ever runs."""

from __future__ import annotations

from typing import Any

import jax

from funnn.engine.program.value import Residuals, Value


class _Nowhere:
    """What gives the numbers of such values, as a graph gives those of pending ones: nothing does."""

    closed = True

    def flush(self) -> None:
        """Raises NotImplementedError: somebody asked for numbers."""
        raise NotImplementedError("Cannot copy out of meta tensor; no data!")


NOWHERE = _Nowhere()


def outlined(shape: tuple[int, ...], dtype: Any) -> Value:
    """A value of that shape and (NumPy) type, without numbers."""
    return outline_of(jax.ShapeDtypeStruct(tuple(shape), dtype))


def outline_of(array: Any) -> Value:
    """A value of the shape and type of an array, or of what has both, without numbers."""
    value: Value = object.__new__(Value)
    value.array = value.numbers = None
    value.shape, value.dtype, value.graph = array.shape, array.dtype, NOWHERE
    return value


def is_outline(value: Any) -> bool:
    """Whether a value is one without numbers."""
    return value.array is None and value.graph is NOWHERE


def outlined_results(shaped: Any) -> list[Any]:
    """What a form gives of operands some of which have no numbers: the residuals last, if it keeps any."""
    results: list[Any] = [outlined(shape, dtype) for shape, dtype in shaped.results]
    if shaped.vjp:
        vjp: Any = object.__new__(Residuals)
        vjp.array, vjp.kind, vjp.graph = None, shaped, NOWHERE
        results.append(vjp)
    return results


def check_together(operands: list[Any]) -> None:
    """Raise what torch raises where tensors with and without numbers meet; a number, even as a tensor, goes with both, and so do indices."""
    if any([type(operand) is Residuals for operand in operands]):  # a gradient, to which the engine adds zeros of its own
        return
    for operand in operands:
        if type(operand) is Value and operand.shape and operand.dtype.kind not in "biu" and not is_outline(operand):
            first = next(other for other in operands if type(other) is Value)
            here, there = ("cpu", "meta") if is_outline(first) else ("meta", "cpu")
            raise RuntimeError(
                f"Tensor on device {here} is not on the expected device {there}! One without numbers meets one of shape {list(operand.shape)}; move one "
                "of them: x.to('meta')"
            )
