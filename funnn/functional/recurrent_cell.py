"""Single steps of recurrent networks. (Whole sequences: ``recurrent``.)"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from funnn.errors import ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional.recurrent import scan_layer


def _step(
    name: str,
    input: jax.Array,
    states: tuple[jax.Array, ...] | None,
    w_ih: jax.Array,
    w_hh: jax.Array,
    b_ih: jax.Array | None,
    b_hh: jax.Array | None,
) -> tuple[jax.Array, ...]:
    """The states after one step."""
    kind = name.removeprefix("rnn_").removesuffix("_cell")  # of the kinds that scan_layer knows
    input = check.floating(name, "input", input)
    if input.ndim not in (1, 2):
        raise ShapeValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
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
    _, new = scan_layer(kind, False, x.astype(wide)[None], tuple(state.astype(wide) for state in states), weights, None)
    return tuple((state if batched else state[0]).astype(input.dtype) for state in new)


@public
def lstm_cell(
    input: jax.Array,
    hx: tuple[jax.Array, jax.Array] | None,
    w_ih: jax.Array,
    w_hh: jax.Array,
    b_ih: jax.Array | None = None,
    b_hh: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Run one step of a long short-term memory.

    ``c' = f · c + i · g``, ``h' = o · tanh(c')``, with the gates i, f, g, o.

    Args:
      input: ``x``, of shape (B, input_size) or (input_size,).
      hx: (h, c), each of shape (B, H) or (H,); None for zeros.
      w_ih: of shape (4·H, input_size).
      w_hh: of shape (4·H, H).
      b_ih: of shape (4·H,); default none.
      b_hh: of shape (4·H,); default none.

    Returns:
      (h', c'), of the shapes of hx.

    Raises:
      ShapeError, DtypeError: the arguments do not fit.

    Source: torch.lstm_cell.

    Example:
      >>> import jax.numpy as jnp
      >>> lstm_cell(jnp.ones((4, 2)), (jnp.zeros((4, 3)), jnp.zeros((4, 3))), jnp.ones((4 * 3, 2)), jnp.ones((4 * 3, 3)))[0].shape
      (4, 3)
    """
    hidden, cell = _step("lstm_cell", input, None if hx is None else tuple(hx), w_ih, w_hh, b_ih, b_hh)
    return hidden, cell


@public
def gru_cell(
    input: jax.Array,
    hx: jax.Array | None,
    w_ih: jax.Array,
    w_hh: jax.Array,
    b_ih: jax.Array | None = None,
    b_hh: jax.Array | None = None,
) -> jax.Array:
    """Run one step of a gated recurrent unit.

    ``h' = (1 − z) · n + z · h``, with the gates r, z, n.

    Args:
      input: ``x``, of shape (B, input_size) or (input_size,).
      hx: h, of shape (B, H) or (H,); None for zeros.
      w_ih: of shape (3·H, input_size).
      w_hh: of shape (3·H, H).
      b_ih: of shape (3·H,); default none.
      b_hh: of shape (3·H,); default none.

    Returns:
      h', of the shape of hx.

    Raises:
      ShapeError, DtypeError: the arguments do not fit.

    Source: torch.gru_cell.

    Example:
      >>> import jax.numpy as jnp
      >>> gru_cell(jnp.ones((4, 2)), jnp.zeros((4, 3)), jnp.ones((3 * 3, 2)), jnp.ones((3 * 3, 3))).shape
      (4, 3)
    """
    return _step("gru_cell", input, None if hx is None else (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@public
def rnn_tanh_cell(
    input: jax.Array,
    hx: jax.Array | None,
    w_ih: jax.Array,
    w_hh: jax.Array,
    b_ih: jax.Array | None = None,
    b_hh: jax.Array | None = None,
) -> jax.Array:
    """Run one step of a plain recurrent network.

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``.

    Args:
      input: ``x``, of shape (B, input_size) or (input_size,).
      hx: h, of shape (B, H) or (H,); None for zeros.
      w_ih: of shape (H, input_size).
      w_hh: of shape (H, H).
      b_ih: of shape (H,); default none.
      b_hh: of shape (H,); default none.

    Returns:
      h', of the shape of hx.

    Raises:
      ShapeError, DtypeError: the arguments do not fit.

    Source: torch.rnn_tanh_cell.

    Example:
      >>> import jax.numpy as jnp
      >>> rnn_tanh_cell(jnp.ones((4, 2)), jnp.zeros((4, 3)), jnp.ones((3, 2)), jnp.ones((3, 3))).shape
      (4, 3)
    """
    return _step("rnn_tanh_cell", input, None if hx is None else (hx,), w_ih, w_hh, b_ih, b_hh)[0]


@public
def rnn_relu_cell(
    input: jax.Array,
    hx: jax.Array | None,
    w_ih: jax.Array,
    w_hh: jax.Array,
    b_ih: jax.Array | None = None,
    b_hh: jax.Array | None = None,
) -> jax.Array:
    """Run one step of a plain recurrent network.

    ``h' = max(0, W_ih x + b_ih + W_hh h + b_hh)``.

    Args:
      input: ``x``, of shape (B, input_size) or (input_size,).
      hx: h, of shape (B, H) or (H,); None for zeros.
      w_ih: of shape (H, input_size).
      w_hh: of shape (H, H).
      b_ih: of shape (H,); default none.
      b_hh: of shape (H,); default none.

    Returns:
      h', of the shape of hx.

    Raises:
      ShapeError, DtypeError: the arguments do not fit.

    Source: torch.rnn_relu_cell.

    Example:
      >>> import jax.numpy as jnp
      >>> rnn_relu_cell(jnp.ones((4, 2)), jnp.zeros((4, 3)), jnp.ones((3, 2)), jnp.ones((3, 3))).shape
      (4, 3)
    """
    return _step("rnn_relu_cell", input, None if hx is None else (hx,), w_ih, w_hh, b_ih, b_hh)[0]
