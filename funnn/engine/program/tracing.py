"""What hears of every storage that is made or read while a function runs on tracers: the listeners, and a compilation, the fullest of them."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive

from funnn.engine.memory.storage import Storage
from funnn.engine.tape.node import Node
from funnn.engine.tensor.tensor import Tensor

_input_p = Primitive("funnn_input")  # stands in the traced program for an input that is found while tracing
_input_p.def_abstract_eval(lambda *, index, aval: aval)


def cut(arrays: list, tracked: tuple[int, ...]) -> list:
    """The operands of an operation, such that JAX's gradient of the whole ends where the tape's does: at detach and no_grad."""
    return [array if i in tracked or not isinstance(array, jax.core.Tracer) else lax.stop_gradient(array) for i, array in enumerate(arrays)]


class Listener:
    """What ``thread.tracing`` is told, and asked, while JAX transforms a function of Tensors; this one ignores all of it.

    Attributes:
      compiling: whether numbers are drawn inside a program, which runs later.
      pushing: whether values carry tangents (forward mode).
      vmaps: those of torch.func's vmap that are in progress, outermost first.
      differentiated: whether a backward pass ran inside.
    """

    compiling = pushing = differentiated = False
    vmaps: tuple = ()

    def created(self, storage: Storage) -> None:
        """A storage was made."""

    def read(self, storage: Storage, tensor: Tensor | None = None) -> None:
        """A storage is about to be read or written."""

    def recorded(self, node: Node) -> None:
        """A node was recorded."""

    def cut(self, arrays: list, tracked: tuple[int, ...]) -> list:
        """What an operation gets of its operands, of which the tape follows ``tracked``."""
        return arrays

    def own_backward(self, what: str) -> None:
        """Something whose gradient is Python's was recorded."""

    def guard(self, get: Callable[[], Any]) -> None:
        """What runs is good only while ``get()`` gives what it gives now."""

    def guard_module(self, module: Any) -> None:
        """A module was called."""

    def read_grad(self, tensor: Tensor) -> None:
        """``tensor.grad`` is about to be looked at."""

    def wrote_grad(self, tensor: Tensor) -> None:
        """``tensor.grad`` is about to be assigned."""

    def number(self, get: Callable[[], float]) -> Any:
        """A Python number that a program would read again at every call."""
        return float(get())

    def text(self, tensor: Tensor) -> str:
        """What a tensor prints as."""
        return tensor._text("tensor(")


class Tracing(Listener):
    """A compilation in progress; Storage, Tensor, Module and Optimizer report to it."""

    compiling = True

    def __init__(self):
        self.sources: list[Source] = []
        self.guards: list[Callable[[], bool]] = []
        self.new: weakref.WeakSet[Storage] = weakref.WeakSet()
        self.nodes: list[weakref.ref] = []
        self.grads: dict[Tensor, Tensor | None] = {}  # tensors whose .grad was assigned, with what it was before
        self._known: dict[Storage, StorageSource] = {}
        self._grad_owners: dict[Storage, Tensor] = {}
        self._asked: set[int] = set()
        self._modules: set[Any] = set()

    def _input(self, source: Source, aval: Any) -> Any:
        source.tracer = _input_p.bind(index=len(self.sources), aval=aval)
        self.sources.append(source)
        return source.tracer

    def read(self, storage: Storage, tensor: Tensor | None = None) -> None:
        """A storage is about to be read or written: one from outside becomes an input."""
        if storage in self.new:
            return
        known = self._known.get(storage)
        if known is not None:
            known.read_by(tensor)
            return
        owner = self._grad_owners.get(storage)
        source = StorageSource(storage, tensor) if owner is None else GradSource(storage, owner)
        self._known[storage] = source
        guard = source.guard()
        if guard is not None:
            self.guards.append(guard)
        storage.array = self._input(source, jax.core.ShapedArray(storage.array.shape, storage.array.dtype))

    def created(self, storage: Storage) -> None:
        """A storage was made; it lives inside the program."""
        self.new.add(storage)

    def recorded(self, node: Node) -> None:
        """A node was recorded; what it saved is gone when tracing ends."""
        self.nodes.append(weakref.ref(node))

    def cut(self, arrays: list, tracked: tuple[int, ...]) -> list:
        """What an operation gets of its operands."""
        return cut(arrays, tracked)

    def number(self, get: Callable[[], float]) -> Any:
        """A Python number that is read again at every call."""
        return self._input(NumberSource(get), jax.core.ShapedArray((), jnp.float64, weak_type=True))

    def guard(self, get: Callable[[], Any]) -> None:
        """The program is good only while ``get()`` gives what it gives now."""
        value = get()
        self.guards.append(lambda: get() == value)

    def guard_module(self, module: Any) -> None:
        """A module was called: its mode and its hooks decide what it does."""
        if module not in self._modules:
            self._modules.add(module)
            self.guard(module._call_kind)

    def read_grad(self, tensor: Tensor) -> None:
        """``tensor.grad`` is about to be looked at: whether there is one was decided in Python."""
        if tensor in self.grads or id(tensor) in self._asked:
            return
        self._asked.add(id(tensor))
        self.guard(lambda: tensor._grad is None)
        if tensor._grad is not None:
            self._grad_owners[tensor._grad._storage] = tensor

    def wrote_grad(self, tensor: Tensor) -> None:
        """``tensor.grad`` is about to be assigned."""
        if tensor not in self.grads:
            self.grads[tensor] = tensor._grad

    def restore(self) -> None:
        """Everything outside is again as it was before tracing, and nothing recorded in it can be used."""
        for source in self.sources:
            source.restore()
        for tensor, before in self.grads.items():
            tensor._grad = before
        for reference in self.nodes:
            node = reference()
            if node is not None:
                node.vjp, node.inputs, node.saved = None, None, ()


