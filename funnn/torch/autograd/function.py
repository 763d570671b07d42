"""Functions with a derivative of one's own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.dispatch.inplace import check_writable, rebase_history
from funnn.engine.state import thread
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tape.node import SECOND_TIME, Node, node_type, zero_gradient
from funnn.engine.tensor.tensor import Tensor, as_tensor
from funnn.engine.transform.level import Level
from funnn.engine.types.warning import say
from funnn.torch.autograd._saved import Saved

_EXTENDING = "see the page on extending torch.func with autograd.Function"


class FunctionCtx:
    """What ``forward`` leaves for ``backward``; it is the node of the tape itself, ``grad_fn`` of the outputs."""

    __slots__ = ()

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs and outputs; ``saved_tensors`` gives them back and checks that they were not overwritten."""
        for number, tensor in enumerate(tensors):
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(f"save_for_backward can only save variables, but argument {number} is of type {type(tensor).__name__}")
        self._to_save = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Keep inputs and outputs for ``jvp``."""
        self._saved_for_forward = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """Inputs that forward changed in place, and returns."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Outputs that need no gradient."""
        self._no_gradient = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether missing gradients reach backward as zeros (the default) or as None."""
        self.materialize_grads = value


class BackwardCFunction(FunctionCtx, Node):
    """A node whose backward is Python.

    Attributes:
      needs_input_grad: for each argument of forward, whether a gradient is asked for.
      operands: for each argument, (shape, dtype), or None for one that is no tensor.
      results: for each output, (shape, dtype), or None for one without gradient.
    """

    __slots__ = ("_saved", "count", "function", "needs_input_grad", "operands", "results")

    _to_save = _dirty = _no_gradient = _saved_for_forward = ()
    materialize_grads = True

    @property
    def saved_tensors(self) -> tuple:
        """The tensors that were saved."""
        if self._saved is None:
            raise RuntimeError(SECOND_TIME)
        return tuple(None if item is None else item.value(self) for item in self._saved)

    saved_variables = saved_tensors

    def apply(self, *gradients: Any) -> Any:
        """Pull gradients back through this node alone."""
        return self.function.backward(self, *gradients)

    def spread(self, values: Any, missing: Any) -> tuple:
        """One value for every argument that is a tensor, from one for every edge (of all arguments)."""
        return tuple(value for value, operand in zip(values, self.operands, strict=True) if operand is not None)

    def collect(self, values: Any) -> list:
        given = iter(values)
        return [None if operand is None else next(given) for operand in self.operands]

    def pull(self, gradients: list, create_graph: bool) -> list:
        if self._saved is None:
            raise RuntimeError(SECOND_TIME)
        given = [as_tensor(gradient) for gradient in gradients]
        if self.materialize_grads:
            pairs = zip(given, self.results, strict=True)
            given = [Tensor._wrap(zero_gradient(*result)) if g is None and result else g for g, result in pairs]
        cls = self.function
        backward = cls.vjp if cls.backward is Function.backward else cls.backward
        results = backward(self, *given)
        results = self._checked(results if isinstance(results, tuple) else (results,))
        return results if create_graph else [None if result is None else result._operand() for result in results]

    def _checked(self, results: tuple) -> list:
        """The gradients, one for each argument, in the shape and dtype of the arguments."""
        name, expected = self.name(), len(self.operands)
        if len(results) != expected and not (len(results) > expected and all(result is None for result in results[expected:])):
            raise RuntimeError(f"function {name} returned an incorrect number of gradients (expected {expected}, got {len(results)})")
        checked = []
        for number, (result, operand) in enumerate(zip(results, self.operands, strict=False)):
            if result is not None and not isinstance(result, Tensor):
                raise RuntimeError(f"expected Variable or None (got {type(result).__name__}) as gradient {number} of {name}")
            if operand is None and result is not None:
                raise RuntimeError(
                    f"function {name} returned a gradient different than None at position {number + 1}, but the corresponding forward input was not "
                    "a Variable"
                )
            checked.append(result if result is None or self.edges[number] is None else _fitted(result, operand, name, number))
        return checked

    def release(self) -> None:
        if self._saved:
            self._saved = None


def _fitted(gradient: Tensor, operand: tuple, name: str, number: int) -> Tensor:
    shape, dtype = operand
    if gradient._shape() != shape:
        extra = gradient.dim() - len(shape)
        pairs = list(zip(gradient._shape()[max(extra, 0) :], shape, strict=False))
        if extra < 0 or any(a != b and b != 1 for a, b in pairs):
            raise RuntimeError(
                f"Function {name} returned an invalid gradient at index {number} - got {list(gradient._shape())} but expected shape compatible "
                f"with {list(shape)}"
            )
        gradient = gradient.sum_to_size(shape)
    return gradient if gradient.dtype is dtype else gradient.to(dtype)


class Function:
    """A function with a derivative of one's own.

    Define the static methods ``forward`` and ``backward(ctx, *gradients)``, the latter with a gradient (or None) for every argument of forward; and
    call ``apply``. Either ``forward(ctx, *args)`` saves what backward needs, or ``forward(*args)`` computes alone and
    ``setup_context(ctx, inputs, output)`` saves; torch.func needs the second form. For forward mode, ``jvp(ctx, *tangents)``; for vmap,
    ``vmap(info, in_dims, *args)`` or ``generate_vmap_rule = True``, which maps forward and backward themselves.

    Example:
      >>> import funnn.torch as torch
      >>> class Cube(torch.autograd.Function):
      ...     @staticmethod
      ...     def forward(ctx, x):
      ...         ctx.save_for_backward(x)
      ...         return x**3
      ...     @staticmethod
      ...     def backward(ctx, gradient):
      ...         (x,) = ctx.saved_tensors
      ...         return gradient * 3 * x**2
      >>> x = torch.tensor(2.0, requires_grad=True)
      >>> Cube.apply(x).backward()
      >>> x.grad
      tensor(12.)
    """

    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any):
        say(
            f"{type(self)} should not be instantiated. Methods on autograd functions are all static, so you should invoke them on the class itself. "
            "Instantiating an autograd function will raise an error in a future version of PyTorch.",
            DeprecationWarning,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Define forward and backward as static methods and call "
            f"{type(self).__name__}.apply(…)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the outputs."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> Any:
        """Save what backward needs, where forward takes no ``ctx``."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute a gradient for every argument of forward; None where there is none."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Compute the outputs' tangents from those of the arguments (None where there is none)."""
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function to use it with forward mode AD.")

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> tuple:
        """Compute the outputs for batched arguments, and the dimensions in which they are batched."""
        raise NotImplementedError(
            "To use autograd.Function with vmap, you must either override the vmap static method or set generate_vmap_rule=True."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and record backward."""
        separate = cls.setup_context is not Function.setup_context
        if thread.levels and not separate:
            raise RuntimeError(
                "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must override the setup_context "
                f"staticmethod; {_EXTENDING}"
            )
        if separate:
            args, kwargs = _bound(cls.forward, args, kwargs), {}
        ctx = _context(cls, args)
        before = {id(arg): number for number, arg in enumerate(args) if isinstance(arg, Tensor)}
        with no_grad():
            if separate:
                outputs = _transformed(cls, args) if thread.levels and isinstance(thread.tracing, Level) else cls.forward(*args)
                cls.setup_context(ctx, args, outputs)
            else:
                outputs = cls.forward(ctx, *args, **kwargs)
            own_tangents = getattr(thread.tracing, "own_tangents", None)
            if own_tangents is not None:
                outputs = own_tangents(cls, ctx, args, outputs)
        return _record(ctx, outputs, before)


def _bound(function: Callable, args: tuple, kwargs: dict) -> tuple:
    """All arguments by position, with defaults."""
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.args


def _context(cls: type, args: tuple) -> BackwardCFunction:
    needs = tuple(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
    edges = tuple(arg._edge() if needed and thread.grad else None for arg, needed in zip(args, needs, strict=True))
    ctx = node_type(f"{cls.__name__}Backward", BackwardCFunction, {"__module__": "torch.autograd.function"})(edges)
    ctx.function, ctx.needs_input_grad, ctx._saved, ctx.count, ctx.results = cls, needs, (), 1, (None,)
    ctx.operands = tuple((arg._shape(), arg.dtype) if isinstance(arg, Tensor) else None for arg in args)
    return ctx


def _record(ctx: BackwardCFunction, outputs: Any, inputs: dict[int, int]) -> Any:
    """Give the outputs their history."""
    flat = outputs if isinstance(outputs, tuple) else (outputs,)
    recording = any(edge is not None for edge in ctx.edges)
    dirty, fixed = ({id(tensor) for tensor in tensors} for tensors in (ctx._dirty, ctx._no_gradient))
    places = {id(out): index for index, out in enumerate(flat) if isinstance(out, Tensor)}
    if not dirty.issubset(places):
        raise RuntimeError(
            "Some elements marked as dirty during the forward method were not returned as output. The inputs that are modified inplace must all be "
            "outputs of the Function."
        )
    several = sum(isinstance(out, Tensor) and id(out) not in fixed for out in flat) > 1
    ctx.count = len(flat)
    made = [_output(ctx, out, index, inputs, dirty, recording and id(out) not in fixed, several) for index, out in enumerate(flat)]
    written = {id(out) for out in made if id(out) in dirty and recording}  # of a view, the node is behind that of its base
    ctx.results = tuple(
        (r._shape(), r.dtype.numpy) if isinstance(r, Tensor) and (r._grad_fn is ctx or id(r) in written) else None for r in made
    )
    if recording and thread.tracing is not None:
        thread.tracing.own_backward(ctx.name())
    if recording:
        ctx._saved = tuple(None if tensor is None else Saved(tensor, places.get(id(tensor))) for tensor in ctx._to_save)
    ctx._to_save = ctx._dirty = ctx._no_gradient = ()
    return tuple(made) if isinstance(outputs, tuple) else made[0]


def _output(ctx: BackwardCFunction, out: Any, index: int, inputs: dict[int, int], dirty: set[int], recording: bool, several: bool) -> Any:
    if not isinstance(out, Tensor):
        return out
    recording = recording and (out.is_floating_point() or out.is_complex())
    if id(out) in dirty:
        return _written(ctx, out, index, inputs.get(id(out)), recording)
    if id(out) in inputs or out._base is not None or out.requires_grad:
        seen = out if id(out) in inputs else out._base
        if recording or out.requires_grad or seen is out:
            out = out._bare()
        if seen is not None and (recording or not seen.requires_grad):
            out._become_view(seen, index if several else None)
            out._made = "several" if recording and several else "function"
    if recording:
        out._set_history(ctx, index)
    return out


def _written(ctx: BackwardCFunction, out: Tensor, index: int, number: int | None, recording: bool) -> Tensor:
    """An output that forward wrote in place, argument ``number``: the node becomes part of its history, or, of a view, of that of its base."""
    if not recording:
        out._storage.version += 1
        return out._bare() if out.requires_grad else out
    if out._grad_fn is None and out.requires_grad:
        raise RuntimeError("a leaf Variable that requires grad has been used in an in-place operation.")
    if out._base is not None and ctx.count > 1:
        raise RuntimeError(
            "If your Function modifies inplace an input that is a view of another Tensor, your Function cannot return more than one Tensor. This is not "
            "supported by the current autograd engine. You should either make sure the input is not a view (using .clone() for example) or make your "
            "Function only return one Tensor (potentially splitting it into two functions: one doing the inplace that returns a single Tensor and a "
            "second one that does the other operations)."
        )
    if number is None:
        say(
            "ctx.mark_dirty() received a tensor that was not an input. Only input Tensors that have been mutated should be passed to ctx.mark_dirty()."
        )
    check_writable(out, None, joined=True)
    result = out._bare()
    result._set_history(ctx, index)
    rebase_history(out, result, ctx, None if number is None else ctx.edges[number])
    return out


class VmapInfo(NamedTuple):
    """What a ``vmap`` staticmethod is told."""

    batch_size: int
    randomness: str


def _transformed(cls: type, args: tuple) -> Any:
    """Forward under vmap and forward mode, which use the function's own rules."""
    level = thread.tracing
    arrays = [arg._read() for arg in args if isinstance(arg, Tensor)]
    batched = bool(level.vmaps) and any(arg._operand().traced for arg in args if isinstance(arg, Tensor))
    own_rule = cls.vmap is not Function.vmap
    if batched and own_rule and cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it has both generate_vmap_rule=True and an overriden vmap staticmethod. Please set "
            "generate_vmap_rule=False or delete the vmap staticmethod"
        )
    if batched and not own_rule and not cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {cls.__name__}, but it does not have vmap support. Please override and implement the vmap staticmethod or "
            f"set generate_vmap_rule=True; {_EXTENDING}"
        )
    call = _OnArrays(cls, args, level.randomness)
    function: Any = call.forward
    if own_rule and level.vmaps:
        function = jax.custom_batching.custom_vmap(function)
        function.def_vmap(call.of_batch)
    if level.pushing:
        function = jax.custom_jvp(function)
        function.defjvp(call.along)
    with jax.enable_x64(True):
        return call.filled([Tensor._wrap(array) for array in function(*arrays)])


