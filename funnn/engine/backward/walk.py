"""The walk over the recorded graph, that pulls gradients from its roots to its leaves.

Nodes are numbered as they are made; walking them from the highest number down is a topological order, so the loop needs no counting and no
recursion. Gradients travel as Values, and as Tensors only where somebody looks (hooks, create_graph, Python-defined functions) and where they are sparse.

Leaves come after everything else; where somebody can tell, as soon as their gradients are whole.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from funnn.engine.backward.passes import begin
from funnn.engine.dispatch.call import Recording
from funnn.engine.dispatch.halves import narrowed
from funnn.engine.dispatch.shown_nodes import Shown, shown_next
from funnn.engine.memory.strides import like_leaf
from funnn.engine.program.form import Form
from funnn.engine.program.graph import run
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.tape.node import AccumulateGrad, Hooks, Node, reachable
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor, as_gradient, as_tensor
from funnn.engine.types.dtype import complex32

_sum = Form(lambda a, b: ((a + b,), None))


def add_gradients(a: Any, b: Any, create_graph: bool) -> Any:
    if type(a) is not Value or type(b) is not Value:
        a, b = as_tensor(a), as_tensor(b)
        total = b + a if isinstance(a, SparseTensor) and not isinstance(b, SparseTensor) else a + b
        return total if create_graph else as_gradient(total)
    return run(_sum, [a, b])


def check_result(hook: Any, result: Any, gradient: Any) -> None:
    """Raise torch's errors for what a hook gave in the place of a gradient."""
    if not isinstance(result, Tensor):
        raise TypeError(f"expected Variable, but hook returned '{type(result).__name__}'")
    before = as_tensor(gradient)
    name = getattr(hook, "__name__", type(hook).__name__)
    if result.dtype is not before.dtype:
        kinds = [f"torch.{tensor.dtype.legacy}Tensor" for tensor in (before, result)]
        raise RuntimeError(f"hook '{name}' has changed the type of value (was {kinds[0]} got {kinds[1]}); return grad.to({before.dtype})")
    if result._shape() != before._shape():
        raise RuntimeError(f"hook '{name}' has changed the size of value: {list(before._shape())} became {list(result._shape())}")


def pass_through_hooks(hooks: Hooks, gradient: Any, create_graph: bool) -> Any:
    """Pass a gradient through tensor hooks; each may return a replacement."""
    for hook in list(hooks.values()):
        result = hook(as_tensor(gradient))
        if result is not None:
            check_result(hook, result, gradient)
            gradient = result if create_graph else as_gradient(result)
    return gradient


def accumulate(tensor: Tensor, gradient: Any, create_graph: bool, wanted: bool = True) -> None:
    """Add a gradient, if it is still ``wanted``, into the ``.grad`` of a tensor, and run the hooks that wait for it."""
    grad = tensor._grad
    if not wanted:
        pass
    elif tensor.__dict__.get("_window") is not None and tensor.dtype is complex32:
        tensor._grad = narrowed(as_tensor(gradient)) if grad is None else grad + narrowed(as_tensor(gradient))
    elif create_graph:
        tensor.grad = gradient if grad is None else grad + gradient
    elif grad is None:
        given = as_tensor(gradient)
        tensor._grad = given if tensor.__dict__.get("_window") is None or isinstance(given, SparseTensor) else like_leaf(given, tensor)
    elif isinstance(grad, SparseTensor) or isinstance(gradient, SparseTensor):
        given, dense = as_tensor(gradient), not isinstance(gradient, SparseTensor)
        tensor._grad = given + grad if dense else grad.add_(given)  # a dense one takes the place of a sparse one
    else:
        grad._write(add_gradients(grad._operand(), gradient, False))
    if tensor._after_accumulate:
        for hook in list(tensor._after_accumulate.values()):
            result = hook(tensor)
            if result is not None:
                check_result(hook, result, tensor)
                if result is not tensor:
                    raise RuntimeError("Tensor post accumulate grad hooks should return None.")


