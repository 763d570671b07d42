"""Training states for the tests of checkpoints, and what it means that two are the same."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from funnn import optim
from funnn.layers import BatchNorm1d, Dropout, Linear, Sequential

NET = Sequential(Linear(2, 3), BatchNorm1d(3), Dropout(), Linear(3, 2))
BATCH = jnp.array([[0.3, 1.0], [2.0, -0.5], [-1.2, 0.7]]), jnp.array([0, 1, 1])
OPTIMIZERS = {
    "adam": optim.adam(),
    "adamw of optax": optax.adamw(1e-3),
    "chain": optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(optax.cosine_decay_schedule(0.1, 10), momentum=0.9, nesterov=True)),
    "masked": optax.masked(optax.adam(1e-3), lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)),
    "accumulated": optax.MultiSteps(optim.sgd(lr=0.1, momentum=0.9), 2).gradient_transformation(),
    "hyperparameters": optax.inject_hyperparams(optax.rmsprop)(learning_rate=0.1),
    "partition": optax.multi_transform(
        {"a": optax.adam(1e-3), "b": optax.set_to_zero()},
        lambda params: jax.tree.map_with_path(lambda path, leaf: "a" if "bias" in str(path) else "b", params),
    ),
}

#: Every kind of leaf and container.
MIXED = {
    "jax": [jnp.arange(3, dtype=dtype) for dtype in (jnp.bfloat16, jnp.float16, jnp.complex64, jnp.uint8, jnp.float8_e4m3fn)],
    "numpy": (np.arange(4, dtype=np.int64).reshape(2, 2) + 2**40, np.float64(1 / 3), np.zeros((0, 3), np.float32)),
    "numbers": {"bool": True, "int": 2**40, "float": 1e-300, "complex": 2j},
    "keys": {"typed": jax.random.key(3), "of rbg": jax.random.key(3, impl="rbg"), "many": jax.random.split(jax.random.key(4), (2, 3))},
    "raw": jax.random.PRNGKey(5),
    "nothing": (None, {}, optax.EmptyState(), optax.MaskedNode()),
    "numbered": {0: {1: jnp.ones(1)}},
}


def check_same(got, expected):
    """Same structure, types, dtypes and bits."""
    assert jax.tree.structure(got) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert type(one) is type(other) and jnp.result_type(one) == jnp.result_type(other) and np.shape(one) == np.shape(other)
        if isinstance(one, jax.Array) and jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
