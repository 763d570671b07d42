"""What an update rule is, and how it becomes an optax transformation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

Number = float | jax.Array | np.ndarray
Schedule = Callable[[jax.Array], Number]
State = dict[str, jax.Array]


@dataclass(frozen=True, eq=False)
class Rule:
    """torch's update of one parameter array, as pure functions.

    Options are of two kinds. Numbers (lr, momentum, betas, …) may be traced, so that a changed value does not recompile; ``update`` never
    branches on them in Python. The names in ``flags`` are static Python values (nesterov, amsgrad, …) that choose the formula.

    Attributes:
      name: torch's name of the optimizer, for error texts.
      init: ``init(param, **options) -> state``, a dict of arrays under torch's state names. Its keys depend on the flags and on which
        numbers are a plain 0, never on a traced value.
      update: ``update(grad, state, param, **options) -> (delta, state)``. delta is added to the parameter and has its dtype; the new state
        has the keys, shapes and dtypes of the old one. 16-bit parameters are updated in float32 and rounded once at the end.
      validate: ``validate(**options)`` raises torch's ValueError for an option out of range; traced numbers and schedules pass.
      flags: the names of the static options.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.optim import sgd_rule
      >>> param = jnp.ones(2)
      >>> state = sgd_rule.init(param, momentum=0.9)
      >>> sorted(state)
      ['momentum_buffer', 'step']
      >>> delta, state = sgd_rule.update(jnp.ones(2), state, param, lr=0.5, momentum=0.9)
      >>> delta.tolist()
      [-0.5, -0.5]
    """

    name: str
    init: Callable[..., State]
    update: Callable[..., tuple[jax.Array, State]]
    validate: Callable[..., None]
    flags: tuple[str, ...]

    @property
    def defaults(self) -> dict[str, Any]:
        """torch's default of every option, in the order of ``update``'s signature."""
        parameters = inspect.signature(self.update).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


class RuleState(NamedTuple):
    """State of :func:`transformation`: the number of updates, and for each of the rule's state names a tree shaped like the parameters."""

    count: jax.Array
    slots: dict[str, Any]


def _is_none(leaf: Any) -> bool:
    return leaf is None


def transformation(rule: Rule, **options: Any) -> optax.GradientTransformation:
    """Map a rule over a pytree of parameters.

    Args:
      rule: the update of one array, such as :data:`funnn.optim.sgd_rule`.
      **options: the rule's options by name; the others keep torch's defaults. A number may be an optax schedule, a function of the count of
        updates done so far.

    Returns:
      An ``optax.GradientTransformation`` whose ``update`` needs ``params``. Where a gradient leaf is None, the update is None and the state
      stays as it was, as torch skips a parameter without ``.grad``.

    Raises:
      TypeError: for an option that the rule does not have.
      ValueError: for an option out of its range, with torch's text.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from funnn.optim import sgd_rule, transformation
      >>> params = {"weight": jnp.ones(2)}
      >>> optimizer = transformation(sgd_rule, lr=0.5)
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update({"weight": jnp.ones(2)}, state, params)
      >>> optax.apply_updates(params, updates)["weight"].tolist()
      [0.5, 0.5]
    """
    unknown = sorted(options.keys() - rule.defaults.keys())
    if unknown:
        raise TypeError(f"{rule.name} has no option {', '.join(map(repr, unknown))}; its options are {', '.join(rule.defaults)}")
    options = {**rule.defaults, **options}
    rule.validate(**options)

    def init(params: Any) -> RuleState:
        states = jax.tree.map(lambda p: None if p is None else rule.init(p, **options), params, is_leaf=_is_none)

        def column(name: str) -> Any:
            return jax.tree.map(lambda p, s: None if p is None else s[name], params, states, is_leaf=_is_none)

        names = rule.init(jnp.zeros(()), **options)  # the keys do not depend on the parameter, and there may be none
        return RuleState(jnp.zeros((), jnp.int32), {name: column(name) for name in names})

    def update(updates: Any, state: RuleState, params: Any = None) -> tuple[Any, RuleState]:
        if params is None:
            raise ValueError(f"{rule.name} needs the parameters; call update(grads, state, params)")
        now = {name: value(state.count) if callable(value) else value for name, value in options.items()}
        grads, tree = jax.tree.flatten(updates, is_leaf=_is_none)
        columns = {name: tree.flatten_up_to(slot) for name, slot in state.slots.items()}
        deltas = []
        for i, (grad, param) in enumerate(zip(grads, tree.flatten_up_to(params), strict=True)):
            delta = None
            if grad is not None:
                delta, new = rule.update(grad, {name: column[i] for name, column in columns.items()}, param, **now)
                for name, column in columns.items():
                    column[i] = new[name]
            deltas.append(delta)
        slots = {name: tree.unflatten(column) for name, column in columns.items()}
        return tree.unflatten(deltas), RuleState(optax.safe_increment(state.count), slots)

    return optax.GradientTransformation(init, update)


# What the rules share.


def compute_dtype(param: jax.Array) -> Any:
    """The dtype an update is computed in: the parameter's, and float32 for 16-bit ones, as torch's kernels do inside each operation."""
    return jnp.dtype(jnp.float32) if param.dtype.itemsize < 4 else param.dtype


def scalar(value: Number) -> Number:
    """A number ready for arithmetic with others: Python floats stay exact (double), arrays take JAX's widest enabled float."""
    return jnp.asarray(value, jnp.result_type(float)) if isinstance(value, (jax.Array, np.ndarray)) else value


def times(value: Number, array: jax.Array) -> jax.Array:
    """value · array, with the number rounded to the array's (real) dtype first, as torch does; never promotes."""
    return jnp.asarray(value, jnp.finfo(array.dtype).dtype) * array


def zeros_like(param: jax.Array) -> jax.Array:
    """Zeros of the parameter's shape, dtype and sharding; the explicit dtype drops a weak type, which would change at the first step."""
    return jnp.zeros_like(param, dtype=param.dtype)


def decayed(grad: jax.Array, param: jax.Array, weight_decay: Number) -> jax.Array:
    """grad + weight_decay · param, and exactly grad where weight_decay is 0: -0.0 keeps its sign and 0 · inf does not make a NaN."""
    return jnp.where(weight_decay != 0, grad + times(weight_decay, param), grad)


def known(value: Any) -> Any:
    """The value that ``validate`` can look at: a NumPy scalar, or None for what has no value yet (a traced array, a schedule)."""
    return None if callable(value) or isinstance(value, jax.core.Tracer) else np.asarray(value)


def require_nonnegative(label: str, value: Any, fix: str) -> None:
    """Raise torch's ``Invalid {label}: {value}`` for a known number below 0 (or NaN)."""
    number = known(value)
    if number is not None and not number >= 0:
        raise ValueError(f"Invalid {label}: {value}; expected a number >= 0, {fix}")
