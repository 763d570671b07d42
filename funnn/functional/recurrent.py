"""Recurrent networks: whole sequences over layers and directions, and single cells."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ArgumentError, DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional import _cudnn as cudnn
from funnn.functional import _random
from funnn.functional import _recurrent_kernel as kernel
from funnn.functional._dispatch import public
from funnn.functional.dropout import apply_mask, check_probability

_GATES = {"lstm": 4, "gru": 3, "tanh": 1, "relu": 1}


def _product(x: jax.Array, weight: jax.Array) -> jax.Array:
    """``x W'`` over the last axis."""
    return lax.dot_general(x, weight, (((x.ndim - 1,), (1,)), ((), ())))


def _scan(kind: str, reverse: bool, x: jax.Array, state: tuple, weights: Sequence[jax.Array], mask: jax.Array | None):
    """One layer in one direction: h of every step, and the final state; ``weights`` are (w_ih, w_hh[, b_ih, b_hh][, w_hr])."""
    w_ih, w_hh, *rest = weights
    projection = rest.pop() if len(rest) % 2 else None
    gates = _product(x, w_ih)
    inner = None
    if rest:
        b_ih, b_hh = rest
        if kind == "gru":  # b_hn stands inside the product with the reset gate
            outer = 2 * b_hh.shape[0] // 3
            inner, b_hh = b_hh[outer:], b_hh.at[outer:].set(0)
        gates = gates + (b_ih + b_hh)
    if kind == "lstm":
        h, c, states = kernel.lstm(gates, *state, w_hh, projection, mask, reverse)
        return states, (h, c)
    h, states = kernel.simple(gates, *state, w_hh, inner, mask, kind, reverse)
    return states, (h,)


def _check_weights(name: str, gates: int, input: jax.Array, params: Sequence, biases: bool, layers: int, directions: int) -> int:
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


def _states(name: str, hx: tuple | None, input: jax.Array, sizes: tuple[int, ...], count: int) -> tuple:
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


def _run(
    name: str,
    kind: str,
    input: jax.Array,
    hx: tuple | None,
    params: Sequence[jax.Array],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    lengths: jax.Array | None,
    key: jax.Array | None,
) -> tuple:
    """(output, *final states)."""
    input = check.floating(name, "input", input)
    check_probability(dropout)
    if input.ndim not in (2, 3):
        raise ShapeError(f"{name}: Expected input to be 2D or 3D, got {input.ndim}D instead")
    if not isinstance(hx, (tuple, list, type(None))):
        raise ArgumentError(f"{name}: hx must be a tuple of the states (h_0, c_0), but got a single value")
    batched = input.ndim == 3
    if not batched:
        input = input[:, None]
        if lengths is not None:
            raise ArgumentError(f"{name}: lengths need a batched input, (T, B, input_size), but got an unbatched one")
        for state in hx or ():
            if state.ndim != 2:
                raise ShapeError(f"For unbatched 2-D input, hx should also be 2-D but got {state.ndim}-D tensor")
        hx = None if hx is None else tuple(state[:, None] for state in hx)
    else:
        for state in hx or ():
            if state.ndim != 3:
                raise ShapeError(f"For batched 3-D input, hx should also be 3-D but got {state.ndim}-D tensor")
        input = jnp.swapaxes(input, 0, 1) if batch_first else input
    directions = 2 if bidirectional else 1
    per = _check_weights(name, _GATES[kind], input, params, has_biases, num_layers, directions)
    hidden = params[0].shape[0] // _GATES[kind]
    sizes = (params[1].shape[1], hidden) if kind == "lstm" else (hidden,)
    states = _states(name, hx, input, sizes, num_layers * directions)
    mask = None
    if lengths is not None:
        lengths = check.array("lengths", lengths)
        if lengths.shape != (input.shape[1],) or not jnp.issubdtype(lengths.dtype, jnp.integer):
            raise ShapeError(
                f"{name}: lengths must hold {input.shape[1]} integers, but got {lengths.dtype} of shape {check.shape(lengths)}"
            )
        mask = (jnp.arange(input.shape[0])[:, None] < lengths)[..., None]
    dropped = train and dropout and num_layers > 1
    drop = None
    if dropped:
        source = _random.required(name, key, f"train=True and dropout={dropout}")

        def drop(x):
            mask = source.bernoulli(x.shape, input.dtype, 1.0 - dropout)
            return x * 0 if dropout == 1 else apply_mask(x, mask.astype(x.dtype), dropout)

    if kind == "lstm" and not dropped and lengths is None and sizes[0] == hidden and cudnn.lstm_fits(input):
        settings = (("layers", num_layers), ("bidirectional", bidirectional))
        x, *last = cudnn.differentiable(cudnn.lstm, _lstm, settings, input, *states, cudnn.lstm_weights(params, has_biases))
    else:
        x, *last = _layers(kind, input, states, params, per, directions, mask, drop)
    if not batched:
        return x[:, 0], *(state[:, 0] for state in last)
    return (jnp.swapaxes(x, 0, 1) if batch_first else x), *last


