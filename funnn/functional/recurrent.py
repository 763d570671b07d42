"""Recurrent networks: whole sequences over layers and directions. (Single steps: ``recurrent_cell``.)"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from funnn.errors import ArgumentError, DtypeError, ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional import _cudnn as cudnn
from funnn.functional import _random
from funnn.functional import _recurrent_kernel as kernel
from funnn.functional._dispatch import public
from funnn.functional._half_product import product
from funnn.functional._varying import vary_alike
from funnn.functional.dropout import apply_mask, check_probability

_GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}


def scan_layer(
    kind: str, reverse: bool, x: jax.Array, state: tuple[jax.Array, ...], weights: Sequence[jax.Array], mask: jax.Array | None
) -> Any:
    """One layer in one direction: h of every step, and the final state; ``weights`` are (w_ih, w_hh[, b_ih, b_hh][, w_hr])."""
    w_ih, w_hh, *rest = weights
    projection = rest.pop() if len(rest) % 2 else None
    gates = product(x, w_ih, (((x.ndim - 1,), (1,)), ((), ())))
    inner = None
    if rest:
        b_ih, b_hh = rest
        if kind == "gru":  # b_hn stands inside the product with the reset gate
            outer = 2 * b_hh.shape[0] // 3
            inner, b_hh = b_hh[outer:], b_hh.at[outer:].set(0)
        gates = gates + (b_ih + b_hh)
    gates, state, w_hh, projection, inner, mask = vary_alike(gates, state, w_hh, projection, inner, mask)
    if kind == "lstm":
        h, c, states = kernel.lstm(gates, *state, w_hh, projection, mask, reverse)
        return states, (h, c)
    h, states = kernel.simple(gates, *state, w_hh, inner, mask, kind, reverse)
    return states, (h,)


def _check_weights(name: str, gates: int, input: jax.Array, params: Sequence[jax.Array], biases: bool, layers: int, directions: int) -> int:
    """The number of weights a direction, from how many there are."""
    per = len(params) / max(layers * directions, 1)
    plain = 4 if biases else 2
    if per not in ((plain, plain + 1) if name == "lstm" else (plain,)):
        raise ArgumentError(
            f"{name}: expected {plain * layers * directions} weights for num_layers={layers}, {directions} direction(s) and "
            f"has_biases={biases}, but got {len(params)}"
        )
    for i, weight in enumerate(params):
        if check.array(f"params[{i}]", weight).dtype != input.dtype:
            raise DtypeError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). Convert input: input.to({weight.dtype}), "
                f"or convert model: model.to({input.dtype})"
            )
    if input.shape[-1] != params[0].shape[1]:
        raise ShapeError(f"input.size(-1) must be equal to input_size. Expected {params[0].shape[1]}, got {input.shape[-1]}")
    if params[0].shape[0] % gates:
        raise ShapeError(f"{name}: the first weight must have {gates} × hidden_size rows, but got {params[0].shape[0]}")
    return int(per)


def _states(name: str, hx: tuple[jax.Array, ...] | None, input: jax.Array, sizes: tuple[int, ...], count: int) -> tuple[Any, ...]:
    """The initial states, (layers · directions, batch, size) each; zeros by default."""
    batch = input.shape[1]
    if hx is None:
        return tuple(jnp.zeros((count, batch, size), input.dtype) for size in sizes)
    words = ("Expected hidden[0] size", "Expected hidden[1] size") if len(sizes) == 2 else ("Expected hidden size",)
    for x, size, word in zip(hx, sizes, words, strict=True):
        if x.shape != (count, batch, size):
            raise ShapeError(f"{word} {(count, batch, size)}, got {check.shape(x)}")
        check.like(name, "hx", x, input)
    return tuple(hx)


class _Options(NamedTuple):
    """The plain arguments of a recurrent network, in torch's order."""

    has_biases: bool
    num_layers: int
    dropout: float
    train: bool
    bidirectional: bool
    batch_first: bool


