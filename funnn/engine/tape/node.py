"""The tape: nodes that remember how to pull gradients back.

A node holds its edges (the node and output that made each differentiable input), the vjp that its operation saved, and torch's name of it.
Nodes are numbered as they are made, so that from the highest number down is a topological order.
"""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp

from funnn.engine.program.form import forms_of
from funnn.engine.program.graph import run
from funnn.engine.state import thread

#: The number of a node made now: higher than those of all before.
new_number = itertools.count(1).__next__


SECOND_TIME = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
    "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need "
    "to backward through the graph a second time or if you need to access saved tensors after calling backward."
)


INFERENCE_SAVED = (
    "Inference tensors cannot be saved for backward. Please do not track its gradient, or use its clone(), made outside inference_mode, "
    "which is a normal tensor."
)


def overwritten(what: str, version: int, expected: int) -> RuntimeError:
    """torch's error where something that was saved has been written in place; ``what`` says what it is."""
    return RuntimeError(
        f"one of the variables needed for gradient computation has been modified by an inplace operation: {what}, is at version {version}; expected "
        f"version {expected} instead. Hint: enable anomaly detection to find the operation that failed to compute its gradient, with "
        "torch.autograd.set_detect_anomaly(True, check_nan=False)."
    )


class Hooks(OrderedDict[Any, Any]):
    """Functions to call, in order of registration."""

    def add(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call ``hook`` too, behind those that are there; the handle takes it out again."""
        handle = RemovableHandle(self)
        self[handle.id] = hook
        return handle


class RemovableHandle:
    """What registering a hook returns: ``remove()`` unregisters it; also a context manager."""

    _ids = itertools.count()

    def __init__(self, hooks: OrderedDict[Any, Any], *others: OrderedDict[Any, Any]):
        self.id = next(RemovableHandle._ids)
        self._all = [weakref.ref(item) for item in (hooks, *others)]

    def remove(self) -> None:
        """Unregister the hook; nothing happens where it is gone already."""
        for reference in self._all:
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self) -> dict[Any, Any]:
        return {"id": self.id, "hooks": [reference() for reference in self._all]}

    def __setstate__(self, state: dict[Any, Any]) -> None:  # a copy belongs to the copied hooks
        self.id = state["id"]
        self._all = [weakref.ref(OrderedDict() if hooks is None else hooks) for hooks in state["hooks"]]

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


class Node:
    """One step of the recorded computation; ``grad_fn`` of its outputs."""

    __slots__ = ("__dict__", "__weakref__", "edges", "number")

    count = 1  # of outputs
    takes_sparse = False  # whether gradients come as they are, sparse ones too; else as dense ones

    def __init__(self, edges: tuple[Any, ...]):
        self.edges = edges
        self.number = new_number()
        if thread.anomaly is not None:
            thread.anomaly.remember(self)

    def name(self) -> str:
        """The name of the step, as PyTorch has it: "AddBackward0"."""
        name = type(self).__name__
        return f"torch::autograd::{name}" if name in ("AccumulateGrad", "CopyBackwards", "CopySlices") else name

    def spread(self, values: Iterable[Any], missing: Any) -> tuple[Any, ...]:
        """One value for every input of torch's node, from one for every edge."""
        return tuple(values)

    def collect(self, values: Iterable[Any]) -> list[Any]:
        """The opposite of ``spread``."""
        return list(values)

    @property
    def next_functions(self) -> tuple[Any, ...]:
        """((node, output number), …) of the differentiable inputs, (None, 0) where an input needs no gradient."""
        return self.spread([(None, 0) if edge is None else shown_edge(*edge) for edge in self.edges], (None, 0))

    def torch_outputs(self) -> Sequence[int | None]:
        """The numbers of the outputs that torch's node has, in its order; None for one that is not here."""
        return range(self.count)

    def of_output(self, index: int) -> Node:
        """The node that made this output, where torch has one for each."""
        return self

    @property
    def metadata(self) -> dict[Any, Any]:
        """A dictionary for users' own notes about the step."""
        return self.__dict__.setdefault("_metadata", {})

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(grad_inputs, grad_outputs)`` runs after the node and may return other gradients of the inputs."""
        if thread.tracing is not None:
            thread.tracing.own_backward("a hook")
        return self.__dict__.setdefault("_hooks", Hooks()).add(hook)

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """``hook(grad_outputs)`` runs before the node and may return other gradients of the outputs."""
        if thread.tracing is not None:
            thread.tracing.own_backward("a hook")
        return self.__dict__.setdefault("_prehooks", Hooks()).add(hook)

    def output_hooks(self, index: int) -> Hooks:
        """The hooks of the Tensor that is output ``index``."""
        return self.__dict__.setdefault("_output_hooks", {}).setdefault(index, Hooks())

    def pull(self, gradients: list[Any], create_graph: bool) -> Iterable[Any]:
        """Gradients of the inputs (None where there is none) from those of the outputs (None means zero)."""
        raise NotImplementedError

    def release(self) -> None:
        """Forget what was saved for backward."""

    def __repr__(self) -> str:
        cls = type(self)
        where = "" if cls.__module__ == "builtins" or cls.__module__.startswith("funnn.") else f"{cls.__module__}."
        return f"<{where}{cls.__name__} object at {id(self):#x}>"


def shown_edge(node: Node, index: int) -> tuple[Node, int]:
    """A node and one of its outputs, as torch has them."""
    shown = node.of_output(index) if index else node
    return (node, node.torch_outputs().index(index) if index else 0) if shown is node else (shown, 0)


class Gate(Node):
    """Passes a gradient on: where a transformation's input, a leaf to the function inside, belongs to a graph outside."""

    __slots__ = ()

    takes_sparse = True

    def pull(self, gradients: list[Any], create_graph: bool) -> list[Any]:
        return gradients


class AccumulateGrad(Node):
    """The end of the graph: adds the gradient into the ``.grad`` of a leaf, ``variable``."""

    __slots__ = ("variable",)

    variable: Any

    edges = ()
    number = 0  # after everything else
    takes_sparse = True

    def __init__(self) -> None:
        """Nothing: all leaves' nodes have the same edges and number."""


_node_types: dict[tuple[str, type], type] = {}


def node_type(name: str, base: type, members: dict[str, Any] | None = None) -> type:
    """The class, with such ``members``, whose instances print as ``<name object at …>``."""
    if (name, base) not in _node_types:
        _node_types[name, base] = type(name, (base,), {"__slots__": (), "__module__": "builtins", **(members or {})})
    return _node_types[name, base]


zeros = forms_of(lambda shape, dtype: lambda: ((jnp.zeros(shape, dtype),), None))


def zero_gradient(shape: tuple[Any, ...], dtype: Any) -> Any:
    """The gradient of an output that nobody used, a Value."""
    return run(zeros(shape, dtype), [])


def reachable(roots: Iterable[Node], follow: Callable[[Node], bool] | None = None) -> Iterator[Node]:
    """The nodes from which gradients of ``roots`` come, themselves included, each once; not beyond those of which ``follow`` is False."""
    seen: set[Node] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        if follow is None or follow(node):
            stack.extend([edge[0] for edge in node.edges if edge is not None])