def _layers(kind: str, input: jax.Array, states: tuple, params: Sequence, per: int, directions: int, mask=None, drop=None) -> tuple:
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
            y, final = _scan(kind, direction == 1, x, tuple(s[number].astype(wide) for s in states), weights, mask)
            outputs.append(y if mask is None else jnp.where(mask, y, jnp.zeros((), y.dtype)))
            finals.append(final)
        x = outputs[0] if directions == 1 else jnp.concatenate(outputs, -1)
        if drop is not None and layer < layers - 1:
            x = drop(x)
    return x.astype(dtype), *(jnp.stack(parts).astype(dtype) for parts in zip(*finals, strict=True))


def _lstm(x: jax.Array, h0: jax.Array, c0: jax.Array, weights: jax.Array, *, layers: int, bidirectional: bool) -> tuple:
    """An LSTM whose weights are one vector, as cuDNN has it."""
    directions = 2 if bidirectional else 1
    return _layers("lstm", x, (h0, c0), cudnn.lstm_params(weights, x.shape[-1], h0.shape[-1], layers, directions), 4, directions)


_DOC = """Run {what} over a sequence, in one or more layers and one or both directions.

    {formula}

    Args:
      input: ``x``, of shape (T, B, input_size), (B, T, input_size) with batch_first, or (T, input_size) without a batch.
      hx: {hx}; None for zeros.
      params: for each layer and direction ``W_ih`` ({gates}·H, input_size), ``W_hh`` ({gates}·H, {out}), and with biases ``b_ih`` and ``b_hh``
        ({gates}·H,){more}, in torch's order{order}.
      has_biases: whether params hold biases.
      num_layers: layers on top of each other.
      dropout: probability of dropping an element of a layer's output but the last one's, in [0, 1].
      train: whether to drop.
      bidirectional: whether to run backwards too; the outputs are concatenated.
      batch_first: whether the batch is the first axis of input and output.
      lengths: the length of each sequence of the batch, integers; default all T. What is behind it does not count, and its output is 0.
      key: a JAX random key; needed in training with dropout and several layers.

    Returns:
      {returns}

    Raises:
      ShapeError, DtypeError: input, hx and params do not fit.
      ArgumentError: the number of params does not fit.
      KeyRequiredError: dropout in training and no key.

    Source: {source}; torch.{name}. Half precision is computed in float32.

    Example:
      >>> import jax.numpy as jnp
      >>> weights = [jnp.ones(({gates} * 3, 2)), jnp.ones(({gates} * 3, 3))]
      >>> {name}(jnp.ones((5, 4, 2)), None, weights, False, 1, 0.0, False, False, False)[0].shape
      (5, 4, 3)
    """


