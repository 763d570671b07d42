"""backward and grad: pulling gradients back through the recorded graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from funnn.engine.backward.walk import pull_gradients
from funnn.engine.dispatch.halves import narrowed, widened
from funnn.engine.program.form import forms_of
from funnn.engine.program.graph import begin_backward, run
from funnn.engine.state import thread
from funnn.engine.tape.node import Node, reachable, zero_gradient
from funnn.engine.tensor.tensor import Tensor, as_tensor
from funnn.engine.transform.transform import batched
from funnn.engine.types.dtype import complex32
from funnn.engine.types.warning import say


class GradientEdge(NamedTuple):
    """A place in the graph, output ``output_nr`` of ``node``; backward and grad take it where they take a tensor."""

    node: Node
    output_nr: int
    ownership_token: Any = None


def _edge(place: Tensor | GradientEdge) -> tuple:
    return tuple(place[:2]) if isinstance(place, GradientEdge) else place._edge()


_ones_of = forms_of(lambda shape, dtype: lambda: ((jnp.ones(shape, dtype),), None))


def _first_gradient(output: Tensor, gradient: Any, create_graph: bool) -> Any:
    """The gradient to start from: the given one, or 1 for a scalar."""
    if gradient is None:
        if output.numel() != 1:
            raise RuntimeError(
                f"grad can be implicitly created only for scalar outputs; this one has shape {list(output.shape)}: reduce it "
                "(loss.mean(), loss.sum()) or pass gradient=, a tensor of its shape"
            )
        if output.dtype.is_complex:
            raise RuntimeError(
                f"grad can be implicitly created only for real scalar outputs but got {output.dtype}; differentiate .real or .abs(), or pass gradient="
            )
        gradient = Tensor._wrap(run(_ones_of(output._shape(), output.dtype.numpy), []))
    elif gradient.dtype is not output.dtype:
        gradient = gradient.to(output.dtype)
    if gradient.dtype is complex32:
        gradient = widened(gradient)
    return gradient if create_graph else gradient._as_gradient()


def _roots(outputs: Sequence[Tensor], gradients: Sequence[Any], create_graph: bool) -> list:
    for index, (output, gradient) in enumerate(zip(outputs, gradients, strict=True)):
        if gradient is not None and isinstance(output, Tensor) and gradient._shape() != output._shape():
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{index}] has a shape of {gradient.shape} and output[{index}] has a shape of {output.shape}."
            )
    roots = []
    for index, (output, gradient) in enumerate(zip(outputs, gradients, strict=True)):
        if isinstance(output, GradientEdge):
            if gradient is None:
                raise RuntimeError(
                    "grad can be implicitly created only for scalar outputs, not for a GradientEdge; pass the gradient as well"
                )
            roots.append((_edge(output), gradient if create_graph else gradient._as_gradient()))
            continue
        if not output.requires_grad:
            raise RuntimeError(
                f"element {index} of tensors does not require grad and does not have a grad_fn; was it computed under no_grad, from tensors "
                "without requires_grad=True, or detached?"
            )
        roots.append((output._edge(), _first_gradient(output, gradient, create_graph)))
    return roots


def _sequence(value: Any, length: int | None = None) -> list:
    """A tensor, an edge or any iterable of them as a list; None for each of ``length`` where there is none."""
    if value is None:
        return [None] * (length or 0)
    return [value] if isinstance(value, (Tensor, GradientEdge)) else list(value)


_CYCLE = (
    "Using backward() with create_graph=True will create a reference cycle between the parameter and its gradient which can cause a memory leak. We "
    "recommend using autograd.grad when creating the graph to avoid this. If you have to use this function, make sure to reset the .grad fields of "
    "your parameters to None after use to break the cycle and avoid the leak."
)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Accumulate the gradients of ``tensors`` into the ``.grad`` of the leaves (of ``inputs`` alone, if given).

    Raises:
      RuntimeError: a non-scalar without gradient, a tensor without history, a graph that was freed, a saved value that was overwritten.
    """
    if thread.levels:
        raise RuntimeError(
            "backward() called inside a functorch transform (torch.func.grad, vmap, …) is not supported; use torch.func.grad or vjp there, or "
            "call backward() outside of it"
        )
    if grad_variables is not None:
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to `backward()`. Please only use `grad_tensors`."
            )
        grad_tensors = grad_variables
    inputs = None if inputs is None else _sequence(inputs)
    if inputs == []:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    tensors = _sequence(tensors)
    gradients = _sequence(grad_tensors, len(tensors))
    _check_count(tensors, gradients, "grad_tensors")
    roots = _roots(tensors, gradients, create_graph)
    only = None
    if inputs is not None:
        for place in inputs:
            if not isinstance(place, GradientEdge):
                place.retain_grad()
        only = {_edge(place)[0] for place in inputs}
    keep = create_graph if retain_graph is None else retain_graph
    if create_graph:
        say(_CYCLE, once=True)
    begin_backward()
    pull_gradients(roots, retain_graph=keep, create_graph=create_graph, accumulate_only=only)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple:
    """The gradients of the sum of ``outputs`` with respect to ``inputs``; nothing is accumulated."""
    outputs, inputs = _sequence(outputs), _sequence(inputs)
    if not inputs:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    gradients = _sequence(grad_outputs, len(outputs))
    _check_count(outputs, gradients, "grad_outputs")
    if is_grads_batched:
        return _batched(outputs, inputs, gradients, retain_graph, create_graph, allow_unused, materialize_grads)
    roots = _roots(outputs, gradients, create_graph)
    if allow_unused is False and materialize_grads:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: allow_unused=False.")
    for place in inputs:
        if not isinstance(place, GradientEdge) and not place.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    edges = [_edge(place) for place in inputs]
    keep = create_graph if retain_graph is None else retain_graph
    found = pull_gradients(roots, retain_graph=keep, create_graph=create_graph, inputs=dict.fromkeys(edges))
    results = []
    for number, (place, edge) in enumerate(zip(inputs, edges, strict=True)):
        gradient = as_tensor(found.get(edge))
        if gradient is None and materialize_grads:
            gradient = Tensor._wrap(zero_gradient(place._shape(), place.dtype.numpy))
        if gradient is None and not allow_unused:
            raise RuntimeError(
                f"The differentiated Tensor at index {number} appears to not have been used in the graph. Set allow_unused=True if this is the "
                "desired behavior."
            )
        elif isinstance(place, Tensor) and place.dtype is complex32:
            gradient = narrowed(gradient)
        results.append(gradient)
    return tuple(results)


