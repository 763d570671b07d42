"""One step of a rule over a parameter group: one compiled program, or recorded operations where gradients flow through it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.inplace import assign, check_captured
from funnn.engine.dispatch.op import Op
from funnn.engine.program.form import Form, strong
from funnn.engine.program.graph import compute, record, use_up
from funnn.engine.program.lift import constants
from funnn.engine.program.outline import outline_of
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.optim import Rule
from funnn.torch.optim._sparse import dense_gradients

#: Whether a number is 0 is known when a program is made, but for learning rates, which pass through 0 on their way: it has no part for what 0
#: switches off, and no choice. Either would read a parameter or a state again, behind its overwriting, and so copy it.
_NUMBERS, _MOVING = frozenset({int, float}), frozenset({"lr"})


@functools.cache
def _form(rule: Rule, flags: tuple, nonzero: frozenset[str], names: tuple[tuple[str, ...], ...], in_step: bool, numbers: Any) -> Form:
    """The rule over a group: (parameters, gradients, states, the step, numbers) -> (new parameters, new states, the new step).

    Args:
      flags: the options that are no operands: switches, and numbers that are 0; nonzero: those that are not 0.
      names: of each parameter's state, as the entries follow each other.
      in_step: whether all parameters have done the same number of steps, which comes and goes once and not in every state.
      numbers: the structure of the options.
    """

    def update(*operands: Any) -> tuple[tuple[Any, ...], None]:
        given = iter(operands)
        params, grads = ([next(given) for _ in names] for _ in range(2))
        states = [{name: next(given) for name in each} for each in names]
        shared = {"step": next(given)} if in_step else {}
        options = {**jax.tree.unflatten(numbers, list(given)), **dict(flags), "nonzero": nonzero}
        updates = [
            rule.update(grad, {**state, **shared}, param, **options) for param, grad, state in zip(params, grads, states, strict=True)
        ]
        results = [param + delta for param, (delta, _) in zip(params, updates, strict=True)]
        results += [state[name] for (_, state), each in zip(updates, names, strict=True) for name in each]
        if in_step:
            results.append(updates[0][1]["step"])
        return tuple(map(strong, results)), None

    return Form(update)


def step_group(rule: Rule, group: dict[str, Any], state_of: dict[Tensor, dict[str, Any]], defaults: dict[str, Any]) -> None:
    """Update the parameters of a group that have gradients, and their states, in place; ``defaults`` names the group's options."""
    options = {name: group[name] for name in rule.defaults if name in defaults}
    params = [param for param in group["params"] if param._grad is not None]
    if thread.levels and not (group.get("foreach") or group.get("fused")):  # whose operations on lists torch.func lets through in PyTorch
        for param in params:
            check_captured(param, "add_")
    while params:
        once = {id(param): param for param in params}
        chosen = list(once.values())
        grads, present = [param._grad for param in chosen], None
        if SparseTensor in map(type, grads) or rule.name == "SparseAdam":
            grads, present = dense_gradients(rule, group, grads)
        _step(rule, group, options, chosen, grads, state_of, present)
        params = [param for param in params if once.pop(id(param), None) is None]  # one that is there twice steps twice, as in torch


