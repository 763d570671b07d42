"""Primitives with symbolic sizes in their shapes and parameters: one translation serves every size."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax

from funnn.engine.program.interpret import Untranslatable, translate
from funnn.functional._checks import has_symbol
from tests.engine.interpreting import same

#: Functions of x of shape (n, 4), y of (m, 4) and i, n indices below 4.
CASES = {
    "iota": lambda x, y, i: (jnp.arange(x.shape[0]), lax.broadcasted_iota(jnp.float32, (x.shape[0], 3, y.shape[0]), 2)),
    "a size as a value": lambda x, y, i: (x.sum() / x.shape[0], x * (x.shape[0] + 2 * y.shape[0]), jnp.sqrt(x.shape[0] * 4.0)),
    "mean and variance": lambda x, y, i: (x.mean(), x.var(0), y.std()),
    "reshape": lambda x, y, i: (x.reshape(-1), x.reshape(2, -1), x.reshape(x.shape[0], 2, 2)),
    "slices": lambda x, y, i: (x[::2], x[1:], x[:-1], x[::-1], x[-1], x[:, 1:3]),
    "concatenate": lambda x, y, i: (jnp.concatenate([x, y, x]), jnp.stack([x, x + 1], 1)),
    "pad": lambda x, y, i: (jnp.pad(x, ((1, 2), (0, 1))), lax.pad(x, np.float32(3), ((0, 0, 1), (0, y.shape[0], 0)))),
    "split": lambda x, y, i: lax.split(jnp.concatenate([x, y]), (x.shape[0], y.shape[0])),
    "broadcast": lambda x, y, i: (x[:, None] + y[None], jnp.broadcast_to(x[0], (x.shape[0], y.shape[0], 4)), jnp.tile(x, (2, 1))),
    "zeros": lambda x, y, i: (jnp.zeros(x.shape), jnp.full((y.shape[0], x.shape[0]), 2.0) + 1, jnp.ones_like(x).sum()),
    "products": lambda x, y, i: (x @ y.T, x.T @ x, jnp.einsum("nd,md->nmd", x, y), jnp.einsum("nd,nd->n", x, x), jnp.einsum("nd,md->d", x, y)),
    "softmax": lambda x, y, i: (jax.nn.softmax(x @ y.T, -1), jax.nn.logsumexp(x, 0)),
    "triangle": lambda x, y, i: jnp.where(jnp.arange(x.shape[0])[:, None] >= jnp.arange(y.shape[0]), x @ y.T, -jnp.inf),
    "take": lambda x, y, i: (y[i % y.shape[0]], jnp.take(x, i, axis=1), jnp.take_along_axis(x, i[:, None], 1), x[jnp.arange(x.shape[0]), i]),
    "one_hot": lambda x, y, i: jax.nn.one_hot(i, 4),
    "scatter": lambda x, y, i: (y.at[i % y.shape[0]].add(x), jnp.zeros((4, 4)).at[i].max(x), x.at[0].set(1.0), x.at[:, 1].multiply(2.0)),
    "scan": lambda x, y, i: lax.scan(lambda c, a: (c * 0.5 + a, c.sum()), y[0], x),
    "scan, backwards": lambda x, y, i: lax.scan(lambda c, a: (c + a @ y.T, c), jnp.zeros(y.shape[0]), x, reverse=True),
    "loop": lambda x, y, i: lax.fori_loop(0, x.shape[0], lambda k, c: c + y * k, y),
    "loop that reads": lambda x, y, i: lax.fori_loop(0, x.shape[0], lambda k, c: c.at[k].set(x[k] * 2), jnp.zeros(x.shape)),
    "cond": lambda x, y, i: lax.cond(x[0, 0] > 0, lambda: x * y.shape[0], lambda: x),
    "order": lambda x, y, i: (jnp.sort(x, 0), jnp.argsort(x, 0), lax.top_k(x.T, 1), jnp.argmax(x, 0), x.max(), y.min(0)),
    "cumulative": lambda x, y, i: (jnp.cumsum(x, 0), lax.cummax(x, 0, True), jnp.cumprod(x, 1)),
    "windows": lambda x, y, i: (lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "SAME"), lax.reduce_window(x, -np.inf, lax.max, (1, 2), (1, 2), "VALID")),
    "dynamic": lambda x, y, i: (lax.dynamic_slice(x, (i[0], 0), (1, 4)), lax.dynamic_update_slice(x, y[:1], (i[0], 1 - 1)), lax.dynamic_index_in_dim(x, i[0])),
    "gradient": jax.grad(lambda x, y, i: (jnp.tanh(x @ y.T).sum(1) * i).mean()),
    "vmap": lambda x, y, i: jax.vmap(lambda a, k: a[k] * y)(x, i),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_translation_serves_every_size(name):
    function = CASES[name]
    n, m = export.symbolic_shape("n, m", constraints=["n >= 2"])
    avals = [jax.ShapeDtypeStruct((n, 4), np.float32), jax.ShapeDtypeStruct((m, 4), np.float32), jax.ShapeDtypeStruct((n,), np.int32)]
    computed = translate(jax.make_jaxpr(function)(*avals), ("m", "n"))
    for a, b in ((2, 1), (5, 3), (130, 67)):
        generator = np.random.default_rng(a)
        arrays = [generator.standard_normal((size, 4)).astype("float32") for size in (a, b)] + [generator.integers(0, 4, a).astype("int32")]
        for array in arrays:
            array.flags.writeable = False
        wanted = translate(jax.make_jaxpr(function)(*arrays))(*arrays)
        for got, want in zip(computed(b, a, *arrays), wanted, strict=True):
            same(got, want, 1e-5, 1e-5, name)


def test_a_symbol_that_is_not_named():
    avals = jax.ShapeDtypeStruct(export.symbolic_shape("n, k"), np.float32)
    with pytest.raises(Untranslatable, match=r"the size k is not among the symbols \('n',\)"):
        translate(jax.make_jaxpr(lambda x: x.reshape(-1))(avals), ("n",))


def test_what_is_not_needed_needs_no_rule():
    def function(x):
        jnp.linalg.qr(x)
        return x + 1

    np.testing.assert_array_equal(translate(jax.make_jaxpr(function)(np.eye(2)))(np.eye(2, dtype="float32"))[0], np.eye(2) + 1)

    def prints(x):
        jax.debug.print("{}", x)
        return x

    with pytest.raises(Untranslatable, match="has an effect"):
        translate(jax.make_jaxpr(prints)(1.0))


def test_sizes_that_are_symbolic():
    n, m = export.symbolic_shape("n, 3")
    assert has_symbol((2, n)) and has_symbol((2,), (n,)) and not has_symbol((2, m, np.int64(4)), ())
