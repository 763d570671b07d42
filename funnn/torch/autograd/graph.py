"""The recorded graph: its nodes and edges, what nodes save, hooks on several tensors."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from funnn.engine.dispatch.call import Unchecked
from funnn.engine.state import thread
from funnn.engine.tape.node import Node as Node
from funnn.engine.tape.node import RemovableHandle, reachable
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform.differentiate import GradientEdge as GradientEdge


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The place in the graph where gradients of ``tensor`` arrive."""
    if not tensor.requires_grad:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(*tensor._edge())


def increment_version(tensor: Any) -> None:
    """Say that a tensor (or each of several) was written by a way that nobody saw."""
    for item in [tensor] if isinstance(tensor, Tensor) else tensor:
        item._storage.version += 1
        item._storage.writes += 1


class saved_tensors_hooks:
    """Inside, what nodes save for backward is ``pack_hook(tensor)``; backward gets it back by ``unpack_hook``.

    Custom functions save what ``save_for_backward`` was given; other nodes what the derivative here keeps, which may be other tensors than
    PyTorch's (a product of inputs where PyTorch keeps the inputs). Contexts nest: the innermost is used.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]):
        self.hooks = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if thread.saved_hooks_refused is not None:
            raise RuntimeError(thread.saved_hooks_refused)
        thread.saved_hooks = (*thread.saved_hooks, self.hooks)

    def __exit__(self, *exc: Any) -> None:
        thread.saved_hooks = thread.saved_hooks[:-1]


class save_on_cpu(saved_tensors_hooks):
    """As torch's, for tensors that are on the CPU already: nothing moves."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda tensor: tensor, lambda tensor: tensor)


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Inside, entering :class:`saved_tensors_hooks` raises a RuntimeError with that message."""
    if thread.saved_hooks:
        raise RuntimeError(error_message)
    before, thread.saved_hooks_refused = thread.saved_hooks_refused, error_message
    try:
        yield
    finally:
        thread.saved_hooks_refused = before


class _AllowMutationOnSavedContext:
    """What :func:`allow_mutation_on_saved_tensors` gives; ``clear()`` forgets what was saved."""

    def __init__(self) -> None:
        self._times = 0

    def clear(self) -> None:
        """Forget what was saved so far: its backward raises from now on."""
        self._times += 1

    def _hooks(self) -> Unchecked:
        def unpack(packed: tuple[int, Tensor]) -> Tensor:
            times, tensor = packed
            if times != self._times:
                raise AssertionError(
                    "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context in which the graph was originally recorded."
                )
            return tensor

        return Unchecked((lambda tensor: (self._times, tensor), unpack))


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_AllowMutationOnSavedContext]:
    """Inside, tensors that were saved for backward may be written in place: backward uses what was saved. It must run inside, too."""
    if any(type(hooks) is Unchecked for hooks in thread.saved_hooks):
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    context = _AllowMutationOnSavedContext()
    before = thread.saved_hooks
    try:
        thread.saved_hooks = (*before, context._hooks())
        yield context
    finally:
        context.clear()
        thread.saved_hooks = before


class _Together:
    """Handles that are removed together."""

    def __init__(self, handles: Sequence[RemovableHandle]):
        self.handles = tuple(handles)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Together:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable, *, mode: str = "all") -> Any:
    """``fn(gradients)`` runs when the gradients of all tensors that the backward pass reaches are known, with None for the others.

    With ``mode="any"``, ``fn(gradient)`` runs for the first of them alone.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    lock, state = threading.Lock(), {"walk": None}

    def start() -> None:
        """In a new backward pass: which of the tensors it will reach."""
        walk = thread.walk
        if state["walk"] is not walk:
            reached = _reached(*walk[:2])
            missing = sum(tensor.requires_grad and tensor._edge()[0] in reached for tensor in tensors)
            state.update(walk=walk, gradients=[None] * len(tensors), missing=missing, called=False)

    def hook(number: int) -> Callable:
        def collect_gradient(gradient: Tensor) -> None:
            with lock:
                start()
                state["missing"] -= 1
                state["gradients"][number] = gradient
                first, state["called"] = not state["called"], True
            if mode == "any" and first:
                fn(gradient)
            elif mode == "all" and state["missing"] == 0:
                fn(state["gradients"])

        return collect_gradient

    return _Together([tensor.register_hook(hook(number)) for number, tensor in enumerate(tensors)])


def _reached(roots: list, needed: set | None) -> set:
    """The nodes that a backward pass runs."""
    reached = set(reachable(edge[0] for edge, _ in roots))
    return reached if needed is None else reached & needed


__all__ = [
    *("GradientEdge", "Node", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks", "get_gradient_edge"),
    *("increment_version", "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks"),
]
