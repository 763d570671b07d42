"""Attention beyond what PyTorch's database covers: the kernel's derivatives, masked rows, extremes, torch's random numbers, messages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from oracle import assert_same, compare, tensor, to_numpy
from torch.nn.attention import SDPBackend, sdpa_kernel

import funnn.functional as F
import funnn.torch as ft
from funnn.errors import ArgumentError, AssertedError, DtypeError, KeyRequiredError, ShapeError

attend = F.scaled_dot_product_attention
SHAPES = (2, 2, 3, 4), (2, 2, 5, 4), (2, 2, 5, 6)


def arrays(*shapes, dtype=jnp.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


def textbook(q, k, v, mask=None, causal=False):
    """The definition, operation by operation; no row may be masked as a whole."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == jnp.bool_ else scores + mask
    if causal:
        scores = jnp.where(np.tri(*scores.shape[-2:], dtype=bool), scores, -jnp.inf)
    powers = jnp.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True) @ v


MASKS = {
    "none": (None, False),
    "causal": (None, True),
    "boolean": (np.random.default_rng(3).random((2, 1, 3, 5)) < 0.6, False),
    "added": (np.random.default_rng(3).standard_normal((2, 3, 5)), False),
}


@pytest.mark.parametrize("name", MASKS)
def test_derivatives_equal_the_textbooks_in_float64(name):
    """Value, both modes, and second derivatives forward over reverse, reverse over forward and reverse over reverse; vmap of the gradient."""
    mask, causal = MASKS[name]
    with jax.enable_x64(True):
        point = tuple(arrays(*SHAPES, dtype=jnp.float64))
        fixed = ()
        if mask is not None and mask.dtype == bool:
            fixed = (jnp.asarray(mask).at[..., 0].set(True),)
        elif mask is not None:
            point += (jnp.asarray(mask),)
        tangents = tuple(arrays(*(x.shape for x in point), dtype=jnp.float64, seed=1))

        def everything(function):
            def call(*point):
                return jnp.sin(function(*point))

            def total(*point):
                return jnp.sum(jnp.cos(call(*point)))

            every = tuple(range(len(point)))
            gradient = jax.grad(total, every)
            return (
                jax.jvp(call, point, tangents),
                gradient(*point),
                jax.jvp(gradient, point, tangents),
                jax.grad(lambda *p: jax.jvp(total, p, tangents)[1], every)(*point),
                jax.grad(lambda *p: sum(jnp.vdot(jnp.sin(g), t) for g, t in zip(gradient(*p), tangents, strict=True)), every)(*point),
                jax.vmap(gradient)(*(jnp.stack([x, x + 1]) for x in point)),
            )

        got = jax.jit(lambda: everything(lambda *p: attend(*p, *fixed, is_causal=causal)))()
        expected = jax.jit(lambda: everything(lambda *p: textbook(*p, *fixed, causal=causal)))()
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-11)


def test_second_derivatives_equal_torchs():
    args = tuple(tensor(*shape, dtype="float64") for shape in SHAPES)
    with sdpa_kernel(SDPBackend.MATH):  # torch's fused kernel has no second derivative
        for kwargs in ({}, {"is_causal": True}, {"attn_mask": tensor(3, 5, dtype="float64")}):
            with jax.enable_x64(True):
                compare(attend, torch.nn.functional.scaled_dot_product_attention, args, kwargs, second=True)


@pytest.mark.parametrize("mask", ["bool", "float"])
def test_a_query_that_may_attend_to_nothing_gets_zeros(mask):
    allowed = torch.ones(3, 5, dtype=torch.bool)
    allowed[1] = False
    given = allowed if mask == "bool" else torch.zeros(3, 5).masked_fill(~allowed, -torch.inf).requires_grad_()
    args = (*(tensor(*shape) for shape in SHAPES), given)
    compare(attend, torch.nn.functional.scaled_dot_product_attention, args)
    y = attend(*(jnp.asarray(to_numpy(x), jnp.float32) for x in args[:3]), jnp.asarray(given.detach().numpy()))
    assert (y[:, :, 1] == 0).all() and not jnp.isnan(y).any()