def pull_gradients(
    roots: list[tuple[tuple[Any, ...], Any]],
    *,
    retain_graph: bool = False,
    create_graph: bool = False,
    inputs: dict[tuple[Any, ...], Any] | None = None,
    accumulate_only: set[Any] | None = None,
    foreign: bool = False,
) -> dict[tuple[Any, ...], Any]:
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
    pending: dict[Node, list[Any]] = {}
    heap: list[tuple[int, int, Node]] = []
    leaves: OrderedDict[Any, None] = OrderedDict()  # in the order in which their gradients became whole
    captured: dict[tuple[Any, ...], Any] = {}
    targets = set() if inputs is None else {edge[0] for edge in inputs}
    wanted = accumulate_only if inputs is None else targets
    needed = None if wanted is None else _ancestors_of(roots, wanted)

    def send(edges: Iterable[Any], gradients: Iterable[Any]) -> None:
        for edge, gradient in zip(edges, gradients, strict=True):
            if edge is None or gradient is None:
                continue
            node, index = edge
            if needed is not None and node not in needed:
                continue
            if not isinstance(gradient, Value):
                if not create_graph:
                    gradient = as_gradient(gradient)
                if isinstance(gradient, SparseTensor) and not node.takes_sparse:
                    gradient = gradient.to_dense() if create_graph else gradient.to_dense()._operand()
            slots = pending.get(node)
            if slots is None:
                if type(node) is AccumulateGrad:
                    leaves[node] = None
                    pending[node] = [gradient]
                    continue
                heapq.heappush(heap, (-node.number, id(node), node))
                slots = pending[node] = [None] * node.count
            elif type(node) is AccumulateGrad:
                leaves.move_to_end(node)
            slots[index] = gradient if slots[index] is None else add_gradients(slots[index], gradient, create_graph)

    def capture(node: Node, gradients: list[Any]) -> None:
        for index, gradient in enumerate(gradients):
            if inputs is not None and (node, index) in inputs and gradient is not None:
                captured[node, index] = gradient

    def settle(found: Iterable[Any]) -> None:
        """The gradients of these leaves are whole."""
        for node in found:
            del leaves[node]
            gradients = pending.pop(node)
            extra = node.__dict__
            if extra and not (foreign and node in targets):
                _run_tensor_hooks(gradients, extra, create_graph)
            if inputs is not None:
                capture(node, gradients)
            elif accumulate_only is None or node in accumulate_only:
                if "_prehooks" in extra:
                    _run_prehooks(node, extra["_prehooks"], gradients, create_graph)
                leaf = node.variable
                if gradients[0] is not None:
                    accumulate(leaf, gradients[0], create_graph, leaf._leaf_requires_grad or leaf.requires_grad)
                for hook in list(extra.get("_hooks", {}).values()):
                    hook((), tuple(map(as_tensor, gradients)))

    waiting: dict[Any, int] | None = None  # how many edges to each leaf are still to be walked, where somebody may look at it on the way
    before, walk_before = thread.grad, thread.walk
    try:
        thread.grad, thread.walk = create_graph, (roots, needed, accumulate_only)
        plain = needed is None and not create_graph and thread.tracing is None and thread.anomaly is None
        known, following = begin(roots, retain_graph) if plain else (None, None)
        if known is None:
            send([edge for edge, _ in roots], [gradient for _, gradient in roots])
        else:
            pending, leaves = dict(known), OrderedDict.fromkeys(known)
        while heap:
            node = heapq.heappop(heap)[2]
            extra = node.__dict__
            if waiting is None and (extra or not isinstance(node, Recording)):
                waiting = _edges_to_leaves([node, *[item[2] for item in heap]], needed)
                settle([leaf for leaf in leaves if leaf not in waiting])
                if following is not None:
                    following.forget()
                    following = None
            if "_detached" in extra:
                _check_detached(node, extra["_detached"], roots)
            if following is not None:
                following.visit(node)
            gradients = pending.pop(node)
            theirs = foreign and node in targets
            if extra and not theirs:
                _run_tensor_hooks(gradients, extra, create_graph)
            if inputs is not None:
                capture(node, gradients)
            if theirs or (needed is not None and not any(edge is not None and edge[0] in needed for edge in node.edges)):
                continue
            if "_prehooks" in extra:
                _run_prehooks(node, extra["_prehooks"], gradients, create_graph)
            try:
                results: Iterable[Any]
                if "_prehooks" in extra and isinstance(node, Recording) and all(gradient is None for gradient in gradients):
                    results = [None] * len(node.edges)  # a hook took it away
                elif thread.anomaly is None:
                    results = node.pull(gradients, create_graph)
                else:
                    results = thread.anomaly.pull(node, gradients, create_graph)
                if "_hooks" in extra:
                    results = _run_hooks(node, extra["_hooks"], results, gradients, create_graph)
            except Exception:  # leaves that wait for nothing have their gradients
                left = _edges_to_leaves([node, *[item[2] for item in heap]], needed)
                settle([leaf for leaf in leaves if leaf not in left])
                raise
            if not retain_graph:
                node.release()
            order = node.entry.sends if isinstance(node, Recording) else None
            if order is None:
                send(node.edges, results)
            else:
                results = list(results)
                send([node.edges[number] for number in order], [results[number] for number in order])
            if waiting is not None or following is not None or needed is not None:
                for leaf in _leaves_in_order(node):
                    if leaf in leaves:
                        leaves.move_to_end(leaf)
            if waiting is not None:
                settle(_no_longer_waiting(node, waiting, leaves))
        if following is not None:
            following.arrive(leaves, pending)
        settle(list(leaves))
    except BaseException:
        if walk_before is None:
            thread.after_walk.clear()
        raise
    finally:
        thread.grad, thread.walk = before, walk_before
    if walk_before is None:
        while thread.after_walk:
            thread.after_walk.pop(0)()
    return captured