def _run_sequence(
    name: str,
    input: jax.Array,
    hx: tuple[jax.Array, ...] | None,
    params: Sequence[jax.Array],
    options: _Options,
    lengths: jax.Array | None,
    key: jax.Array | None,
) -> tuple[Any, ...]:
    """(output, *final states)."""
    kind = name.removeprefix("rnn_")  # of the keys of _GATES
    input = check.floating(name, "input", input)
    check_probability(options.dropout)
    batched = input.ndim == 3
    input, hx = _steps_first(name, input, hx, lengths, options.batch_first)
    directions = 2 if options.bidirectional else 1
    per = _check_weights(name, _GATES[kind], input, params, options.has_biases, options.num_layers, directions)
    hidden = params[0].shape[0] // _GATES[kind]
    sizes = (params[1].shape[1], hidden) if kind == "lstm" else (hidden,)
    states = _states(name, hx, input, sizes, options.num_layers * directions)
    mask = None if lengths is None else _within(name, lengths, input)
    drop = _between_layers(name, options, input.dtype, key)
    if kind == "lstm" and drop is None and mask is None and sizes[0] == hidden and cudnn.lstm_fits(input):
        settings = (("layers", options.num_layers), ("bidirectional", options.bidirectional))
        x, *last = cudnn.differentiable(cudnn.lstm, _lstm, settings, input, *states, cudnn.lstm_weights(params, options.has_biases))
    else:
        x, *last = _layers(kind, input, states, params, per, directions, mask, drop)
    if not batched:
        return x[:, 0], *(state[:, 0] for state in last)
    return (jnp.swapaxes(x, 0, 1) if options.batch_first else x), *last


def _steps_first(
    name: str, input: jax.Array, hx: tuple[jax.Array, ...] | None, lengths: jax.Array | None, batch_first: bool
) -> tuple[jax.Array, tuple[jax.Array, ...] | None]:
    """The input as (T, B, input_size), and the states with an axis for the batch."""
    if input.ndim not in (2, 3):
        raise ShapeValueError(f"{name}: Expected input to be 2D or 3D, got {input.ndim}D instead")
    if not isinstance(hx, (tuple, list, type(None))):
        raise ArgumentError(f"{name}: hx must be a tuple of the states (h_0, c_0), but got a single value")
    if input.ndim == 3:
        for state in hx or ():
            if state.ndim != 3:
                raise ShapeError(f"For batched 3-D input, hx should also be 3-D but got {state.ndim}-D tensor")
        return (jnp.swapaxes(input, 0, 1) if batch_first else input), hx
    if lengths is not None:
        raise ArgumentError(f"{name}: lengths need a batched input, (T, B, input_size), but got an unbatched one")
    for state in hx or ():
        if state.ndim != 2:
            raise ShapeError(f"For unbatched 2-D input, hx should also be 2-D but got {state.ndim}-D tensor")
    return input[:, None], None if hx is None else tuple(state[:, None] for state in hx)


def _within(name: str, lengths: jax.Array, input: jax.Array) -> jax.Array:
    """For each step and sequence whether the step is within the sequence's length, (T, B, 1)."""
    lengths = check.array("lengths", lengths)
    if lengths.shape != (input.shape[1],) or not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ShapeError(f"{name}: lengths must hold {input.shape[1]} integers, but got {lengths.dtype} of shape {check.shape(lengths)}")
    return (jnp.arange(input.shape[0])[:, None] < lengths)[..., None]


def _between_layers(name: str, options: _Options, dtype: jnp.dtype, key: jax.Array | None) -> Callable[[jax.Array], jax.Array] | None:
    """The dropout that stands between layers; None where there is none."""
    if not (options.train and options.dropout and options.num_layers > 1):
        return None
    source = _random.required(name, key, f"train=True and dropout={options.dropout}")

    def drop(x: jax.Array) -> jax.Array:
        mask = source.bernoulli(x.shape, dtype, 1.0 - options.dropout)
        return x * 0 if options.dropout == 1 else apply_mask(x, mask.astype(x.dtype), options.dropout)

    return drop


def _layers(
    kind: str,
    input: jax.Array,
    states: tuple[jax.Array, ...],
    params: Sequence[jax.Array],
    per: int,
    directions: int,
    mask: jax.Array | None = None,
    drop: Any = None,
) -> tuple[Any, ...]:
    """All layers and directions, with ``per`` weights each; ``drop`` is applied between layers."""
    dtype, wide = input.dtype, check.accumulator(input.dtype)
    x, params = input.astype(wide), [p.astype(wide) for p in params]
    layers = len(params) // (per * directions)
    finals = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            number = layer * directions + direction
            weights = params[number * per : (number + 1) * per]
            y, final = scan_layer(kind, direction == 1, x, tuple(s[number].astype(wide) for s in states), weights, mask)
            outputs.append(y if mask is None else jnp.where(mask, y, jnp.zeros((), y.dtype)))
            finals.append(final)
        x = outputs[0] if directions == 1 else jnp.concatenate(outputs, -1)
        if drop is not None and layer < layers - 1:
            x = drop(x)
    return x.astype(dtype), *(jnp.stack(parts).astype(dtype) for parts in zip(*finals, strict=True))


