"""Scaled dot-product attention, and attention with several heads and its projections."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from funnn.errors import ArgumentError, AssertedError, DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional import _cudnn as cudnn
from funnn.functional import _random
from funnn.functional._attention_block import Band
from funnn.functional._attention_kernel import attend
from funnn.functional._dispatch import composed, public
from funnn.functional._warn import warn
from funnn.functional.dropout import apply_mask, dropout
from funnn.functional.linear import linear
from funnn.functional.padding import pad
from funnn.functional.softmax import softmax

NAME = "scaled_dot_product_attention"


@public(only_here=("window",))
def scaled_dot_product_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    attn_mask: jax.Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    window: int | None = None,
    dropout_key: jax.Array | None = None,
) -> jax.Array:
    """For each query the mean of the values, weighted by how well their keys match it: ``softmax(scale · q kᵀ + mask) v``.

    Args:
      query: ``q``, of shape (*, H_q, L, E).
      key: ``k``, of shape (*, H, S, E).
      value: ``v``, of shape (*, H, S, E_v). The axes before the last two of all three broadcast.
      attn_mask: broadcastable to (*, H_q, L, S); boolean, True where a query may attend, or a number that is added to the score. Default none.
      dropout_p: probability of dropping a weight, in [0, 1]; always applied, so give 0 in evaluation. Default 0.
      is_causal: whether query i attends to keys 0 … i only; not together with attn_mask. Default False.
      scale: of the scores; default 1/√E.
      enable_gqa: whether H may be a divisor of H_q: each key and value then serves H_q/H neighbouring queries' heads. Default False.
      window: how many keys a query sees by their places: query i those j with i − j < window if is_causal, else those with |i − j| < window; together with
        an attn_mask or without. Default None, all.
      dropout_key: a JAX random key; needed if dropout_p > 0. (``key`` are the keys that queries are compared with.)

    Returns:
      An array of shape (*, H_q, L, E_v) and the query's dtype. A query that may attend to nothing gets zeros, as in torch.

    Raises:
      KeyRequiredError: dropout_p > 0 and no dropout_key.
      ShapeError: an array has fewer than two axes, or the shapes do not fit.
      DtypeError: the dtypes differ, or are not floating point.
      ArgumentError: dropout_p is outside [0, 1], both attn_mask and is_causal are given, or window is not positive.

    Source: Vaswani et al., "Attention is all you need" (2017); torch.nn.functional.scaled_dot_product_attention, which has no window; Beltagy et al.,
    "Longformer" (2020) for that. Half precision is computed in float32 and rounded once. Of long sequences no scores of all queries and keys are kept,
    in value and derivatives, and within a window the time grows with L · window; a mask and the factors of dropout have the scores' size themselves.

    Example:
      >>> import jax.numpy as jnp
      >>> q, k, v = jnp.zeros((1, 2)), jnp.ones((2, 2)), jnp.array([[1.0], [3.0]])
      >>> scaled_dot_product_attention(q, k, v).tolist()
      [[2.0]]
    """
    query, key, value = _operands(query, key, value)
    grouped = enable_gqa and any([_fewer_heads(name, x, query) for name, x in (("key", key), ("value", value))])
    shape = _scores_shape(query, key, value, grouped)
    bias, mask = _mask_parts(attn_mask, query, shape)
    if is_causal and attn_mask is not None:
        raise ArgumentError(
            f"{NAME}: Explicit attn_mask should not be set when is_causal=True; put the causal part into the mask, or leave it out."
        )
    if not 0 <= dropout_p <= 1:
        raise ArgumentError(f"{NAME}: dropout probability has to be between 0 and 1, but got {dropout_p}")
    if window is not None and window < 1:
        raise ArgumentError(f"{NAME}: window must be at least 1 (a token sees itself), but got window={window}")

    scale = (1 / math.sqrt(query.shape[-1]) if query.shape[-1] else 1.0) if scale is None else scale
    drop = _drop_factors(shape, check.accumulator(query.dtype), dropout_p, dropout_key)
    band = Band(0 if is_causal else None if window is None else 1 - window, None if window is None else window - 1)
    if grouped and key.shape[-3] != value.shape[-3]:
        key, value = (jnp.repeat(x, shape[-3] // x.shape[-3], axis=-3) for x in (key, value))
    heads = -3 if grouped else -2
    q, k, v = (jnp.broadcast_to(x, (*shape[:heads], *x.shape[heads:])) for x in (query, key, value))
    if attn_mask is None and not dropout_p and window is None and isinstance(scale, float) and cudnn.attention_fits(q, k, v, is_causal):
        return cudnn.differentiable(cudnn.attention, _attend, (("band", band), ("scale", scale)), q, k, v)[0]
    return _attend(q, k, v, band, scale, bias, mask, drop)[0]


def _attend(
    q: jax.Array,
    k: jax.Array,
    v: jax.Array,
    band: Band,
    scale: Any,
    bias: jax.Array | None = None,
    mask: jax.Array | None = None,
    drop: Any = None,
) -> tuple[jax.Array]:
    wide, shape = check.accumulator(q.dtype), (*q.shape[:-1], v.shape[-1])
    dtype, (q, k, v) = q.dtype, (x.astype(wide) for x in (q, k, v))
    if q.shape[:-2] != k.shape[:-2]:
        heads = k.shape[-3]
        q, (bias, mask, drop) = _by_group(q, heads), (x if x is None else _by_group(x, heads) for x in (bias, mask, drop))
    # The scale goes to the queries, for they are fewer than the scores.
    return (attend(q * jnp.asarray(scale, wide), k, v, bias, mask, drop, band).astype(dtype).reshape(shape),)


def _operands(query: jax.Array, key: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    query, key, value = (check.floating(NAME, name, x) for name, x in (("query", query), ("key", key), ("value", value)))
    if not query.dtype == key.dtype == value.dtype:
        raise DtypeError(
            "Expected query, key, and value to have the same dtype, but got "
            f"query.dtype: {query.dtype} key.dtype: {key.dtype} and value.dtype: {value.dtype} instead. Convert them with astype."
        )
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ShapeError(
            "Expected query, key, and value to all be at least 2 dimensional, but got "
            f"query.dim: {query.ndim} key.dim: {key.ndim} and value.dim: {value.ndim} instead. Their last axes are (length, features)."
        )
    return query, key, value


def _fewer_heads(name: str, x: jax.Array, query: jax.Array) -> bool:
    """Whether the queries have several heads for each of keys or values."""
    if min(x.ndim, query.ndim) < 3:
        raise IndexError(
            f"{NAME}: Dimension out of range: enable_gqa=True needs an axis of heads, but got query of rank {query.ndim} and {name} of rank {x.ndim}"
        )
    heads, own = query.shape[-3], x.shape[-3]
    if own == 0 or heads % own:
        raise ShapeError(
            f"{NAME}: Number of heads in key and value must divide the number of heads in query, but got {own} in {name} and {heads} in query"
        )
    return bool(own != heads)


def _by_group(x: jax.Array, heads: int) -> jax.Array:
    """(*, H_q, L, n) to (*, H, H_q / H, L, n), or with ones in the places of both where x has one head; what has no axis of heads stays."""
    if x.ndim < 3:
        return x
    own = heads if x.shape[-3] != 1 else 1
    return x.reshape(*x.shape[:-3], own, x.shape[-3] // own, *x.shape[-2:])


def _scores_shape(query: jax.Array, key: jax.Array, value: jax.Array, grouped: bool) -> tuple[int, ...]:
    """(*, L, S)."""
    if query.shape[-1] != key.shape[-1]:
        raise ShapeError(
            f"{NAME}: query and key must have the same number of features, but got shapes {check.shape(query)} and {check.shape(key)}"
        )
    if key.shape[-2] != value.shape[-2]:
        raise ShapeError(f"{NAME}: key and value must have the same length, but got shapes {check.shape(key)} and {check.shape(value)}")
    heads = query.shape[-3:-2] if grouped else ()
    try:
        batch = jnp.broadcast_shapes(*(x.shape[: -3 if grouped else -2] for x in (query, key, value)))
    except ValueError as error:
        shapes = ", ".join(str(check.shape(x)) for x in (query, key, value))
        raise ShapeError(f"{NAME}: the batch axes of query, key and value must match or be 1, but got shapes {shapes}") from error
    return (*batch, *heads, query.shape[-2], key.shape[-2])


def _mask_parts(mask: jax.Array | None, query: jax.Array, shape: tuple[int, ...]) -> tuple[jax.Array | None, jax.Array | None]:
    """attn_mask as a number to add and as a boolean; one of them or both are None."""
    if mask is None:
        return None, None
    mask = check.array("attn_mask", mask)
    if mask.dtype not in (jnp.bool_, jnp.float32, query.dtype):
        raise DtypeError(
            "Expected attn_mask dtype to be bool or float or to match query dtype, but got "
            f"attn_mask.dtype: {mask.dtype} and  query.dtype: {query.dtype} instead."
        )
    if mask.ndim > len(shape) or any(m not in (1, n) for m, n in zip(mask.shape[::-1], shape[::-1], strict=False)):
        raise ShapeError(
            f"{NAME}: The expanded size of attn_mask must match the scores' shape {[*shape]} (queries by keys), but got {check.shape(mask)}"
        )
    return (None, mask) if mask.dtype == jnp.bool_ else (mask.astype(check.accumulator(query.dtype)), None)


def _drop_factors(shape: tuple[int, ...], dtype: jnp.dtype, p: float, key: jax.Array | None) -> jax.Array | None:
    """What dropout multiplies the weights by: 0 or 1 / (1 − p); None if by nothing."""
    if p == 0:
        return None
    if p == 1:
        return jnp.zeros(shape, dtype)
    source = _random.required(NAME, key, f"dropout_p={p}")
    return apply_mask(jnp.ones(shape, dtype), source.bernoulli(shape, dtype, 1.0 - p), p)


@composed
def multi_head_attention_forward(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: jax.Array | None,
    in_proj_bias: jax.Array | None,
    bias_k: jax.Array | None,
    bias_v: jax.Array | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: jax.Array,
    out_proj_bias: jax.Array | None,
    training: bool = True,
    key_padding_mask: jax.Array | None = None,
    need_weights: bool = True,
    attn_mask: jax.Array | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: jax.Array | None = None,
    k_proj_weight: jax.Array | None = None,
    v_proj_weight: jax.Array | None = None,
    static_k: jax.Array | None = None,
    static_v: jax.Array | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    *,
    dropout_key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array | None]:
    """Attention in ``h`` subspaces at once: ``concat(head_1 … head_h) W_O + b_O`` with ``head_i = attention(q W_Qi, k W_Ki, v W_Vi)``.

    L and S are the numbers of queries and keys, N the batch size, E = embed_dim_to_check; D = E/h features belong to each head. Without the
    axis N in the inputs, the results have none.

    Args:
      query: of shape (L, N, E) or (L, E).
      key: of shape (S, N, E_k) or (S, E_k); E_k = E unless use_separate_proj_weight.
      value: of shape (S, N, E_v) or (S, E_v); E_v = E unless use_separate_proj_weight.
      embed_dim_to_check: E.
      num_heads: h, a divisor of E.
      in_proj_weight: (3E, E): W_Q, W_K and W_V, one below the other; None with use_separate_proj_weight.
      in_proj_bias: (3E,), their biases; or None.
      bias_k: (1, 1, E), one more key for every query, after the projection; or None.
      bias_v: (1, 1, E), its value; or None.
      add_zero_attn: whether to add one more key and value of zeros.
      dropout_p: probability of dropping an attention weight, in training.
      out_proj_weight: W_O, (E, E).
      out_proj_bias: b_O, (E,); or None.
      training: whether dropout is on; default True.
      key_padding_mask: (N, S) or (S,); True (or −∞, for a float mask is added to the scores) for keys to leave out. Default none.
      need_weights: whether to return the weights too; default True.
      attn_mask: (L, S) or (N·h, L, S); True for pairs to leave out, or numbers to add to the scores. Default none.
      use_separate_proj_weight: whether W_Q, W_K and W_V come in the next three arguments; default False.
      q_proj_weight: W_Q, (E, E).
      k_proj_weight: W_K, (E, E_k).
      v_proj_weight: W_V, (E, E_v).
      static_k: (N·h, S, D), to take in place of the projected keys. Default none.
      static_v: (N·h, S, D), to take in place of the projected values. Default none.
      average_attn_weights: whether the weights are averaged over the heads; default True.
      is_causal: a promise that attn_mask is the causal mask, which then need not be read; default False.
      dropout_key: a JAX random key; needed in training if dropout_p > 0.

    Returns:
      The output of query's shape, and the weights after dropout: (N, L, S) if averaged, else (N, h, L, S), without N for unbatched inputs; None
      unless need_weights. A query that may attend to nothing gives NaN with need_weights and out_proj_bias without, as in torch.

    Raises:
      AssertedError: shapes do not fit (torch checks most by assertions).
      ShapeError: attn_mask has another shape.
      ArgumentError: is_causal without attn_mask.
      KeyRequiredError: dropout without a dropout_key.

    Source: Vaswani et al., "Attention is all you need" (2017); torch.nn.functional.multi_head_attention_forward.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.ones((5, 2, 4))
      >>> y, weights = multi_head_attention_forward(
      ...     x, x, x, 4, 2, jnp.ones((12, 4)), None, None, None, False, 0.0, jnp.ones((4, 4)), None
      ... )
      >>> y.shape, weights.shape
      ((5, 2, 4), (2, 5, 5))
    """
    one_input, batched = query is key and key is value, _is_batched(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = query[:, None], key[:, None], value[:, None]
        key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
    length, batch, width = query.shape
    _check_sizes(query, key, value, embed_dim_to_check, num_heads, use_separate_proj_weight)
    if is_causal and attn_mask is None:
        raise ArgumentError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    trust_hint = is_causal and key_padding_mask is None and not need_weights

    if use_separate_proj_weight:
        q, k, v = _project_each(query, key, value, (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias)
    else:
        q, k, v = _project_packed(query, key, value, in_proj_weight, in_proj_bias, one_input)
    k, v = _with_learned_key(k, v, bias_k, bias_v, static_k, static_v)
    q, k, v = (_by_head(x, num_heads) for x in (q, k, v))
    k, v = (_static(name, x, static, num_heads, batch) for name, x, static in (("static_k", k, static_k), ("static_v", v, static_v)))
    if add_zero_attn:
        k, v = pad(k, (0, 0, 0, 1)), pad(v, (0, 0, 0, 1))
    bias = None
    if key_padding_mask is not None or (attn_mask is not None and not trust_hint):
        added = add_zero_attn + (bias_k is not None)
        bias = _attention_bias(query, key, k, None if trust_hint else attn_mask, key_padding_mask, num_heads, added)

    p = dropout_p if training else 0.0
    if need_weights:
        heads, weights = _attend_with_weights(q, k, v, bias, p, dropout_key)
        weights = weights.mean(1) if average_attn_weights else weights.reshape(weights.shape)
    else:
        heads, weights = scaled_dot_product_attention(q, k, v, bias, p, trust_hint, dropout_key=dropout_key), None
    heads = heads.swapaxes(1, 2).swapaxes(0, 1).reshape(length * batch, width)
    output = linear(heads, out_proj_weight, out_proj_bias).reshape(length, batch, -1)
    if batched:
        return output, weights
    return output.squeeze(1), None if weights is None else weights.squeeze(0)


def _project_each(
    query: jax.Array, key: jax.Array, value: jax.Array, weights: tuple[Any, ...], bias: jax.Array | None
) -> tuple[jax.Array, ...]:
    """Queries, keys and values, each with a weight of its own."""
    for name, letter, x, weight in zip(("query", "key", "value"), "qkv", (query, key, value), weights, strict=True):
        if weight is None:
            raise AssertedError(f"use_separate_proj_weight is True but {letter}_proj_weight is None")
        expected = (query.shape[-1], x.shape[-1])
        if tuple(weight.shape) != expected:
            raise AssertedError(f"expecting {name} weights shape of {expected}, but got {tuple(weight.shape)}")
    return tuple(linear(x, w, b) for x, w, b in zip((query, key, value), weights, _thirds(bias, query.shape[-1]), strict=True))


def _project_packed(
    query: jax.Array, key: jax.Array, value: jax.Array, weight: jax.Array | None, bias: jax.Array | None, one_input: bool
) -> tuple[jax.Array, ...]:
    """Queries, keys and values by one weight, (3E, E); of ``one_input`` in one product."""
    if weight is None:
        raise AssertedError("use_separate_proj_weight is False but in_proj_weight is None: give in_proj_weight of shape (3E, E)")
    width = query.shape[-1]
    if one_input:
        return _thirds(linear(query, weight, bias), width, last=True)
    return tuple(linear(x, w, b) for x, w, b in zip((query, key, value), _thirds(weight, width), _thirds(bias, width), strict=True))


def _with_learned_key(
    k: jax.Array, v: jax.Array, bias_k: Any, bias_v: Any, static_k: jax.Array | None, static_v: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Keys and values with ``bias_k`` and ``bias_v`` behind them, where there are such."""
    if (bias_k is None) != (bias_v is None):
        raise AssertedError(
            "bias_k and bias_v belong together: "
            + ("bias_k is set but bias_v is None" if bias_v is None else "bias_v is set but bias_k is None")
        )
    if bias_k is None:
        return k, v
    for name, static in (("key", static_k), ("value", static_v)):
        if static is not None:
            raise AssertedError(f"bias cannot be added to static {name}. Leave bias_k and bias_v out.")
    return _followed_by(k, bias_k), _followed_by(v, bias_v)


