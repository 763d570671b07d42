"""The contract between a layer's author, its user and the mechanism; layers written by a user."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import funnn.torch as ft
from funnn import Layer, checkpoint, init, layers, optim
from funnn import functional as F
from funnn.errors import DtypeError, FrozenLayerError, KeyRequiredError, ShapeError
from funnn.layers import BatchNorm1d, Buffer, Conv2d, Dropout, Linear, Param, ReLU, Sequential, Tanh


class Residual(Layer):
    """A user's layer of layers: y = x + body(x)."""

    body: Layer

    def forward(self, x):
        return x + self.body(x)


class Net(Layer):
    """Fields, a list of layers, a loop, a method of one's own."""

    blocks: list
    head: Layer

    def features(self, x):
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x):
        return self.head(self.features(x))


class Counter(Layer):
    """A layer with a buffer of its own."""

    size: int

    def spec(self):
        return {"scale": Param((self.size,), init.ones), "calls": Buffer((), init.zeros, jnp.int32)}

    def forward(self, x):
        self.calls = self.calls + 1
        return x * self.scale


def block():
    return Residual(Sequential(Linear(4, 8), ReLU(), Linear(8, 4)))


def test_a_pair_unpacks():
    init_fn, apply_fn = Linear(3, 2)
    params, state = init_fn(jax.random.key(0))
    y, state = apply_fn(params, state, jnp.ones((5, 3)))
    assert y.shape == (5, 2) and state == {}
    init_fn, _ = Sequential(Linear(3, 2))
    assert init_fn(jax.random.key(0))[0].keys() == {"0"}


def test_user_layers_compose_and_name_their_parameters():
    net = Net([block(), block()], Linear(4, 1))
    params, state = net.init(jax.random.key(0))
    assert set(checkpoint.flatten(params)) == {
        *(f"blocks.{i}.body.{j}.{name}" for i in (0, 1) for j in (0, 2) for name in ("weight", "bias")),
        "head.weight",
        "head.bias",
    }
    x = jnp.ones((3, 4))
    y, _ = jax.jit(net.apply)(params, state, x)
    h = x
    for i in ("0", "1"):
        p = params["blocks"][i]["body"]
        h = h + F.linear(F.relu(F.linear(h, **_named(p["0"]))), **_named(p["2"]))
    np.testing.assert_allclose(y, F.linear(h, **_named(params["head"])), rtol=1e-6)


def _named(p):
    return {"weight": p["weight"], "bias": p["bias"]}


def test_user_layer_prints_as_torch_would():
    assert repr(Net([ReLU()], Linear(1, 2))) == (
        "Net(\n  (blocks): ModuleList(\n    (0): ReLU()\n  )\n  (head): Linear(in_features=1, out_features=2, bias=True)\n)"
    )


def test_user_layer_as_a_module_trains_and_comes_back():
    net = Net([block(), block()], Linear(4, 1))
    params, state = net.init(jax.random.key(0))
    module = ft.from_functional(net, params, state)
    assert list(module.state_dict()) == list(checkpoint.flatten(params))
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)

    def loss(params):
        return jnp.mean(net.apply(params, state, x)[0] ** 2)

    grads = checkpoint.flatten(jax.grad(loss)(params))
    out = (module(ft.tensor(x)) ** 2).mean()
    out.backward()
    np.testing.assert_allclose(out.item(), loss(params), rtol=1e-6)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(parameter.grad.numpy(), grads[name], rtol=1e-5, atol=1e-6)
    layer, params2, state2 = ft.to_functional(module)
    np.testing.assert_allclose(layer.apply(params2, state2, jnp.asarray(x))[0], net.apply(params, state, x)[0], rtol=1e-6)


def test_from_functional_draws_no_random_numbers():
    layer = Linear(3, 2)
    ft.manual_seed(0)
    expected = ft.rand(3).tolist()
    ft.manual_seed(0)
    ft.from_functional(layer, *layer.init(jax.random.key(0)))
    assert ft.rand(3).tolist() == expected


def test_buffers_are_collected_through_jit_and_grad():
    layer = Sequential(Counter(2), Counter(2))
    params, state = layer.init(jax.random.key(0))

    @jax.jit
    def step(params, state, x):
        def loss(params):
            y, new_state = layer.apply(params, state, x, train=True)
            return y.sum(), new_state

        return jax.grad(loss, has_aux=True)(params)

    for calls in (1, 2, 3):
        _, state = step(params, state, jnp.ones(2))
        assert [int(state[i]["calls"]) for i in "01"] == [calls, calls]


