"""What an update rule is, and how it becomes an optax transformation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from funnn.optim._checks import CHECKS, Check
from funnn.optim._numbers import Number, compute_dtype, decayed, may_be_nonzero, scalar, to_complex, to_real

Schedule = Callable[[jax.Array], Number]
State = dict[str, jax.Array]
Options = SimpleNamespace
#: One value for each parameter: a tree in their structure (or a prefix of it), or a function of the parameters that gives one.
ParamTree = Any


@dataclass(frozen=True, eq=False)
class Rule:
    """torch's update of one parameter array, as pure functions.

    What all of torch's optimizers do alike is here, so that a rule is little more than its formula: the count of steps, ``maximize``,
    weight decay, complex parameters (pairs of real ones, as in torch) and 16-bit ones (computed in float32, rounded once at the end).

    Options are of two kinds. Numbers (lr, momentum, betas, …) may be traced, so that a changed value does not recompile; a formula never
    branches on them in Python. The names in ``flags`` are static Python values (nesterov, amsgrad, …) that choose the formula.

    Attributes:
      name: torch's name of the optimizer, for error texts.
      defaults: every option with torch's default.
      slots: ``slots(param, options) -> state``, the arrays before the first step under torch's state names. The keys depend on the flags,
        on which numbers are a plain 0 and on the parameter's rank, never on a traced value. ``param`` is real.
      formula: ``formula(grad, state, param, options) -> (delta, state)`` on real arrays; delta is added to the parameter. Options are
        attributes, ``options.dtype`` is the parameter's. ``state["step"]`` counts from 1. Entries that the new state leaves out stay.
      static: names of options that are static without being a bool.
      checks: checks of options by name that differ from the common ones.
      relation: ``relation(options)`` raises for options that do not go together.
      counts: whether the state has a ``step``, the number of updates done.
      decoupled: whether weight decay shrinks the parameter instead of entering the gradient (else the option decoupled_weight_decay says).
      real_only: whether complex parameters are refused.

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
    defaults: dict[str, Any]
    slots: Callable[[jax.Array, Options], State]
    formula: Callable[[jax.Array, State, jax.Array, Options], tuple[jax.Array, State]]
    static: tuple[str, ...] = ()
    checks: dict[str, Check] = field(default_factory=dict)
    relation: Callable[[Options], None] | None = None
    counts: bool = True
    decoupled: bool = False
    real_only: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        """The names of the static options."""
        return tuple(name for name, default in self.defaults.items() if isinstance(default, bool) or name in self.static)

    def validate(self, **options: Any) -> None:
        """Raise torch's ValueError for an option out of range; traced numbers and schedules pass."""
        for name, value in options.items():
            check = self.checks.get(name) or CHECKS.get(name)
            if check is not None:
                check(value)
        if self.relation is not None:
            self.relation(self._options(options))

    def init(self, param: jax.Array, **options: Any) -> State:
        """The state before the first step; ``scalar_dtype`` (float32) is the dtype of counts, as torch takes it from its default dtype."""
        real = to_real(param)
        o = self._options(options)
        slots = self.slots(real, o)
        if jnp.iscomplexobj(param):
            slots = {name: to_complex(value) if value.shape == real.shape else value for name, value in slots.items()}
        return {"step": jnp.zeros((), o.scalar_dtype), **slots} if self.counts else slots

    def update(
        self, grad: jax.Array, state: State, param: jax.Array, *, nonzero: frozenset[str] = frozenset(), **options: Any
    ) -> tuple[jax.Array, State]:
        """The change of the parameter, in its dtype, and the new state, with the keys, shapes and dtypes of the old one.

        Traced numbers of the names in ``nonzero`` are promised not to be 0, which saves the choice.
        """
        o = self._options({name: value if name in self.flags else scalar(value) for name, value in options.items()} | {"nonzero": nonzero})
        if self.real_only and jnp.iscomplexobj(param):
            raise RuntimeError(f"{self.name} does not support complex parameters; optimize torch.view_as_real(parameter)")
        dtype = compute_dtype(param)
        theta = to_real(param).astype(dtype)
        grad = to_real(grad.astype(param.dtype) if jnp.iscomplexobj(param) else grad).astype(dtype)
        old = {name: to_real(value).astype(dtype) if value.dtype == param.dtype else value for name, value in state.items()}
        if self.counts:
            old["step"] = state["step"] + 1
        if getattr(o, "maximize", False):
            grad = -grad
        weight_decay = getattr(o, "weight_decay", 0)
        decoupled = getattr(o, "decoupled_weight_decay", self.decoupled)
        if not decoupled:
            grad = decayed(grad, theta, weight_decay, "weight_decay" in nonzero)
        o.dtype = param.dtype
        delta, new = self.formula(grad, old, theta, o)
        if decoupled and may_be_nonzero(weight_decay):  # torch first shrinks the parameter by (1 − lr · weight_decay), then adds the rest
            delta = decayed(delta, theta, -o.lr * weight_decay)
        new = {name: _as(value, new.get(name, old[name])) for name, value in state.items()}
        return _as(param, delta), new

    def _options(self, options: dict[str, Any]) -> Options:
        return SimpleNamespace(**{"scalar_dtype": jnp.float32, "nonzero": frozenset(), **self.defaults, **options})


