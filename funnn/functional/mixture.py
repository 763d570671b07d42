"""Mixtures of experts: which experts a token goes to, the losses that keep them all busy, and the experts themselves."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from funnn.errors import ArgumentError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional.smooth_activation import silu


@public
def swiglu(gate: jax.Array, up: jax.Array) -> jax.Array:
    """A gated activation: ``silu(gate) · up``, elementwise.

    Args:
      gate: of any shape, floating point.
      up: of gate's shape and dtype.

    Returns:
      An array of that shape and dtype.

    Raises:
      DtypeError: gate is not floating point, or up of another dtype.

    Source: Shazeer, "GLU variants improve transformer" (2020).

    Example:
      >>> import jax.numpy as jnp
      >>> swiglu(jnp.array([0.0, 100.0]), jnp.array([5.0, 2.0])).tolist()
      [0.0, 200.0]
    """
    gate = check.floating("swiglu", "gate", gate)
    return silu(gate) * check.like("swiglu", "up", up, gate)


@public
def top_k_routing(logits: jax.Array, k: int, normalize: bool = True) -> tuple[jax.Array, jax.Array]:
    """The ``k`` experts with the largest probability ``p = softmax(logits)`` for each token, and their weights.

    Args:
      logits: a router's scores, of shape (*, E).
      k: how many experts a token goes to, 1 … E.
      normalize: whether the weights are divided by their sum (Mixtral); otherwise they are the probabilities (Switch). Default True.

    Returns:
      Weights, of shape (*, k) and the logits' dtype, and the experts' numbers, integers (*, k), the likeliest first.

    Raises:
      ArgumentError: k is not in 1 … E.
      DtypeError: logits are not floating point.

    Source: Shazeer et al., "Outrageously large neural networks" (2017); Jiang et al., "Mixtral of experts" (2024). Probabilities are in float32 at
    least.

    Example:
      >>> import jax.numpy as jnp
      >>> weights, experts = top_k_routing(jnp.log(jnp.array([0.2, 0.2, 0.6])), 2)
      >>> (100 * weights).round().tolist(), experts.tolist()
      ([75.0, 25.0], [2, 0])
    """
    logits = check.floating("top_k_routing", "logits", logits)
    if not 1 <= k <= logits.shape[-1]:
        raise ArgumentError(f"top_k_routing: k must be between 1 and the number of experts, {logits.shape[-1]}, but got k={k}")
    weights, experts = jax.lax.top_k(jax.nn.softmax(logits.astype(check.accumulator(logits.dtype)), -1), k)
    weights = weights / weights.sum(-1, keepdims=True) if normalize else weights
    return weights.astype(logits.dtype), experts


@public
def load_balancing_loss(logits: jax.Array, experts: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """What is least where all experts get the same share of the tokens: ``E Σ_e f_e P_e``.

    ``f_e`` is the mean over the tokens of how often expert e was chosen, which has no derivative, and ``P_e`` the mean of its probability
    softmax(logits). Equal shares give k, the number of experts a token goes to.

    Args:
      logits: the router's scores, of shape (*, E).
      experts: the experts chosen, integers of shape (*, k).
      mask: (*), False for tokens that do not count; default all do.

    Returns:
      A number, in float32 at least.

    Raises:
      DtypeError: logits are not floating point.

    Source: Fedus et al., "Switch transformers" (2021), equation 4; for k > 1 as in Mixtral's code.

    Example:
      >>> import jax.numpy as jnp
      >>> load_balancing_loss(jnp.zeros((4, 2)), jnp.array([[0], [1], [0], [1]])).item()
      1.0
    """
    logits = check.floating("load_balancing_loss", "logits", logits)
    count = logits.shape[-1]
    wide = check.accumulator(logits.dtype)
    probabilities = jax.nn.softmax(logits.astype(wide), -1)
    chosen = jax.nn.one_hot(experts, count, dtype=wide).sum(-2)
    share, mean = (_mean_of_tokens(x, mask) for x in (chosen, probabilities))
    return count * jnp.sum(share * mean)


@public
def router_z_loss(logits: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """What keeps a router's scores small: the mean over the tokens of ``(log Σ_e exp(logits_e))²``.

    Args:
      logits: the router's scores, of shape (*, E).
      mask: (*), False for tokens that do not count; default all do.

    Returns:
      A number, in float32 at least.

    Raises:
      DtypeError: logits are not floating point.

    Source: Zoph et al., "ST-MoE" (2022), equation 5.

    Example:
      >>> import jax.numpy as jnp
      >>> router_z_loss(jnp.zeros((4, 1))).item()
      0.0
    """
    logits = check.floating("router_z_loss", "logits", logits)
    log_sums = jax.nn.logsumexp(logits.astype(check.accumulator(logits.dtype)), -1)
    return _mean_of_tokens(jnp.square(log_sums)[..., None], mask)[0]


@public
def expert_slots(experts: jax.Array, num_experts: int, capacity: int, mask: jax.Array | None = None) -> jax.Array:
    """A place for each choice of each token among the ``capacity`` places of its expert: 1 there, and 0 elsewhere.

    All first choices come before all second ones, and earlier tokens before later ones; what finds no place is dropped.

    Args:
      experts: the experts chosen, integers of shape (*, L, k); each of the leading axes' sequences has places of its own.
      num_experts: ``E``.
      capacity: ``C``, how many tokens of a sequence an expert takes.
      mask: (*, L), False for tokens that take no place; default all do.

    Returns:
      An array of shape (*, L, k, E, C), float32, of 0 and 1.

    Raises:
      ArgumentError: capacity is not positive.

    Source: Lepikhin et al., "GShard" (2020), algorithm 1.

    Example:
      >>> import jax.numpy as jnp
      >>> slots = expert_slots(jnp.array([[0], [0], [1]]), 2, 1)
      >>> slots.sum((-1, -2, -3)).tolist()
      [1.0, 0.0, 1.0]
    """
    if capacity < 1:
        raise ArgumentError(f"expert_slots: capacity must be at least 1, but got capacity={capacity}")
    wanted = jax.nn.one_hot(experts, num_experts, dtype=jnp.int32)
    if mask is not None:
        wanted = wanted * jnp.asarray(mask, jnp.int32)[..., None, None]
    by_choice = wanted.swapaxes(-2, -3)  # (*, k, L, E)
    queue = by_choice.reshape(*by_choice.shape[:-3], -1, num_experts)
    before = (jnp.cumsum(queue, -2) - queue).reshape(by_choice.shape).swapaxes(-2, -3)
    return wanted[..., None] * jax.nn.one_hot(before, capacity, dtype=jnp.float32)  # one_hot of C and more is 0


@public
def mixture_of_experts(
    input: jax.Array,
    weights: jax.Array,
    experts: jax.Array,
    gate_weight: jax.Array,
    up_weight: jax.Array,
    down_weight: jax.Array,
    capacity: int | None = None,
    mask: jax.Array | None = None,
) -> jax.Array:
    """For each token the sum over its experts of ``weight_e · W_down,e (silu(W_gate,e x) · W_up,e x)``.

    All is dense products, which compile for any routing and can be split over devices along the axis of experts. Without a capacity every expert
    reads every token, and nothing is dropped: E/k times the work of those chosen. With one, each reads ``capacity`` tokens of a sequence.

    Args:
      input: tokens ``x``, of shape (*, L, D).
      weights: of the experts chosen, (*, L, k), as :func:`top_k_routing` gives them.
      experts: their numbers, integers of shape (*, L, k).
      gate_weight: ``W_gate`` of all experts, (E, H, D).
      up_weight: ``W_up``, (E, H, D).
      down_weight: ``W_down``, (E, D, H).
      capacity: see :func:`expert_slots`; None (default) for no bound.
      mask: (*, L), False for tokens that are not read and get zeros; default all are.

    Returns:
      An array of the input's shape and dtype. A choice for which there is no place adds nothing.

    Raises:
      ShapeError: the weights' shapes do not fit.
      ArgumentError: capacity is not positive.
      DtypeError: input is not floating point.

    Source: Lepikhin et al., "GShard" (2020); Jiang et al., "Mixtral of experts" (2024).

    Example:
      >>> import jax.numpy as jnp
      >>> x, one = jnp.ones((2, 3)), jnp.ones((4, 5, 3))
      >>> mixture_of_experts(x, jnp.ones((2, 1)), jnp.array([[0], [3]]), one, one, jnp.ones((4, 3, 5))).shape
      (2, 3)
    """
    input = check.floating("mixture_of_experts", "input", input)
    count, hidden, width = gate_weight.shape
    if input.shape[-1] != width or up_weight.shape != gate_weight.shape or down_weight.shape != (count, width, hidden):
        raise ShapeError(
            f"mixture_of_experts: expected gate and up (E, H, D) and down (E, D, H) for an input (*, L, D), but got {[*gate_weight.shape]}, "
            f"{[*up_weight.shape]} and {[*down_weight.shape]} for {[*input.shape]}"
        )
    if mask is not None:
        weights = jnp.where(jnp.asarray(mask)[..., None], weights, 0)
    if capacity is None:
        shares = jnp.einsum("...lk,...lke->...le", weights, jax.nn.one_hot(experts, count, dtype=weights.dtype))
        inner = swiglu(jnp.einsum("...ld,ehd->...leh", input, gate_weight), jnp.einsum("...ld,ehd->...leh", input, up_weight))
        return jnp.einsum("...leh,edh->...ld", inner * shares[..., None], down_weight)
    slots = expert_slots(experts, count, capacity, mask).astype(input.dtype)
    sent = jnp.einsum("...lkec,...ld->...ecd", slots, input)
    inner = swiglu(jnp.einsum("...ecd,ehd->...ech", sent, gate_weight), jnp.einsum("...ecd,ehd->...ech", sent, up_weight))
    answers = jnp.einsum("...ech,edh->...ecd", inner, down_weight)
    return jnp.einsum("...lkec,...lk,...ecd->...ld", slots, weights, answers)


def _mean_of_tokens(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """The mean over all axes but the last."""
    tokens = x.reshape(-1, x.shape[-1])
    if mask is None:
        return tokens.mean(0)
    counted = jnp.asarray(mask).reshape(-1, 1).astype(x.dtype)
    return (tokens * counted).sum(0) / jnp.maximum(counted.sum(), 1)