def _attend_with_weights(
    q: jax.Array, k: jax.Array, v: jax.Array, bias: jax.Array | None, p: float, dropout_key: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Attention step by step, which gives the weights (after dropout with probability ``p``) too."""
    scores = (q * math.sqrt(1 / q.shape[-1])) @ k.swapaxes(-2, -1)
    weights = softmax(scores if bias is None else scores + bias, -1)
    weights = dropout(weights, p, key=dropout_key) if p else weights
    return weights @ v, weights


def _is_batched(
    query: jax.Array, key: jax.Array, value: jax.Array, key_padding_mask: jax.Array | None, attn_mask: jax.Array | None, num_heads: int
) -> bool:
    if query.ndim not in (2, 3):
        raise AssertedError(f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor")
    rank = query.ndim
    kind = "batched (3-D)" if rank == 3 else "unbatched (2-D)"
    if key.ndim != rank or value.ndim != rank:
        raise AssertedError(
            f"For {kind} `query`, expected `key` and `value` to be {rank}-D but found {key.ndim}-D and {value.ndim}-D tensors respectively"
        )
    if key_padding_mask is not None and key_padding_mask.ndim != rank - 1:
        raise AssertedError(
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {rank - 1}-D but found {key_padding_mask.ndim}-D tensor instead"
        )
    if attn_mask is not None and attn_mask.ndim not in (2, 3):
        raise AssertedError(
            f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.ndim}-D tensor instead"
        )
    if attn_mask is not None and rank == 2 and attn_mask.ndim == 3:
        expected = (num_heads, query.shape[0], key.shape[0])
        if tuple(attn_mask.shape) != expected:
            raise AssertedError(f"Expected `attn_mask` shape to be {expected} but got {tuple(attn_mask.shape)}")
    return rank == 3


def _check_sizes(query: jax.Array, key: jax.Array, value: jax.Array, width: int, num_heads: int, separate: bool) -> None:
    if query.shape[2] != width:
        raise AssertedError(f"was expecting embedding dimension of {width}, but got {query.shape[2]}: query has shape {check.shape(query)}")
    if width % num_heads:
        raise AssertedError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    if separate and key.shape[:2] != value.shape[:2]:
        raise AssertedError(f"key's sequence and batch dims {tuple(key.shape[:2])} do not match value's {tuple(value.shape[:2])}")
    if not separate and key.shape != value.shape:
        raise AssertedError(f"key shape {tuple(key.shape)} does not match value shape {tuple(value.shape)}")
    if key.shape[1] != query.shape[1]:
        raise ShapeError(f"query and key must have the same batch size, but got shapes {check.shape(query)} and {check.shape(key)}")


def _thirds(x: Any, width: int, last: bool = False) -> tuple[Any, ...]:
    """The parts of queries, keys and values of what is packed along the first or the last axis."""
    places = [slice(i * width, (i + 1) * width) for i in range(3)]
    return (None,) * 3 if x is None else tuple([x[..., place] if last else x[place] for place in places])


def _followed_by(x: jax.Array, row: jax.Array) -> jax.Array:
    """``row``, of E elements, after every sequence of x, of shape (S, N, E)."""
    return pad(x, (0, 0, 0, 0, 0, 1)) + pad(row.reshape(1, 1, -1), (0, 0, 0, 0, x.shape[0], 0))


def _by_head(x: jax.Array, heads: int) -> jax.Array:
    """(S, N, h · D) -> (N, h, S, D)."""
    return x.reshape(x.shape[0], x.shape[1], heads, -1).swapaxes(0, 1).swapaxes(1, 2)


def _static(name: str, x: jax.Array, static: jax.Array | None, heads: int, batch: int) -> jax.Array:
    if static is None:
        return x
    if static.shape[0] != batch * heads:
        raise AssertedError(f"expecting {name}.size(0) of {batch * heads}, but got {static.shape[0]}")
    if static.shape[2] != x.shape[-1]:
        raise AssertedError(f"expecting {name}.size(2) of {x.shape[-1]}, but got {static.shape[2]}")
    return static.reshape(batch, heads, static.shape[1], static.shape[2])


@public
def _attention_bias(
    query: jax.Array,
    key: jax.Array,
    keys: jax.Array,
    attn_mask: jax.Array | None,
    key_padding_mask: jax.Array | None,
    heads: int,
    added: int,
) -> jax.Array | None:
    """Both masks as one number to add to the scores, broadcastable to (N, h, L, S + added); the added keys are never masked."""
    length, batch, source = query.shape[0], query.shape[1], key.shape[0]
    if attn_mask is not None and key_padding_mask is not None and attn_mask.dtype != key_padding_mask.dtype:
        warn("Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for both instead.")
    total = None
    if attn_mask is not None:
        expected = (length, source) if attn_mask.ndim == 2 else (batch * heads, length, source)
        if attn_mask.shape != expected:
            raise ShapeError(f"The shape of the {attn_mask.ndim}D attn_mask is {attn_mask.shape}, but should be {expected}.")
        total = jnp.pad(_additive("attn_mask", attn_mask, query), [(0, 0)] * (attn_mask.ndim - 1) + [(0, added)])
        total = total.reshape(-1, 1 if attn_mask.ndim == 2 else heads, length, source + added)
    if key_padding_mask is not None:
        padding = jnp.pad(_additive("key_padding_mask", key_padding_mask, query), [(0, 0), (0, added)])
        for axis, size in enumerate((batch, keys.shape[-2])):
            if padding.shape[axis] != size:
                raise AssertedError(f"Expected key_padded_mask.shape[{axis}] to be {size}, but got {padding.shape[axis]}")
        total = padding[:, None, None] if total is None else total + padding[:, None, None]
    return total


def _additive(name: str, mask: jax.Array, query: jax.Array) -> jax.Array:
    """A mask as a number to add to the scores: −∞ where a boolean one is True."""
    if mask.dtype == jnp.bool_:
        return jnp.where(mask, -jnp.inf, jnp.zeros((), query.dtype))
    if not jnp.issubdtype(mask.dtype, jnp.floating):
        raise AssertedError(f"only bool and floating types of {name} are supported, but got {mask.dtype}; use {name}.astype(bool)")
    return check.like("multi_head_attention_forward", name, mask, query, mixed=True).astype(query.dtype)
