"""One step of training: a layer, a loss and an optax transformation, joined and compiled."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from funnn.layers import Layer
from funnn.layers._layer import fold_name
from funnn.train._accumulating import Split, apply_alone, apply_apart, check_buffers, copies, mean_over_parts, parts_of
from funnn.train._batch import Batches
from funnn.train._ema import Decay, Ema, check_decay, move_ema, start_ema
from funnn.train._gradients import all_finite, norm, used_gradients
from funnn.train._loss_scale import LossScale, LossScaleState, scaled, unscaled
from funnn.train._shardings import InPlaceStep, check_alive

Metrics = dict[str, Any]


class TrainState(NamedTuple):
    """All that changes in training, as a pytree.

    Attributes:
      params, state: what ``layer.apply`` takes: trained arrays, and buffers such as running statistics.
      opt_state: the optimizer's.
      key: the randomness of the whole run; step n draws from ``jax.random.fold_in(key, n)``.
      step: how many steps were done, an int32 array; those that a loss scale skipped count too.
      ema: the average of the parameters, or None without one; ``ema.params`` may stand for ``params``.
      loss_scale: the state of the loss scale, or None without one.
    """

    params: Any
    state: Any
    opt_state: Any
    key: jax.Array
    step: jax.Array
    ema: Ema | None = None
    loss_scale: LossScaleState | None = None


class Evaluate(Protocol):
    """The type of ``evaluate``."""

    def __call__(self, train_state: TrainState, batch: Any, ema: bool = False) -> Metrics:
        """Metrics of a batch."""


class TrainStep(NamedTuple):
    """What :func:`train_step` returns.

    Attributes:
      init: ``init(key, params=None, state=None) -> TrainState``. The layer's own ``init(key)`` draws what is not given; what is given is copied.
      step: ``step(train_state, batch) -> (train_state, metrics)``, compiled; the old train_state's memory holds the new one, so it is gone.
        Also the body of a scan: ``jax.lax.scan(step, train_state, batches)``.
      evaluate: ``evaluate(train_state, batch, ema=False) -> metrics``, compiled, with ``train=False``; nothing changes. ``ema=True`` takes the
        average of the parameters.
    """

    init: Callable[..., TrainState]
    step: Callable[[TrainState, Any], tuple[TrainState, Metrics]]
    evaluate: Evaluate


def train_step(
    layer: Layer,
    loss: Callable[..., Any] | Layer,
    optimizer: optax.GradientTransformation | optax.MultiSteps,
    *,
    ema: Decay | None = None,
    loss_scale: LossScale | None = None,
    accumulate: int = 1,
    one_reduction: bool = False,
) -> TrainStep:
    """Training of ``layer`` by ``optimizer`` on ``loss``, as pure functions.

    One step, with θ the params and s the state, is

        y, s ← layer.apply(θ, s, *inputs, key=fold_in(key, step), train=True);  g = ∇_θ loss(y, *targets);  θ ← θ + optimizer(g)

    Args:
      layer: the network.
      loss: ``loss(output, *targets)``, a scalar to minimise or ``(scalar, metrics)`` with a dict of arrays; or a loss layer without parameters.
        If it has arguments called ``params`` or ``key``, it is given θ, for penalties, and a key of this step that differs from the layer's.
      optimizer: an optax transformation, of :mod:`funnn.optim` or optax. One that takes more is given ``value``, ``grad`` and ``value_fn``
        (with the batch and key of this step), as optax's line searches and ``reduce_on_plateau`` need them. Or ``optax.MultiSteps(optimizer,
        every_k_schedule)``, which updates with the mean of k steps' gradients.
      ema: the decay d of an exponential moving average of the parameters, as 0.999, or a function of the number of updates. As in torch's
        ``AveragedModel`` with ``get_ema_multi_avg_fn``, e₁ = θ₁ and eₜ = d·eₜ₋₁ + (1 − d)·θₜ, so nothing is to be corrected; steps that do not
        update (accumulated, skipped) do not count. Buffers are not averaged.
      loss_scale: how the loss is scaled, ``LossScale()``, for layers that compute in float16. A step whose gradients are not finite changes
        nothing but ``step`` and the scale.
      accumulate: into how many parts a step cuts the batch, whose gradients it adds up one after the other: the memory of activations is that of a
        part. Loss, metrics and gradients are means over the parts; each part draws numbers of its own, and buffers go from part to part. Default 1.
      one_reduction: with accumulate, whether devices that all hold the whole state and a part of the batch each add their gradients up over all
        parts before they are summed over devices: one sum a step instead of one a part. It is for layers in which the examples of a batch, its first
        dimension, do not see each other, without buffers and random draws. Where the state is split too it changes nothing. Default False.

    A batch is ``(inputs, *targets)``; inputs are one array, or a tuple or list of the layer's arguments. Or it is a dict, whose entries are the
    arguments of the layer's ``forward`` and of the loss, by name (to both, if both have it); "inputs" may stand for forward's arguments by
    position. Metrics are the loss's, and "loss" and, of a step, "grad_norm", √(Σ g²) over the gradients that the optimizer uses (not those of
    frozen parameters; before any clipping); with a loss scale also "loss_scale", that of this step, and "skipped". Average them by
    :class:`MeanMetrics`.

    The arrays of a train_state keep their shardings (``funnn.sharding.shard(train_state, mesh, rules)``, batches from
    ``funnn.data.prefetch``), and a step is compiled once. An unsharded state goes to all devices of a sharded batch's mesh.

    Raises:
      TypeError: the layer is no Layer, the optimizer no transformation, a key is none, or a batch does not fit.
      ValueError: accumulate is not positive or does not divide the batch, one_reduction with a layer that has buffers or draws, the loss layer has
        parameters, the loss is no scalar, ``ema`` is out of its range, or ``evaluate(ema=True)`` without one.
      RuntimeError: ``step`` or ``evaluate`` is given a train_state that ``step`` has had already.

    Example:
      >>> from funnn import functional as F, optim
      >>> from funnn.layers import Dropout, Linear, Sequential
      >>> init, step, evaluate = train_step(Sequential(Linear(2, 3), Dropout()), F.cross_entropy, optim.sgd(lr=0.1), ema=0.99)
      >>> train_state, batch = init(jax.random.key(0)), (jnp.ones((4, 2)), jnp.zeros(4, int))
      >>> for _ in range(3):
      ...     train_state, metrics = step(train_state, batch)
      >>> sorted(metrics), train_state.step.item()
      (['grad_norm', 'loss'], 3)
      >>> list(evaluate(train_state, {"input": batch[0], "target": batch[1]}, ema=True))
      ['loss']
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"train_step: layer must be a funnn Layer, got {type(layer).__name__}; a Module becomes one by torch.to_functional")
    if isinstance(optimizer, optax.MultiSteps):
        optimizer = optimizer.gradient_transformation()
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(f"train_step: optimizer must be an optax transformation such as funnn.optim.adam(), got {type(optimizer).__name__}")
    if loss_scale is not None and not isinstance(loss_scale, LossScale):
        raise TypeError(f"train_step: loss_scale must be funnn.LossScale(...) or None, got {loss_scale!r}")
    if isinstance(accumulate, bool) or not isinstance(accumulate, int) or accumulate < 1:
        raise ValueError(f"train_step: accumulate must be a positive integer, got {accumulate!r}")
    if one_reduction:
        check_buffers(layer)
    check_decay(ema)
    transform = optax.with_extra_args_support(optimizer)
    batches = Batches(layer, loss)
    criterion = _loss_of_layer(loss) if isinstance(loss, Layer) else loss

    def init(key: jax.Array, params: Any = None, state: Any = None) -> TrainState:
        _check_key(key)
        if params is None or state is None:
            drawn = layer.init(key)
            params, state = drawn[0] if params is None else params, drawn[1] if state is None else state
        params, state = jax.tree.map(_copy, (params, state))
        opt_state = jax.tree.map(_copy, transform.init(params))
        average = None if ema is None else start_ema(params)
        scale = None if loss_scale is None else loss_scale.init()
        return TrainState(params, state, opt_state, fold_name(key, "train_step"), jnp.int32(0), average, scale)

    def apply_and_measure(
        train_state: TrainState, params: Any, batch: Any, train: bool, part: Any = None, apart: tuple[Any, Split] | None = None
    ) -> tuple[jax.Array, tuple[Any, Metrics]]:
        key = jax.random.fold_in(train_state.key, train_state.step)
        key = key if part is None else jax.random.fold_in(key, part)
        inputs, targets = batches.split(batch, params=params, key=fold_name(key, "loss"))
        if apart is None:
            output, state = layer.apply(params, train_state.state, *inputs.args, key=key, train=train, **inputs.kwargs)
        else:
            output, state = apply_apart(functools.partial(apply_alone, layer), apart[0], inputs, apart[1]), train_state.state
        result = criterion(output, *targets.args, **targets.kwargs)
        value, metrics = result if isinstance(result, tuple) else (result, {})
        if jnp.shape(value) != ():
            raise ValueError(f"train_step: the loss must be a scalar, got shape {jnp.shape(value)}; take its mean")
        return value, (state, {"loss": value, **metrics})

    def gradients(old: TrainState, batch: Any, split: Split | None) -> tuple[Any, Any, Metrics]:
        """Of the scaled loss, with the new buffers and the metrics."""

        def of_part(state: Any, part: Any) -> Any:
            batch, number = part
            before = old._replace(state=state)

            def scaled_loss(params: Any, own: Any) -> Any:
                apart = None if split is None else (own, split)
                value, aux = apply_and_measure(before, params, batch, True, number, apart)
                return scaled(value, old.loss_scale), aux

            own = None if split is None else copies(old.params, split)
            grads, (state, metrics) = jax.grad(scaled_loss, (0, 1), has_aux=True)(old.params, own)
            return (grads, metrics), state

        if accumulate == 1:
            ((grads, _), metrics), state = of_part(old.state, (batch, None))
            return grads, state, metrics
        parts = parts_of(batch, accumulate)
        (((grads, own), metrics), state) = mean_over_parts(of_part, old.state, parts, accumulate)
        if split is not None:
            grads = jax.tree.map(lambda a, b: a + jnp.sum(b, 0), grads, own)
        return grads, state, metrics

    def step(train_state: TrainState, batch: Any, split: Split | None = None) -> tuple[TrainState, Metrics]:
        old, scale = train_state, train_state.loss_scale
        grads, state, metrics = gradients(old, batch, split)
        value = metrics["loss"]
        grads = unscaled(grads, scale)
        more = {"value": value, "grad": grads, "value_fn": lambda params: apply_and_measure(old, params, batch, True)[0]}
        updates, opt_state = transform.update(grads, old.opt_state, old.params, **more)
        used = used_gradients(lambda grads: transform.update(grads, old.opt_state, old.params, **more | {"grad": grads}), grads, opt_state)
        new = TrainState(optax.apply_updates(old.params, updates), state, opt_state, old.key, old.step + 1, old.ema, scale)
        if new.ema is not None:
            assert ema is not None
            new = new._replace(ema=move_ema(new.ema, new.params, ema, _updated(old.opt_state, opt_state)))
        metrics = {"grad_norm": norm(used), **metrics}
        if scale is not None:
            assert loss_scale is not None
            finite = all_finite(used)
            kept = jax.tree.map(lambda after, before: jnp.where(finite, after, before), new, old)
            new = kept._replace(step=new.step, loss_scale=loss_scale.update(scale, finite))
            metrics = {"loss_scale": scale.scale, "skipped": ~finite, **metrics}
        return new, metrics

    def evaluate(train_state: TrainState, batch: Any, ema: bool = False) -> Metrics:
        if not ema:
            return apply_and_measure(train_state, train_state.params, batch, False)[1][1]
        if train_state.ema is None:
            raise ValueError("train_step: evaluate(ema=True), but no average was kept; train_step(..., ema=0.999) keeps one")
        params = jax.tree.map(lambda average, param: average.astype(param.dtype), train_state.ema.params, train_state.params)
        return apply_and_measure(train_state, params, batch, False)[1][1]

    compiled = jax.jit(evaluate, static_argnames="ema")

    def evaluate_alive(train_state: TrainState, batch: Any, ema: bool = False) -> Metrics:
        check_alive(train_state)
        metrics: Metrics = compiled(train_state, batch, ema=bool(ema))
        return metrics

    return TrainStep(init, InPlaceStep(step, splits=one_reduction and accumulate > 1), evaluate_alive)


