"""The public pure functions on Tensors: run on the tape, write in place where torch does, draw torch's random numbers."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn import functional as F
from funnn.engine.dispatch.arguments import fill
from funnn.engine.dispatch.autocast import uncast
from funnn.engine.dispatch.call import call, call_key
from funnn.engine.dispatch.inplace import assign
from funnn.engine.dispatch.op import Op
from funnn.engine.dispatch.public import ask_others, bridge, overridable
from funnn.engine.ops.kit.table import FUNCTIONS, write_out
from funnn.engine.ops.nn.functional_rows import ROWS, FunctionRow
from funnn.engine.ops.nn.value_checks import checked, checked_after
from funnn.engine.ops.sparse.lookups import look_up_sparsely
from funnn.engine.ops.views import sizes
from funnn.engine.program.form import Families, Form
from funnn.engine.program.outline import is_outline, outlined
from funnn.engine.program.value import Value, from_host
from funnn.engine.state import thread
from funnn.engine.tensor.generator import default_generator
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.layout import memory_order
from funnn.engine.types.warning import say
from funnn.functional import _dispatch
from funnn.functional._warn import Warned, collected


def _make_runner(function: Callable) -> Callable:
    """How a public pure function runs on Tensors, by its row and, where it has side effects there, by ``_WITH_EFFECTS``."""
    row = ROWS.get(function, FunctionRow())
    run, op, op_args = (_WITH_EFFECTS[function], None, None) if function in _WITH_EFFECTS else _runner(function)
    if row.check is not None:
        run, op = checked(run, function, row.check), None
    if row.check_result is not None:
        run, op = checked_after(run, row.check_result), None
    return overridable(
        run,
        public=function,
        names=(f"nn.{function.__name__}",),
        op=op,
        op_args=op_args,
        small=row.small,
        elementwise=row.elementwise,
        arrange=row.arrange,
    )


def op_of(function: Callable, pure: Callable | None = None) -> Op:
    """The operation of a public pure function, as its row says."""
    row = ROWS.get(function, FunctionRow())
    op = Op(pure or function.pure, row.grad, scalars=function.scalars, order=row.order, autocast=row.autocast)
    op.names = (f"nn.{function.__name__}",)
    return op


def _runner(function: Callable) -> tuple[Callable, Op | None, int | None]:
    """What runs a function, by its signature; the operation that it is for a plain call, and of how many positional arguments."""
    parameters = inspect.signature(function).parameters
    op = op_args = None
    if function.key_name is not None:
        run = _drawing(function)
    else:
        op = op_of(function)
        run = functools.partial(_call_op, op)
    if "dtype" in parameters:
        op_args = list(parameters).index("dtype")
        run = _with_dtype(run, op_args)
    if "inplace" in parameters:
        op_args = list(parameters).index("inplace")
        run = _with_inplace(run, f"{function.__name__}_", op_args)
    if function in _WITH_OUT:
        positional = len(parameters) - len(vars(function).get("only_here", ()))
        op_args = positional if op_args is None else op_args
        run = _with_out(run, positional)
    return functools.update_wrapper(functools.partial(run), function), op, op_args


def _call_op(op: Op, *args: Any, **kwargs: Any) -> Any:
    return call(op, args, kwargs)


def _with_dtype(run: Callable, position: int) -> Callable:
    def run_with_dtype(*args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        if len(args) > position:
            args, dtype = args[:position], args[position]
        return run(*args, **(kwargs if dtype is None else {**kwargs, "dtype": _dtype.as_dtype(dtype).numpy}))

    return run_with_dtype


def _with_out(run: Callable, position: int) -> Callable:
    """With torch's argument ``out``, by keyword or behind all others."""

    def run_with_out(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if len(args) > position:
            args, out = args[:position], args[position]
        return run(*args, **kwargs) if out is None else write_out(out, uncast(run, *args, **kwargs))

    return run_with_out


# -- in place where torch is


def _with_inplace(run: Callable, name: str, position: int) -> Callable:
    """Functions with an argument ``inplace``, which writes the result into the input, as the operation ``name``."""

    def run_inplace(*args: Any, **kwargs: Any) -> Any:
        inplace = kwargs.pop("inplace", False)
        if len(args) > position:
            inplace, args = (
                args[position],
                args[:position] if len(args) == position + 1 else (*args[:position], False, *args[position + 1 :]),
            )
        result = run(*args, **kwargs)
        if not inplace:
            return result
        input = args[0] if args else kwargs["input"]
        return input if result is input else assign(input, result, name)

    return run_inplace


# -- random numbers: what a function will draw is learnt from one abstract run, then drawn from torch's generator, then given to the function


class _Asking:
    """A random source that notes what it is asked for and gives zeros.

    Attributes:
      draws: of each, its name and what it depends on beside shape and dtype; zeros: what it gave.
    """

    def __init__(self):
        self.draws: list[tuple] = []
        self.zeros: list[jax.Array] = []

    def uniform(self, shape: Any, dtype: Any, low: float = 0.0, high: float = 1.0) -> jax.Array:
        return self._note("uniform", shape, dtype, low, high)

    def normal(self, shape: Any, dtype: Any, mean: float = 0.0, std: float = 1.0) -> jax.Array:
        return self._note("normal", shape, dtype, mean, std)

    def bernoulli(self, shape: Any, dtype: Any, p: float = 0.5) -> jax.Array:
        return self._note("bernoulli", shape, dtype, p)

    def exponential(self, shape: Any, dtype: Any) -> jax.Array:
        return self._note("exponential", shape, dtype)

    def _note(self, name: str, *arguments: Any) -> jax.Array:
        shape, dtype, *rest = arguments
        self.draws.append((name, *rest))
        self.zeros.append(jnp.zeros(shape, dtype))
        return self.zeros[-1]


class _NotDrawn(Exception):
    """A function asks for numbers that were not drawn."""


class _Drawn:
    """A random source that gives the numbers drawn before, in their order."""

    def __init__(self, arrays: tuple):
        self._arrays = iter(arrays)

    def uniform(self, *arguments: Any) -> jax.Array:
        array = next(self._arrays, None)
        if array is None:
            raise _NotDrawn
        return array

    normal = bernoulli = exponential = uniform


def _with_numbers(function: Callable) -> Callable:
    """The pure function with an argument ``drawn`` for the numbers, in the place of the key."""

    def pure(*args: Any, drawn: tuple = (), **kwargs: Any) -> Any:
        return function.pure(*args, **kwargs, **{function.key_name: _Drawn(drawn)})

    pure.__name__ = function.__name__
    pure.__signature__ = inspect.signature(function)
    return pure


def _drawing(function: Callable) -> Callable:
    """Run a random function with PyTorch's own numbers."""
    op = op_of(function, _with_numbers(function))
    plans: dict[tuple, Form] = {}
    families = Families()
    silent: dict[tuple, bool] = {}  # of what is never its input: whether a call draws nothing

    def draw_and_call(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop(function.key_name, None)
        if thread.autocast is not None:  # before the numbers are drawn, for their type
            args, kwargs = thread.autocast.operands(op, args, kwargs)
        operands, tensors, layout, signature = call_key(op, args, kwargs)
        if function in _ALWAYS_NEW and silent.get(signature, True):
            try:
                result = call(op, args, kwargs)
            except _NotDrawn:
                silent[signature] = False
            else:
                silent[signature] = True
                return result
        form = plans.get(signature)
        if form is None:
            form = plans[signature] = families.form(layout, functools.partial(_planning, function))
        plan = form.of(operands)
        if plan.note.unchanged is not None:
            for warned in plan.note.warned:  # which the call itself would have said
                say(*warned)
            return tensors[plan.note.unchanged]
        if not plan.results:
            return call(op, args, kwargs)
        like = tensors[0] if function in _IN_MEMORY_ORDER else None
        if any([isinstance(operand, Value) and is_outline(operand) for operand in operands]):
            drawn = tuple([outlined(*result) for result in plan.results])
            return call(op, args, {**kwargs, "drawn": drawn})
        drawn = tuple([_draw(name, (*result, *rest), like) for (name, *rest), result in zip(plan.note.draws, plan.results, strict=True)])
        return call(op, args, {**kwargs, "drawn": drawn})

    return draw_and_call


#: Functions that may draw, never return their input, and take long to trace: not once more to plan what they draw, if they don't.
_ALWAYS_NEW = frozenset({F.scaled_dot_product_attention, F.multi_head_attention_forward, F.lstm, F.gru, F.rnn_tanh, F.rnn_relu})
_WITH_OUT = frozenset({F.avg_pool2d, F.avg_pool3d, F.gelu, F.hardshrink, F.linear, F.normalize, F.softplus, F.softshrink, F.threshold})
_IN_MEMORY_ORDER = (F.dropout, F.alpha_dropout)  # torch draws these for a tensor made like the input, in the order of its memory


def _draw(name: str, arguments: tuple, like: Tensor | None) -> jax.Array:
    """Numbers from the generator; those for the elements of ``like``, a permuted view, in the order in which they lie in memory."""
    shape, *rest = arguments
    if like is None or like._window is None or like._shape() != tuple(shape):
        return default_generator.numbers(name, shape, *rest)
    order = memory_order(like)
    with jax.enable_x64(True):
        numbers = default_generator.numbers(name, tuple(shape[dim] for dim in order), *rest)
        return from_host(numbers.transpose([order.index(dim) for dim in range(len(order))]))


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Plan:
    """What a call will draw, the number of the input that it returns as it is, if it does, and what it warns of."""

    draws: tuple[tuple, ...]
    unchanged: int | None
    warned: tuple[Warned, ...]


def _planning(function: Callable, layout: tuple) -> Callable[..., tuple[tuple[Any, ...], _Plan]]:
    """A form that is never run: its results have the shapes and dtypes of what a call draws."""

    def plan(*arrays: Any) -> tuple[tuple[Any, ...], _Plan]:
        asking = _Asking()
        args, kwargs = fill(layout, iter(arrays))
        with collected() as warned:
            result = function.pure(*args, **kwargs, **{function.key_name: asking})
        unchanged = next((number for number, array in enumerate(arrays) if result is array), None)
        return tuple(asking.zeros), _Plan(tuple(asking.draws), unchanged, tuple(warned))

    return plan


def _rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False, *, key: Any = None
) -> Tensor:
    """torch draws one float64 for each element that is not positive, so how many depends on values; a traced call draws for all."""
    if not training or thread.tracing is not None:
        return _plain_rrelu(input, lower, upper, training, inplace)
    count = int((input.detach() <= 0).sum())
    slopes = np.zeros(input.numel(), np.float64)
    slopes[:count] = default_generator.uniform((count,), np.float64, lower, upper)
    result = call(_rrelu_op, (input, lower, upper, True), {"drawn": (slopes.astype(input.dtype.numpy),)})
    return assign(input, result, "rrelu_with_noise_") if inplace else result


# -- side effects that the pure functions hand back as results


def _with_running_statistics(plain: Callable, with_stats: Callable, own: str) -> Callable:
    """A normalisation that, with the batch's own statistics (argument ``own``), updates the running ones in place, as torch does."""
    signature = inspect.signature(plain)
    evaluate = op_of(plain)

    def normalize_and_update(*args: Any, **kwargs: Any) -> Tensor:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        if not given[own] or given["running_mean"] is None:
            return call(evaluate, bound.args, bound.kwargs)
        rest = {name: value for name, value in given.items() if name != own}
        output, mean, var = with_stats(**rest)
        assign(given["running_mean"], mean.detach(), None)
        assign(given["running_var"], var.detach(), None)
        return output

    return normalize_and_update


_plain_rrelu = _runner(F.rrelu)[0]
_rrelu_op = op_of(F.rrelu, _with_numbers(F.rrelu))


def _with_bounded_table(function: Callable) -> Callable:
    """A look-up that, with ``max_norm``, leaves the rows that it scaled in the table, as torch does."""
    signature = inspect.signature(function)
    place, sparse = (list(signature.parameters).index(name) for name in ("max_norm", "sparse"))
    op = op_of(function)

    def bound_and_look_up(*args: Any, **kwargs: Any) -> Tensor:
        if (args[place] if place < len(args) else kwargs.get("max_norm")) is not None:
            given = signature.bind(*args, **kwargs).arguments
            bound = {name: given[name] for name in ("max_norm", "norm_type") if name in given}
            table = given["weight"].detach()
            table._write(F.embedding_renorm(given["input"], table, **bound)._operand())
            args, kwargs = (), {name: value for name, value in given.items() if name not in bound}
        if (args[sparse] if sparse < len(args) else kwargs.get("sparse")) and thread.grad and thread.tracing is None:
            return look_up_sparsely(function, op, signature.bind(*args, **kwargs).arguments)
        return call(op, args, kwargs)

    return bound_and_look_up


_one_hot_op = op_of(F.one_hot)


def _one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """As many classes as the values say where none are given; while compiling they are unknown."""
    if input.dtype is not _dtype.int64:
        raise RuntimeError(
            f"one_hot is only applicable to index tensor of type LongTensor, got {input.dtype.legacy}; convert it with .long()"
        )
    if input.numel() == 0 and num_classes <= 0:
        raise RuntimeError("Can not infer total number of classes from empty tensor.")
    if num_classes == -1 and not input._operand().traced:
        num_classes = max(int(input._host().max()) + 1, 1)
    return call(_one_hot_op, (input, num_classes), {})


def _in_newer_order(function: Callable) -> Callable:
    """embedding_bag, which torch also takes with the table first, as it was once, and a warning."""

    def look_up_bags(input: Any, weight: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(input, Tensor) and isinstance(weight, Tensor) and weight.dtype is _dtype.int64 and input.is_floating_point():
            say(
                "Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is deprecated, and should now "
                "be `embedding_bag(input, weight, ...)`."
            )
            input, weight = weight, input
        return function(input, weight, *args, **kwargs)

    return functools.update_wrapper(look_up_bags, F.embedding_bag)


#: Functions that write, or look at values, beside computing.
_WITH_EFFECTS: dict[Callable, Callable] = {
    F.embedding: _with_bounded_table(F.embedding),
    F.embedding_bag: _in_newer_order(_with_bounded_table(F.embedding_bag)),
    F.one_hot: _one_hot,
    F.batch_norm: _with_running_statistics(F.batch_norm, F.batch_norm_with_stats, "training"),
    F.instance_norm: _with_running_statistics(F.instance_norm, F.instance_norm_with_stats, "use_input_stats"),
    F.rrelu: _rrelu,
    F.flatten: sizes.flatten,
    F.unflatten: FUNCTIONS["unflatten"],
}

_dispatch.ask_others(ask_others)
Tensor.__funnn_function__ = staticmethod(bridge(_make_runner))  # the bridge: what a public pure function does when it meets a Tensor
