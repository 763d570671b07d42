"""A function of Tensors as a pure function of arrays, so that jax.vmap and jax.jvp can transform it.

While a transformation runs, the function's Tensors hold JAX's tracers, and a :class:`Level` is told of every storage that is made or read, as a
compilation is. What the function records on the tape stays inside; outside, the whole is one node. Its backward runs the function again, under the
same transformation, and pulls the gradients back inside: so ``detach``, ``no_grad``, hooks and functions with a backward of their own mean inside
what they mean everywhere, and the backward can itself be recorded, transformed and differentiated.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Set
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from funnn.engine.backward.walk import pull_gradients
from funnn.engine.dispatch.inplace import assign
from funnn.engine.memory.storage import Storage
from funnn.engine.state import thread
from funnn.engine.tape.node import SECOND_TIME, AccumulateGrad, Gate, Node, new_number, node_type, reachable, zero_gradient
from funnn.engine.tensor.generator import default_generator
from funnn.engine.tensor.tensor import Tensor, as_tensor
from funnn.engine.transform.listener import Listener

Function = Callable[[list[Tensor]], list[Tensor]]
_names = itertools.count()

WRITTEN = (
    "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args that has more elements than "
    "`self`: a tensor from outside would become one for each example. Pass it as an argument with an in_dim, or use the operation that returns a "
    "new tensor."
)
PUSHED_INTO = (
    "writing a value with a tangent into a tensor from outside the function is not supported in forward mode; pass the tensor as an argument, or "
    "use the operation that returns a new tensor"
)


class Level(Listener):
    """A transformation in progress: what it reads and makes; the rest it passes on to the listener around it."""

    def __init__(self, refusal: str, size: int | None = None, randomness: str = "error"):
        self.refusal, self.size, self.randomness = refusal, size, randomness
        self.axis = f"vmap{next(_names)}"
        self.trace: Any = None
        self.first = new_number()
        self.read_first: dict[Storage, tuple] = {}  # storages from outside, with value, version and writes as they were
        self.made: weakref.WeakSet[Storage] = weakref.WeakSet()

    def __enter__(self) -> Level:
        self.before = thread.tracing
        self.outer = Listener() if self.before is None else self.before
        self.vmaps = self.outer.vmaps if self.size is None else (*self.outer.vmaps, self)
        self.pushing = self.size is None or self.outer.pushing
        thread.tracing = self
        thread.transforms += 1
        return self

    def __exit__(self, *exc: Any) -> None:
        thread.tracing = self.before
        thread.transforms -= 1
        leaked = [storage for storage in self.read_first if self.is_inside(storage.value.array)]
        for storage in leaked:
            self.put_back(storage)
        if leaked and exc[0] is None:
            raise RuntimeError(self.refusal)

    def put_back(self, storage: Storage) -> None:
        """Give a storage from outside the values that it had when it was first read."""
        storage.value, storage.version, _ = self.read_first[storage]
        storage.writes += 1

    def is_inside(self, array: Any) -> bool:
        """Whether the transformation changes the array: it is batched, or has a tangent."""
        return isinstance(array, Tracer) and array._trace is self.trace

    # what Storage, Tensor, Module and Optimizer report

    def created(self, storage: Storage) -> None:
        self.made.add(storage)
        self.outer.created(storage)

    def read(self, storage: Storage, tensor: Tensor | None = None) -> None:
        if storage in self.made:
            return
        self.outer.read(storage, tensor)
        if storage not in self.read_first:
            self.read_first[storage] = storage.value, storage.version, storage.writes

    def recorded(self, node: Node) -> None:
        self.outer.recorded(node)

    def cut(self, operands: list, tracked: tuple[int, ...]) -> list:
        return operands if self.pushing else self.outer.cut(operands, tracked)

    def own_backward(self, what: str) -> None:
        self.outer.own_backward(what)

    def text(self, tensor: Tensor) -> str:
        """What a tensor of the vmap prints as."""
        array = tensor._read()
        if self.size is None or not self.is_inside(array):
            return self.outer.text(tensor)
        with jax.ensure_compile_time_eval():
            values = repr(Tensor._wrap(array.val)) if not isinstance(array.val, Tracer) else f"<{array.val.aval}>"
        values = values.replace("\n", "\n    ")
        return f"BatchedTensor(lvl={len(self.vmaps)}, bdim={array.batch_dim}, value=\n    {values}\n)"

    # the function inside

    def inputs(self, arrays: Any, needs: tuple[bool, ...]) -> list[Tensor]:
        """New leaves around the arrays."""
        tensors = [Tensor._wrap(array) for array in arrays]
        for tensor, needed in zip(tensors, needs, strict=True):
            tensor._leaf_requires_grad = needed
        return tensors

    def edges_out(self, tensors: list[Tensor], inputs: list[Tensor]) -> tuple[list[int], list[tuple]]:
        """Where the graph of ``tensors`` ends: the numbers of the inputs it reaches, and the edges to nodes outside."""
        numbers = {id(tensor): number for number, tensor in enumerate(inputs)}
        reached, outside = set(), []
        for edge in _ends(tensors, self.first):
            leaf = getattr(edge[0], "variable", None)
            if id(leaf) in numbers:
                reached.add(numbers[id(leaf)])
            elif leaf is None or leaf._storage not in self.made:
                outside.append(edge)
        return sorted(reached), outside


def _ends(tensors: list[Tensor], first: int, stops: Set[Node] = frozenset()) -> list[tuple]:
    """Where the graph of the tensors leaves what was recorded since number ``first``: the edges to leaves and to older nodes.

    It is not followed beyond ``stops``.
    """

    def is_inside(node: Node) -> bool:
        return node.number >= first and not isinstance(node, AccumulateGrad)

    starts = [tensor._edge() for tensor in tensors if tensor.requires_grad]
    followed = (node for node in reachable((edge[0] for edge in starts), lambda node: is_inside(node) and node not in stops))
    joined = (edge for node in followed if is_inside(node) and node not in stops for edge in node.edges if edge is not None)
    return list(dict.fromkeys(edge for edge in (*starts, *joined) if not is_inside(edge[0]) and edge[0] not in stops))


class Replayed(Node):
    """A transformed function on the tape.

    Attributes:
      arguments: the arrays and the edges of its inputs; numbers: which of the inputs have edges.
      captured: the edges of tensors that the function reached by itself.
      shapes: shape and dtype of each output, None for one without gradient.
      again: ``again(inputs, gradients, pull)`` transforms ``pull``, which pulls gradients back inside.
      world: the storages that the function read, as they were; and the state of the random generator.
    """

    __slots__ = ("again", "arguments", "captured", "count", "function", "numbers", "present", "shapes", "world")

    again: Callable[..., Any]
    arguments: Any
    captured: Any
    count: int
    function: Callable[..., Any]
    numbers: Any
    present: list[bool]
    shapes: tuple[Any, ...]
    world: Any

    def pull(self, gradients: list, create_graph: bool) -> list:
        if self.arguments is None:
            raise RuntimeError(SECOND_TIME)
        arrays, edges = self.arguments
        tensors = [
            Tensor._wrap(array, *(edge or ())) if create_graph else Tensor._wrap(array) for array, edge in zip(arrays, edges, strict=True)
        ]
        given = [
            Tensor._wrap(zero_gradient(*shape)) if gradient is None else as_tensor(gradient)
            for gradient, shape in zip(gradients, self.shapes, strict=True)
            if shape is not None
        ]
        with _World(self.world):
            results = self.again(tensors, given, create_graph)
        return results if create_graph else [None if result is None else result._operand() for result in results]

    def pull_inside(self, inputs: list[Tensor], gradients: list[Tensor], create_graph: bool) -> list[Tensor]:
        """Run the function on tensors inside the transformation, and pull back to its inputs and to what it captured.

        Gives the gradients that there are; ``present`` then says which.
        """
        before, thread.grad = thread.grad, True
        first = new_number()
        try:
            gates = [Gate((tensor._edge() if create_graph and tensor.requires_grad else None,)) for tensor in inputs]
            leaves = [tensor._bare() for tensor in inputs]
            for number in self.numbers:
                leaves[number]._grad_fn = gates[number]
            outputs = self.function(leaves)
            smooth = [output for output, shape in zip(outputs, self.shapes, strict=False) if shape is not None]
            ends = set(_ends(smooth, first, set(gates)))
            if not ends.issuperset(self.captured) or any(
                edge not in self.captured for edge in ends if not isinstance(edge[0], AccumulateGrad)
            ):
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: a tensor that a transformed "
                    "function used without taking it as an argument has another history now; pass it as an argument"
                )
            roots = [
                (output._edge(), gradient if create_graph else gradient._operand())
                for output, gradient in zip(smooth, gradients, strict=True)
            ]
            wanted = [*((gates[number], 0) for number in self.numbers), *self.captured]
            found = pull_gradients(roots, retain_graph=create_graph, create_graph=create_graph, inputs=dict.fromkeys(wanted), foreign=True)
        finally:
            thread.grad = before
        self.present = [edge in found for edge in wanted]
        return [as_tensor(found[edge]) for edge in wanted if edge in found]

    def spread_out(self, results: list[Tensor]) -> list[Any]:
        """What ``pull_inside`` gave, with None where there is no gradient."""
        remaining = iter(results)
        return [next(remaining) if there else None for there in self.present]

    def release(self) -> None:
        self.arguments = self.world = None


class _World:
    """The tensors that a function reads, and the random generator, as they were when it ran first; afterwards as they are now."""

    def __init__(self, world: tuple):
        self.then, self.state = world

    def __enter__(self) -> None:
        self.now = [(storage, (storage.value, storage.version, storage.writes)) for storage in self.then]
        self.random = default_generator._engine.get_state()
        self._put(self.then.items(), self.state)

    def __exit__(self, *exc: Any) -> None:
        self._put(self.now, self.random)

    @staticmethod
    def _put(storages: Any, state: Any) -> None:
        for storage, (value, version, _) in storages:
            if storage.value is not value:
                storage.value, storage.version = value, version
                storage.writes += 1
        default_generator._engine.set_state(state)


def _transform(
    level: Level, name: str, function: Function, tensors: list[Tensor], again: Callable, run: Callable, marked: int = 0
) -> list[Tensor]:
    """The outputs of ``function`` under a transformation, with one node for all. Input ``marked`` is one that it changes.

    ``run(pure)`` gives the output arrays (for forward mode, followed by their tangents), where ``pure`` maps arrays to arrays.
    """
    needs = tuple(thread.grad and tensor.requires_grad for tensor in tensors)
    state = default_generator._engine.get_state() if thread.grad else None
    inside: list[tuple] = []

    def pure(*arrays: Any) -> tuple:
        level.trace = getattr(arrays[marked], "_trace", None)
        inputs = level.inputs(arrays, needs)
        outputs = function(inputs)
        written = [
            number for number, (tensor, array) in enumerate(zip(inputs, arrays, strict=True)) if tensor._storage.value.array is not array
        ]
        ends = level.edges_out(outputs, inputs) if thread.grad else ([], [])
        inside.append((written, ends, [output.requires_grad for output in outputs]))
        return tuple(tensor._read() for tensor in (*outputs, *(inputs[number] for number in written)))

    with level, jax.enable_x64(True):
        arrays, tangents = run(pure)
    written, (numbers, captured), smooth = inside[-1]
    results = [Tensor._wrap(array) for array in (*arrays, *tangents)]
    count = len(arrays) - len(written)
    for number, result in zip(written, results[count : len(arrays)], strict=True):
        if needs[number]:
            raise NotImplementedError(
                f"{name}: writing in place into an argument that requires grad is not supported; write to its clone()"
            )
        assign(tensors[number], result)
    results = results[:count] + results[len(arrays) : len(arrays) + count]
    if not numbers and not captured:
        return results
    smooth = smooth * (2 if tangents else 1)
    edges = tuple(tensor._edge() if needed else None for tensor, needed in zip(tensors, needs, strict=True))
    node = node_type(name, Replayed)(())
    node.function, node.numbers, node.captured, node.count = function, numbers, captured, len(results)
    node.arguments = [tensor._read() for tensor in tensors], edges
    node.shapes = tuple((r._shape(), r.dtype.numpy) if s else None for r, s in zip(results, smooth, strict=True))
    node.world = level.read_first, state
    again(node)
    for number, (result, has_gradient) in enumerate(zip(results, smooth, strict=True)):
        if has_gradient:
            result._grad_fn, result._output = node, number
    return results


def batched(function: Function, tensors: list[Tensor], mapped: list[bool], size: int, randomness: str) -> list[Tensor]:
    """``function`` for every index of the first dimension of the ``mapped`` tensors; its results have that dimension first."""
    level = Level(WRITTEN, size, randomness)

    def run_batched(pure: Callable) -> tuple:
        axes = tuple(0 if flag else None for flag in mapped)
        return jax.vmap(pure, in_axes=axes, out_axes=0, axis_size=size, axis_name=level.axis)(*(tensor._read() for tensor in tensors)), ()

    def again(node: Replayed) -> None:
        node.edges = (*(node.arguments[1][number] for number in node.numbers), *node.captured)

        def pull(inputs: list[Tensor], gradients: list[Tensor], create_graph: bool) -> list[Tensor]:
            def inner(items: list[Tensor]) -> list[Tensor]:
                return node.pull_inside(items[: len(inputs)], items[len(inputs) :], create_graph)

            flags = [*mapped, *[True] * len(gradients)]
            results = node.spread_out(batched(inner, [*inputs, *gradients], flags, size, randomness))
            kept = [mapped[number] for number in node.numbers] + [False] * len(node.captured)
            return [result if keep or result is None else result.sum(0) for result, keep in zip(results, kept, strict=True)]

        node.again = pull

    return _transform(level, "VmapBackward", function, tensors, again, run_batched, mapped.index(True))


def pushed(function: Function, primals: list[Tensor], tangents: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The outputs of ``function`` and their derivatives along ``tangents``.

    Backward, with y = f(x) and ẏ = J(x)·ẋ: if p(x, c) = J(x)ᵀ·c pulls back, then pushing p from (x, ẏ's gradient) along (ẋ, y's gradient) gives the
    gradient of ẋ as its value and that of x as its derivative.
    """
    level = Level(PUSHED_INTO)
    n = len(primals)

    def run_pushed(pure: Callable) -> tuple:
        values, derivatives = (tuple(tensor._read() for tensor in tensors) for tensors in (primals, tangents))
        outputs, derivatives = jax.jvp(pure, values, derivatives)
        return outputs, tuple(jnp.zeros_like(y) if d.dtype == jax.dtypes.float0 else d for y, d in zip(outputs, derivatives, strict=True))

    needs_tangents = thread.grad and any(tangent.requires_grad for tangent in tangents)

    def again(node: Replayed) -> None:
        of_tangents = [tangents[number]._edge() if needs_tangents and tangents[number].requires_grad else None for number in range(n)]
        first = [node.arguments[1][number] for number in node.numbers]
        node.edges = (*first, *node.captured, *(of_tangents[number] for number in node.numbers))
        saved = [tangent._read() for tangent in tangents]

        def pull(inputs: list[Tensor], gradients: list[Tensor], create_graph: bool) -> list[Tensor]:
            directions = [
                Tensor._wrap(array, *(edge or ())) if create_graph else Tensor._wrap(array)
                for array, edge in zip(saved, of_tangents, strict=True)
            ]
            half = len(gradients) // 2
            of_values, of_derivatives = gradients[:half], gradients[half:]

            def inner(items: list[Tensor]) -> list[Tensor]:
                return node.pull_inside(items[: len(inputs)], items[len(inputs) :], create_graph)

            values, derivatives = pushed(inner, [*inputs, *of_derivatives], [*directions, *of_values])
            return [*node.spread_out(derivatives), *node.spread_out(values)[: len(node.numbers)]]

        node.again = pull

    inputs = primals
    if needs_tangents:  # they reach the outputs through the primals, which must then be part of the graph
        inputs = [p if p.requires_grad or not t.requires_grad else _leaf(p) for p, t in zip(primals, tangents, strict=True)]
    results = _transform(level, "JvpBackward", function, inputs, again, run_pushed)
    return results[: len(results) // 2], results[len(results) // 2 :]


def check_tangent(value: Tensor, direction: Tensor) -> None:
    """Raise unless ``direction`` has the shape and dtype of ``value``."""
    if value._shape() != direction._shape():
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not supported. "
            f"Tensor is of size {list(value._shape())} while the given forward gradient is of size {list(direction._shape())}."
        )
    if value.dtype is not direction.dtype:
        raise RuntimeError(
            f"the forward gradient has dtype {direction.dtype}, its tensor {value.dtype}; convert it with .to({value.dtype})"
        )


def _leaf(tensor: Tensor) -> Tensor:
    """The same values as a leaf whose gradient nobody asks for."""
    leaf = tensor._bare()
    leaf._leaf_requires_grad = True
    return leaf
