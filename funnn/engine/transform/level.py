"""A transformation in progress: what it reads and makes, and what operations compute of the values inside."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.interpreters import ad

from funnn.engine.memory.storage import Storage
from funnn.engine.program.form import Form, forms_of
from funnn.engine.program.graph import compute_at_once
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.tape.node import AccumulateGrad, Node, new_number, reachable, zeros
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.transform.inside import Batched, Dual, InsideResiduals, Transformed, mapped, with_tangents
from funnn.engine.transform.listener import Listener, Recording

_repeated = forms_of(lambda size: lambda array: ((jnp.broadcast_to(array, (size, *array.shape)),), None))


class Level(Listener):
    """A transformation in progress; what it is told it passes on to the listener around it.

    Args:
      refusal: what to say where a value from inside was written into a tensor from outside.
    """

    randomness = "error"  # of a vmap, what random numbers are inside it
    differentiates = False
    entered: tuple[Any, ...] = ()  # its inputs have memory of their own
    of_function = True  # it is one of torch.func's: backward() is refused inside

    def __init__(self, refusal: str):
        self.refusal = refusal
        self.first = new_number()
        self.read_first: dict[Storage, tuple] = {}  # storages from outside, with value, version and writes as they were
        self.made: weakref.WeakSet[Storage] = weakref.WeakSet()
        self.active = False
        self._trace: Any = None

    def __enter__(self) -> Level:
        self.before = thread.tracing
        self.outer: Listener = Recording() if self.before is None else self.before
        self.vmaps, self.pushing = self.outer.vmaps, self.outer.pushing
        self.active = True
        thread.tracing = self
        self.levels = thread.levels, thread.level
        if self.of_function:
            thread.levels, thread.level = (*thread.levels, self), self.first
        return self

    def __exit__(self, *exc: Any) -> None:
        thread.tracing = self.before
        thread.levels, thread.level = self.levels
        self._leave_trace()
        leaked = [storage for storage in self.read_first if self.is_inside(storage.value)]
        for storage in leaked:
            self.put_back(storage)
        self.active = False
        if leaked and exc[0] is None:
            raise RuntimeError(self.refusal)

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """As outside."""
        thread.tracing = self.before
        try:
            yield
        finally:
            thread.tracing = self

    def put_back(self, storage: Storage) -> None:
        """Give a storage from outside the values that it had when it was first read."""
        storage.value, storage.version, _ = self.read_first[storage]
        storage.writes += 1

    def is_inside(self, value: Value) -> bool:
        """Whether the transformation changes the value: it has examples, or a tangent."""
        return getattr(self._entered(value), "level", None) is self

    # what operations compute

    def apply(self, form: Form, operands: list[Any]) -> tuple[list[Any], Any]:
        given = []
        inside = False
        for operand in operands:
            if type(operand) is Value and operand.traced:
                operand = self._owned(operand)
                if operand is None:
                    return compute_at_once(form, operands)
            inside = inside or getattr(operand, "level", None) is self
            given.append(operand)
        return self._transformed(form, given) if inside else self.outer.apply(form, given)

    def _transformed(self, form: Form, operands: list[Any]) -> tuple[list[Any], Any]:
        """The results of a form of values of which some are inside, and its note."""
        raise NotImplementedError

    def _vjp_of(self, results: list[Any], noted: Transformed) -> list[Any]:
        """The vjp among the results of a transformed form, which is taken from them, if there is one."""
        if noted.vjp is None:
            return []
        vjp = results.pop()
        return [InsideResiduals(self, vjp, noted.vjp) if any(noted.vjp) else vjp]

    def leave(self, value: Value) -> Any:
        """What a value from inside is outside."""
        raise NotImplementedError

    def _entered(self, value: Value) -> Value:
        """The value, or what it stands for if it is a tracer of JAX's."""
        return (self._owned(value) or value) if type(value) is Value and value.traced else value

    def _owned(self, value: Value) -> Value | None:
        """What a tracer of JAX's stands for, if it is of this transformation or of one around it."""
        level: Any = self
        while isinstance(level, Level):
            if level._trace is not None and value.array._trace is level._trace:
                return level._around(value.array)
            level = level.outer
        return None

    # JAX's tracers, for what asks for arrays

    def trace(self) -> Any:
        """JAX's trace, which is in force from now until the transformation ends."""
        if self._trace is None:
            if not self.active:
                raise RuntimeError(
                    "a tensor from inside a function that torch.func transforms was used after the transformation had ended; return it from the "
                    "function"
                )
            if isinstance(self.outer, Level):
                self.outer.trace()
            self._trace = self._new_trace()
            self._current = core.set_current_trace(self._trace)
            self._current.__enter__()
        return self._trace

    def tracer(self, value: Any) -> Any:
        """JAX's tracer that stands for a value of this transformation."""
        raise NotImplementedError

    def traced_vjp(self, vjp: InsideResiduals) -> Any:
        """A vjp of this transformation with tracers for leaves."""
        raise NotImplementedError

    def outline_of(self, below: Any) -> Any:
        """The structure of a vjp, from that of the one that it is around."""
        raise NotImplementedError

    def _leave_trace(self) -> None:
        if self._trace is not None:
            self._current.__exit__(None, None, None)

    def _new_trace(self) -> Any:
        raise NotImplementedError

    def _around(self, tracer: Any) -> Value:
        """The value that a tracer stands for."""
        raise NotImplementedError

    # what Storage, Tensor, Module and Optimizer report

    def created(self, storage: Storage) -> None:
        self.made.add(storage)
        self.outer.created(storage)

    def read(self, storage: Storage, tensor: Tensor | None = None) -> None:
        if storage in self.made:
            return
        self.outer.read(storage, tensor)
        if storage not in self.read_first:
            self.read_first[storage] = storage.first_read(), storage.version, storage.writes

    def recorded(self, node: Node) -> None:
        self.outer.recorded(node)

    def cut(self, operands: list, tracked: tuple[int, ...]) -> list:
        return operands if self.pushing else self.outer.cut(operands, tracked)

    def own_backward(self, what: str) -> None:
        self.outer.own_backward(what)

    def text(self, tensor: Tensor) -> str:
        return self.outer.text(tensor)

    # the function inside

    def inputs(self, values: list[Value], needs: tuple[bool, ...]) -> list[Tensor]:
        """New leaves around the values."""
        tensors = [Tensor._wrap(value) for value in values]
        for tensor, needed in zip(tensors, needs, strict=True):
            tensor._leaf_requires_grad = needed
        return tensors

    def edges_out(self, tensors: list[Tensor], inputs: list[Tensor]) -> tuple[list[int], list[tuple]]:
        """Where the graph of ``tensors`` ends: the numbers of the inputs it reaches, and the edges to nodes outside."""
        numbers = {id(tensor): number for number, tensor in enumerate(inputs)}
        reached, outside = set(), []
        for edge in ends_of(tensors, self.first):
            leaf = getattr(edge[0], "variable", None)
            if id(leaf) in numbers:
                reached.add(numbers[id(leaf)])
            elif leaf is None or leaf._storage not in self.made:
                outside.append(edge)
        return sorted(reached), outside