_TENSOR = object()  # in place of an output that is a tensor: the traced one must not outlive the trace


class _OnArrays:
    """One call of a Function as functions of the arrays in its tensors: its forward, and its own rules for vmap and forward mode."""

    def __init__(self, cls: type, args: tuple, randomness: str):
        self.cls, self.args, self.randomness = cls, args, randomness
        self.several = False
        self.outputs: list[Any] = []  # of the last forward: _TENSOR, or what is no tensor

    def forward(self, *arrays: Any) -> tuple:
        return self._flat(self.cls.forward(*_refilled(self.args, arrays)))

    def of_batch(self, size: int, mapped: list[bool], *arrays: Any) -> tuple:
        """The rule of ``custom_vmap``: outputs, and which of them have the new dimension, at the front."""
        flags = iter(mapped)
        in_dims = tuple((0 if next(flags) else None) if isinstance(arg, Tensor) else None for arg in self.args)
        outputs, out_dims = self.cls.vmap(VmapInfo(size, self.randomness), in_dims, *_refilled(self.args, arrays))
        items = outputs if isinstance(outputs, tuple) else (outputs,)
        dims = out_dims if isinstance(out_dims, tuple) else (out_dims,) * len(items)
        moved = tuple(item.movedim(dim, 0) if isinstance(item, Tensor) and dim else item for item, dim in zip(items, dims, strict=True))
        results = self._flat(moved if isinstance(outputs, tuple) else moved[0])
        return results, tuple(dim is not None for item, dim in zip(items, dims, strict=True) if isinstance(item, Tensor))

    def along(self, primals: tuple, tangents: tuple) -> tuple:
        """The rule of ``custom_jvp``: outputs, and their derivatives along the tangents."""
        filled = _refilled(self.args, primals)
        ctx = _context(self.cls, filled)
        outputs = self.cls.forward(*filled)
        self.cls.setup_context(ctx, filled, outputs)
        ctx._saved = tuple(None if t is None else Saved(t, None) for t in ctx._saved_for_forward or ctx._to_save)
        derivatives = self.cls.jvp(ctx, *_refilled(self.args, [None if t.dtype == jax.dtypes.float0 else t for t in tangents], None))
        derivatives = derivatives if isinstance(derivatives, tuple) else (derivatives,)
        values = self._flat(outputs)
        smooth = [item for item, output in zip(derivatives, self.outputs, strict=True) if output is _TENSOR]
        return values, tuple(_tangent_like(value, item) for value, item in zip(values, smooth, strict=True))

    def filled(self, tensors: list[Tensor]) -> Any:
        """What the call gives: the last forward's outputs, with other tensors."""
        remaining = iter(tensors)
        items = tuple(next(remaining) if item is _TENSOR else item for item in self.outputs)
        return items if self.several else items[0]

    def _flat(self, outputs: Any) -> tuple:
        self.several = isinstance(outputs, tuple)
        items = outputs if isinstance(outputs, tuple) else (outputs,)
        self.outputs = [_TENSOR if isinstance(item, Tensor) else item for item in items]
        return tuple(item._read() for item in items if isinstance(item, Tensor))


