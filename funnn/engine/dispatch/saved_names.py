"""``grad_fn._saved_self``, ``_saved_dim``, …: what torch's nodes show of what they saved, under the names of its table."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.dispatch.arguments import At, Saved, named_arguments, node_of, operands_in
from funnn.engine.dispatch.node_hooks import is_single
from funnn.engine.dispatch.rewritten import seen_at
from funnn.engine.memory.storage import contiguous_stride, whole
from funnn.engine.program.value import Value, from_host
from funnn.engine.tape.node import SECOND_TIME, AccumulateGrad
from funnn.engine.tensor.tensor import Tensor

#: What torch's nodes have as numbers: the name -> the argument's value -> the number.
_NUMBERS: dict[str, dict[Any, int]] = {
    "reduction": {"none": 0, "mean": 1, "sum": 2},
    "mode": {"sum": 0, "mean": 1, "max": 2},
    "padding_mode": {"zeros": 0, "border": 1, "reflection": 2},
    "padding_idx": {None: -1},
    "align_corners": {None: False},
}
#: What torch has for each dimension of a window where the call has one number for all.
_OF_WINDOWS = ("kernel_size", "stride", "padding", "dilation", "output_padding", "output_size")
#: Functions whose last node shows what it has of the arguments themselves, though torch has others before it.
_SHOWN_TOO = {
    ("linear", "AddmmBackward0"),
    ("linear", "MmBackward0"),
    ("cross_entropy", "NllLossBackward0"),
    ("cross_entropy", "NllLoss2DBackward0"),
}
#: Functions whose further results are others than those that torch's node saves, or in another order of dimensions.
_OTHER_RESULTS = ("batch_norm_with_stats", "svdvals", "solve_ex", "max_pool2d")


class SavedTensor:
    """``grad_fn._raw_saved_self``: a tensor that was saved, which hooks could pack in torch."""

    def __init__(self, tensor: Tensor | None):
        self.data = tensor

    def register_hooks(self, pack_hook: Callable[..., Any], unpack_hook: Callable[..., Any]) -> None:
        """Not supported for one tensor of one node."""
        raise NotImplementedError(
            "register_hooks of one saved tensor is not supported; use torch.autograd.graph.saved_tensors_hooks around the operation"
        )


@functools.cache
def saved_properties(name: str) -> dict[str, property]:
    """The properties of the nodes that torch calls so, but for those of nodes that it does not have."""
    node = node_of(name)
    found: dict[str, property] = {}
    for item in () if node is None else node[1]:
        if item.tensor:
            found[f"_saved_{item.name}"] = property(functools.partial(_tensor, item))
            found[f"_raw_saved_{item.name}"] = property(functools.partial(_raw, item))
        else:
            found[f"_saved_{item.name}"] = property(functools.partial(_attribute, item))
    return found


def _raw(item: Saved, node: Any) -> SavedTensor:
    return SavedTensor(_tensor(item, node))


def _named(node: Any) -> dict[str, Any]:
    named = named_arguments(node.entry.op.pure, node.entry.layout)
    if hasattr(node, "view"):
        change, args = node.view
        named.update(zip([*change.__code__.co_varnames[1 : len(args) + 1]], args, strict=False))
        named.setdefault("end", sys.maxsize if named.get("stop") is None else named["stop"])
    if node.entry.name == "ConvolutionBackward0":
        named.setdefault("transposed", "transpose" in node.entry.op.name)
        named.setdefault("output_padding", 0)
    if type(named.get("dim")) is bool:  # var(x, unbiased)
        named.update(dim=None, correction=int(named["dim"]))
    elif "correction" in named and named["correction"] is None:
        unbiased = named.get("unbiased")
        named["correction"] = None if unbiased is None and named.get("dim") is None else int(unbiased is not False)
    return named


def _check_there(item: Saved, node: Any) -> None:
    """Raise where the operation is several nodes in torch, so that the last one saved what was computed on the way."""
    function, name = node.entry.op.name, node.entry.name
    if not is_single(node) and ((function, name) not in _SHOWN_TOO or item.name == "self"):
        raise _not_kept(item, node)
    if item.result is not None and function in _OTHER_RESULTS:
        raise _not_kept(item, node)


def _tensor(item: Saved, node: Any) -> Any:
    if node.vjp is None or node.inputs is None:
        raise RuntimeError(SECOND_TIME)
    _check_there(item, node)
    kept = {number: (storage, window) for storage, _, number, version, window in node.saved if version >= 0}
    if item.result is not None:
        if ~item.result not in kept:
            raise _not_kept(item, node)
        result = seen_at(*kept[~item.result])
        return _with_history(result, (node, item.result)) if result.dtype.category >= 2 else result
    named = _named(node)
    if item.name not in named:
        raise _not_kept(item, node)
    value = named[item.name]
    wanted = item.wanted and (item.wanted in named or is_single(node))
    if wanted and set(node.entry.tracked).isdisjoint(operands_in(named.get(item.wanted))):
        return None
    if type(value) is At:
        tensor = _operand(node, value.number, kept)
        if tensor is None:
            raise _not_kept(item, node)
        return tensor
    if not isinstance(value, (tuple, list)):
        return None
    return tuple([_operand(node, part.number, kept) if type(part) is At else None for part in value])


def _operand(node: Any, number: int, kept: dict[int, Any]) -> Any:
    tracked, given = node.entry.tracked, node.inputs[number]
    if number not in kept:
        if isinstance(given, Value) and number not in tracked:
            return Tensor._wrap(given)
        return Tensor._wrap(from_host(np.asarray(given))) if isinstance(given, (int, float, complex)) else None
    tensor = seen_at(*kept[number])
    if number not in tracked:
        return tensor
    edge = node.edges[tracked.index(number)]
    leaf = edge[0].variable if type(edge[0]) is AccumulateGrad else None
    return leaf if leaf is not None and leaf._storage is tensor._storage else _with_history(tensor, edge)


def _with_history(tensor: Tensor, edge: tuple[Any, int]) -> Tensor:
    tensor._grad_fn, tensor._output = edge
    return tensor


def _attribute(item: Saved, node: Any) -> Any:
    _check_there(item, node)
    named = _named(node)
    if item.name in named:
        value = _static(node, named[item.name])
        if item.name == "output_size" and value is None:  # a ratio
            raise _not_kept(item, node)
        if item.name in _OF_WINDOWS and item.integers == "[]":
            value = _for_each_dimension(node, named, value)
        return _as_torch_has_it(item, value)
    for end, of in _OF_SHAPE.items():
        owner, found, rest = item.name.partition(end)
        if found and owner in named:
            return of(_shape(node, named[owner]), rest)
    raise _not_kept(item, node)


def _not_kept(item: Saved, node: Any) -> NotImplementedError:
    return NotSaved(
        f"{node.name()}._saved_{item.name} is not there: this operation keeps something else for its derivative; compute it of its operands"
    )


class NotSaved(NotImplementedError, AttributeError):
    """What torch's node has saved, and the one here has not."""