def test_the_state_keeps_the_order_of_its_names():
    layer = layers.BatchNorm1d(2)
    params, state = layer.init(jax.random.key(0))
    _, new = layer.apply(params, state, jnp.ones((4, 2)), train=True)
    assert list(new) == list(state) == ["running_mean", "running_var", "num_batches_tracked"]


def test_a_layer_used_twice_counts_twice_and_draws_twice():
    class Twice(Layer):
        inner: Layer

        def forward(self, x):
            return self.inner(x), self.inner(x)

    layer = Twice(Counter(2))
    params, state = layer.init(jax.random.key(0))
    assert int(layer.apply(params, state, jnp.ones(2))[1]["inner"]["calls"]) == 2
    layer = Twice(Dropout(0.5))
    (a, b), _ = layer.apply({}, {}, jnp.ones(100), key=jax.random.key(0), train=True)
    assert (a != b).any()


def test_keys_come_from_paths():
    key = jax.random.key(0)
    small, _ = Net([block()], Linear(4, 1)).init(key)
    large, _ = Net([block(), block()], Linear(4, 1)).init(key)
    jax.tree.map(np.testing.assert_array_equal, small["head"], large["head"])
    jax.tree.map(np.testing.assert_array_equal, small["blocks"]["0"], large["blocks"]["0"])
    weights = [large["blocks"][i]["body"]["0"]["weight"] for i in "01"]
    assert (weights[0] != weights[1]).any()


def test_dropout_keys_come_from_paths():
    x = jnp.ones(50)
    one = Net([Dropout(0.5)], layers.Identity())
    two = Net([Dropout(0.5), Dropout(0.0)], layers.Identity())
    a, _ = one.apply({}, {}, x, key=jax.random.key(3), train=True)
    b, _ = two.apply({}, {}, x, key=jax.random.key(3), train=True)
    np.testing.assert_array_equal(a, b)


def test_dtype_of_init():
    params, state = BatchNorm1d(3).init(jax.random.key(0), dtype=jnp.bfloat16)
    assert {a.dtype for a in jax.tree.leaves(params)} == {jnp.dtype(jnp.bfloat16)}
    assert state["running_mean"].dtype == jnp.bfloat16 and state["num_batches_tracked"].dtype == jnp.int32


def test_values_have_replace_equality_and_hash():
    a = Linear(3, 2)
    assert a.replace(bias=False) == Linear(3, 2, bias=False) != a
    assert len({a, Linear(3, 2), Linear(3, 2, False)}) == 2
    assert Sequential(a, Tanh()) == Sequential(Linear(3, 2), Tanh()) != Sequential(Tanh(), a)
    assert Sequential(a, Tanh())[0] == a and len(Sequential(a, Tanh())[1:]) == 1
    attention = layers.MultiheadAttention(4, 2)
    assert attention.replace(embed_dim=6) == layers.MultiheadAttention(6, 2)
    assert attention.replace(kdim=3).replace(embed_dim=6) == layers.MultiheadAttention(6, 2, kdim=3)
    assert layers.TransformerEncoderLayer(4, 2, 8).replace(nhead=4) == layers.TransformerEncoderLayer(4, 4, 8)
    assert layers.LSTM(3, 4, bias=False).replace(proj_size=2) == layers.LSTM(3, 4, bias=False, proj_size=2)
    with pytest.raises(TypeError, match=r"Linear.replace can change \['in_features', 'out_features', 'bias'.*but got \['in_size'\]"):
        a.replace(in_size=3)
    with pytest.raises(TypeError, match=r"Sequential.replace can change \[\], but got \['layers'\]"):
        Sequential(a).replace()
    assert layers.NLLLoss(np.ones(3)) == layers.NLLLoss(np.ones(3)) != layers.NLLLoss(np.zeros(3))


def test_signature_is_visible():
    import inspect

    assert list(inspect.signature(Conv2d).parameters)[:3] == ["in_channels", "out_channels", "kernel_size"]
    assert list(inspect.signature(ft.nn.Conv2d).parameters)[-2:] == ["device", "dtype"]


# -- errors: what came, what was expected, the fix