def ends_of(tensors: list[Tensor], first: int, stops: Any = frozenset()) -> list[tuple]:
    """Where the graph of the tensors leaves what was recorded since number ``first``: the edges to leaves and to older nodes.

    It is not followed beyond ``stops``.
    """

    def is_inside(node: Node) -> bool:
        return node.number >= first and not isinstance(node, AccumulateGrad)

    starts = [tensor._edge() for tensor in tensors if tensor.requires_grad]
    followed = (node for node in reachable((edge[0] for edge in starts), lambda node: is_inside(node) and node not in stops))
    joined = (edge for node in followed if is_inside(node) and node not in stops for edge in node.edges if edge is not None)
    return list(dict.fromkeys(edge for edge in (*starts, *joined) if not is_inside(edge[0]) and edge[0] not in stops))


class Batching(Level):
    """vmap in progress.

    Args:
      size: how many examples there are; randomness: what random numbers are inside, "error", "different" or "same".
    """

    def __init__(self, refusal: str, size: int, randomness: str):
        super().__init__(refusal)
        self.size, self.randomness = size, randomness

    def __enter__(self) -> Batching:
        super().__enter__()
        self.vmaps = (*self.outer.vmaps, self)
        return self

    def of_examples(self, array: Any) -> Any:
        """A tracer around an array that has the examples in its first dimension."""
        trace = self.trace()
        return self._tracer_type(trace, array, 0)

    def examples_of(self, tracer: Any) -> Any:
        """The array around which a tracer of this vmap is, with the examples in its first dimension; None where it has none."""
        value = self._around(tracer) if self._trace is not None and tracer._trace is self._trace else None
        return value.below.on_device() if isinstance(value, Batched) else None

    def tracer(self, value: Batched) -> Any:
        return self.of_examples(value.below.on_device())

    def traced_vjp(self, vjp: InsideResiduals) -> Any:
        leaves, structure = jax.tree.flatten(vjp.below.known())
        pairs = zip(leaves, vjp.flags, strict=True)
        return jax.tree.unflatten(structure, [self.of_examples(leaf) if flag else leaf for leaf, flag in pairs])

    def outline_of(self, below: Any) -> Any:
        return below

    def leave(self, value: Value) -> Value:
        """A value with the examples in its first dimension."""
        entered = self._entered(value)
        if isinstance(entered, Batched) and entered.level is self:
            return entered.below
        return self.outer.apply(_repeated(self.size), [entered])[0][0]

    def without_tangents(self, value: Value) -> Value:
        if isinstance(value, Batched) and value.level is self:
            return value.around(self.outer.without_tangents(value.below))
        return self.outer.without_tangents(value)

    def text(self, tensor: Tensor) -> str:
        """What a tensor of the vmap prints as."""
        value = tensor._operand()
        if not self.is_inside(value):
            return self.outer.text(tensor)
        below = self.leave(value)
        with self.suspended():
            values = f"<{below.array.aval}>" if type(below) is Value and below.traced else repr(Tensor._wrap(below))
        values = values.replace("\n", "\n    ")
        return f"BatchedTensor(lvl={len(self.vmaps)}, bdim=0, value=\n    {values}\n)"

    def _transformed(self, form: Form, operands: list[Any]) -> tuple[list[Any], Any]:
        mine = [getattr(operand, "level", None) is self for operand in operands]
        flags = [getattr(operand, "flags", True) if own else False for operand, own in zip(operands, mine, strict=True)]
        below = [operand.below if own else operand for operand, own in zip(operands, mine, strict=True)]
        results, noted = self.outer.apply(mapped(form, tuple(flags)), below)
        vjp = self._vjp_of(results, noted)
        found = [Batched(self, result) if flag else result for result, flag in zip(results, noted.arrays, strict=True)]
        return [*found, *vjp], noted.note

    def _new_trace(self) -> Any:
        found: list[Any] = []

        def look(example: Any) -> tuple[()]:
            trace = example._trace  # which ends with this function
            found.append(type(trace)(trace.parent_trace, trace.tag, trace.axis_data))
            self._tracer_type = type(example)
            return ()

        jax.vmap(look)(np.zeros(self.size, np.bool_))
        return found[0]

    def _around(self, tracer: Any) -> Value:
        if not isinstance(tracer.batch_dim, int):
            return Value(tracer.val)
        return Batched(self, Value(jnp.moveaxis(tracer.val, tracer.batch_dim, 0)))


