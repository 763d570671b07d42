"""The tape: nodes that remember how to pull gradients back, and the loop that walks them.

A node holds its edges (the node and output that made each differentiable input), the vjp that its operation saved, and torch's name of it.
Nodes are numbered as they are made; walking them from the highest number down is a topological order, so the loop needs no counting and no
recursion. Gradients travel as arrays, and as Tensors only where somebody looks (hooks, create_graph, Python-defined functions).
"""

from __future__ import annotations

import heapq
import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from funnn.torch._state import thread

_numbers = itertools.count(1)

SECOND_TIME = (
    "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). "
    "Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need "
    "to backward through the graph a second time or if you need to access saved tensors after calling backward."
)


INFERENCE_SAVED = (
    "Inference tensors cannot be saved for backward. Please do not track its gradient, or use its clone(), made outside inference_mode, "
    "which is a normal tensor."
)


class Hooks(OrderedDict):
    """Functions to call, in order of registration."""

    def add(self, hook: Callable) -> RemovableHandle:
        handle = RemovableHandle(self)
        self[handle.id] = hook
        return handle


class RemovableHandle:
    """What registering a hook returns: ``remove()`` unregisters it; also a context manager."""

    _ids = itertools.count()

    def __init__(self, hooks: OrderedDict, *others: OrderedDict):
        self.id = next(RemovableHandle._ids)
        self._all = [weakref.ref(item) for item in (hooks, *others)]

    def remove(self) -> None:
        for reference in self._all:
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self) -> dict:
        return {"id": self.id, "hooks": [reference() for reference in self._all]}

    def __setstate__(self, state: dict) -> None:  # a copy belongs to the copied hooks
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

    def __init__(self, edges: tuple):
        self.edges = edges
        self.number = next(_numbers)
        if thread.anomaly:
            from funnn.torch.autograd.anomaly_mode import remember

            remember(self)

    def name(self) -> str:
        name = type(self).__name__
        return f"torch::autograd::{name}" if name in ("AccumulateGrad", "CopyBackwards") else name

    def spread(self, values: Iterable, missing: Any) -> tuple:
        """One value for every input of torch's node, from one for every edge."""
        return tuple(values)

    def collect(self, values: Iterable) -> list:
        """The opposite of ``spread``."""
        return list(values)

    @property
    def next_functions(self) -> tuple:
        """((node, output number), …) of the differentiable inputs, (None, 0) where an input needs no gradient."""
        return self.spread([(None, 0) if edge is None else edge for edge in self.edges], (None, 0))

    @property
    def metadata(self) -> dict:
        return self.__dict__.setdefault("_metadata", {})

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """``hook(grad_inputs, grad_outputs)`` runs after the node and may return other gradients of the inputs."""
        if thread.tracing is not None:
            thread.tracing.own_backward("a hook")
        return self.__dict__.setdefault("_hooks", Hooks()).add(hook)

    def register_prehook(self, hook: Callable) -> RemovableHandle:
        """``hook(grad_outputs)`` runs before the node and may return other gradients of the outputs."""
        if thread.tracing is not None:
            thread.tracing.own_backward("a hook")
        return self.__dict__.setdefault("_prehooks", Hooks()).add(hook)

    def output_hooks(self, index: int) -> Hooks:
        """The hooks of the Tensor that is output ``index``."""
        return self.__dict__.setdefault("_output_hooks", {}).setdefault(index, Hooks())

    def pull(self, gradients: list, create_graph: bool) -> Iterable:
        """Gradients of the inputs (None where there is none) from those of the outputs (None means zero)."""
        raise NotImplementedError

    def release(self) -> None:
        """Forget what was saved for backward."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} object at {id(self):#x}>"


class Gate(Node):
    """Passes a gradient on: where a transformation's input, a leaf to the function inside, belongs to a graph outside."""

    __slots__ = ()

    def pull(self, gradients: list, create_graph: bool) -> list:
        return gradients


class AccumulateGrad(Node):
    """The end of the graph: adds the gradient into the ``.grad`` of a leaf."""

    __slots__ = ("variable",)

    def __init__(self, variable: Any):
        self.edges = ()
        self.number = 0  # after everything else
        self.variable = variable


_node_types: dict[tuple[str, type], type] = {}


def node_type(name: str, base: type) -> type:
    """The class whose instances print as ``<name object at …>``."""
    if (name, base) not in _node_types:
        _node_types[name, base] = type(name, (base,), {"__slots__": ()})
    return _node_types[name, base]


@jax.jit
def add_arrays(a: jax.Array, b: jax.Array) -> jax.Array:
    return a + b


def as_tensor(gradient: Any) -> Any:
    """A gradient for Python to look at."""
    from funnn.torch._tensor import Tensor

    return gradient if gradient is None or isinstance(gradient, Tensor) else Tensor._wrap(gradient)


def as_array(gradient: Any) -> Any:
    """A gradient to compute with."""
    return gradient._read() if hasattr(gradient, "_read") else gradient


def add(a: Any, b: Any, create_graph: bool) -> Any:
    if create_graph:
        return as_tensor(a) + as_tensor(b)
    with jax.enable_x64(True):
        return add_arrays(a, b)


