"""Other optimizers, other rates, or none, for a part of the parameters, chosen by path or by type of layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from funnn.layers import Layer
from funnn.optim._numbers import Number
from funnn.optim._rule import Schedule
from funnn.optim._select import Which, map_paths, matcher, name_of


def param_groups(
    rules: Sequence[tuple[Which, optax.GradientTransformation | None]], layer: Layer | None = None
) -> optax.GradientTransformation:
    """An optimizer for each group of parameters, as torch's parameter groups; the first rule that selects a parameter decides.

    Args:
      rules: pairs of what selects (a regular expression, searched for in the path, names joined with "."; or a class of layers, for all that is
        inside such a layer) and an optax transformation, or None for parameters that stay as they are. The expression "" selects all.
      layer: whose parameters they are; needed for classes.

    Returns:
      An ``optax.GradientTransformation``. Frozen parameters have no state in it, and :func:`funnn.train_step` computes no gradients for them.

    Raises:
      TypeError: a rule selects by something else, or by a class without ``layer``.
      ValueError: from ``init``, for parameters that no rule selects, and for a rule that selects none at all.

    Example:
      >>> import jax
      >>> from funnn.layers import Embedding, Linear, Sequential
      >>> from funnn.optim import adamw, param_groups, sgd
      >>> net = Sequential(Embedding(5, 4), Linear(4, 4), Linear(4, 2))
      >>> optimizer = param_groups([(Embedding, None), (r"^2\\.", sgd(lr=0.1)), ("", adamw(lr=1e-3))], net)
      >>> params, _ = net.init(jax.random.key(0))
      >>> updates, _ = optimizer.update(jax.tree.map(jax.numpy.ones_like, params), optimizer.init(params), params)
      >>> updates["0"]["weight"][0, 0].item(), round(updates["2"]["bias"][0].item(), 4)
      (0.0, -0.1)
    """
    group_of = matcher([which for which, _ in rules], layer, "param_groups")
    alone = [matcher([which], layer, "param_groups") for which, _ in rules]

    def labels(params: Any) -> Any:
        chosen = map_paths(lambda path: (path, group_of(path)), params)
        found = jax.tree.leaves(chosen, is_leaf=lambda pair: isinstance(pair, tuple))
        left = [path for path, number in found if number is None]
        if left:
            raise ValueError(
                f"param_groups: no rule selects {left}; end with a rule for the rest, ('', optimizer), or ('', None) to freeze it"
            )
        for selects, (which, _) in zip(alone, rules, strict=True):
            if which != "" and all(selects(path) is None for path, _ in found):
                raise ValueError(
                    f"param_groups: {name_of(which)} selects none of the parameters {[path for path, _ in found]}; mend or leave it out"
                )
        return map_paths(group_of, params)

    transforms = {number: optax.set_to_zero() if optimizer is None else optimizer for number, (_, optimizer) in enumerate(rules)}
    return optax.partition(transforms, labels)


def freeze(optimizer: optax.GradientTransformation, *which: Which, layer: Layer | None = None) -> optax.GradientTransformation:
    """The optimizer for all parameters but the selected ones, which stay as they are; torch's ``requires_grad_(False)``.

    Args:
      optimizer: an optax transformation for the others.
      *which: regular expressions, searched for in the path, and classes of layers, for all that is inside such a layer.
      layer: whose parameters they are; needed for classes.

    Returns:
      An ``optax.GradientTransformation``; the frozen parameters have no state in it. Buffers, such as running statistics, are not parameters.

    Raises:
      TypeError, ValueError: as :func:`param_groups`.

    Example:
      >>> import jax
      >>> from funnn.layers import Linear, Sequential
      >>> from funnn.optim import adam, freeze
      >>> params, _ = Sequential(Linear(4, 8), Linear(8, 2)).init(jax.random.key(0))
      >>> optimizer = freeze(adam(lr=0.1), r"^0\\.", "bias")
      >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
      >>> jax.tree.map(lambda update: bool(update.any()), updates)
      {'0': {'bias': False, 'weight': False}, '1': {'bias': False, 'weight': True}}
    """
    return param_groups([*((one, None) for one in which), ("", optimizer)], layer)


def scale_by_path(rules: Sequence[tuple[Which, Number | Schedule]], layer: Layer | None = None) -> optax.GradientTransformation:
    """Learning rates by path: each update times the factor of the first rule that selects its parameter; others stay as they are.

    Behind an optimizer, ``optax.chain(optimizer, scale_by_path(rules))``, this is a factor of ``lr``, of its decoupled weight decay too.

    Args:
      rules: pairs of what selects, as in :func:`param_groups`, and a factor: a number, an optax schedule, or, for parameters that ``Repeat``
        stacks, an array with a factor for each layer.
      layer: whose parameters they are; needed for classes.

    Returns:
      An ``optax.GradientTransformation``.

    Raises:
      TypeError: a rule selects by something else, or by a class without ``layer``.
      ValueError: from ``init``, for a rule that selects no parameter; from ``update``, for an array whose length is not the parameter's.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from funnn.layers import Linear, Repeat, Sequential
      >>> from funnn.optim import scale_by_path, sgd
      >>> net = Sequential(Linear(2, 2), Repeat(Linear(2, 2), 3))
      >>> rates = scale_by_path([(r"^0\\.", 0.1), (Repeat, 0.5 ** jnp.arange(3.0)[::-1])], net)
      >>> optimizer, (params, _) = optax.chain(sgd(lr=1.0), rates), net.init(jax.random.key(0))
      >>> updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
      >>> round(updates["0"]["bias"][0].item(), 4), updates["1"]["layer"]["bias"][:, 0].tolist()
      (-0.1, [-0.25, -0.5, -1.0])
    """
    rule_of = matcher([which for which, _ in rules], layer, "scale_by_path")
    alone = [matcher([which], layer, "scale_by_path") for which, _ in rules]

    def init(params: Any) -> optax.ScaleByScheduleState:
        paths = jax.tree.leaves(map_paths(lambda path: path, params))
        for selects, (which, _) in zip(alone, rules, strict=True):
            if all(selects(path) is None for path in paths):
                raise ValueError(f"scale_by_path: {name_of(which)} selects none of the parameters {paths}; mend or leave it out")
        return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32))

    def update(updates: Any, state: optax.ScaleByScheduleState, params: Any = None) -> tuple[Any, optax.ScaleByScheduleState]:
        factors = [factor(state.count) if callable(factor) else factor for _, factor in rules]

        def scaled(keys: Any, change: jax.Array) -> jax.Array:
            path = jax.tree_util.keystr(keys, simple=True, separator=".")
            number = rule_of(path)
            if number is None:
                return change
            factor = jnp.asarray(factors[number], jnp.finfo(change.dtype).dtype)
            if factor.shape not in ((), change.shape[:1]):
                raise ValueError(
                    f"scale_by_path: the factor of {path!r} has shape {factor.shape}, and the parameter {change.shape}; an array holds one factor "
                    "for each layer of a stack"
                )
            return change * factor.reshape(factor.shape + (1,) * (change.ndim - factor.ndim))

        return jax.tree_util.tree_map_with_path(scaled, updates), optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)