def test_no_keys_give_zeros():
    q, k, v = arrays((2, 3, 4), (2, 0, 4), (2, 0, 6))
    assert attend(q, k, v).tolist() == np.zeros((2, 3, 6)).tolist()


def test_large_scores_do_not_overflow():
    q, k, v = arrays((3, 4), (5, 4), (5, 2))
    y, gradient = jax.value_and_grad(lambda q: attend(q * 1e18, k * 1e18, v).sum())(q)
    best = jnp.argmax(q @ k.T, -1)
    np.testing.assert_allclose(attend(q * 1e18, k * 1e18, v), v[best])
    assert jnp.isfinite(y) and jnp.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_rounded_once(dtype):
    """Equal to the float32 result of the same inputs, rounded; torch's is within its own rounding of that."""
    args = tuple(tensor(*shape, dtype=dtype, grad=False) for shape in SHAPES)
    given = [jnp.asarray(x.float().numpy()).astype(dtype) for x in args]
    y = attend(*given)
    np.testing.assert_array_equal(y, attend(*(x.astype(jnp.float32) for x in given)).astype(dtype))
    assert_same(y, torch.nn.functional.scaled_dot_product_attention(*args), "output")


def test_a_mask_in_float32_for_half_precision():
    q, k, v = (x.astype(jnp.float16) for x in arrays(*SHAPES))
    assert attend(q, k, v, jnp.zeros((3, 5))).dtype == jnp.float16


@pytest.mark.parametrize(
    "shapes", [((3, 4), (5, 4), (5, 6)), ((2, 3, 3, 4), (3, 5, 4), (1, 3, 5, 4)), ((1, 2, 2, 3, 4), (1, 2, 2, 5, 4), (2, 1, 1, 5, 2))]
)
def test_axes_before_the_last_two_broadcast(shapes):
    compare(attend, torch.nn.functional.scaled_dot_product_attention, tuple(tensor(*shape) for shape in shapes), {"scale": -0.3})


def test_grouped_queries():
    q, k, v = arrays((2, 6, 3, 4), (2, 2, 5, 4), (2, 3, 5, 4))
    expected = attend(q, jnp.repeat(k, 3, axis=1), jnp.repeat(v, 2, axis=1), is_causal=True)
    np.testing.assert_array_equal(attend(q, k, v, is_causal=True, enable_gqa=True), expected)


@pytest.mark.parametrize("grouped", [False, True], ids=["", "grouped"])
@pytest.mark.parametrize("masked", [False, True], ids=["", "masked"])
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "both sides"])
def test_a_window_is_a_mask(causal, masked, grouped):
    """For short sequences and long ones; torch, which has no windows, gets the mask."""
    for length, window in ((7, 2), (600, 50)):
        q, k, v = arrays((1, 4, length, 4), (1, 2 if grouped else 4, length, 4), (1, 2 if grouped else 4, length, 4))
        i, j = np.arange(length)[:, None], np.arange(length)
        mask = (i - j < window) & (j <= i) if causal and not masked else abs(i - j) < window
        given = np.asarray(arrays((1, 4, length, length))[0]) if masked else None
        added = np.where(mask, 0.0 if given is None else given, -np.inf).astype(np.float32)
        x, y, z = (torch.tensor(np.asarray(x), requires_grad=True) for x in (q, k, v))
        expected = torch.nn.functional.scaled_dot_product_attention(x, y, z, torch.tensor(added), enable_gqa=grouped)
        expected.sin().sum().backward()

        def call(*operands, given=given, window=window):
            return attend(*operands, given, is_causal=causal and not masked, window=window, enable_gqa=grouped)

        gradients = jax.grad(lambda *operands: jnp.sum(jnp.sin(call(*operands))), (0, 1, 2))(q, k, v)
        for a, b in zip((call(q, k, v), *gradients), (expected.detach(), x.grad, y.grad, z.grad), strict=True):
            np.testing.assert_allclose(a, b.numpy(), rtol=1e-4, atol=1e-5)


