"""Somebody who writes what Flax, Equinox, Haiku or Keras would take is told what to write here."""

from __future__ import annotations

import copy
import pickle

import jax
import jax.numpy as jnp
import pytest

from funnn.layers import BatchNorm1d, Dropout, Layer, Linear, Sequential

KEY, X = jax.random.key(0), jnp.ones((2, 3))
LINEAR = Linear(3, 3)
PARAMS, STATE = LINEAR.init(KEY)


def forward_of(function):
    """A layer whose forward is this function."""
    return type("Own", (Layer,), {"forward": function})()


class Half(Layer):
    @property
    def whole(self):
        return self.missing


class Setup(Layer):
    def setup(self):
        self.inner = LINEAR

    def forward(self, x):
        return self.inner(x)


class Old(Layer):
    drop: Dropout

    def forward(self, x):
        return self.drop(x, deterministic=True)


WRONG = {
    "Flax's param": (
        AttributeError,
        lambda: forward_of(lambda self, x: self.param("w", jnp.ones, (3,))).apply({}, {}, X),
        r"'Own' object has no attribute 'param'; here it is: name it in spec, def spec\(self\): return \{\"w\": Param\(shape, init\)\}, and read self.w",
    ),
    "Flax's variable": (
        AttributeError,
        lambda: forward_of(lambda self, x: self.variable("stats", "m")).apply({}, {}, X),
        r"name it in spec, .*Buffer\(shape, init\)\}; read self.m and assign self.m",
    ),
    "Flax's make_rng": (AttributeError, lambda: forward_of(lambda self, x: self.make_rng("dropout")).apply({}, {}, X), r"self.make_key\(\)"),
    "Flax's setup": (
        AttributeError,
        lambda: Setup().apply({}, {}, X),
        r"'Setup' object has no attribute 'inner'; nothing calls setup: assign layers inside in __post_init__ or __init__",
    ),
    "a layer made inside forward": (
        TypeError,
        lambda: forward_of(lambda self, x: Linear(3, 3)(x)).apply({}, {}, X),
        r"Made inside forward, it has none either: make it a field",
    ),
    "Flax's rngs": (
        TypeError,
        lambda: Dropout(0.5).apply({}, {}, X, rngs={"dropout": KEY}, train=True),
        r"unexpected keyword argument 'rngs'; for rngs=: apply takes key=",
    ),
    "deterministic of a layer inside": (
        TypeError,
        lambda: Old(Dropout(0.5)).apply({}, {}, X),
        r"'deterministic'; for deterministic=: apply takes train=True, .* for a part alone, self.part.train\(\)",
    ),
    "Flax's mutable": (
        TypeError,
        lambda: BatchNorm1d(3).apply(*BatchNorm1d(3).init(KEY), X, mutable=["batch_stats"]),
        r"for mutable=: leave it out: apply always gives \(output, new_state\)",
    ),
    "Flax's variables": (
        ValueError,
        lambda: LINEAR.apply({"params": PARAMS}, {}, X),
        r"unknown \['params'\]; .* params alone and not under the name params",
    ),
    "the pair of init": (
        TypeError,
        lambda: LINEAR.apply(LINEAR.init(KEY), X),
        r"got tuple; layer.init\(key\) gives a pair: layer.apply\(\*layer.init\(key\), x\)",
    ),
    "a key by position": (
        TypeError,
        lambda: Sequential(Dropout(0.5)).apply({}, {}, X, KEY),
        r"key and train are given by name: layer.apply\(params, state, x, key=key, train=True\)",
    ),
    "a mode by position": (TypeError, lambda: LINEAR.apply(PARAMS, STATE, X, True), r"key and train are given by name"),
    "Equinox's key": (TypeError, lambda: Linear(3, 3, key=KEY), r"for key=: leave it out: a layer holds no arrays, and layer.init\(key\) draws them"),
    "Flax's kernel_init": (ValueError, lambda: Linear(3, 3, kernel_init=jnp.ones), r"kernel_init names no parameter .* they are \['weight', 'bias'\]"),
    "Keras's initialiser": (TypeError, lambda: Linear(3, 3, kernel_initializer="zeros"), r"for kernel_initializer=: weight_init=init"),
    "Keras's dtype": (TypeError, lambda: Linear(3, 3, dtype=jnp.float16), r"for dtype=: layer.with_policy\(Policy\(…\)\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_to_write_is_said(name):
    kind, call, text = WRONG[name]
    with pytest.raises(kind, match=text):
        call()


def test_other_errors_stay_as_they_are():
    with pytest.raises(TypeError) as caught:
        Linear(3, 3, strange=1)
    assert str(caught.value).endswith("unexpected keyword argument 'strange'")
    with pytest.raises(AttributeError) as caught:
        LINEAR.strange  # noqa: B018
    assert str(caught.value) == "'Linear' object has no attribute 'strange'" and caught.value.name == "strange"
    with pytest.raises(TypeError) as caught:
        LINEAR.apply(PARAMS, STATE, X, X)
    assert str(caught.value).endswith("but 3 were given")
    with pytest.raises(AttributeError, match="'Half' object has no attribute 'missing'"):
        Half().whole  # noqa: B018
    assert not hasattr(LINEAR, "param") and copy.deepcopy(LINEAR) == pickle.loads(pickle.dumps(LINEAR)) == LINEAR
