"""torch.compile: a whole imperative step — forward, backward, optimizer, buffers, random state — as one XLA program.

The function runs once on tracers. Every Storage that it reads becomes an input of the program when it is first read; every Storage that it
writes, and every one it makes that is still alive when it returns, becomes an output. Later calls gather the inputs' arrays, run the program
and put the outputs' arrays back; Python does not run again. Guards notice what was decided in Python (training mode, whether a gradient
exists, which parameters need one); a changed guard traces again.
"""

from __future__ import annotations

import functools
import gc
from collections import Counter
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, DropVar, Literal, jaxpr_as_fun

from funnn.engine.dispatch.call import Op, Recording, call
from funnn.engine.program.tracing import StorageSource, Tracing, _input_p
from funnn.engine.state import thread
from funnn.engine.tape.node import SECOND_TIME, AccumulateGrad, Node, node_type, reachable
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import settings as _settings
from funnn.engine.types.tree import map_items


class _Spent(Node):
    """The grad_fn of a result whose graph was used up, or stayed behind, inside a compiled function."""

    __slots__ = ()

    def pull(self, gradients: list, create_graph: bool) -> Any:
        raise RuntimeError(f"{SECOND_TIME} (The graph was made inside a function compiled by torch.compile, which ran backward itself.)")


class _Result:
    """A Tensor among the function's results: which output it is, and what it says of its history."""

    def __init__(self, index: int, tensor: Tensor):
        self.index = index
        self.node = None if tensor._grad_fn is None else tensor._grad_fn.name()
        self.requires_grad = tensor.requires_grad

    def make(self, array: Any) -> Tensor:
        tensor = Tensor._wrap(array)
        if self.node is not None:
            tensor._grad_fn = node_type(self.node, _Spent)(())
        elif self.requires_grad:
            tensor._leaf_requires_grad = True
        return tensor