def _run_tensor_hooks(gradients: list[Any], extra: dict[Any, Any], create_graph: bool) -> None:
    """Those of the tensors that a node made, and what they retain."""
    for index, hooks in extra.get("_output_hooks", {}).items():
        if gradients[index] is not None:
            gradients[index] = pass_through_hooks(hooks, gradients[index], create_graph)
    for reference, index in extra.get("_retained", {}).values():
        tensor = reference()
        if tensor is not None and gradients[index] is not None:
            accumulate(tensor, gradients[index], create_graph)


def _check_detached(node: Node, outputs: set[int], roots: list[Any]) -> None:
    """Raise torch's error where an operation behind ``node`` saved one of its outputs, from whose tensor the history was taken since."""
    for user in reachable(edge[0] for edge, _ in roots):
        if isinstance(user, Recording):
            for position, edge in zip(user.entry.tracked, user.edges, strict=True):
                if edge is not None and edge[0] is node and edge[1] in outputs and position in user.note.saved:
                    raise RuntimeError(
                        "Trying to use a saved tensor that has been detached in-place, i.e. with .detach_(). This is not supported, please use "
                        "out-of-place `.detach()` instead"
                    )


def _run_prehooks(node: Node, hooks: Hooks, gradients: list[Any], create_graph: bool) -> None:
    order = node.torch_outputs()
    for hook in list(hooks.values()):
        shown = _as_shown(order, gradients)
        result = hook(shown)
        if result is not None:
            _check_results(hook, result, shown)
            for number, gradient in zip(order, result, strict=True):
                if number is not None:
                    gradients[number] = gradient if create_graph else as_gradient(gradient)


def _run_hooks(node: Node, hooks: Hooks, results: Iterable[Any], gradients: list[Any], create_graph: bool) -> Iterable[Any]:
    results = list(results)
    outputs = _as_shown(node.torch_outputs(), gradients)
    for hook in list(hooks.values()):
        shown = node.spread(map(as_tensor, results), None)
        replaced = hook(shown, outputs)
        if replaced is not None:
            _check_results(hook, replaced, shown)
            results = node.collect(replaced) if create_graph else list(map(as_gradient, node.collect(replaced)))
    return results


def _as_shown(order: Sequence[int | None], gradients: list[Any]) -> tuple[Any, ...]:
    """The gradients of a node's outputs as torch's node has them."""
    return tuple([None if number is None else as_tensor(gradients[number]) for number in order])


def _check_results(hook: Any, results: Any, before: tuple[Any, ...]) -> None:
    """Raise torch's errors for what a hook of a node gave in the place of its gradients."""
    if not isinstance(results, tuple):
        raise TypeError(f"expected tuple, but hook returned '{type(results).__name__}'; return one gradient, or None, for each that came")
    if len(results) != len(before):
        name = getattr(hook, "__name__", type(hook).__name__)
        raise RuntimeError(f"hook '{name}' has returned an incorrect number of values (got {len(results)}, but expected {len(before)})")
    for result, gradient in zip(results, before, strict=True):
        if gradient is None and result is not None:
            raise RuntimeError("can't replace a None gradient with a non-None value")
        if result is not None:
            check_result(hook, result, gradient)


def _edges_to_leaves(nodes: list[Any], needed: set[Any] | None) -> dict[Any, int]:
    """How many edges lead to each leaf from these nodes and what is behind them."""
    found: dict[Any, int] = {}
    for node in reachable(nodes, None if needed is None else needed.__contains__):
        for edge in node.edges if needed is None or node in needed else ():
            if edge is not None and type(edge[0]) is AccumulateGrad:
                found[edge[0]] = found.get(edge[0], 0) + 1
    return found


def _no_longer_waiting(node: Node, waiting: dict[Any, int], leaves: Iterable[Any]) -> list[Any]:
    """The leaves to which a node's edges were the last, in the order in which they got their gradients."""
    for edge in node.edges:
        if edge is not None and edge[0] in waiting:
            waiting[edge[0]] -= 1
    return [leaf for leaf in leaves if not waiting.get(leaf)]


def _leaves_in_order(node: Node) -> Iterator[Any]:
    """The leaves that a node sends to, in the order in which PyTorch's engine comes to them: leaves first, then through what was made last."""
    shown = shown_next(node) if isinstance(node, Recording) else None
    level = node.spread(node.edges, None) if shown is None else shown
    while level:
        below: list[Any] = []
        for following in [edge[0] for edge in level if edge is not None]:
            if type(following) is AccumulateGrad:
                yield following
            elif isinstance(following, Shown):  # its own edges, which end at nodes that gradients go through
                below[:0] = following.edges
        level = tuple(below)


def _ancestors_of(roots: list[Any], targets: set[Any]) -> set[Any]:
    """The nodes on some path from the roots to a target."""
    needed = set(targets)
    for node in sorted(reachable(edge[0] for edge, _ in roots), key=lambda item: item.number):
        if any(edge is not None and edge[0] in needed for edge in node.edges):
            needed.add(node)
    return needed