def _row(name: str, kind: str, what: str, formula: str, source: str):
    if kind == "lstm":

        def run(
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
            return _run(name, kind, input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, lengths, key)
    else:

        def run(
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
            state = None if hx is None else (hx,)
            return _run(name, kind, input, state, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, lengths, key)

    run.__name__ = run.__qualname__ = name
    state = "(num_layers · directions, B, {})"
    lstm = kind == "lstm"
    run.__doc__ = _DOC.format(
        name=name,
        what=what,
        formula=formula,
        source=source,
        gates=_GATES[kind],
        hx=f"(h₀, c₀), of shapes {state.format('P')} and {state.format('H')}" if lstm else f"h₀, of shape {state.format('H')}",
        out="P" if lstm else "H",
        more=" and, to project h to P values, ``W_hr`` (P, H)" if lstm else "",
        order={"lstm": "; the gates are i, f, g, o", "gru": "; the gates are r, z, n"}.get(kind, ""),
        returns="(output, h_n, c_n)" if lstm else "(output, h_n)",
    )
    return public(run)


lstm = _row(
    "lstm",
    "lstm",
    "a long short-term memory",
    "``i, f, o = σ(…), g = tanh(…)`` of ``W_ih x_t + b_ih + W_hh h_{t−1} + b_hh``; ``c_t = f · c_{t−1} + i · g``; ``h_t = o · tanh(c_t)``.",
    "Hochreiter and Schmidhuber, 1997",
)
gru = _row(
    "gru",
    "gru",
    "a gated recurrent unit",
    "``r, z = σ(W x_t + b + W' h_{t−1} + b')``; ``n = tanh(W_in x_t + b_in + r · (W_hn h_{t−1} + b_hn))``; ``h_t = (1 − z) · n + z · h_{t−1}``.",
    "Cho et al., 2014",
)
rnn_tanh = _row("rnn_tanh", "tanh", "a plain recurrent network", "``h_t = tanh(W_ih x_t + b_ih + W_hh h_{t−1} + b_hh)``.", "Elman, 1990")
rnn_relu = _row("rnn_relu", "relu", "a plain recurrent network", "``h_t = max(0, W_ih x_t + b_ih + W_hh h_{t−1} + b_hh)``.", "Elman, 1990")


# -- single steps


def _cell(name: str, kind: str, input: jax.Array, states: tuple | None, w_ih, w_hh, b_ih, b_hh) -> tuple:
    input = check.floating(name, "input", input)
    if input.ndim not in (1, 2):
        raise ShapeError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
    for i, state in enumerate(states or ()):
        label = f"hx[{i}]" if kind == "lstm" else "hidden"
        if state.ndim not in (1, 2):
            raise ShapeError(f"{name}: Expected {label} to be 1D or 2D, got {state.ndim}D instead")
    batched = input.ndim == 2
    x = input if batched else input[None]
    if states is None:
        states = (jnp.zeros((x.shape[0], w_hh.shape[1]), input.dtype),) * (2 if kind == "lstm" else 1)
    states = tuple(state if state.ndim == 2 else state[None] for state in states)
    if x.shape[1] != w_ih.shape[1]:
        raise ShapeError(f"input has inconsistent input_size: got {x.shape[1]} expected {w_ih.shape[1]}")
    for i, state in enumerate(states):
        if state.shape[0] != x.shape[0]:
            raise ShapeError(f"Input batch size {x.shape[0]} doesn't match hidden{i} batch size {state.shape[0]}")
        if state.shape[1] != w_hh.shape[1]:
            raise ShapeError(f"hidden{i} has inconsistent hidden_size: got {state.shape[1]}, expected {w_hh.shape[1]}")
    for label, array in (("hx", states[0]), ("w_ih", w_ih), ("w_hh", w_hh), ("b_ih", b_ih), ("b_hh", b_hh)):
        if array is not None:
            check.like(name, label, array, input)
    wide = check.accumulator(input.dtype)
    biases = [jnp.zeros(w_hh.shape[0], wide) if bias is None else bias.astype(wide) for bias in (b_ih, b_hh)]
    weights = (w_ih.astype(wide), w_hh.astype(wide), *biases)
    _, new = _scan(kind, False, x.astype(wide)[None], tuple(state.astype(wide) for state in states), weights, None)
    return tuple((state if batched else state[0]).astype(input.dtype) for state in new)


_CELL_DOC = """Run one step of {what}.

    {formula}

    Args:
      input: ``x``, of shape (B, input_size) or (input_size,).
      hx: {hx}.
      w_ih: of shape ({gates}·H, input_size).
      w_hh: of shape ({gates}·H, H).
      b_ih: of shape ({gates}·H,); default none.
      b_hh: of shape ({gates}·H,); default none.

    Returns:
      {returns}

    Raises:
      ShapeError, DtypeError: the arguments do not fit.

    Source: torch.{name}.

    Example:
      >>> import jax.numpy as jnp
      >>> {name}(jnp.ones((4, 2)), {zeros}, jnp.ones(({gates} * 3, 2)), jnp.ones(({gates} * 3, 3))){pick}.shape
      (4, 3)
    """


def _cell_row(name: str, kind: str, what: str, formula: str):
    if kind == "lstm":

        def cell(
            input: jax.Array,
            hx: tuple[jax.Array, jax.Array] | None,
            w_ih: jax.Array,
            w_hh: jax.Array,
            b_ih: jax.Array | None = None,
            b_hh: jax.Array | None = None,
        ) -> tuple[jax.Array, jax.Array]:
            return _cell(name, kind, input, None if hx is None else tuple(hx), w_ih, w_hh, b_ih, b_hh)
    else:

        def cell(
            input: jax.Array,
            hx: jax.Array | None,
            w_ih: jax.Array,
            w_hh: jax.Array,
            b_ih: jax.Array | None = None,
            b_hh: jax.Array | None = None,
        ) -> jax.Array:
            return _cell(name, kind, input, None if hx is None else (hx,), w_ih, w_hh, b_ih, b_hh)[0]

    cell.__name__ = cell.__qualname__ = name
    lstm = kind == "lstm"
    cell.__doc__ = _CELL_DOC.format(
        name=name,
        what=what,
        formula=formula,
        gates=_GATES[kind],
        hx="(h, c), each of shape (B, H) or (H,); None for zeros" if lstm else "h, of shape (B, H) or (H,); None for zeros",
        returns="(h', c'), of the shapes of hx." if lstm else "h', of the shape of hx.",
        zeros="(jnp.zeros((4, 3)), jnp.zeros((4, 3)))" if lstm else "jnp.zeros((4, 3))",
        pick="[0]" if lstm else "",
    )
    return public(cell)


lstm_cell = _cell_row(
    "lstm_cell", "lstm", "a long short-term memory", "``c' = f · c + i · g``, ``h' = o · tanh(c')``, with the gates i, f, g, o."
)
gru_cell = _cell_row("gru_cell", "gru", "a gated recurrent unit", "``h' = (1 − z) · n + z · h``, with the gates r, z, n.")
rnn_tanh_cell = _cell_row("rnn_tanh_cell", "tanh", "a plain recurrent network", "``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``.")
rnn_relu_cell = _cell_row("rnn_relu_cell", "relu", "a plain recurrent network", "``h' = max(0, W_ih x + b_ih + W_hh h + b_hh)``.")
