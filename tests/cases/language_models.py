"""Rows of the table: functions of language models, which torch does not have. Their layers are tested in tests/layers/test_language_layers.py."""

import jax
import jax.numpy as jnp

import funnn.functional as F

EXPERTS = jnp.array([[0, 2], [2, 1], [0, 1]])


def _cache(x):
    return F.init_kv_cache(2, 1, 4, 2, x.dtype)


FUNCTIONS = {
    "rotary_embedding": ([(2, 3, 5)], lambda x: F.rotary_embedding(x, jnp.arange(3), F.rotary_frequencies(4), interleaved=True)),
    "swiglu": ([(2, 3), (2, 3)], F.swiglu),
    "top_k_routing": ([(3, 4)], lambda x: F.top_k_routing(x, 2)[0]),
    "load_balancing_loss": ([(3, 4)], lambda x: F.load_balancing_loss(x, EXPERTS).astype(x.dtype)),
    "router_z_loss": ([(3, 4)], lambda x: F.router_z_loss(x, jnp.array([True, True, False])).astype(x.dtype)),
    "mixture_of_experts": (
        [(3, 2), (3, 2), (3, 4, 2), (3, 4, 2), (3, 2, 4)],
        lambda x, w, gate, up, down: F.mixture_of_experts(x, w, EXPERTS, gate, up, down, capacity=1),
    ),
    "top_k_filter": ([(2, 5)], lambda x: jax.nn.softmax(F.top_k_filter(x, 3))),
    "top_p_filter": ([(2, 5)], lambda x: jax.nn.softmax(F.top_p_filter(x, 0.7))),
    "min_p_filter": ([(2, 5)], lambda x: jax.nn.softmax(F.min_p_filter(x, 0.3))),
    "update_kv_cache": ([(2, 1, 3, 2)], lambda x: F.update_kv_cache(_cache(x), x, 2 * x, jnp.arange(3)).value),
    "reorder_kv_cache": (
        [(2, 1, 4, 2)],
        lambda x: F.reorder_kv_cache((_cache(x)._replace(key=x),), jnp.array([1, 1]))[0].key,
    ),
}
CONSTANT = {
    "alibi_bias", "alibi_slopes", "attention_mask", "expert_slots", "init_kv_cache", "rotary_frequencies", "sample_tokens", "segment_positions",
}  # fmt: skip