def run_hooks(hooks: Hooks, gradient: Any, create_graph: bool) -> Any:
    """Pass a gradient through tensor hooks; each may return a replacement."""
    for hook in list(hooks.values()):
        result = hook(as_tensor(gradient))
        if result is not None:
            gradient = result if create_graph else as_array(result)
    return gradient


def run(
    roots: list[tuple[tuple, Any]],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    inputs: dict[tuple, Any] | None = None,
    accumulate_only: set | None = None,
    foreign: bool = False,
) -> dict[tuple, Any]:
    """Pull gradients from ``roots`` ((node, output), gradient) to the leaves.

    Args:
      retain_graph: keep what the nodes saved.
      create_graph: record the backward pass itself; gradients are then Tensors.
      inputs: edges whose gradients are wanted; they are returned and nothing is accumulated.
      accumulate_only: accumulate into these leaves' nodes alone.
      foreign: whether the nodes of ``inputs`` belong to a graph that will be walked later: none of their hooks run, and the walk ends there.

    Returns:
      The gradients of ``inputs`` that were reached.
    """
    pending: dict[Node, list] = {}
    heap: list[tuple[int, int, Node]] = []
    leaves: OrderedDict[Node, None] = OrderedDict()  # in the order in which their gradients became whole
    captured: dict[tuple, Any] = {}
    targets = set() if inputs is None else {edge[0] for edge in inputs}
    needed = None if inputs is None else _ancestors_of(roots, targets)
    if thread.anomaly:
        from funnn.torch.autograd.anomaly_mode import watched_pull

    def send(edge: tuple, gradient: Any) -> None:
        node, index = edge
        if needed is not None and node not in needed:
            return
        slots = pending.get(node)
        if isinstance(node, AccumulateGrad):
            leaves[node] = None
            leaves.move_to_end(node)
        elif slots is None:
            heapq.heappush(heap, (-node.number, id(node), node))
        if slots is None:
            slots = pending[node] = [None] * node.count
        slots[index] = gradient if slots[index] is None else add(slots[index], gradient, create_graph)

    if thread.tracing is not None:
        thread.tracing.differentiated = True
    before, walk_before = thread.grad, thread.walk
    thread.grad, thread.walk = create_graph, (roots, needed, accumulate_only)
    try:
        for edge, gradient in roots:
            send(edge, gradient)
        while heap or leaves:
            node = heapq.heappop(heap)[2] if heap else leaves.popitem(last=False)[0]
            gradients = pending.pop(node)
            extra = node.__dict__
            theirs = foreign and node in targets
            if extra and not theirs:
                _before(node, gradients, extra, create_graph)
            if inputs is not None:
                for index, gradient in enumerate(gradients):
                    if (node, index) in inputs and gradient is not None:
                        captured[node, index] = gradient
            if isinstance(node, AccumulateGrad):
                if inputs is None and (accumulate_only is None or node in accumulate_only):
                    node.variable._accumulate(gradients[0], create_graph)
                continue
            if theirs or (needed is not None and not any(edge is not None and edge[0] in needed for edge in node.edges)):
                continue
            results = watched_pull(node, gradients, create_graph) if thread.anomaly else node.pull(gradients, create_graph)
            if "_hooks" in extra:
                results = _after(node, extra["_hooks"], results, gradients, create_graph)
            if not retain_graph:
                node.release()
            for edge, gradient in zip(node.edges, results, strict=True):
                if edge is not None and gradient is not None:
                    send(edge, gradient)
    finally:
        thread.grad, thread.walk = before, walk_before
    return captured


def _before(node: Node, gradients: list, extra: dict, create_graph: bool) -> None:
    for index, hooks in extra.get("_output_hooks", {}).items():
        if gradients[index] is not None:
            gradients[index] = run_hooks(hooks, gradients[index], create_graph)
    for hook in list(extra.get("_prehooks", {}).values()):
        result = hook(tuple(map(as_tensor, gradients)))
        if result is not None:
            gradients[:] = result if create_graph else map(as_array, result)
    for reference, index in extra.get("_retained", {}).values():
        tensor = reference()
        if tensor is not None and gradients[index] is not None:
            tensor._accumulate(gradients[index], create_graph)


def _after(node: Node, hooks: Hooks, results: Iterable, gradients: list, create_graph: bool) -> Iterable:
    results = list(results)
    for hook in list(hooks.values()):
        replaced = hook(node.spread(map(as_tensor, results), None), tuple(map(as_tensor, gradients)))
        if replaced is not None:
            results = node.collect(replaced) if create_graph else list(map(as_array, node.collect(replaced)))
    return results


def _ancestors_of(roots: list, targets: set) -> set:
    """The nodes on some path from the roots to a target."""
    order, seen, stack = [], set(), [edge[0] for edge, _ in roots]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            order.append(node)
            stack.extend(edge[0] for edge in node.edges if edge is not None)
    needed = set(targets)
    for node in sorted(order, key=lambda item: item.number):
        if any(edge is not None and edge[0] in needed for edge in node.edges):
            needed.add(node)
    return needed


def zeros(shape: tuple, dtype: Any) -> jax.Array:
    with jax.enable_x64(True):
        return jnp.zeros(shape, dtype)
