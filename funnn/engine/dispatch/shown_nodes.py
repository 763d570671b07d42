"""The nodes that torch has between the last one of an operation and its operands, where the operation here is a single node: they are for those who look.

They have names and lead on, as torchviz and others walk the graph; gradients go through the one node that is there.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from funnn.engine.dispatch.arguments import named_arguments, operands_in
from funnn.engine.tape.node import Node, RemovableHandle, node_type

#: (function, its node) -> what the node leads to: arguments, nodes around them (``Backward0`` is left out), "-" for nothing.
_LEADS_TO: dict[tuple[str, str], str] = {
    ("linear", "AddmmBackward0"): "bias input T(weight)",
    ("linear", "MmBackward0"): "input T(weight)",
    ("linear", "ViewBackward0"): "Addmm(bias View(input) T(weight))",
    ("linear", "UnsafeViewBackward0"): "Mm(View(input) T(weight))",
    **{("cross_entropy", f"{node}Backward0"): "LogSoftmax(input)" for node in ("NllLoss", "NllLoss2D")},
    ("adaptive_avg_pool1d", "SqueezeBackward1"): "AdaptiveAvgPool2D(Unsqueeze(input))",
    ("adaptive_max_pool1d", "SqueezeBackward1"): "AdaptiveMaxPool2D(Unsqueeze(input))",
    ("avg_pool1d", "SqueezeBackward1"): "AvgPool2D(Unsqueeze(input))",
    ("max_pool1d", "SqueezeBackward1"): "MaxPool2DWithIndices(Unsqueeze(input))",
    **{("l1_loss", f"{node}Backward0"): "Abs(Sub(input target))" for node in ("Mean", "Sum")},
    ("l1_loss", "AbsBackward0"): "Sub(input target)",
    ("softmin", "SoftmaxBackward0"): "Neg(input)",
    ("softsign", "DivBackward0"): "input Add(Abs(input) -)",
    ("tanhshrink", "SubBackward0"): "input Tanh(input)",
    ("prelu", "PreluKernelBackward0"): "input View(weight)",
    ("bilinear", "AddBackward0"): "View(Trilinear(View(input1) weight View(input2))) bias",
    ("bilinear", "ViewBackward0"): "Trilinear(View(input1) weight View(input2))",
    ("instance_norm", "ViewBackward0"): "NativeBatchNorm(View(input) Repeat(weight) Repeat(bias))",
    ("instance_norm", "SqueezeBackward1"): "View(NativeBatchNorm(View(Unsqueeze(input)) Repeat(weight) Repeat(bias)))",
    ("outer", "MulBackward0"): "View(input) vec2",
    ("normalize", "DivBackward0"): "input Expand(ClampMin(LinalgVectorNorm(input)))",
}


class Shown(Node):
    """A node that only shows."""

    __slots__ = ()

    def __init__(self, edges: tuple[Any, ...]):
        self.edges, self.number = edges, 0

    def register_hook(self, hook: Any) -> RemovableHandle:
        """Not supported: no gradient comes here."""
        raise NotImplementedError(
            f"a hook on {self.name()} is not supported, for it is one step of an operation; register it on a tensor, x.register_hook"
        )

    register_prehook = register_hook


def shown_next(node: Any) -> tuple[Any, ...] | None:
    """The next functions of a node as torch has them, made once; None where they are the node's own."""
    if node.entry.name == "CopySlices":
        return _of_written_view(node)
    text = _LEADS_TO.get((node.entry.op.name, node.entry.name))
    if text is None:
        return None
    if not hasattr(node, "shown"):
        named = named_arguments(node.entry.op.pure, node.entry.layout)
        node.shown = _edges(_tree(text), node, {name: tuple(operands_in(value)) for name, value in named.items()})
    found: tuple[Any, ...] = node.shown
    return found


def steps_before(function: str, name: str) -> list[str | None] | None:
    """Of each input of a node the step that PyTorch has before it, None where there is none; None where nothing is known of the node."""
    text = _LEADS_TO.get((function, name))
    return None if text is None else [item[0] if isinstance(item, tuple) else None for item in _tree(text)]


def sending_order(function: str, name: str, layout: Any, pure: Any, tracked: tuple[int, ...]) -> tuple[int, ...] | None:
    """The edges of a node in the order in which gradients come to them in torch, whose nodes in between take time; None where it is their own."""
    text = _LEADS_TO.get((function, name))
    if text is None:
        return None
    named = named_arguments(pure, layout)
    words = list(_arguments(_tree(text)))
    places = {number: place for place in sorted(words) for number in operands_in(named.get(place[1]))}
    order = tuple(sorted(range(len(tracked)), key=lambda edge: places.get(tracked[edge], (0, ""))[0]))
    return None if order == tuple(range(len(tracked))) else order


def _arguments(tree: tuple[Any, ...], depth: int = 0) -> Iterator[tuple[int, str]]:
    """How many nodes lie before each argument, and its name."""
    for item in tree:
        if isinstance(item, tuple):
            yield from _arguments(item[1], depth + 1)
        else:
            yield depth, item


def _of_written_view(node: Any) -> tuple[Any, ...]:
    """The base, and what the operation that wrote into a view of it leads to, but for that view."""
    edges = dict(zip(node.entry.tracked, node.edges, strict=True))
    base, written = edges.get(0) or (None, 0), edges.get(1)
    if written is None:
        return (base,)
    following = written[0].next_functions
    return base, *(following[:1] if type(written[0]).__name__ == "CopyBackwards" else following[1:])


def _edges(tree: tuple[Any, ...], node: Any, operands: dict[str, tuple[int, ...]]) -> tuple[Any, ...]:
    tracked = node.entry.tracked

    def edge(item: Any) -> tuple[Any, int]:
        if isinstance(item, tuple):
            following = _edges(item[1], node, operands)
            return (node_type(f"{item[0]}Backward0", Shown)(following), 0) if any(n is not None for n, _ in following) else (None, 0)
        numbers = operands.get(item, ())
        return node.edges[tracked.index(numbers[0])] if numbers and numbers[0] in tracked else (None, 0)

    return tuple(map(edge, tree))


@functools.cache
def _tree(text: str) -> tuple[Any, ...]:
    """``"a B(c d)"`` as ``("a", ("B", ("c", "d")))``."""
    stack: list[list[Any]] = [[]]
    for word in re.findall(r"[\w-]+|[()]", text):
        if word == "(":
            stack.append([])
        elif word == ")":
            inside = tuple(stack.pop())
            stack[-1][-1] = (stack[-1][-1], inside)
        else:
            stack[-1].append(word)
    return tuple(stack[0])