def _check_count(outputs: list, gradients: list, name: str) -> None:
    if len(gradients) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(gradients)} gradients in {name}; pass one (or None) for each tensor")


def _batched(outputs: list, inputs: list, gradients: list, retain_graph: Any, create_graph: bool, *rest: Any) -> tuple:
    """The gradients for every row of ``gradients``, together."""
    present: list[bool] = []

    def of_one_row(rows: list[Tensor]) -> list[Tensor]:
        remaining = iter(rows)
        filled = [None if gradient is None else next(remaining) for gradient in gradients]
        found = grad(outputs, inputs, filled, True, create_graph, allow_unused=rest[0], materialize_grads=rest[1])
        present[:] = [gradient is not None for gradient in found]
        return [gradient for gradient in found if gradient is not None]

    rows = [gradient for gradient in gradients if gradient is not None]
    results = iter(batched(of_one_row, rows, [True] * len(rows), rows[0].shape[0], "same"))
    if not (create_graph if retain_graph is None else retain_graph):
        for node in reachable(_edge(output)[0] for output in outputs):
            node.release()
    return tuple(next(results) if there else None for there in present)


def _backward(self: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None) -> None:
    """Accumulate d(self)/d(leaf), times ``gradient``, into the ``.grad`` of every leaf."""
    backward(self, gradient, retain_graph, create_graph, inputs=inputs)


_backward.__name__ = _backward.__qualname__ = "backward"
Tensor.backward = _backward