def _lstm(x: jax.Array, h0: jax.Array, c0: jax.Array, weights: jax.Array, *, layers: int, bidirectional: bool) -> tuple[Any, ...]:
    """An LSTM whose weights are one vector, as cuDNN has it."""
    directions = 2 if bidirectional else 1
    return _layers("lstm", x, (h0, c0), cudnn.lstm_params(weights, x.shape[-1], h0.shape[-1], layers, directions), 4, directions)


@public
def lstm(
    input: jax.Array,
    hx: tuple[jax.Array, jax.Array] | None,
    params: Sequence[jax.Array],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    *,
    lengths: jax.Array | None = None,
    key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Run a long short-term memory over a sequence, in one or more layers and one or both directions.

    ``i, f, o = σ(…), g = tanh(…)`` of ``W_ih x_t + b_ih + W_hh h_{t−1} + b_hh``; ``c_t = f · c_{t−1} + i · g``; ``h_t = o · tanh(c_t)``.

    Args:
      input: ``x``, of shape (T, B, input_size), (B, T, input_size) with batch_first, or (T, input_size) without a batch.
      hx: (h₀, c₀), of shapes (num_layers · directions, B, P) and (num_layers · directions, B, H); None for zeros.
      params: for each layer and direction ``W_ih`` (4·H, input_size), ``W_hh`` (4·H, P), and with biases ``b_ih`` and ``b_hh``
        (4·H,) and, to project h to P values, ``W_hr`` (P, H), in torch's order; the gates are i, f, g, o.
      has_biases: whether params hold biases.
      num_layers: layers on top of each other.
      dropout: probability of dropping an element of a layer's output but the last one's, in [0, 1].
      train: whether to drop.
      bidirectional: whether to run backwards too; the outputs are concatenated.
      batch_first: whether the batch is the first axis of input and output.
      lengths: the length of each sequence of the batch, integers; default all T. What is behind it does not count, and its output is 0.
      key: a JAX random key; needed in training with dropout and several layers.

    Returns:
      (output, h_n, c_n): output has directions · P features for each step, h_n and c_n have the shapes of hx.

    Raises:
      ShapeError, DtypeError: input, hx and params do not fit.
      ArgumentError: the number of params does not fit.
      KeyRequiredError: dropout in training and no key.

    Source: Hochreiter and Schmidhuber, 1997; torch.lstm. Half precision is computed in float32.

    Example:
      >>> import jax.numpy as jnp
      >>> weights = [jnp.ones((4 * 3, 2)), jnp.ones((4 * 3, 3))]
      >>> lstm(jnp.ones((5, 4, 2)), None, weights, False, 1, 0.0, False, False, False)[0].shape
      (5, 4, 3)
    """
    options = _Options(has_biases, num_layers, dropout, train, bidirectional, batch_first)
    return _run_sequence("lstm", input, hx, params, options, lengths, key)


@public
def gru(
    input: jax.Array,
    hx: jax.Array | None,
    params: Sequence[jax.Array],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    *,
    lengths: jax.Array | None = None,
    key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Run a gated recurrent unit over a sequence, in one or more layers and one or both directions.

    ``r, z = σ(W x_t + b + W' h_{t−1} + b')``; ``n = tanh(W_in x_t + b_in + r · (W_hn h_{t−1} + b_hn))``; ``h_t = (1 − z) · n + z · h_{t−1}``.

    Args:
      input: ``x``, of shape (T, B, input_size), (B, T, input_size) with batch_first, or (T, input_size) without a batch.
      hx: h₀, of shape (num_layers · directions, B, H); None for zeros.
      params: for each layer and direction ``W_ih`` (3·H, input_size), ``W_hh`` (3·H, H), and with biases ``b_ih`` and ``b_hh``
        (3·H,), in torch's order; the gates are r, z, n.
      has_biases: whether params hold biases.
      num_layers: layers on top of each other.
      dropout: probability of dropping an element of a layer's output but the last one's, in [0, 1].
      train: whether to drop.
      bidirectional: whether to run backwards too; the outputs are concatenated.
      batch_first: whether the batch is the first axis of input and output.
      lengths: the length of each sequence of the batch, integers; default all T. What is behind it does not count, and its output is 0.
      key: a JAX random key; needed in training with dropout and several layers.

    Returns:
      (output, h_n): output has directions · H features for each step, h_n has the shape of hx.

    Raises:
      ShapeError, DtypeError: input, hx and params do not fit.
      ArgumentError: the number of params does not fit.
      KeyRequiredError: dropout in training and no key.

    Source: Cho et al., 2014; torch.gru. Half precision is computed in float32.

    Example:
      >>> import jax.numpy as jnp
      >>> weights = [jnp.ones((3 * 3, 2)), jnp.ones((3 * 3, 3))]
      >>> gru(jnp.ones((5, 4, 2)), None, weights, False, 1, 0.0, False, False, False)[0].shape
      (5, 4, 3)
    """
    options = _Options(has_biases, num_layers, dropout, train, bidirectional, batch_first)
    return _run_sequence("gru", input, None if hx is None else (hx,), params, options, lengths, key)


@public
def rnn_tanh(
    input: jax.Array,
    hx: jax.Array | None,
    params: Sequence[jax.Array],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    *,
    lengths: jax.Array | None = None,
    key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Run a plain recurrent network over a sequence, in one or more layers and one or both directions.

    ``h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh)``.

    Args:
      input: ``x``, of shape (T, B, input_size), (B, T, input_size) with batch_first, or (T, input_size) without a batch.
      hx: h₀, of shape (num_layers · directions, B, H); None for zeros.
      params: for each layer and direction ``W_ih`` (H, input_size), ``W_hh`` (H, H), and with biases ``b_ih`` and ``b_hh``
        (H,), in torch's order.
      has_biases: whether params hold biases.
      num_layers: layers on top of each other.
      dropout: probability of dropping an element of a layer's output but the last one's, in [0, 1].
      train: whether to drop.
      bidirectional: whether to run backwards too; the outputs are concatenated.
      batch_first: whether the batch is the first axis of input and output.
      lengths: the length of each sequence of the batch, integers; default all T. What is behind it does not count, and its output is 0.
      key: a JAX random key; needed in training with dropout and several layers.

    Returns:
      (output, h_n): output has directions · H features for each step, h_n has the shape of hx.

    Raises:
      ShapeError, DtypeError: input, hx and params do not fit.
      ArgumentError: the number of params does not fit.
      KeyRequiredError: dropout in training and no key.

    Source: Elman, 1990; torch.rnn_tanh. Half precision is computed in float32.

    Example:
      >>> import jax.numpy as jnp
      >>> weights = [jnp.ones((3, 2)), jnp.ones((3, 3))]
      >>> rnn_tanh(jnp.ones((5, 4, 2)), None, weights, False, 1, 0.0, False, False, False)[0].shape
      (5, 4, 3)
    """
    options = _Options(has_biases, num_layers, dropout, train, bidirectional, batch_first)
    return _run_sequence("rnn_tanh", input, None if hx is None else (hx,), params, options, lengths, key)


@public
def rnn_relu(
    input: jax.Array,
    hx: jax.Array | None,
    params: Sequence[jax.Array],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    *,
    lengths: jax.Array | None = None,
    key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Run a plain recurrent network over a sequence, in one or more layers and one or both directions.

    ``h_t = max(0, W_ih x_t + b_ih + W_hh h_{t−1} + b_hh)``.

    Args:
      input: ``x``, of shape (T, B, input_size), (B, T, input_size) with batch_first, or (T, input_size) without a batch.
      hx: h₀, of shape (num_layers · directions, B, H); None for zeros.
      params: for each layer and direction ``W_ih`` (H, input_size), ``W_hh`` (H, H), and with biases ``b_ih`` and ``b_hh``
        (H,), in torch's order.
      has_biases: whether params hold biases.
      num_layers: layers on top of each other.
      dropout: probability of dropping an element of a layer's output but the last one's, in [0, 1].
      train: whether to drop.
      bidirectional: whether to run backwards too; the outputs are concatenated.
      batch_first: whether the batch is the first axis of input and output.
      lengths: the length of each sequence of the batch, integers; default all T. What is behind it does not count, and its output is 0.
      key: a JAX random key; needed in training with dropout and several layers.

    Returns:
      (output, h_n): output has directions · H features for each step, h_n has the shape of hx.

    Raises:
      ShapeError, DtypeError: input, hx and params do not fit.
      ArgumentError: the number of params does not fit.
      KeyRequiredError: dropout in training and no key.

    Source: Elman, 1990; torch.rnn_relu. Half precision is computed in float32.

    Example:
      >>> import jax.numpy as jnp
      >>> weights = [jnp.ones((3, 2)), jnp.ones((3, 3))]
      >>> rnn_relu(jnp.ones((5, 4, 2)), None, weights, False, 1, 0.0, False, False, False)[0].shape
      (5, 4, 3)
    """
    options = _Options(has_biases, num_layers, dropout, train, bidirectional, batch_first)
    return _run_sequence("rnn_relu", input, None if hx is None else (hx,), params, options, lengths, key)
