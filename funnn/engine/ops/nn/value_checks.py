"""What torch refuses by its values: an index that is in no table, a class that there is not, a probability above 1.

The pure functions cannot look at values, and give NaN there. Here a call looks first, as indexing does, where the values are known, as those of a
loader's batch are; values that are pending are looked at when they are. Numbers that a network computed are looked at on the CPU alone, as PyTorch
does too. Nothing is looked at inside transformations.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.ops.kit.index_kernels import frozen, known
from funnn.engine.program.graph import check_later
from funnn.engine.program.region import check_now
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import check_fits, dtype, int32, int64, uint8


def _values(tensor: Any) -> np.ndarray | None:
    """The whole numbers of an argument, if it is a Tensor that has any and they are known."""
    return known(tensor) if isinstance(tensor, Tensor) and not tensor.dtype.is_floating_point else None


def _on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _outside(values: np.ndarray | None, size: int, low: int = 0) -> tuple[int, int] | None:
    """The first of the values that is not in [low, size), and where it is among them."""
    if values is None or values.dtype.kind not in "iu":  # a truth value is no index
        return None
    unsigned = values if low else values.view(f"u{values.dtype.itemsize}")  # where what is negative is large: one look instead of two
    if unsigned.max() < size and (low == 0 or values.min() >= low):
        return None
    place = int(np.argmax((values < low) | (values >= size)))
    return int(values.flat[place]), place


def filling(input: Tensor, mode: str = "constant", value: Any = None) -> None:
    if mode == "constant" and isinstance(value, (int, float)):
        check_fits(float(value), input.dtype)


def _whole(tensor: Any, *kinds: dtype, text: str) -> None:
    """Raise unless an argument's whole numbers are of one of the types that PyTorch takes; JAX would take any."""
    if isinstance(tensor, Tensor) and tensor.dtype.category == 1 and tensor.dtype not in kinds:
        raise RuntimeError(f"{text.format(tensor.dtype.legacy)}; convert it with .long()")


def _rows(input: Any) -> None:
    _whole(
        input,
        int64,
        int32,
        text="Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got {}",
    )


def embedding(input: Any, weight: Tensor) -> None:
    _rows(input)
    if weight.dim() and _outside(_values(input), weight.shape[0]) is not None:
        raise IndexError("index out of range in self")


def bags(input: Any, weight: Tensor, offsets: Any = None, mode: str = "mean", include_last_offset: bool = False) -> None:
    _rows(input)
    wrong = _outside(_values(input), weight.shape[0]) if weight.dim() else None
    if wrong is not None:
        value, place = wrong
        if mode == "max":
            raise RuntimeError(f"embedding_bag: Expected idx >= 0 && idx < num_embeddings but found idx to be {value}")
        raise RuntimeError(f"Index {place} of input takes value {value} which is not in the valid range [0, {weight.shape[0]})")
    starts = _values(offsets)
    if starts is None or input.dim() != 1:
        return
    if starts[0] != 0:
        raise RuntimeError(
            f"offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, got {starts[0]}"
        )
    if starts[-1] > input.shape[0]:
        raise RuntimeError(f"offsets[-1] can not be greater than input's length {input.shape[0]} but got offsets[-1] of {starts[-1]}")


def classes(input: Tensor, target: Any, ignore_index: int = -100) -> None:
    if input.dim() > 2:
        _whole(target, int64, text="expected scalar type Long but found {}")
    if input.dim():
        _check_classes(input.shape[min(input.dim() - 1, 1)], target, ignore_index)


def _check_classes(count: int, target: Any, ignore_index: int | None) -> None:
    _whole(target, int64, uint8, text="expected target dtype to be Long or Byte, but got {}")
    values = _values(target)
    if _outside(values, count) is None:
        return
    left = values[values != ignore_index]
    if left.size and (wrong := _outside(left, count)) is not None:
        raise IndexError(f"Target {wrong[0]} is out of bounds.")


def coded(input: Tensor, num_classes: int = -1) -> None:
    values = _values(input)
    if values is None:
        return
    if values.min() < 0:
        raise RuntimeError("Class values must be non-negative.")
    if num_classes != -1 and values.max() >= num_classes:
        raise RuntimeError("Class values must be smaller than num_classes.")


def linear_classes(input: Tensor, linear_weight: Tensor, target: Any, ignore_index: int | None = None) -> None:
    if linear_weight.dim() == 2:
        _check_classes(linear_weight.shape[0], target, -100 if ignore_index is None else ignore_index)