def same_numbers(run, tolerance=4e-6):  # float32; where x has three roles, its three gradients are added in another order
    """Output and gradients of ``run(torch)`` in both, with the same seed; and the next number that is drawn."""
    results = []
    for t in (torch, ft):
        t.manual_seed(5)
        x = t.randn(3, 4, 5, 4, requires_grad=True)
        t.manual_seed(1)
        y = run(t, x)
        y.sum().backward()
        results.append((y.detach(), x.grad, t.rand(3), str(y.grad_fn).split(" object")[0]))
    for a, b in zip(results[0][:3], results[1][:3], strict=True):
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=tolerance, atol=tolerance)
    assert results[0][3] == results[1][3]


@pytest.mark.parametrize(
    "call",
    [
        lambda t, x: t.nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=0.4),
        lambda t, x: t.nn.functional.scaled_dot_product_attention(x[0], x[1], x[2], is_causal=True, dropout_p=0.4),
        lambda t, x: t.nn.functional.scaled_dot_product_attention(x, x, x, t.ones(5, 5).tril().bool(), 0.7),
        lambda t, x: t.nn.functional.scaled_dot_product_attention(x, x, x, dropout_p=1.0),
        lambda t, x: t.nn.functional.scaled_dot_product_attention(query=x, key=x, value=x),
        lambda t, x: t.nn.functional.scaled_dot_product_attention(x[0, 0], x[0, 0], x[0, 1]),
    ],
)
def test_dropout_draws_torchs_numbers(call):
    same_numbers(call)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("separate", [True, False])
def test_multi_head_dropout_draws_torchs_numbers(need_weights, separate):
    def run(t, x):
        weight = t.linspace(-1, 1, 48).reshape(12, 4)
        parts = {f"{letter}_proj_weight": weight[4 * i : 4 * i + 4] for i, letter in enumerate("qkv")}
        y, _ = t.nn.functional.multi_head_attention_forward(
            x[0], x[1], x[2], 4, 2, None if separate else weight, t.linspace(0, 1, 12), None, None, True, 0.4, weight[:4], None,
            need_weights=need_weights, use_separate_proj_weight=separate, **(parts if separate else {}),
        )  # fmt: skip
        return y

    same_numbers(run)


def test_dropout_keeps_the_mean_and_needs_a_key():
    q, k, v = arrays((64, 4), (64, 4), (64, 2))
    dropped = jnp.stack([attend(q, k, v, dropout_p=0.5, dropout_key=key) for key in jax.random.split(jax.random.key(0), 64)])
    np.testing.assert_allclose(dropped.mean(0), attend(q, k, v), atol=0.12)
    with pytest.raises(KeyRequiredError, match=r"dropout_p=0.5 draws random numbers and needs a key"):
        attend(q, k, v, dropout_p=0.5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda q, k, v: attend(q[0, 0, 0], k, v), ShapeError, "to all be  ?at least 2 dimensional"),
        (lambda q, k, v: attend(q, k.astype(jnp.float16), v), DtypeError, "to have the same dtype, but got query.dtype: float32"),
        (lambda q, k, v: attend(q.astype(int), k.astype(int), v.astype(int)), DtypeError, "must be floating point"),
        (lambda q, k, v: attend(q, k[..., :3], v), ShapeError, "same number of features"),
        (lambda q, k, v: attend(q, k, v[:, :, :4]), ShapeError, "same length"),
        (lambda q, k, v: attend(q[:1].repeat(3, 0), k, v), ShapeError, "must match or be 1"),
        (lambda q, k, v: attend(q, k, v, jnp.ones((3, 4), bool)), ShapeError, r"expanded size of attn_mask must match .* \[2, 2, 3, 5\]"),
        (lambda q, k, v: attend(q, k, v, jnp.ones((3, 5), int)), DtypeError, "Expected attn_mask dtype to be bool or float"),
        (lambda q, k, v: attend(q, k, v, jnp.ones((3, 5), bool), is_causal=True), ArgumentError, "Explicit attn_mask should not be set"),
        (lambda q, k, v: attend(q, k, v, dropout_p=1.5), ArgumentError, "between 0 and 1, but got 1.5"),
        (lambda q, k, v: attend(q, k, v, window=0), ArgumentError, r"window must be at least 1 \(a token sees itself\), but got window=0"),
        (lambda q, k, v: attend(q[:, [0, 0, 0]], k, v, enable_gqa=True), ShapeError, "must divide the number of heads in query"),
        (lambda q, k, v: attend(q[0, 0], k[0, 0], v[0, 0], enable_gqa=True), IndexError, "Dimension out of range"),
    ],
)
def test_messages(call, error, text):
    with pytest.raises(error, match=text):
        call(*arrays(*SHAPES))