def _copy(leaf: Any) -> jax.Array:
    """An array of its own, because a step gives its memory away; not weakly typed, and as wide as JAX's mode allows, because a step's results are so."""
    dtype = jnp.result_type(leaf)
    return jnp.array(leaf, dtype=dtype if jnp.issubdtype(dtype, jax.dtypes.extended) else jax.dtypes.canonicalize_dtype(dtype))


def _updated(before: Any, after: Any) -> Any:
    """Whether a step changed the parameters: always, but where MultiSteps collects gradients."""

    def updates(opt_state: Any) -> list[Any]:
        parts = jax.tree.leaves(opt_state, is_leaf=lambda part: isinstance(part, optax.MultiStepsState))
        return [part.gradient_step for part in parts if isinstance(part, optax.MultiStepsState)]

    changed = [new != old for old, new in zip(updates(before), updates(after), strict=True)]
    return jnp.stack(changed).any() if changed else True


def _check_key(key: Any) -> None:
    if isinstance(key, (jax.Array, np.ndarray)) and (jnp.issubdtype(key.dtype, jax.dtypes.prng_key) or key.shape):
        return
    number = isinstance(key, (int, np.integer)) and not isinstance(key, bool)
    fix = f"jax.random.key({key})" if number else "jax.random.key(0)"
    raise TypeError(f"train_step: init takes a random key, such as {fix}, got {type(key).__name__}")


def _loss_of_layer(loss: Layer) -> Callable[..., Any]:
    params, state = loss.init(jax.random.key(0))
    if params:
        raise ValueError(
            f"train_step: the loss layer {loss!r} has parameters {sorted(params)}, which would not be trained; put it into the layer"
        )
    return lambda output, *targets, **named: loss.apply(params, state, output, *targets, **named)[0]
