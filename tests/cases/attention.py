"""Rows of the table: attention."""

import jax.numpy as jnp

import funnn.functional as F
from tests.cases._case import Bool, Given, case

SEQUENCE = (5, 2, 4)
OFF = {"need_weights": Given(False)}

LAYERS = [
    case("MultiheadAttention", 4, 2, inputs=((3, 2, 4), SEQUENCE, SEQUENCE)),
    case("MultiheadAttention", 4, 2, inputs=((3, 4), (5, 4), (5, 4)), named={"average_attn_weights": Given(False)}),
    case("MultiheadAttention", 4, 1, bias=False, batch_first=True, inputs=((3, 5, 4),) * 3, named={**OFF, "attn_mask": Bool((5, 5))}),
    case(
        "MultiheadAttention", 4, 2, add_bias_kv=True, add_zero_attn=True, kdim=3, vdim=6, inputs=((3, 2, 4), (5, 2, 3), (5, 2, 6)),
        named={"key_padding_mask": Bool((2, 5)), "attn_mask": Bool((4, 3, 5)), "average_attn_weights": Given(False)},
    ),
    case("MultiheadAttention", 4, 2, kdim=3, batch_first=True, inputs=((2, 3, 4), (2, 5, 3), (2, 5, 4)), named={"attn_mask": (3, 5)}),
    case("MultiheadAttention", 4, 2, 0.4, inputs=(SEQUENCE,) * 3, named=OFF, stochastic_=True),
    case("MultiheadAttention", 4, 2, 0.4, inputs=(SEQUENCE,) * 3, stochastic_=True),
]  # fmt: skip


def soft_cap(score, b, h, i, j):
    """A score_mod that depends on the score and on the place."""
    return 2 * jnp.tanh(score / 2) + 0.1 * h - 0.2 * jnp.abs(i - j)


FUNCTIONS = {
    "flex_attention": (
        [(2, 2, 3, 4), (2, 1, 5, 4), (2, 1, 5, 3)],
        lambda q, k, v: F.flex_attention(q, k, v, soft_cap, lambda b, h, i, j: i + 1 >= j, enable_gqa=True),
    ),
    "scaled_dot_product_attention": (
        [(2, 3, 4), (2, 5, 4), (2, 5, 3), (3, 5)],
        lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, mask),
    ),
    "multi_head_attention_forward": (
        [(3, 2, 4), (5, 2, 4), (12, 4), (12,), (1, 1, 4), (4, 4), (4,)],
        lambda q, k, w, b, row, out, c: F.multi_head_attention_forward(q, k, k, 4, 2, w, b, row, row, True, 0.0, out, c)[0],
    ),
}