class Source:
    """Where an input of the program comes from at every call."""

    tracer: Any = None
    tensor: Tensor | None = None
    written = False  # whether the program writes it

    def target(self) -> Any:
        """The storage behind the input, at a call."""
        raise NotImplementedError

    def take(self) -> Any:
        """The value of the input, at a call."""
        raise NotImplementedError

    def as_argument(self) -> Any:
        """The value as an argument of a recorded operation: a Tensor where gradients flow back."""
        return jnp.asarray(self.take())

    def restore(self) -> None:
        """Undo what tracing changed."""


class NumberSource(Source):
    """A number behind a function."""

    def __init__(self, get: Callable[[], float]):
        self.get = get
        self._last: tuple[float, Any] = (math.nan, None)

    def take(self) -> Any:
        value = float(self.get())
        if value != self._last[0]:  # a number that stays the same is sent to the device once
            with jax.enable_x64(True):
                self._last = value, jnp.asarray(value)
        return self._last[1]


class StorageSource(Source):
    """A storage that the function reaches by itself: a parameter, a buffer, an optimizer's state."""

    def __init__(self, storage: Storage, tensor: Tensor | None):
        self.storage, self.tensor, self.array = storage, tensor, storage.array

    def read_by(self, tensor: Tensor | None) -> None:
        """Another tensor on the storage was read: if it is the one that needs gradients, they will have to reach it."""
        if tensor is not None and tensor.requires_grad and not (self.tensor is not None and self.tensor.requires_grad):
            self.tensor = tensor if tensor._base is None else tensor._base

    def guard(self) -> Callable[[], bool] | None:
        """Whether the input is still what it was: the same storage behind the same tensor, which needs gradients or not, as before."""
        storage, tensor = self.storage, self.tensor
        if tensor is None:
            return None
        needs = tensor.requires_grad
        return lambda: tensor._storage is storage and tensor.requires_grad == needs

    def target(self) -> Storage:
        """The storage, at a call."""
        return self.storage

    def take(self) -> Any:
        return self.target().to_jax()

    def as_argument(self) -> Any:
        if self.tensor is None or not self.tensor.requires_grad:
            return self.take()
        if self.tensor._window is not None:
            raise NotImplementedError(
                "torch.compile of a function that reads a view which needs gradients, from outside: pass the view as an argument, or run backward "
                "inside the compiled function"
            )
        return self.tensor

    def restore(self) -> None:
        self.storage.array = self.array
        self.storage.writes += 1  # views that cached a tracer read again


class GradSource(StorageSource):
    """The storage of the gradient that a tensor has at the time of the call."""

    def __init__(self, storage: Storage, owner: Tensor):
        super().__init__(storage, None)
        self.owner = owner

    def guard(self) -> Callable[[], bool]:
        owner, shape = self.owner, self.storage.array.shape
        return lambda: owner._grad is not None and owner._grad._window is None and owner._grad._storage.array.shape == shape

    def target(self) -> Storage:
        return self.owner._grad._storage