class Program:
    """One traced form of a function."""

    def __init__(self, function: Callable, args: tuple, kwargs: dict, tensors: list[Tensor]):
        self.name = getattr(function, "__name__", type(function).__name__)
        tracing = Tracing()
        self.arguments = len(tensors)

        def body(*arrays: Any) -> list:
            thread.tracing = tracing
            stand_ins = [_stand_in(tensor, array) for tensor, array in zip(tensors, arrays, strict=True)]
            given = [None if stand_in is tensor else stand_in._storage.array for tensor, stand_in in zip(tensors, stand_ins, strict=True)]
            remaining = iter(stand_ins)
            call_args, call_kwargs = _map(Tensor, (args, kwargs), lambda _: next(remaining))
            result = [function(*call_args, **call_kwargs)]
            del call_args, call_kwargs
            return self._collect(tracing, result, stand_ins, given)

        before, grad_before = thread.tracing, thread.grad
        try:
            with _settings.running():
                traced = jax.make_jaxpr(body)(*(tensor._read() for tensor in tensors))
        finally:
            thread.tracing, thread.grad = before, grad_before
            tracing.restore()
        self.guards = tracing.guards
        self.sources = tracing.sources
        self.function = self._as_function(traced)
        self.written = [position for position, _ in self.writes]
        for position in self.written:
            self.sources[position].written = True
        self.run = jax.jit(self._replay_split, donate_argnums=0)
        self.op: Any = Op(self._replay_flat, "CompiledFunctionBackward") if self.as_operation else None

    # -- tracing

    def _collect(self, tracing: Tracing, result: list, stand_ins: list, given: list) -> list:
        """The arrays that leave the program, and what becomes of each. ``result`` is emptied, so that only what others hold stays alive."""
        outputs: list[Any] = []

        def output(array: Any) -> int:
            outputs.append(array)
            return len(outputs) - 1

        needs_grad = False

        def describe(tensor: Tensor) -> Any:
            nonlocal needs_grad
            if tensor._storage not in tracing.new:
                return tensor  # a tensor from outside is returned as it is
            needs_grad |= tensor._grad_fn is not None
            return _Result(output(tensor._read()), tensor)

        roots: list[Tensor] = []
        _map(Tensor, result, roots.append)
        own = _needs_tape(roots)
        del roots
        self.result = _map(Tensor, result.pop(), describe)
        self.as_operation = needs_grad and not tracing.differentiated
        if self.as_operation and own is not None:
            raise NotImplementedError(
                f"torch.compile of {self.name!r}: it returns tensors that still need gradients, and {own} on the way runs Python in its backward "
                "pass; run backward inside the compiled function, or leave this part out of it"
            )
        self.grads = []
        for tensor in tracing.grads:
            final = tensor._grad
            inside = final is not None and final._storage in tracing.new
            self.grads.append((tensor, output(final._read()) if inside else final))
        known = [(position, source) for position, source in enumerate(tracing.sources) if isinstance(source, StorageSource)]
        self.writes = [(position, output(s.storage.array)) for position, s in known if s.storage.array is not s.tracer]
        pairs = enumerate(zip(stand_ins, given, strict=True))
        self.argument_writes = [(i, output(t._read())) for i, (t, array) in pairs if array is not None and t._storage.array is not array]
        accounted = {tensor._storage for tensor in stand_ins}
        accounted.update(tensor._grad._storage for tensor in tracing.grads if tensor._grad is not None)
        del stand_ins
        self.alive = _alive(tracing, accounted, output)
        if self.as_operation and (self.alive or any(_needs_grad(tracing.sources[p]) for p, _ in self.writes)):
            raise NotImplementedError(
                f"torch.compile of {self.name!r}: it returns tensors that still need gradients and also changes such tensors (or keeps new ones) "
                "by side effect; run backward inside the compiled function, or leave this part out of it"
            )
        return outputs

    # -- running

    def fits(self) -> bool:
        """Whether all that was decided in Python while tracing would be decided the same way now."""
        return all(guard() for guard in self.guards)

    def _as_function(self, traced: Any) -> Callable[..., list]:
        """The traced program as a function of its arguments and then of the inputs that were found while tracing."""
        jaxpr = traced.jaxpr
        found = {eqn.params["index"]: eqn.outvars[0] for eqn in jaxpr.eqns if eqn.primitive is _input_p}
        self.used = [index for index in range(len(self.sources)) if not isinstance(found[index], DropVar)]
        counts = Counter(var for var in jaxpr.outvars if not isinstance(var, Literal))
        passed = {*jaxpr.invars, *found.values()}
        # Whether an output has its array for itself: not if it is given out twice, or is an input passed on.
        self.sole = [not isinstance(var, Literal) and counts[var] == 1 and var not in passed for var in jaxpr.outvars]
        changed = jaxpr.replace(
            invars=[*jaxpr.invars, *(found[index] for index in self.used)],
            eqns=[eqn for eqn in jaxpr.eqns if eqn.primitive is not _input_p],
            debug_info=jaxpr.debug_info.with_unknown_names(),
        )
        return jaxpr_as_fun(ClosedJaxpr(changed, traced.consts))

    def _replay(self, arguments: Any, inputs: Any) -> list:
        return self.function(*arguments, *(inputs[index] for index in self.used))

    def _replay_split(self, written: list, arguments: list, inputs: list) -> list:
        """As ``_replay``; the inputs that the program overwrites come apart, for their memory to be reused."""
        merged = list(inputs)
        for position, array in zip(self.written, written, strict=True):
            merged[position] = array
        return self._replay(arguments, merged)

    def _replay_flat(self, *arrays: Any) -> tuple:
        """As ``_replay``, as one operation of the tape."""
        return tuple(self._replay(arrays[: self.arguments], list(arrays[self.arguments :])))

    def __call__(self, tensors: list[Tensor]) -> Any:
        if self.as_operation and thread.grad:
            return self._call_as_operation(tensors)
        self._check_memory(tensors)
        sources = self.sources
        taken = [None if source.written else source.take() for source in sources]
        storages = [sources[position].target() for position in self.written]
        written = [storage.array if storage.owned else jnp.copy(storage.to_jax()) for storage in storages]
        with _settings.running():
            outputs = self.run(written, [tensor._read() for tensor in tensors], taken)
        self._put_back(tensors, outputs)
        return _map(_Result, self.result, lambda item: item.make(outputs[item.index]))

    def _check_memory(self, tensors: list[Tensor]) -> None:
        """Refuse arguments whose memory is written by another name: inside the program each argument has its values for itself."""
        apart = [tensor._storage for tensor in tensors if not _is_leaf(tensor)]
        written = {tensors[position]._storage for position, _ in self.argument_writes}
        reached = [source.target() for source in self.sources if isinstance(source, StorageSource)]
        if (
            any(apart.count(storage) > 1 for storage in written)
            or not written.isdisjoint(reached)
            or not {self.sources[position].target() for position in self.written}.isdisjoint(apart)
        ):
            raise NotImplementedError(
                f"torch.compile of {self.name!r}: an argument shares memory with a tensor that the function changes in place under another name; "
                "pass a clone()"
            )

    def _call_as_operation(self, tensors: list[Tensor]) -> Any:
        """A function without backward inside is one recorded operation: gradients flow through it to whatever it read."""
        inputs = [source.as_argument() for source in self.sources]
        self._check_memory(tensors)
        outputs = call(self.op, (*tensors, *inputs), {})
        self._put_back(tensors, [tensor._read() for tensor in outputs])
        return _map(_Result, self.result, lambda item: outputs[item.index] if item.node else outputs[item.index].detach())

    def _put_back(self, tensors: list[Tensor], outputs: Any) -> None:
        for position, index in self.writes:
            storage = self.sources[position].target()
            storage.replace(outputs[index])
            storage.owned = self.sole[index]
        for storage, index in self.alive:
            storage.replace(outputs[index])
        for position, index in self.argument_writes:
            tensors[position]._write(outputs[index])
        for tensor, final in self.grads:
            tensor._grad = Tensor._wrap(outputs[final]) if isinstance(final, int) else final