def without_what_is_not_saved(node: Any, names: list[str]) -> list[str]:
    """The names of a node's attributes but for those that :class:`NotSaved` is raised for, as ``dir`` lists them."""

    def there(name: str) -> bool:
        try:
            getattr(node, name)
        except NotSaved:
            return False
        except RuntimeError:  # released
            return True
        return True

    return [name for name in names if not name.startswith(("_saved_", "_raw_saved_")) or there(name)]


def _static(node: Any, value: Any) -> Any:
    if type(value) is At:
        if node.inputs is None:
            raise RuntimeError(SECOND_TIME)
        return node.inputs[value.number]
    return value


def _as_torch_has_it(item: Saved, value: Any) -> Any:
    """Whole numbers without a sign, as torch shows them: −1 is 2⁶⁴ − 1; and one where torch has several as a tuple."""
    if item.name in _NUMBERS and type(value) in (str, type(None)):
        value = _NUMBERS[item.name].get(value, value)
    if item.integers == "[]" and isinstance(value, (int, tuple, list)):
        return tuple([number + (number < 0) * 2**64 for number in ((value,) if isinstance(value, int) else value)])
    if item.integers == "#" and isinstance(value, int):
        return value + (value < 0) * 2**64
    return value


def _for_each_dimension(node: Any, named: dict[str, Any], value: Any) -> Any:
    name = node.entry.name
    if name == "ConvolutionBackward0":
        value = value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value
        dimensions = len(_shape(node, named["input"])) - 2
    else:
        found = re.search(r"(\d)D", name)
        dimensions = int(found[1]) if found else 2
    return (value,) * dimensions if isinstance(value, int) else value


def _shape(node: Any, value: Any) -> tuple[int, ...]:
    numbers = list(operands_in(value))
    if not numbers or node.inputs is None:
        return ()
    operand = node.inputs[numbers[0]]
    return operand[0] if type(operand) is tuple else tuple(operand.shape) if hasattr(operand, "shape") else ()


#: What torch saves of an operand's shape: the end of the name -> (shape, what stands behind it) -> value.
_OF_SHAPE: dict[str, Callable[[tuple[int, ...], str], Any]] = {
    "_sym_sizes": lambda shape, rest: shape,
    "_sym_numel": lambda shape, rest: int(np.prod(shape)),
    "_sym_strides": lambda shape, rest: contiguous_stride(whole(shape).shape),
    "_sym_argsize_": lambda shape, rest: shape[int(rest.replace("minus_", "-"))],
}