def _step(
    rule: Rule,
    group: dict[str, Any],
    options: dict[str, Any],
    params: list[Tensor],
    grads: list[Tensor],
    state_of: dict[Tensor, dict[str, Any]],
    present: list[Tensor] | None = None,
) -> None:
    """One step; ``present``: of each parameter the rows that have a gradient, for a rule that asks."""
    held = _values(params)
    states, names = [], []
    needed: dict[int, tuple[frozenset[str], tuple[str, ...]]] = {}
    for param, value in zip(params, held, strict=True):
        rank = len(value.shape)
        if rank not in needed:
            needed[rank] = _state_names(rule, options, min(rank, 2))
        wanted, ordered = needed[rank]
        state = state_of[param] if wanted else {}
        if state.keys() != wanted:
            if not wanted <= state.keys():
                fill_state(rule, options, param, state, wanted, bool(group.get("fused")))
            state = {name: state[name] for name in wanted}  # there may be more, of another time or of the user's
        states.append(state)
        names.append(ordered)
    if present is not None:
        states = [{**state, "present": rows} for state, rows in zip(states, present, strict=True)]
        names = [(*each, "present") for each in names]
    flags = tuple([(name, options[name]) for name in rule.flags if name in options])
    if group.get("differentiable"):
        _step_recorded(rule, flags, options, params, grads, states)
        return
    plain = [(name, 0.0 if value == 0 else None) for name, value in options.items() if type(value) in _NUMBERS and name not in _MOVING]
    flags += tuple([item for item in plain if item[1] is not None])
    nonzero = frozenset([name for name, zero in plain if zero is None])
    static = dict(flags)
    step = _common_step(states)
    if step is not None:
        without = {each: tuple([name for name in each if name != "step"]) for each in set(names)}
        names = [without[each] for each in names]
    changed = [state[name] for state, each in zip(states, names, strict=True) for name in each]
    numbers, structure = jax.tree.flatten({name: _numbers(group, name) for name in options if name not in static})
    gradients = _values(grads)
    operands = [*held, *gradients, *_values(changed), *(() if step is None else (step,)), *numbers]
    form = _form(rule, flags, nonzero, tuple(names), step is not None, structure)
    if thread.tracing is None:
        results = record([form], operands, form)[0]
        use_up(gradients)
    else:
        results = compute(form, operands)[0]
    changed = params + changed
    if params[0].is_meta:
        _put_on_meta(states, changed, results)
        return
    _put(changed, results)
    if step is not None:
        _put([state["step"] for state in states], itertools.repeat(results[-1]))


def _put_on_meta(states: list[dict[str, Any]], changed: list[Tensor], results: list[Value]) -> None:
    """The results of a step where parameters have no numbers; how many steps there were has one."""
    for tensor, value in zip(changed, results, strict=False):
        if tensor.is_meta:
            _put((tensor,), (value,))
    with no_grad():
        for state in states:
            if "step" in state:
                state["step"].add_(1)


def _values(tensors: Iterable[Tensor]) -> list[Value]:
    """The tensors' operands, quickly of those that are no windows."""
    if thread.tracing is not None:
        return [tensor._operand() for tensor in tensors]
    return [tensor._storage.value if tensor._window is None else tensor._operand() for tensor in tensors]


def _put(tensors: Iterable[Tensor], values: Iterable[Value]) -> None:
    """Write values, quickly where the tensors are no windows."""
    traced = thread.tracing is not None
    for tensor, value in zip(tensors, values, strict=False):
        if traced or tensor._window is not None:
            tensor._write(value)
        else:
            storage = tensor._storage
            storage.value = value
            storage.writes += 1
            storage.version += tensor._tracked


def _common_step(states: list) -> Any:
    """The count of steps if it is one array that all states hold, as it is after they were made or stepped together."""
    if "step" not in states[0]:
        return None
    first = states[0]["step"]._storage.value
    for state in states:
        step = state["step"]
        if step._storage.value is not first or step._window is not None:
            return None
    return first


def fill_state(
    rule: Rule, options: dict[str, Any], param: Tensor, state: dict[str, Any], needed: frozenset[str] | None = None, fused: bool = False
) -> None:
    """Add the entries that the present options need and that are not there; ``fused`` steps are always counted in float32."""
    plain = tuple(
        [
            (name, float(value) if isinstance(value, Tensor) else tuple(value) if isinstance(value, list) else value)
            for name, value in options.items()
        ]
    )
    counts = jnp.float64 if _dtype.get_default_dtype() is _dtype.float64 and not fused else jnp.float32
    names, initial = _initial(rule, plain, counts, param._shape(), param.dtype.numpy, param.is_meta)
    for name, value in zip(names, initial(), strict=True):
        if name not in state and (needed is None or name in needed):
            state[name] = Tensor._wrap(_zero(value.dtype) if name == "step" else value)