class Pushing(Level):
    """Forward mode in progress."""

    differentiates = True

    def __enter__(self) -> Pushing:
        super().__enter__()
        self.pushing = True
        return self

    def tracer(self, value: Dual) -> Any:
        trace = self.trace()
        return ad.JVPTracer(trace, value.below.on_device(), value.tangent.on_device())

    def traced_vjp(self, vjp: InsideResiduals) -> Any:
        trace = self.trace()
        kept, given = vjp.below.known()
        tangents = iter(given)
        leaves, structure = jax.tree.flatten(kept)
        pairs = zip(leaves, vjp.flags, strict=True)
        return jax.tree.unflatten(structure, [ad.JVPTracer(trace, leaf, next(tangents)) if flag else leaf for leaf, flag in pairs])

    def outline_of(self, below: Any) -> Any:
        return below[0]

    def parts(self, value: Value) -> tuple[Value, Value | None]:
        """A value without its tangent, and the tangent, or None."""
        entered = self._entered(value)
        if isinstance(entered, Dual) and entered.level is self:
            return entered.below, entered.tangent
        return entered, None

    def leave(self, value: Value) -> tuple[Value, Value]:
        """A value and its tangent, which is zero if it has none."""
        primal, tangent = self.parts(value)
        if tangent is None:
            tangent = self.outer.apply(zeros(primal.shape, primal.dtype), [])[0][0]
        return primal, tangent

    def without_tangents(self, value: Value) -> Value:
        return self.outer.without_tangents(self.parts(value)[0])

    def _transformed(self, form: Form, operands: list[Any]) -> tuple[list[Any], Any]:
        flags: list[Any] = []
        below: list[Any] = []
        for operand in operands:
            own = getattr(operand, "level", None) is self
            flags.append(getattr(operand, "flags", True) if own else False)
            below.append(operand.below if own else operand)
            if own and isinstance(operand, Dual):
                below.append(operand.tangent)
        results, noted = self.outer.apply(with_tangents(form, tuple(flags)), below)
        vjp = self._vjp_of(results, noted)
        tangents = iter(results[len(noted.arrays) :])
        pairs = zip(results, noted.arrays, strict=False)
        return [*[Dual(self, result, next(tangents)) if flag else result for result, flag in pairs], *vjp], noted.note

    def _new_trace(self) -> Any:
        with core.take_current_trace() as outer:
            return ad.JVPTrace(outer, core.TraceTag())

    def _around(self, tracer: Any) -> Value:
        primal = Value(tracer.primal)
        return primal if type(tracer.tangent) is ad.Zero else Dual(self, primal, Value(tracer.tangent))