def _tangent_like(value: Any, tangent: Tensor | None) -> Any:
    if not jnp.issubdtype(value.dtype, jnp.inexact):
        return np.zeros(value.shape, jax.dtypes.float0)
    return jnp.zeros_like(value) if tangent is None else tangent._read()


def _refilled(args: tuple, arrays: Any, other: Any = ...) -> tuple:
    """The arguments with other arrays in the tensors' places; what is no tensor as it is, or replaced by ``other``."""
    remaining = iter(arrays)
    filled = []
    for arg in args:
        array = next(remaining) if isinstance(arg, Tensor) else None
        filled.append(Tensor._wrap(array) if array is not None else arg if other is ... and not isinstance(arg, Tensor) else None)
    return tuple(filled)


def once_differentiable(function: Callable) -> Callable:
    """Of a backward: its results can't be differentiated again; trying to do so raises."""

    @functools.wraps(function)
    def backward_once(ctx: Any, *gradients: Any) -> Any:
        with no_grad():
            outputs = function(ctx, *gradients)
        if not (thread.grad and any(isinstance(g, Tensor) and g.requires_grad for g in gradients)):
            return outputs
        flat = outputs if isinstance(outputs, tuple) else (outputs,)
        results = tuple(_raising(item) if isinstance(item, Tensor) else item for item in flat)
        return results if isinstance(outputs, tuple) else results[0]

    return backward_once


class DelayedError(Node):
    """A node that can't be pulled through."""

    __slots__ = ()

    def pull(self, gradients: list, create_graph: bool) -> Any:
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


def _raising(tensor: Tensor) -> Tensor:
    result = tensor._bare()
    result._grad_fn = DelayedError(())
    return result


class InplaceFunction(Function):
    """A function with a flag ``inplace``; as torch has it, for old code."""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace
