"""The arguments of a call: their layout, torch's names of them, and what torch's node saves of them."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from funnn.engine.tape.torch_nodes import NODES

SLOT = object()  # stands for an array in the arguments' layout

#: Of operations that torch has as several nodes, what those save of the operands, where that is all that the derivative needs of them.
_WITHIN: dict[str, str] = {
    "linear": "input*?weight weight*?input",
    **dict.fromkeys(("matmul", "inner", "kron"), "input*?other other*?input"),
    "outer": "input*?vec2 vec2*?input",
    "_tensordot": "a*?b b*?a",
    "bilinear": "input1* input2* weight*",
    **{f"conv{kind}{n}d": "input* weight*" for kind in ("", "_transpose") for n in (1, 2, 3)},
    "cross_entropy": "target* weight=",
    **dict.fromkeys(("copy", "write_window", "write_through"), ""),
}
#: Operations whose last node in torch names and saves something that was computed on the way, as if it were the operand here.
_SEVERAL = frozenset(
    ("_cond", "_istft", "_matrix_norm", "_multi_dot", "adaptive_max_pool1d", "corrcoef", "ctc_loss", "cumulative_trapezoid", "float_power")
    + ("feature_alpha_dropout", "instance_norm", "kl_div", "local_response_norm", "logdet", "margin_ranking_loss", "max_pool1d", "nanmean")
    + ("multilabel_soft_margin_loss", "ndtr", "normalize", "smooth_l1_loss", "softmin", "softsign", "tanhshrink", "trapezoid", "trapz")
)
#: Names that arguments of torch's nodes have here, where the function has none of torch's name.
_OTHERWISE = {
    **{"mat": ("input",), "mat1": ("input",), "mat2": ("b", "other"), "vec": ("b", "other"), "tensor": ("b", "other")},
    **{"other": ("y", "vec2"), "input2": ("L",), "indices": ("input",), "LU": ("LU_data",), "B": ("input",), "self": ("input",)},
}


def fill(layout: Any, arrays: Any) -> Any:
    """The arguments of a call: the layout with arrays, an iterator, in their places."""
    if layout is SLOT:
        return next(arrays)
    if isinstance(layout, (tuple, list)) and not hasattr(layout, "_fields"):
        return type(layout)(fill(item, arrays) for item in layout)
    if isinstance(layout, dict):
        return {name: fill(item, arrays) for name, item in layout.items()}
    return layout


class At(NamedTuple):
    """An operand by its number."""

    number: int


def operands_in(value: Any) -> Iterator[int]:
    """The numbers of the operands in an argument."""
    if type(value) is At:
        yield value.number
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from operands_in(item)


_signature = functools.lru_cache(maxsize=4096)(inspect.signature)


def named_arguments(pure: Callable[..., Any], layout: Any) -> dict[str, Any]:
    """The arguments of a call by name, with :class:`At` for operands; by torch's names too where those are others."""
    args, kwargs = fill(layout, map(At, itertools.count()))
    try:
        signature = _signature(pure)
        if "drawn" in kwargs:  # random numbers, which the function is given beside its arguments
            kwargs = {name: value for name, value in kwargs.items() if name in signature.parameters}
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        return {}
    bound.apply_defaults()
    named = dict(bound.arguments)
    first = next(iter(named.values()), None)
    for name, others in _OTHERWISE.items():
        for other in others:
            if other in named:
                named.setdefault(name, named[other])
    named.setdefault("self", first)
    return named


class Saved(NamedTuple):
    """Something that torch's node saves.

    Attributes:
      name: torch's, after ``_saved_``; tensor: whether it is a tensor, or a container of such.
      result: the number of the result that it is, −1 of one that is not there; None of an argument.
      wanted: it is saved where this input needs a gradient; "": always.
      checked: whether writing in place to it is an error; decides: whether something else that is saved depends on it.
      integers: "#" of a whole number, "[]" of several, else "".
    """

    name: str
    tensor: bool
    result: int | None
    wanted: str
    checked: bool
    decides: bool
    integers: str

    def numbers(self, operands: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
        """Its operands, or ~ the result; none if it is not there."""
        if self.result is None:
            return operands.get(self.name, ())
        return (~self.result,) if self.result >= 0 else ()


@functools.cache
def node_of(name: str) -> tuple[tuple[str, ...], tuple[Saved, ...]] | None:
    """The inputs of torch's node of that name, and what it saves; None of a node that is not known."""
    text = NODES.get(name)
    if text is None:
        return None
    inputs, saved = text.split("|")
    return tuple(inputs.split()), tuple(map(_saved, saved.split()))


def _saved(text: str) -> Saved:
    text, _, wanted = text.partition("?")
    name, at, result = text.rstrip("*!=#[]").partition("@")
    last = text[-1]
    number = (-1 if result == "-" else int(result)) if at else None
    return Saved(name, last in "*!=" or bool(at), number, wanted, last != "!", last == "=", {"]": "[]", "#": "#"}.get(last, ""))


class Torchs:
    """What torch's node of a call saves, as operands and results here.

    Attributes:
      inputs: for ``next_functions``, the operands' numbers, None where torch has an entry without an operand; None where torch has several nodes.
      saved: the operands' numbers, and ~ of results'; None where it is not known.
      fixed: the operands on which something else that is saved depends, so that they cannot be other ones for the derivative; None: that may be all.
    """

    inputs: tuple[int | None, ...] | None = None
    saved: tuple[int, ...] | None = None
    fixed: frozenset[int] | None = None

    def __init__(self, name: str, function: str, named: dict[str, Any], tracked: tuple[int, ...]):
        node = node_of(name)
        inputs, saved = node or ((), ())
        within = _WITHIN.get(function)
        operands = {key: tuple(operands_in(value)) for key, value in named.items()}
        numbers = tuple(number for key in inputs for number in (operands.get(key) or (None,)))
        single = node is not None and function not in _SEVERAL and set(tracked) <= set(numbers)
        if single and (within is None or name == "ConvolutionBackward0"):
            self.inputs = numbers
        if within is not None:
            saved = tuple(map(_saved, within.split()))
        elif not single:
            return
        checked = named.get("training") is False  # as the statistics of batch_norm, which training writes
        wanted = [item for item in saved if item.tensor and (item.checked or checked)]
        wanted = [item for item in wanted if not set(tracked).isdisjoint(operands.get(item.wanted, tracked))]
        self.saved = tuple(dict.fromkeys([number for item in wanted for number in item.numbers(operands)]))
        if any(item.result is None and item.name not in named for item in wanted):
            return
        decide = ["self"] if any(item.result is not None for item in wanted) else []
        decide += [item.name for item in wanted if item.decides]
        self.fixed = frozenset([number for key in decide for number in operands.get(key, ())])
