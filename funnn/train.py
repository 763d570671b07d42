"""One step of training as a pure function: a layer, a loss and an optax transformation, joined and compiled. The loop stays the caller's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from funnn.layers import Layer
from funnn.layers._layer import fold_name

Metrics = dict[str, Any]


class TrainState(NamedTuple):
    """All that changes in training, as a pytree.

    Attributes:
      params, state: what ``layer.apply`` takes: trained arrays, and buffers such as running statistics.
      opt_state: the optimizer's.
      key: the randomness of the whole run; step n draws from ``jax.random.fold_in(key, n)``.
      step: how many steps were done, an int32 array.
    """

    params: Any
    state: Any
    opt_state: Any
    key: jax.Array
    step: jax.Array


class TrainStep(NamedTuple):
    """What :func:`train_step` returns.

    Attributes:
      init: ``init(key, params=None, state=None) -> TrainState``. The layer's own ``init(key)`` draws what is not given; what is given is copied.
      step: ``step(train_state, batch) -> (train_state, metrics)``, compiled; the old train_state's memory holds the new one, so it is gone.
        Also the body of a scan: ``jax.lax.scan(step, train_state, batches)``.
      evaluate: ``evaluate(train_state, batch) -> metrics``, compiled, with ``train=False``; nothing changes.
    """

    init: Callable[..., TrainState]
    step: Callable[[TrainState, Any], tuple[TrainState, Metrics]]
    evaluate: Callable[[TrainState, Any], Metrics]


def train_step(layer: Layer, loss: Callable[..., Any] | Layer, optimizer: optax.GradientTransformation) -> TrainStep:
    """Training of ``layer`` by ``optimizer`` on ``loss``, as pure functions.

    One step, with θ the params and s the state, is

        y, s ← layer.apply(θ, s, *inputs, key=fold_in(key, step), train=True);  g = ∇_θ loss(y, *targets);  θ ← θ + optimizer(g)

    Args:
      layer: the network.
      loss: ``loss(output, *targets)``, a scalar to minimise or ``(scalar, metrics)`` with a dict of arrays; or a loss layer without parameters.
      optimizer: an optax transformation, of :mod:`funnn.optim` or optax. One that takes more is given ``value``, ``grad`` and ``value_fn``
        (with the batch and key of this step), as optax's line searches and ``reduce_on_plateau`` need them.

    A batch is ``(inputs, *targets)``; inputs are one array, or a tuple or list of the layer's arguments. Metrics are the loss's, and "loss".
    Sharded arrays (``funnn.sharding.shard(train_state, mesh, rules)``, a batch from ``funnn.data.prefetch``) stay sharded. For accumulated
    gradients use ``optax.MultiSteps(optimizer, every_k_schedule).gradient_transformation()``.

    Raises:
      TypeError: the layer is no Layer, the optimizer no transformation, or a batch no tuple or list.
      ValueError: the loss layer has parameters, or the loss is no scalar.

    Example:
      >>> from funnn import functional as F, optim
      >>> from funnn.layers import Dropout, Linear, Sequential
      >>> init, step, evaluate = train_step(Sequential(Linear(2, 3), Dropout()), F.cross_entropy, optim.sgd(lr=0.1))
      >>> train_state, batch = init(jax.random.key(0)), (jnp.ones((4, 2)), jnp.zeros(4, int))
      >>> for _ in range(3):
      ...     train_state, metrics = step(train_state, batch)
      >>> list(metrics), train_state.step.item()
      (['loss'], 3)
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"train_step: layer must be a funnn Layer, got {type(layer).__name__}; a Module becomes one by torch.to_functional")
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(f"train_step: optimizer must be an optax transformation such as funnn.optim.adam(), got {type(optimizer).__name__}")
    optimizer = optax.with_extra_args_support(optimizer)
    criterion = _loss_of_layer(loss) if isinstance(loss, Layer) else loss

    def init(key: jax.Array, params: Any = None, state: Any = None) -> TrainState:
        if params is None or state is None:
            drawn = layer.init(key)
            params, state = drawn[0] if params is None else params, drawn[1] if state is None else state
        params, state = jax.tree.map(_copy, (params, state))
        return TrainState(params, state, jax.tree.map(_copy, optimizer.init(params)), fold_name(key, "train_step"), jnp.int32(0))

    def apply_and_measure(train_state: TrainState, params: Any, batch: Any, train: bool) -> tuple[jax.Array, tuple[Any, Metrics]]:
        inputs, *targets = _parts(batch)
        inputs = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        key = jax.random.fold_in(train_state.key, train_state.step)
        output, state = layer.apply(params, train_state.state, *inputs, key=key, train=train)
        result = criterion(output, *targets)
        value, metrics = result if isinstance(result, tuple) else (result, {})
        if jnp.shape(value) != ():
            raise ValueError(f"train_step: the loss must be a scalar, got shape {jnp.shape(value)}; take its mean")
        return value, (state, {"loss": value, **metrics})

    def step(train_state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        def loss_of(params: Any) -> Any:
            return apply_and_measure(train_state, params, batch, True)

        (value, (state, metrics)), grads = jax.value_and_grad(loss_of, has_aux=True)(train_state.params)
        more = {"value": value, "grad": grads, "value_fn": lambda params: loss_of(params)[0]}
        updates, opt_state = optimizer.update(grads, train_state.opt_state, train_state.params, **more)
        params = optax.apply_updates(train_state.params, updates)
        return TrainState(params, state, opt_state, train_state.key, train_state.step + 1), metrics

    def evaluate(train_state: TrainState, batch: Any) -> Metrics:
        return apply_and_measure(train_state, train_state.params, batch, False)[1][1]

    return TrainStep(init, jax.jit(step, donate_argnums=0), jax.jit(evaluate))


def _copy(leaf: Any) -> jax.Array:
    """An array of its own, because a step gives its memory away; not weakly typed, and as wide as JAX's mode allows, because a step's results are so."""
    dtype = jnp.result_type(leaf)
    return jnp.array(leaf, dtype=dtype if jnp.issubdtype(dtype, jax.dtypes.extended) else jax.dtypes.canonicalize_dtype(dtype))


def _parts(batch: Any) -> tuple[Any, ...] | list[Any]:
    if not isinstance(batch, (tuple, list)) or not batch:
        raise TypeError(f"train_step: a batch must be a tuple (inputs, *targets), got {type(batch).__name__}; make one of its parts")
    return batch


def _loss_of_layer(loss: Layer) -> Callable[..., Any]:
    params, state = loss.init(jax.random.key(0))
    if params:
        raise ValueError(
            f"train_step: the loss layer {loss!r} has parameters {sorted(params)}, which would not be trained; put it into the layer"
        )
    return lambda output, *targets: loss.apply(params, state, output, *targets)[0]