@functools.lru_cache(maxsize=1024)
def _initial(rule: Rule, options: tuple, counts: Any, shape: tuple, dtype: Any, meta: bool) -> tuple[list[str], Callable[[], list[Value]]]:
    """The names of a parameter's state before its first step, and what gives the values, which have no numbers on 'meta'."""

    def initial() -> list[jax.Array]:
        values = rule.init(jnp.zeros(shape, dtype), scalar_dtype=counts, **dict(options))
        names[:] = values
        return list(values.values())

    names: list[str] = []
    if meta:
        outlines = list(map(outline_of, jax.eval_shape(initial)))
        return names, lambda: outlines
    return names, constants(initial)


def share_steps(states: Iterable[dict[str, Any]]) -> None:
    """Let states that have done the same number of steps hold it as one array, as they do when they step together."""
    shared: dict[tuple, Value] = {}
    for state in states:
        step = state.get("step")
        if isinstance(step, Tensor) and step.numel() == 1:
            value = shared.setdefault((step.dtype, step._shape(), step.item()), step._operand())
            if value is not step._operand():
                step._write(value)


@functools.lru_cache
def _zero(dtype: Any) -> Value:
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        return Value(jnp.zeros((), dtype))


# -- where gradients flow through the step


def _recorded(rule: Rule, flags: tuple, names: tuple, values: tuple, param: Any, grad: Any, numbers: tuple) -> tuple:
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in numbers}
    delta, state = rule.update(grad, dict(zip(names, values, strict=True)), param, **options, **dict(flags))
    return (param + delta, *(state[name] for name in names))


_recorded_op = Op(_recorded, "OptimizerStepBackward", scalars=("numbers",))


def _step_recorded(rule: Rule, flags: tuple, options: dict, params: list, grads: list, states: list) -> None:
    """The step as operations that autograd records, with gradients to the parameters, their gradients, the state and Tensor options."""
    numbers = tuple((name, value) for name, value in options.items() if name not in rule.flags)
    for param, grad, state in zip(params, grads, states, strict=True):
        names = tuple(state)
        new, *values = call(_recorded_op, (rule, flags, names, tuple(state.values()), param, grad, numbers), {})
        if new.grad_fn is not None:
            new.grad_fn.saved = ()  # arrays, which stay good when the tensors that held them are written below
        assign(param, new, None)
        for name, value in zip(names, values, strict=True):
            assign(state[name], value, None)


# -- options


def _static(value: Any) -> Any:
    """An option as far as it decides which state there is: a number only by whether it is 0."""
    return 1.0 if isinstance(value, (float, Tensor)) and value else value


def _state_names(rule: Rule, options: dict[str, Any], rank: int) -> tuple[frozenset[str], tuple[str, ...]]:
    """What state a parameter needs, as a set and in order: it may depend on its rank and on which numbers are 0."""
    return _names_of_state(rule, rank, tuple([(name, _static(options[name])) for name in rule.defaults if name in options]))


@functools.lru_cache
def _names_of_state(rule: Rule, rank: int, options: tuple) -> tuple[frozenset[str], tuple[str, ...]]:
    param = jax.ShapeDtypeStruct((1,) * rank, jnp.float32)
    plain = {name: 1.0 if isinstance(value, Tensor) else value for name, value in options}
    names = jax.eval_shape(lambda param: rule.init(param, **plain), param)
    return frozenset(names), tuple(names)


def _numbers(group: dict[str, Any], name: str) -> Any:
    """An option's numbers, which are operands, so that a new learning rate compiles nothing."""
    value = group[name]
    return tuple(map(_number, value)) if isinstance(value, (tuple, list)) else _number(value)


def _number(value: Any) -> Any:
    if value is None:
        return None
    return value.detach().reshape(())._operand() if isinstance(value, Tensor) else float(value)