def _as(model: jax.Array, value: jax.Array) -> jax.Array:
    """A result in the dtype of what it replaces."""
    return (to_complex(value) if jnp.iscomplexobj(model) else value).astype(model.dtype)


class RuleState(NamedTuple):
    """State of :func:`transformation`: the number of updates, and for each of the rule's state names a tree shaped like the parameters.

    A parameter that has no such state (Adafactor's ``row_var`` for a vector) has None there.
    """

    count: jax.Array
    slots: dict[str, Any]


def _is_none(leaf: Any) -> bool:
    return leaf is None


def _by_parameter(values: ParamTree, params: Any, default: Any) -> Any:
    """The values as a tree like the parameters."""
    if values is None:
        return jax.tree.map(lambda _: default, params, is_leaf=_is_none)
    values = values(params) if callable(values) else values
    return jax.tree.map(lambda value, part: jax.tree.map(lambda _: type(default)(value), part, is_leaf=_is_none), values, params)


def _over_axes(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function over so many leading axes of its arrays."""
    for _ in range(count):
        function = jax.vmap(function)
    return function


def transformation(rule: Rule, *, mask: ParamTree = None, stacked: ParamTree = None, **options: Any) -> optax.GradientTransformation:
    """Map a rule over a pytree of parameters.

    Args:
      rule: the update of one array, such as :data:`funnn.optim.sgd_rule`.
      mask: which parameters ``weight_decay`` applies to, a tree of bools in their structure or a function of them that gives one, such as
        :func:`decay_mask`; None is all.
      stacked: how many leading axes of each parameter number layers of their own, whose arrays are updated each by itself: a tree of ints or a
        function of the parameters, such as :func:`stacked_axes`; None is 0. It matters to rules that look at the whole of an array.
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
    if mask is not None and "weight_decay" not in rule.defaults:
        raise TypeError(f"{rule.name} has no weight decay to mask; leave mask out")
    options = {**rule.defaults, **options}
    rule.validate(**options)

    def at(count: jax.Array) -> dict[str, Any]:
        return {name: jnp.asarray(value(count)) if callable(value) else value for name, value in options.items()}

    def init(params: Any) -> RuleState:
        count = jnp.zeros((), jnp.int32)
        now = at(count)

        def init_one(param: Any, axes: int) -> Any:
            return None if param is None else _over_axes(lambda p: rule.init(p, **now), axes)(param)

        states = jax.tree.map(init_one, params, _by_parameter(stacked, params, 0), is_leaf=_is_none)

        def column(name: str) -> Any:
            return jax.tree.map(lambda p, s: None if p is None else s.get(name), params, states, is_leaf=_is_none)

        # The names of all states that there may be, because there may be no parameter to ask.
        names = [name for rank in (0, 2) for name in rule.init(jnp.zeros((1,) * rank), **now)]
        return RuleState(count, {name: column(name) for name in dict.fromkeys(names)})

    def update(updates: Any, state: RuleState, params: Any = None) -> tuple[Any, RuleState]:
        if params is None:
            raise ValueError(f"{rule.name} needs the parameters; call update(grads, state, params)")
        now = at(state.count)
        tree: Any
        grads, tree = jax.tree.flatten(updates, is_leaf=_is_none)
        columns = {name: tree.flatten_up_to(slot) for name, slot in state.slots.items()}
        decays, axes = (tree.flatten_up_to(_by_parameter(*values)) for values in ((mask, params, True), (stacked, params, 0)))
        deltas = []
        for i, (grad, param) in enumerate(zip(grads, tree.flatten_up_to(params), strict=True)):
            delta = None
            if grad is not None:
                mine = {name: column[i] for name, column in columns.items() if column[i] is not None}
                mine_now = now if decays[i] else now | {"weight_decay": 0}
                delta, new = _over_axes(functools.partial(rule.update, **mine_now), axes[i])(grad, mine, param)
                for name, value in new.items():
                    columns[name][i] = value
            deltas.append(delta)
        slots = {name: tree.unflatten(column) for name, column in columns.items()}
        return tree.unflatten(deltas), RuleState(optax.safe_increment(state.count), slots)

    return optax.GradientTransformation(init, update)