def _needs_tape(tensors: list[Tensor]) -> str | None:
    """The name of a node whose gradient JAX does not know: a function with a backward of its own, or with hooks."""
    for node in reachable(tensor._grad_fn for tensor in tensors if tensor._grad_fn is not None):
        known = isinstance(node, (Recording, AccumulateGrad)) or node.name() == "VmapBackward"
        if not known or (node.needs_python and not isinstance(node, AccumulateGrad)):
            return node.name()
    return None


def _needs_grad(source: Any) -> bool:
    return source.tensor is not None and source.tensor.requires_grad


def _alive(tracing: Tracing, accounted: set, output: Callable) -> list:
    """The new storages that somebody still holds, such as a tensor put into an attribute."""
    gc.collect()
    return [(storage, output(storage.array)) for storage in list(tracing.new) if storage not in accounted]


def _is_leaf(tensor: Tensor) -> bool:
    return tensor.requires_grad and tensor._grad_fn is None


def _stand_in(tensor: Tensor, array: Any) -> Tensor:
    """What the traced function gets for a Tensor argument: itself if it is a leaf that collects gradients, else a new tensor."""
    if _is_leaf(tensor):
        return tensor
    stand_in = Tensor._wrap(array)
    stand_in._leaf_requires_grad = tensor.requires_grad
    return stand_in


def _map(kind: type, value: Any, function: Callable[[Any], Any]) -> Any:
    """``value`` with every object of that kind inside tuples, lists and dicts replaced."""
    return map_items(lambda item: function(item) if isinstance(item, kind) else item, value)


class Compiled:
    """A function with its programs, by the shapes and constants of its arguments."""

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function)
        self._function = function
        self.programs: dict[Any, list[Program]] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if thread.tracing is not None:  # inside another compiled function
            return self._function(*args, **kwargs)
        tensors: list[Tensor] = []
        key = (
            _key(args, tensors),
            _key(kwargs, tensors),
            thread.grad,
            _dtype._default,
            thread.autocast,
            _settings.get_float32_matmul_precision(),
        )
        programs = self.programs.setdefault(key, [])
        for program in programs:
            if program.fits():
                return program(tensors)
        program = Program(self._function, args, kwargs, tensors)
        programs.append(program)
        return program(tensors)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)


def _key(value: Any, tensors: list[Tensor]) -> Any:
    """What a program depends on in an argument; its Tensors are appended to ``tensors``."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return value._shape(), value.dtype, value.requires_grad, id(value) if _is_leaf(value) else None
    if isinstance(value, (tuple, list)):
        return type(value), tuple([_key(item, tensors) for item in value])
    if isinstance(value, dict):
        return tuple([(name, _key(item, tensors)) for name, item in value.items()])
    try:
        hash(value)
    except TypeError:
        return type(value), id(value)
    return type(value), value
