"""torch.autograd: backward, grad, and functions with a derivative of one's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from funnn.torch import _fused, _tape
from funnn.torch._tape import Node, mode, node_type
from funnn.torch._tensor import Tensor

# -- what is recorded


class _GradMode:
    """A context and a decorator that sets whether operations are recorded."""

    _value = True

    def __enter__(self) -> None:
        self._before = mode.grad
        mode.grad = self._value

    def __exit__(self, *exc: Any) -> None:
        mode.grad = self._before

    def __call__(self, function: Callable) -> Callable:
        if inspect.isclass(function):
            function.__init__ = self(function.__init__)
            return function
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Any:
                generator = function(*args, **kwargs)
                value = None
                while True:
                    try:
                        with self._again():
                            item = generator.send(value)
                    except StopIteration as stop:
                        return stop.value
                    value = yield item

            return generate

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self._again():
                return function(*args, **kwargs)

        return run

    def _again(self) -> _GradMode:
        return type(self)()


class no_grad(_GradMode):
    """Operations inside are not recorded. A context manager, and a decorator with or without parentheses."""

    _value = False

    def __new__(cls, function: Callable | None = None) -> Any:
        return object.__new__(cls) if function is None else object.__new__(cls)(function)

    def __init__(self, function: Callable | None = None):
        pass


class enable_grad(no_grad):
    """Operations inside are recorded, also within no_grad."""

    _value = True


class inference_mode(_GradMode):
    """As no_grad."""

    def __new__(cls, mode: Any = True) -> Any:
        return object.__new__(cls)(mode) if callable(mode) else object.__new__(cls)

    def __init__(self, mode: bool = True):
        self._value = not mode and _tape.mode.grad

    def _again(self) -> _GradMode:
        return type(self)(not self._value)


class set_grad_enabled(_GradMode):
    """Switch recording on or off; at once, and as a context manager back again."""

    def __init__(self, mode: bool):
        self._value = bool(mode)
        self._before = _tape.mode.grad
        _tape.mode.grad = self._value

    def __enter__(self) -> None:
        _tape.mode.grad = self._value

    def __call__(self, function: Callable) -> Callable:
        _tape.mode.grad = self._before
        return super().__call__(function)

    def _again(self) -> _GradMode:
        return type(self)(self._value)


def is_grad_enabled() -> bool:
    """Whether operations are recorded now."""
    return mode.grad


# -- pulling gradients back


def _first_gradient(output: Tensor, gradient: Any, create_graph: bool) -> Any:
    """The gradient to start from: the given one, or 1 for a scalar."""
    if gradient is None:
        if output.numel() != 1:
            raise RuntimeError(
                f"grad can be implicitly created only for scalar outputs; this one has shape {list(output.shape)}: reduce it "
                "(loss.mean(), loss.sum()) or pass gradient=, a tensor of its shape"
            )
        array = output._read()
        gradient = Tensor._wrap(jnp.ones_like(array))
    elif tuple(gradient.shape) != tuple(output.shape):
        raise RuntimeError(
            f"Mismatch in shape: grad_output[0] has a shape of {gradient.shape} and output[0] has a shape of {output.shape}."
        )
    elif gradient.dtype is not output.dtype:
        gradient = gradient.to(output.dtype)
    return gradient if create_graph else gradient._read()


def _roots(outputs: Sequence[Tensor], gradients: Sequence[Any], create_graph: bool) -> list:
    roots = []
    for index, (output, gradient) in enumerate(zip(outputs, gradients, strict=True)):
        if not output.requires_grad:
            raise RuntimeError(
                f"element {index} of tensors does not require grad and does not have a grad_fn; was it computed under no_grad, from tensors "
                "without requires_grad=True, or detached?"
            )
        roots.append((output._edge(), _first_gradient(output, gradient, create_graph)))
    return roots


def _sequence(value: Any, length: int | None = None) -> list:
    if value is None:
        return [None] * (length or 0)
    return list(value) if isinstance(value, (tuple, list)) else [value]


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
    tensors = _sequence(tensors)
    roots = _roots(tensors, _sequence(grad_tensors, len(tensors)), create_graph)
    only = None
    if inputs is not None:
        inputs = _sequence(inputs)
        if not inputs:
            raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
        only = {tensor._edge()[0] for tensor in inputs}
    keep = create_graph if retain_graph is None else retain_graph
    if create_graph or only is not None or not _fused.run(roots, keep):
        _tape.run(roots, retain_graph=keep, create_graph=create_graph, accumulate_only=only)


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
    if is_grads_batched:
        raise NotImplementedError("autograd.grad(is_grads_batched=True) is not supported yet; loop over the rows of grad_outputs")
    outputs, inputs = _sequence(outputs), _sequence(inputs)
    roots = _roots(outputs, _sequence(grad_outputs, len(outputs)), create_graph)
    for tensor in inputs:
        if not tensor.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    edges = [tensor._edge() for tensor in inputs]
    keep = create_graph if retain_graph is None else retain_graph
    found = _tape.run(roots, retain_graph=keep, create_graph=create_graph, inputs=dict.fromkeys(edges))
    results = []
    for number, (tensor, edge) in enumerate(zip(inputs, edges, strict=True)):
        gradient = _tape.as_tensor(found.get(edge))
        if gradient is None and materialize_grads:
            gradient = Tensor._wrap(jnp.zeros_like(tensor._read()))
        if gradient is None and not allow_unused:
            raise RuntimeError(
                f"The differentiated Tensor at index {number} appears to not have been used in the graph. Set allow_unused=True if this is the "
                "desired behavior."
            )
        results.append(gradient)
    return tuple(results)


# -- functions with a derivative of one's own


class FunctionCtx:
    """What ``forward`` leaves for ``backward``."""

    def __init__(self, needs_input_grad: tuple):
        self.needs_input_grad = needs_input_grad
        self._saved: tuple = ()
        self._no_grad: set = set()
        self._dirty: set = set()
        self._zeros = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors; ``saved_tensors`` gives them back and checks that they were not overwritten."""
        self._saved = tuple((tensor, None if tensor is None else tensor._storage.version) for tensor in tensors)

    @property
    def saved_tensors(self) -> tuple:
        """The tensors that were saved."""
        for tensor, version in self._saved or ():
            if tensor is not None and tensor._storage.version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation: "
                    f"it is at version {tensor._storage.version}; expected version {version} instead"
                )
        if self._saved is None:
            raise RuntimeError(_tape.SECOND_TIME)
        return tuple(tensor for tensor, _ in self._saved)

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Outputs that need no gradient."""
        self._no_grad.update(map(id, tensors))

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Inputs that forward changed in place."""
        self._dirty.update(map(id, tensors))

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients reach backward as zeros (the default) or as None."""
        self._zeros = value


class _FunctionNode(Node):
    """A node whose backward is Python."""

    __slots__ = ("avals", "count", "ctx", "function", "released")

    def pull(self, gradients: list, create_graph: bool) -> list:
        if self.released:
            raise RuntimeError(_tape.SECOND_TIME)
        given = [_tape.as_tensor(gradient) for gradient in gradients]
        if self.ctx._zeros:
            given = [Tensor._wrap(_tape.zeros(*aval)) if g is None else g for g, aval in zip(given, self.avals, strict=True)]
        results = self.function.backward(self.ctx, *given)
        results = list(results) if isinstance(results, (tuple, list)) else [results]
        while len(results) > len(self.edges) and results[-1] is None:
            results.pop()
        if len(results) != len(self.edges):
            raise RuntimeError(
                f"function {self.name()} returned an incorrect number of gradients (expected {len(self.edges)}, got {len(results)})"
            )
        return results if create_graph else [None if result is None else result._read() for result in results]

    def release(self) -> None:
        if self.ctx._saved:
            self.released = True


class Function:
    """A function with a derivative of one's own: define the static methods ``forward(ctx, …)`` and ``backward(ctx, *gradients)``."""

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute a gradient for every argument of forward; None where there is none."""
        raise NotImplementedError("You must implement either the backward or vjp method for your custom autograd.Function to use it.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and record backward."""
        needs = tuple(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        ctx = FunctionCtx(needs)
        separate = "setup_context" in {name for base in cls.__mro__[:-1] if base is not Function for name in vars(base)}
        with no_grad():
            outputs = cls.forward(*args, **kwargs) if separate else cls.forward(ctx, *args, **kwargs)
            if separate:
                cls.setup_context(ctx, args, outputs)
        if not (mode.grad and any(needs)):
            return outputs
        node = node_type(f"{cls.__name__}Backward", _FunctionNode)(
            tuple(arg._edge() if needed else None for arg, needed in zip(args, needs, strict=True))
        )
        flat = outputs if isinstance(outputs, tuple) else (outputs,)
        node.function, node.ctx, node.released, node.count = cls, ctx, False, len(flat)
        node.avals = tuple((tuple(out.shape), out.dtype.numpy) if isinstance(out, Tensor) else None for out in flat)
        inputs = {id(arg) for arg in args}
        recorded = []
        for index, out in enumerate(flat):
            if isinstance(out, Tensor) and id(out) not in ctx._no_grad and out.is_floating_point():
                if id(out) in inputs and id(out) not in ctx._dirty:
                    out = out.detach()
                out._grad_fn, out._output = node, index
            recorded.append(out)
        return tuple(recorded) if isinstance(outputs, tuple) else recorded[0]


def Variable(data: Tensor, requires_grad: bool = False) -> Tensor:
    """The tensor itself: since torch 0.4 every tensor is a Variable."""
    return data.requires_grad_() if requires_grad else data
