"""The layers of language models that torch does not have: against torch's attention and against loops, and what holds for every layer."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.functional as F
import funnn.torch as ft
from funnn import checkpoint
from funnn.errors import ArgumentError, KeyRequiredError
from funnn.layers import GELU, FeedForward, GroupedQueryAttention, MixtureOfExperts, Policy, ReLU, RotaryEmbedding, SwiGLU
from tests import exhaustive
from tests.quick import quick

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (2, 6, 8))
PACKED = jnp.array([[0, 0, 0, 1, 1, 2], [4, 4, 4, 4, 4, 4]])
PADDED = jnp.array([[-1, -1, 0, 1, 2, 3], [0, 1, 2, 3, 4, -1]])
ATTENTION = {
    "plain": GroupedQueryAttention(8, 4),
    "grouped": GroupedQueryAttention(8, 4, 2, rotary=RotaryEmbedding(2)),
    "one head of keys": GroupedQueryAttention(8, 4, 1, head_dim=6, bias=True, rotary=RotaryEmbedding(4, interleaved=True)),
    "packed": GroupedQueryAttention(8, 4, 2, packed=True, bias=True),
    "window": GroupedQueryAttention(8, 4, 2, window=3, rotary=RotaryEmbedding(2)),
    "window 1": GroupedQueryAttention(8, 2, window=1),
    "alibi": GroupedQueryAttention(8, 4, 2, alibi=True),
    "alibi in a window": GroupedQueryAttention(8, 4, alibi=True, window=2),
}
SEES_ALL = {
    "not causal": GroupedQueryAttention(8, 4, 2, causal=False),
    "not causal, in a window": GroupedQueryAttention(8, 4, 2, causal=False, window=2),
}
LAYERS = {
    **ATTENTION,
    **SEES_ALL,
    "feed-forward": FeedForward(8, 12),
    "relu": FeedForward(8, 12, ReLU(), bias=False),
    "swiglu": SwiGLU(8, 12),
    "swiglu with biases": SwiGLU(8, 12, bias=True),
    "experts": MixtureOfExperts(8, 5, num_experts=4),
    "few places": MixtureOfExperts(8, 5, num_experts=4, k=1, capacity_factor=0.5, normalize=False),
}
every_layer = pytest.mark.parametrize("name", exhaustive.one_each(LAYERS, lambda name: type(LAYERS[name]), str))
every_attention = pytest.mark.parametrize("name", [*ATTENTION, *SEES_ALL])


def run(layer, params, *args, **kwargs):
    return layer.apply(params, {}, *args, **kwargs)[0]


def by_torch(layer, params, x, positions=None, segments=None):
    """The layer's attention with torch's own, from its keys repeated for the heads and a mask written out pair by pair."""
    p = {name: torch.tensor(np.asarray(a)) for name, a in checkpoint.flatten(params).items()}
    linear = lambda name, x: torch.nn.functional.linear(x, p[f"{name}.weight"], p.get(f"{name}.bias"))  # noqa: E731
    x = torch.tensor(np.asarray(x))
    batch, length, _ = x.shape
    heads, kv_heads, width = layer.num_heads, layer.num_kv_heads, layer.head_dim
    if layer.packed:
        q, k, v = linear("qkv", x).split([heads * width, kv_heads * width, kv_heads * width], -1)
    else:
        q, k, v = (linear(name, x) for name in "qkv")
    q, k, v = (part.reshape(batch, length, -1, width).transpose(1, 2) for part in (q, k, v))
    positions = np.broadcast_to(np.arange(length) if positions is None else np.asarray(positions), (batch, length))
    if layer.rotary is not None:
        q, k = (
            torch.tensor(np.asarray(F.rotary_embedding(a.numpy(), positions, layer.rotary.frequencies(), layer.rotary.interleaved)))
            for a in (q, k)
        )
    mask = torch.zeros(batch, heads, length, length)
    for b in range(batch):
        for i in range(length):
            for j in range(length):
                far = positions[b, i] - positions[b, j]
                seen = positions[b, j] >= 0 and positions[b, i] >= 0 and (far >= 0 or not layer.causal)
                seen &= layer.window is None or abs(far) < layer.window
                seen &= segments is None or segments[b, i] == segments[b, j]
                slope = torch.tensor(np.asarray(F.alibi_slopes(heads))) if layer.alibi else 0
                mask[b, :, i, j] = -slope * abs(float(far)) if seen else -torch.inf
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    y = torch.nan_to_num(y)  # of rows that see nothing
    return linear("out", y.transpose(1, 2).reshape(batch, length, -1)).numpy()


# -- attention: values


@every_attention
@pytest.mark.parametrize("given", ["", "positions", "segments", "both"])
def test_attention_equals_torchs(name, given):
    layer = LAYERS[name]
    params, _ = layer.init(KEY)
    named = {}
    if given in ("positions", "both"):
        named["positions"] = PADDED
    if given in ("segments", "both"):
        named["segments"] = PACKED
    y, cache = quick(lambda params, x: run(layer, params, x, **named))(params, X)
    assert cache is None
    np.testing.assert_allclose(y, by_torch(layer, params, X, **named), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("pieces", [(0, 6), (0, 4, 5, 6), (0, 1, 2, 3, 4, 5, 6), (0, 2, 5, 6)], ids=str)
def test_with_a_cache_it_gives_what_the_whole_sequence_gives(name, pieces):
    layer = ATTENTION[name]
    params, _ = layer.init(KEY)
    for positions in (None, PADDED):
        expected, _ = run(layer, params, X, positions)
        cache, parts = layer.init_cache(2, 7), []
        for start, stop in itertools.pairwise(pieces):
            part = None if positions is None else positions[:, start:stop]
            y, cache = run(layer, params, X[:, start:stop], part, cache=cache)
            parts.append(y)
        np.testing.assert_allclose(jnp.concatenate(parts, 1), expected, rtol=1e-5, atol=1e-6)


def test_a_windows_cache_needs_no_more_than_the_window():
    layer = ATTENTION["window"]
    params, _ = layer.init(KEY)
    expected, _ = run(layer, params, X)
    cache = layer.init_cache(2, 3)
    step = jax.jit(lambda params, x, cache: run(layer, params, x, cache=cache))
    for i in range(6):
        y, cache = step(params, X[:, i : i + 1], cache)
        np.testing.assert_allclose(y, expected[:, i : i + 1], rtol=1e-5, atol=1e-6)
    assert step._cache_size() == 1, "one program for every token"


def test_packed_texts_are_as_if_each_were_alone():
    layer = ATTENTION["grouped"]
    params, _ = layer.init(KEY)
    y, _ = run(layer, params, X, F.segment_positions(PACKED), PACKED)
    for start, stop in ((0, 3), (3, 5), (5, 6)):
        alone, _ = run(layer, params, X[:1, start:stop])
        np.testing.assert_allclose(y[:1, start:stop], alone, rtol=1e-5, atol=1e-6)
    # rotary scores depend on differences of positions alone
    np.testing.assert_allclose(run(layer, params, X, segments=PACKED)[0], y, rtol=1e-5, atol=1e-5)


def test_length_1_and_padding():
    layer = ATTENTION["one head of keys"]
    params, _ = layer.init(KEY)
    y, _ = run(layer, params, X[:, :1])
    np.testing.assert_allclose(y, by_torch(layer, params, X[:, :1]), rtol=2e-5, atol=2e-6)
    y, _ = run(layer, params, X, PADDED)
    np.testing.assert_array_equal(y[0, 0], params["out"]["bias"])
    other = run(layer, params, X.at[0, :2].set(100.0), PADDED)[0]
    np.testing.assert_array_equal(other[0, 2:], y[0, 2:])


def test_window_1_is_the_value_of_the_token_itself():
    layer = ATTENTION["window 1"]
    params, _ = layer.init(KEY)
    y, _ = run(layer, params, X)
    np.testing.assert_allclose(y, X @ params["v"]["weight"].T @ params["out"]["weight"].T, rtol=1e-5, atol=1e-6)


def test_gradients_with_padding_are_finite_and_equal_torchs():
    layer = ATTENTION["grouped"]
    params, _ = layer.init(KEY)
    gradients = jax.grad(lambda params, x: jnp.sum(jnp.sin(run(layer, params, x, PADDED)[0])), (0, 1))(params, X)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradients))
    assert (gradients[1][0, :2] == 0).all() and (gradients[1][1, 5] == 0).all()

    plain = GroupedQueryAttention(8, 4, 2)
    params, _ = plain.init(KEY)
    got = jax.grad(lambda p: jnp.sum(jnp.sin(run(plain, p, X)[0])))(params)
    p = {name: torch.tensor(np.asarray(a), requires_grad=True) for name, a in checkpoint.flatten(params).items()}
    x = torch.tensor(np.asarray(X))
    q, k, v = ((x @ p[f"{name}.weight"].T).reshape(2, 6, -1, 2).transpose(1, 2) for name in "qkv")
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.sin(y.transpose(1, 2).reshape(2, 6, 8) @ p["out.weight"].T).sum().backward()
    for name, gradient in checkpoint.flatten(got).items():
        np.testing.assert_allclose(gradient, p[name].grad, rtol=1e-4, atol=1e-5, err_msg=name)


def test_dropout_needs_a_key_and_keeps_the_mean():
    layer = GroupedQueryAttention(8, 4, 2, dropout=0.3)
    params, _ = layer.init(KEY)
    with pytest.raises(KeyRequiredError, match="GroupedQueryAttention"):
        run(layer, params, X, train=True)
    for named in ({}, {"positions": PADDED}):
        expected, _ = run(layer, params, X, **named)
        keys = jax.random.split(KEY, 2000)
        drawn = jax.vmap(lambda key, named=named: run(layer, params, X, key=key, train=True, **named)[0])(keys)
        assert not np.allclose(drawn[0], drawn[1])
        np.testing.assert_allclose(drawn.mean(0), expected, atol=0.05)


# -- experts


def test_experts_are_swiglus():
    layer = MixtureOfExperts(8, 5, num_experts=4, k=2)
    params, _ = layer.init(KEY)
    y, losses = run(layer, params, X)
    weights, experts = F.top_k_routing(X @ params["router"]["weight"].T, 2)
    each = [SwiGLU(8, 5) for _ in range(4)]
    parts = [run(e, {name: {"weight": params[name][i]} for name in ("gate", "up", "down")}, X) for i, e in enumerate(each)]
    chosen = jnp.take_along_axis(jnp.stack(parts, 2), experts[..., None], 2)
    np.testing.assert_allclose(y, jnp.sum(weights[..., None] * chosen, 2), rtol=1e-5, atol=1e-6)
    assert losses.dropped == 0 and losses.load_balancing > 1.5


def test_capacity():
    full = MixtureOfExperts(8, 5, num_experts=4, k=2)
    params, _ = full.init(KEY)
    roomy, tight = full.replace(capacity_factor=4.0), full.replace(capacity_factor=0.5)
    assert (full.capacity(6), roomy.capacity(6), tight.capacity(6), tight.capacity(1)) == (None, 6, 2, 1)
    y, losses = run(roomy, params, X)
    np.testing.assert_allclose(y, run(full, params, X)[0], rtol=1e-5, atol=1e-6)
    assert losses.dropped == 0
    _, losses = run(tight, params, X)
    experts = np.asarray(F.top_k_routing(X @ params["router"]["weight"].T, 2)[1])
    dropped = sum(max(0, (experts[b] == e).sum() - 2) for b in range(2) for e in range(4)) / experts.size
    assert losses.dropped.item() == pytest.approx(dropped) and dropped > 0
    mask = jnp.arange(6) < jnp.array([[3], [0]])
    y, losses = run(tight, params, X, mask)
    assert (y[~mask] == 0).all() and y[0, :3].any() and 0 <= losses.dropped < 1


def test_the_balancing_loss_spreads_the_tokens():
    layer = MixtureOfExperts(8, 5, num_experts=4, k=1)
    params, _ = layer.init(KEY)
    x = jax.random.normal(KEY, (1, 200, 8)) + 1.0
    loss = jax.jit(jax.value_and_grad(lambda p: run(layer, p, x)[1].load_balancing))
    first, _ = loss(params)
    for _ in range(200):
        value, gradients = loss(params)
        params = jax.tree.map(lambda p, g: p - 0.3 * g, params, gradients)
    assert first > 1.1 and value < 1.05


# -- what holds for all of them


def leaves(output):
    return [jnp.sin(leaf) for leaf in jax.tree.leaves(output)]


@every_layer
def test_is_a_value(name):
    layer = LAYERS[name]
    assert layer == layer.replace() and hash(layer) == hash(layer.replace()) and "\n" not in layer.extra_repr()
    assert repr(layer).startswith(type(layer).__name__)


@every_layer
def test_transformations(name):
    """jit compiles once, and agrees with the plain call, with vmap, scan and remat; forward mode agrees with reverse mode."""
    layer = LAYERS[name]
    params, state = layer.init(KEY)
    assert state == {}
    call = lambda params, x: run(layer, params, x)  # noqa: E731
    expected = call(params, X)
    jitted = jax.jit(call)
    for _ in range(2):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), jitted(params, X), expected)
    assert jitted._cache_size() == 1

    y = jax.tree.leaves(expected)[0]
    stacked = jax.vmap(call, (None, 0))(params, jnp.stack([X, X]))
    np.testing.assert_allclose(jax.tree.leaves(stacked)[0], jnp.stack([y, y]), rtol=1e-5, atol=1e-6)
    _, ys = jax.lax.scan(lambda c, x: (c, call(params, x)), 0, X[None])
    np.testing.assert_allclose(jax.tree.leaves(ys)[0][0], y, rtol=1e-5, atol=1e-6)

    def total(params, x):
        return sum(leaf.sum() for leaf in leaves(call(params, x)))

    gradients = quick(jax.grad(total, (0, 1)))(params, X)
    again = quick(jax.grad(jax.checkpoint(total), (0, 1)))(params, X)
    tangents = jax.tree.map(lambda a: jnp.cos(3 * a), (params, X))
    along = quick(lambda *a: jax.jvp(total, a, tangents)[1])(params, X)
    backward = sum(jnp.vdot(g, t) for g, t in zip(jax.tree.leaves(gradients), jax.tree.leaves(tangents), strict=True))
    np.testing.assert_allclose(along, backward, rtol=1e-4, atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), again, gradients)


@every_layer
def test_policy(name):
    layer = LAYERS[name].with_policy(Policy())
    params, _ = layer.init(KEY)
    y, exact = (jax.tree.leaves(run(each, params, X))[0] for each in (layer, LAYERS[name]))
    assert y.dtype == jnp.float32 and {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
    if not isinstance(LAYERS[name], MixtureOfExperts):  # rounding may send a token elsewhere
        np.testing.assert_allclose(y, exact, atol=0.05)


@pytest.mark.parametrize("name", ["grouped", "packed", "one head of keys", "feed-forward", "swiglu"])
def test_as_a_module(name):
    layer = LAYERS[name]
    params, _ = layer.init(KEY)
    module = ft.from_functional(layer, params, {})
    x = ft.tensor(np.asarray(X), requires_grad=True)
    y = module(x)
    y = y[0] if isinstance(layer, GroupedQueryAttention) else y
    expected, pull = jax.vjp(lambda x: jax.tree.leaves(run(layer, params, x))[0], X)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), pull(jnp.ones_like(expected))[0], rtol=1e-4, atol=1e-5)


def test_names_of_parameters():
    assert list(checkpoint.flatten(ATTENTION["packed"].init(KEY)[0])) == ["qkv.weight", "qkv.bias", "out.weight", "out.bias"]
    shapes = {name: a.shape for name, a in checkpoint.flatten(ATTENTION["grouped"].init(KEY)[0]).items()}
    assert shapes == {"q.weight": (8, 8), "k.weight": (4, 8), "v.weight": (4, 8), "out.weight": (8, 8)}
    shapes = {name: a.shape for name, a in checkpoint.flatten(LAYERS["experts"].init(KEY)[0]).items()}
    assert shapes == {"gate": (4, 5, 8), "up": (4, 5, 8), "down": (4, 8, 5), "router.weight": (4, 8)}
    bounds = [abs(a).max() for a in (LAYERS["experts"].init(KEY)[0][name] for name in ("gate", "down"))]
    np.testing.assert_allclose(bounds, [8**-0.5, 5**-0.5], rtol=0.05)


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (ValueError, "num_heads must be divisible by num_kv_heads.*num_heads=4 and num_kv_heads=3", lambda: GroupedQueryAttention(8, 4, 3)),
        (ValueError, "embed_dim must be divisible by num_heads.*or give head_dim", lambda: GroupedQueryAttention(9, 4)),
        (ValueError, "window must be at least 1.*window=0", lambda: GroupedQueryAttention(8, 4, window=0)),
        (ValueError, "k must be between 1 and num_experts=4, but got k=5", lambda: MixtureOfExperts(8, 5, 4, k=5)),
        (ValueError, "capacity_factor must be positive or None", lambda: MixtureOfExperts(8, 5, 4, capacity_factor=0.0)),
        (ArgumentError, "dim must be even", lambda: RotaryEmbedding(3)),
        (
            ValueError,
            "segments are for whole sequences",
            lambda: run(ATTENTION["plain"], ATTENTION["plain"].init(KEY)[0], X, segments=PACKED, cache=ATTENTION["plain"].init_cache(2, 6)),
        ),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else "",
)
def test_errors(error, text, call):
    with pytest.raises(error, match=text):
        call()


def test_default_activations():
    assert FeedForward(2, 3) == FeedForward(2, 3, GELU()) != FeedForward(2, 3, GELU("tanh"))
