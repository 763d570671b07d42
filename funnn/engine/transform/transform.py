"""A function of Tensors for many examples at once, and with its derivative.

While a transformation runs, the function's Tensors hold values of a :class:`Level`, which says what operations compute of them and is told of every
storage that is made or read. What the function records on the tape stays inside; outside, the whole is one node. Its backward runs the function
again, under the same transformation, and pulls the gradients back inside: so ``detach``, ``no_grad``, hooks and functions with a backward of their
own mean inside what they mean everywhere, and the backward can itself be recorded, transformed and differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from funnn.engine.backward.walk import pull_gradients
from funnn.engine.dispatch.inplace import assign
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.tape.node import SECOND_TIME, AccumulateGrad, Gate, Node, new_number, node_type, zero_gradient
from funnn.engine.tensor.generator import default_generator
from funnn.engine.tensor.tensor import Tensor, as_tensor
from funnn.engine.transform.inside import Batched, Dual
from funnn.engine.transform.level import Batching, Level, Pushing, ends_of

Function = Callable[[list[Tensor]], list[Tensor]]

WRITTEN = (
    "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists a Tensor `other` in extra_args that has more elements than "
    "`self`: a tensor from outside would become one for each example. Pass it as an argument with an in_dim, or use the operation that returns a "
    "new tensor."
)
PUSHED_INTO = (
    "writing a value with a tangent into a tensor from outside the function is not supported in forward mode; pass the tensor as an argument, or "
    "use the operation that returns a new tensor"
)


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
        before, first = thread.grad, new_number()
        try:
            thread.grad = True
            gates = [Gate((tensor._edge() if create_graph and tensor.requires_grad else None,)) for tensor in inputs]
            leaves = [tensor._bare() for tensor in inputs]
            for number in self.numbers:
                leaves[number]._grad_fn = gates[number]
            outputs = self.function(leaves)
            smooth = [output for output, shape in zip(outputs, self.shapes, strict=False) if shape is not None]
            ends = set(ends_of(smooth, first, set(gates)))
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
        self.now = [(storage, (storage.first_read(), storage.version, storage.writes)) for storage in self.then]
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
    level: Level, name: str, function: Function, tensors: list[Tensor], again: Callable, enter: Callable[[list[Value]], list[Value]]
) -> tuple[list[Any], Callable[[list[list[Tensor]]], None]]:
    """What the outputs of ``function`` under a transformation are outside, of each one value or several; and what gives the Tensors made of them,
    in as many lists, one node for all.

    Args:
      again: completes that node.
      enter: the values of ``tensors`` as those of the inputs inside.
    """
    needs = tuple(thread.grad and tensor.requires_grad for tensor in tensors)
    state = default_generator._engine.get_state() if thread.grad else None
    with level, jax.enable_x64(True):
        values = enter([tensor._operand() for tensor in tensors])
        inputs = level.inputs(values, needs)
        outputs = function(inputs)
        written = [number for number, (tensor, value) in enumerate(zip(inputs, values, strict=True)) if tensor._storage.value is not value]
        numbers, captured = level.edges_out(outputs, inputs) if thread.grad else ([], [])
        smooth = [output.requires_grad for output in outputs]
        left = [level.leave(tensor._operand()) for tensor in (*outputs, *(inputs[number] for number in written))]
    for number, value in zip(written, left[len(outputs) :], strict=True):
        if needs[number]:
            raise NotImplementedError(
                f"{name}: writing in place into an argument that requires grad is not supported; write to its clone()"
            )
        assign(tensors[number], Tensor._wrap(value[0] if isinstance(value, tuple) else value), None)

    def join(results: list[list[Tensor]]) -> None:
        if not numbers and not captured:
            return
        edges = tuple(tensor._edge() if needed else None for tensor, needed in zip(tensors, needs, strict=True))
        node = node_type(name, Replayed)(())
        flat = [result for group in results for result in group]
        flags = smooth * len(results)
        node.function, node.numbers, node.captured, node.count = function, numbers, captured, len(flat)
        node.arguments = [tensor._operand() for tensor in tensors], edges
        node.shapes = tuple((r._shape(), r.dtype.numpy) if s else None for r, s in zip(flat, flags, strict=True))
        node.world = level.read_first, state
        again(node)
        for number, (result, has_gradient) in enumerate(zip(flat, flags, strict=True)):
            if has_gradient:
                result._grad_fn, result._output = node, number

    return left[: len(outputs)], join


def batched(function: Function, tensors: list[Tensor], mapped: list[bool], size: int, randomness: str) -> list[Tensor]:
    """``function`` for every index of the first dimension of the ``mapped`` tensors; its results have that dimension first."""
    level = Batching(WRITTEN, size, randomness)

    def enter(values: list[Value]) -> list[Value]:
        return [Batched(level, value) if flag else value for value, flag in zip(values, mapped, strict=True)]

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

    left, join = _transform(level, "VmapBackward", function, tensors, again, enter)
    results = [Tensor._wrap(value) for value in left]
    join([results])
    return results


def pushed(function: Function, primals: list[Tensor], tangents: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """The outputs of ``function`` and their derivatives along ``tangents``.

    Backward, with y = f(x) and ẏ = J(x)·ẋ: if p(x, c) = J(x)ᵀ·c pulls back, then pushing p from (x, ẏ's gradient) along (ẋ, y's gradient) gives the
    gradient of ẋ as its value and that of x as its derivative.
    """
    level = Pushing(PUSHED_INTO)
    n = len(primals)
    needs_tangents = thread.grad and any(tangent.requires_grad for tangent in tangents)

    def enter(values: list[Value]) -> list[Value]:
        return [Dual(level, value, tangent._operand()) for value, tangent in zip(values, tangents, strict=True)]

    def again(node: Replayed) -> None:
        of_tangents = [tangents[number]._edge() if needs_tangents and tangents[number].requires_grad else None for number in range(n)]
        first = [node.arguments[1][number] for number in node.numbers]
        node.edges = (*first, *node.captured, *(of_tangents[number] for number in node.numbers))
        saved = [tangent._operand() for tangent in tangents]

        def pull(inputs: list[Tensor], gradients: list[Tensor], create_graph: bool) -> list[Tensor]:
            directions = [
                Tensor._wrap(value, *(edge or ())) if create_graph else Tensor._wrap(value)
                for value, edge in zip(saved, of_tangents, strict=True)
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
        inputs = [p if p.requires_grad or not t.requires_grad else as_leaf(p) for p, t in zip(primals, tangents, strict=True)]
    left, join = _transform(level, "JvpBackward", function, inputs, again, enter)
    results = [Tensor._wrap(value) for value, _ in left], [Tensor._wrap(tangent) for _, tangent in left]
    join(list(results))
    return results


def check_tangent(value: Tensor, direction: Tensor) -> None:
    """Raise unless ``direction`` has the shape and dtype of ``value``."""
    if value._shape() != direction._shape():
        raise RuntimeError(
            "Trying to set a forward gradient that has a different size than that of the original Tensor, this is not supported. "
            f"Tensor is of size {list(value._shape())} while the given forward gradient is of size {list(direction._shape())}."
        )
    for what, tensor in (("primal", value), ("tangent", direction)):
        if tensor.dtype.category < 2:
            raise ValueError(f"Expected {what} to be floating point or complex, but got: {tensor.dtype}")
    if value.dtype is not direction.dtype:
        raise RuntimeError(
            f"the forward gradient has dtype {direction.dtype}, its tensor {value.dtype}; convert it with .to({value.dtype})"
        )


def as_leaf(tensor: Tensor) -> Tensor:
    """The same values as a leaf whose gradient nobody asks for."""
    leaf = tensor._bare()
    leaf._leaf_requires_grad = True
    return leaf