def heads(query, key=None, *, weight=12, **kwargs):
    key = query if key is None else key
    return F.multi_head_attention_forward(
        query, key, key, 4, 2, jnp.ones((weight, 4)), None, kwargs.pop("bias_k", None), None, False, 0.0, jnp.ones((4, 4)), None, **kwargs
    )


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"query": (4,)}, "query should be unbatched 2D or batched 3D tensor but received 1-D"),
        ({"key": (3, 4)}, r"For batched \(3-D\) `query`, expected `key` and `value` to be 3-D but found 2-D"),
        ({"query": (3, 2, 5)}, "was expecting embedding dimension of 4, but got 5"),
        ({"key_padding_mask": (2, 2, 3)}, "expected `key_padding_mask` to be `None` or 2-D"),
        ({"key_padding_mask": (2, 4)}, r"Expected key_padded_mask.shape\[1\] to be 3, but got 4"),
        ({"attn_mask": (1, 2, 3, 3)}, "expected `attn_mask` to be `None`, 2-D or 3-D"),
        ({"attn_mask": (3, 4)}, r"The shape of the 2D attn_mask is \(3, 4\), but should be \(3, 3\)"),
        ({"attn_mask": (3, 3, 3)}, r"The shape of the 3D attn_mask is \(3, 3, 3\), but should be \(4, 3, 3\)"),
        ({"is_causal": True}, "Need attn_mask if specifying the is_causal hint"),
        ({"use_separate_proj_weight": True}, "use_separate_proj_weight is True but q_proj_weight is None"),
        ({"static_k": (3, 3, 2)}, r"expecting static_k.size\(0\) of 4, but got 3"),
        ({"bias_k": (1, 1, 4)}, "bias_k is set but bias_v is None"),
        ({"key": (3, 3, 4)}, "same batch size"),
    ],
)
def test_multi_head_messages(kwargs, text):
    made = {name: jnp.zeros(value) if isinstance(value, tuple) else value for name, value in kwargs.items()}
    with pytest.raises((AssertedError, ShapeError, ArgumentError), match=text):
        heads(made.pop("query", jnp.ones((3, 2, 4))), **made)


def test_multi_head_masks_of_integers_and_of_two_kinds():
    x = jnp.ones((3, 2, 4))
    with pytest.raises(AssertedError, match="only bool and floating types of key_padding_mask are supported"):
        heads(x, key_padding_mask=jnp.zeros((2, 3), int))
    with pytest.warns(UserWarning, match="mismatched key_padding_mask and attn_mask is deprecated"):
        heads(x, key_padding_mask=jnp.zeros((2, 3), bool), attn_mask=jnp.zeros((3, 3)))


def test_the_causal_hint_replaces_the_mask_only_where_torch_does():
    (x,) = arrays((3, 2, 4))
    wrong = jnp.zeros((3, 3), bool)
    plain, hinted = heads(x, attn_mask=wrong), heads(x, attn_mask=wrong, is_causal=True)
    np.testing.assert_array_equal(plain[0], hinted[0])  # the weights are wanted, so the mask is read
    causal = heads(x, attn_mask=jnp.triu(jnp.ones((3, 3), bool), 1), need_weights=False)[0]
    np.testing.assert_allclose(heads(x, attn_mask=wrong, is_causal=True, need_weights=False)[0], causal, rtol=1e-6)
