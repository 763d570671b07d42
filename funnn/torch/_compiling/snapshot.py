"""What there is before a call that is recorded: tensors, storages, generators of random numbers."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.storage import Storage
from funnn.engine.program.value import Value
from funnn.engine.tensor.generator import Generator
from funnn.engine.tensor.tensor import Tensor
from funnn.torch._compiling.signature import Refused

_FROZEN = gc.get_freeze_count()


class Snapshot:
    """The tensors, storages and generators that are there before a call."""

    def __init__(self) -> None:
        if gc.get_freeze_count() > _FROZEN:
            raise Refused("gc.freeze() hides which tensors there are")
        kinds = _subclasses(Tensor)
        self.held: list[Any] = []
        self.values: dict[int, tuple[Any, Value, int, int]] = {}
        self.histories: dict[int, tuple[Any, ...]] = {}
        self.windows: dict[int, int] = {}
        self.gradients: dict[int, int] = {}
        self.generators: list[tuple[Generator, Any]] = []
        wanted = {*kinds, Storage, SharedStorage, Generator}
        for item in [item for item in gc.get_objects() if type(item) in wanted]:
            kind = type(item)
            if kind is Storage or kind is SharedStorage:
                if kind is SharedStorage:
                    item.hold()
                self.held.append(item)
                self.values[id(item)] = weakref.ref(item), item.value, item.version, item.writes
            elif kind in kinds and (storage := item.__dict__.get("_storage")) is not None:
                grad = item._grad
                self.held.append((item, storage, grad))
                self.histories[id(item)] = weakref.ref(item), id(storage), id(grad), item._grad_fn, item._leaf_requires_grad
                if item._window is not None and item._value is not None and item._value_writes == storage.writes:
                    self.windows[id(item._value)] = id(item)
                    self.held.append(item._value)
                if grad is not None and "_storage" in grad.__dict__:
                    self.gradients[id(grad._storage)] = id(item)
            elif kind is Generator:
                self.generators.append((item, item._engine.get_state()))

    def let_go(self) -> None:
        """The call is over: hold nothing that it let go of."""
        self.held = []

    def storages(self) -> Iterator[tuple[Storage, Value, int, int]]:
        """Those that are still there, with what they were."""
        for reference, *rest in self.values.values():
            if (storage := reference()) is not None:
                yield storage, *rest

    def tensors(self) -> Iterator[tuple[Any, ...]]:
        """Those that are still there, with what they were."""
        for reference, *rest in self.histories.values():
            if (tensor := reference()) is not None:
                yield tensor, *rest


def _subclasses(kind: type) -> set[type]:
    return {kind}.union(*map(_subclasses, type.__subclasses__(kind)))