def places(indices: Any) -> None:
    _whole(indices, int64, text="elements in indices should be type int64 but got: {}")


def one_class(input: Tensor, target: Any) -> None:
    _whole(target, int64, text="expected scalar type Long but found {}")
    if input.dim() and _outside(_values(target), input.shape[-1]) is not None:
        raise RuntimeError("target out of range")


def some_classes(input: Tensor, target: Any) -> None:
    _whole(target, int64, text="expected scalar type Long but found {}")
    if input.dim() and _outside(_values(target), input.shape[-1], -1) is not None:
        raise RuntimeError("argument #2 'target' is out of range")


def probabilities(input: Any, target: Any) -> None:
    for name, tensor in (("input", input), ("target", target)):
        values = known(tensor) if isinstance(tensor, Tensor) and _on_cpu(tensor) else None
        if values is not None and not (values.min() >= 0 and values.max() <= 1):
            raise RuntimeError(f"all elements of {name} should be between 0 and 1")


def variances(input: Tensor, target: Tensor, var: Any) -> None:
    if isinstance(var, Tensor) and not _on_cpu(var):
        return
    values = known(var) if isinstance(var, Tensor) else np.asarray(var)
    if values is not None and values.min() < 0:
        raise ValueError("var has negative entry/entries")


def adaptive(head: Tensor, tail: Any, target: Any = None) -> None:
    values, count = _values(target), head.shape[-1] - len(tail) + sum(cluster.shape[-1] for cluster in tail)
    if _outside(values, count) is not None:
        raise RuntimeError(
            f"Target values should be in [0, {count - 1}], but values in range [{values.min()}, {values.max()}] were found. "
        )


def lengths(log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any) -> None:
    values = _values(input_lengths) if isinstance(input_lengths, Tensor) else np.asarray(input_lengths)
    if values is not None and values.size and values.max() > log_probs.shape[0]:
        raise RuntimeError(f"Expected input_lengths to have value at most {log_probs.shape[0]}, but got value {values.max()}")


def checked(run: Callable, function: Callable, check: Callable) -> Callable:
    """What runs ``function`` on Tensors, after the check of those of its arguments that the check names, if they are Tensors where it says so."""
    order = tuple(inspect.signature(function).parameters)
    asked = [
        (p.name, order.index(p.name), p.default is p.empty, p.annotation == "Tensor") for p in inspect.signature(check).parameters.values()
    ]

    of_floats = check in (probabilities, variances)  # the others ask floating-point tensors for their shapes alone

    def look(args: tuple, kwargs: dict) -> None:
        found = {}
        for name, position, required, tensor in asked:
            if position < len(args):
                found[name] = args[position]
            elif name in kwargs:
                found[name] = kwargs[name]
            elif required:
                return  # the function says what is missing
            if tensor and not isinstance(found[name], Tensor):
                return
        pending = {
            name: frozen(item)
            for name, item in found.items()
            if isinstance(item, Tensor) and (of_floats or not item.dtype.is_floating_point)
        }
        if any(item is not None for item in pending.values()):
            given = {name: item.detach() if isinstance(item, Tensor) else item for name, item in found.items()}
            check_later(functools.partial(check, **given | {name: item for name, item in pending.items() if item is not None}))
        else:
            check_now(functools.partial(check, **found))

    @functools.wraps(run)
    def check_and_run(*args: Any, **kwargs: Any) -> Any:
        if thread.tracing is None:
            look(args, kwargs)
        return run(*args, **kwargs)

    return check_and_run


def checked_after(run: Callable, check: Callable) -> Callable:
    """What runs a function on Tensors, before a check of its result with its arguments."""

    @functools.wraps(run)
    def run_and_check(*args: Any, **kwargs: Any) -> Any:
        result = run(*args, **kwargs)
        if thread.tracing is None:
            check(result, *args, **kwargs)
        return result

    return run_and_check


def _unpooled(n: int, result: Tensor, input: Tensor, indices: Tensor, *args: Any, **kwargs: Any) -> None:
    """Max unpooling of n axes: the indices, which the size of the result bounds."""
    sizes = tuple(result.shape[-n:])
    wrong = _outside(_values(indices), math.prod(sizes))
    if wrong is not None:
        volume = "x".join(map(str, sizes if n > 1 else (*sizes, 1)))
        raise RuntimeError(f"Found an invalid max index: {wrong[0]} (output volumes are of size {volume})")


unpooled_1d, unpooled_2d, unpooled_3d = (functools.partial(_unpooled, n) for n in (1, 2, 3))