def applied(layer, x, **kwargs):
    return layer.apply(*layer.init(jax.random.key(0)), x, **kwargs)


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (ShapeError, r"mat1 and mat2 shapes cannot be multiplied \(5x4 and 3x2\)", lambda: applied(Linear(3, 2), jnp.ones((5, 4)))),
        (ShapeError, r"expected 2D or 3D input \(got 4D input", lambda: applied(BatchNorm1d(3), jnp.ones((1, 3, 2, 2)))),
        (ShapeError, r"Expected 3D \(unbatched\) or 4D \(batched\) input to conv2d", lambda: applied(Conv2d(1, 2, 3), jnp.ones((5, 5)))),
        (DtypeError, r"linear.*int32", lambda: applied(Linear(3, 2), jnp.ones((5, 3), int))),
        (
            KeyRequiredError,
            r"Dropout\(p=0.5, inplace=False\) is stochastic .* key=key, train=True",
            lambda: applied(Dropout(), jnp.ones(3), train=True),
        ),
        (KeyRequiredError, r"Dropout.* at 'blocks.0' is stochastic", lambda: applied(Net([Dropout()], Tanh()), jnp.ones(3), train=True)),
        (
            ValueError,
            r"params of Linear do not fit the layer: missing \['bias'\]",
            lambda: Linear(3, 2).apply({"weight": 1}, {}, jnp.ones(3)),
        ),
        (
            ValueError,
            r"params of Tanh at '1' do not fit .* unknown \['w'\]",
            lambda: Sequential(ReLU(), Tanh()).apply({"1": {"w": 1}}, {}, 1),
        ),
        (TypeError, r"state of Tanh must be a dict", lambda: Tanh().apply({}, None, jnp.ones(3))),
        (TypeError, r"Linear is a description and holds no parameters", lambda: Linear(3, 2)(jnp.ones(3))),
        (TypeError, r"Sequential takes layers, but argument 1 is 3", lambda: Sequential(Tanh(), 3)),
        (NotImplementedError, r"Layer has no forward: define forward", lambda: Layer().apply({}, {}, 1)),
        (FrozenLayerError, r"use replace\(name=value\)", lambda: setattr(Linear(3, 2), "in_features", 4)),
        (ValueError, r"groups must be a positive integer", lambda: Conv2d(1, 2, 3, groups=0)),
        (ValueError, r"in_channels must be divisible by groups; got in_channels=3 and groups=2", lambda: Conv2d(3, 2, 3, groups=2)),
        (ValueError, r"dropout probability has to be between 0 and 1, but got 1.5", lambda: Dropout(1.5)),
        (ValueError, r"Padding_idx must be within num_embeddings", lambda: layers.Embedding(3, 2, padding_idx=3)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_errors_say_what_came_and_what_to_do(error, text, call):
    with pytest.raises(error, match=text):
        call()


def test_errors_note_the_layer():
    with pytest.raises(ShapeError) as info:
        applied(Net([Linear(3, 3)], Linear(4, 2)), jnp.ones((5, 3)))
    assert info.value.__notes__ == ["in layer 'head': Linear(in_features=4, out_features=2, bias=True)"]


def test_only_buffers_may_be_assigned_in_forward():
    class Bad(Layer):
        def forward(self, x):
            self.cache = x
            return x

    with pytest.raises(FrozenLayerError, match=r"'cache' can't be assigned; only its buffers \[\] may be assigned in forward"):
        Bad().apply({}, {}, 1)


# -- the compiled step is the same work as hand-written JAX, and nothing is compiled twice


def test_jitted_training_step_is_the_same_work_as_hand_written_jax():
    net = Sequential(Linear(8, 16), Tanh(), Linear(16, 4))
    params, state = net.init(jax.random.key(0))
    optimizer = optim.sgd(lr=0.1)
    opt_state = optimizer.init(params)
    x, t = jnp.ones((32, 8)), jnp.zeros(32, jnp.int32)

    traces = []

    @jax.jit
    def ours(params, opt_state, x, t):
        traces.append(params)

        def loss(params):
            return F.cross_entropy(net.apply(params, state, x)[0], t)

        value, grads = jax.value_and_grad(loss)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, value

    @jax.jit
    def by_hand(params, x, t):
        def loss(params):
            h = jnp.tanh(x @ params["0"]["weight"].T + params["0"]["bias"])
            logits = h @ params["2"]["weight"].T + params["2"]["bias"]
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), t[:, None], 1))

        value, grads = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value

    compiled = ours.lower(params, opt_state, x, t).compile()
    reference = by_hand.lower(params, x, t).compile()
    dots = [text.as_text().count(" dot(") for text in (compiled, reference)]
    assert 0 < dots[1] <= dots[0] <= dots[1] + 1  # cross entropy sums its exponentials by a product with ones
    flops = [program.cost_analysis()["flops"] for program in (compiled, reference)]
    assert flops[0] <= 1.1 * flops[1]

    ours(params, opt_state, x, t)
    before = len(traces)
    ours(params, opt_state, x, t)
    assert len(traces) == before > 0
