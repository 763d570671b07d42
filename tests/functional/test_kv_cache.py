"""The cache of keys and values: pieces of any length, the ring, other orders of sequences."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn.functional as F
from funnn.errors import ArgumentError, ShapeError

KEYS = np.random.default_rng(0).standard_normal((2, 3, 9, 4)).astype(np.float32)


def write(cache, start, stop):
    keys = jnp.asarray(KEYS[:, :, start:stop])
    return jax.jit(F.update_kv_cache)(cache, keys, -keys, jnp.arange(start, stop))


@pytest.mark.parametrize("pieces", [(0, 9), (0, 4, 9), (0, 1, 2, 7, 8, 9)], ids=str)
def test_pieces_of_any_length_come_one_after_the_other(pieces):
    cache = F.init_kv_cache(2, 3, 10, 4)
    for start, stop in itertools.pairwise(pieces):
        cache = write(cache, start, stop)
    np.testing.assert_array_equal(cache.key[:, :, :9], KEYS)
    np.testing.assert_array_equal(cache.value[:, :, :9], -KEYS)
    assert cache.positions.tolist() == [[*range(9), -1]] * 2 and cache.length.item() == 9 and not cache.key[:, :, 9].any()


@pytest.mark.parametrize("pieces", [(0, 3, 6, 9), tuple(range(10)), (0, 4, 5, 9)], ids=str)
def test_the_oldest_make_room(pieces):
    cache = F.init_kv_cache(2, 3, 4, 4)
    for start, stop in itertools.pairwise(pieces):
        cache = write(cache, start, stop)
    assert cache.positions[0].tolist() == [8, 5, 6, 7] and cache.length.item() == 9
    np.testing.assert_array_equal(cache.key, KEYS[:, :, [8, 5, 6, 7]])


def test_dtypes_and_positions_of_each_sequence():
    cache = F.init_kv_cache(2, 3, 5, 4, jnp.bfloat16)
    cache = F.update_kv_cache(cache, KEYS[:, :, :2], KEYS[:, :, :2], jnp.array([[0, 1], [-1, 0]]))
    assert cache.key.dtype == cache.value.dtype == jnp.bfloat16
    assert cache.positions.tolist() == [[0, 1, -1, -1, -1], [-1, 0, -1, -1, -1]]


def test_under_vmap_and_scan():
    caches = jax.vmap(lambda _: F.init_kv_cache(2, 3, 9, 4))(jnp.arange(2))
    step = jax.vmap(F.update_kv_cache, (0, None, None, None))

    def body(caches, x):
        keys, position = x
        return step(caches, keys[:, :, None], keys[:, :, None], position[None]), None

    caches, _ = jax.lax.scan(body, caches, (jnp.moveaxis(jnp.asarray(KEYS), 2, 0), jnp.arange(9)))
    np.testing.assert_array_equal(caches.key, np.stack([KEYS, KEYS]))
    assert caches.length.tolist() == [9, 9]
    other = F.reorder_kv_cache({"layers": caches}, jnp.array([1, 0, 1]))["layers"]  # stacked along a further axis
    np.testing.assert_array_equal(other.key, np.stack([KEYS, KEYS])[:, [1, 0, 1]])
    assert other.positions.shape == (2, 3, 9) and other.length.tolist() == [9, 9]


def test_caches_of_several_layers_are_stacked():
    stacked, one = F.init_kv_cache(2, 3, 5, 4, jnp.bfloat16, layers=6), F.init_kv_cache(2, 3, 5, 4, jnp.bfloat16)
    jax.tree.map(lambda ours, single: np.testing.assert_array_equal(ours, jnp.stack([single] * 6)), stacked, one)
    with pytest.raises(ArgumentError, match="layers must be positive, but got layers=0"):
        F.init_kv_cache(2, 3, 5, 4, layers=0)


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (ArgumentError, "length must be positive, but got length=0", lambda: F.init_kv_cache(1, 1, 0, 1)),
        (ShapeError, r"takes key and value of shape \[2, 3, L, 4\] with L ≤ 3", lambda: write(F.init_kv_cache(2, 3, 3, 4), 0, 4)),
        (ShapeError, r"takes key .* but got \[2, 3, 9, 4\]", lambda: write(F.init_kv_cache(1, 3, 9, 4), 0, 9)),
        (ShapeError, r"rows must be of shape \(B,\)", lambda: F.reorder_kv_cache(F.init_kv_cache(1, 1, 1, 1), jnp.array(0))),
    ],
)
def test_errors(error, text, call):
    with pytest.raises(error, match=text):
        call()
