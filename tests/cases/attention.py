"""Rows of the table: attention."""

import funnn.functional as F

FUNCTIONS = {
    "scaled_dot_product_attention": (
        [(2, 3, 4), (2, 5, 4), (2, 5, 3), (3, 5)],
        lambda q, k, v, mask: F.scaled_dot_product_attention(q, k, v, mask),
    ),
    "multi_head_attention_forward": (
        [(3, 2, 4), (5, 2, 4), (12, 4), (12,), (1, 1, 4), (4, 4), (4,)],
        lambda q, k, w, b, row, out, c: F.multi_head_attention_forward(q, k, k, 4, 2, w, b, row, row, True, 0.0, out, c)[0],
    ),
}
