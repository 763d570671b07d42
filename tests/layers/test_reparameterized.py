"""Layers with computed weights against torch's parametrizations, and the vector quantiser against its formulas."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from funnn.errors import ShapeError
from funnn.layers import (
    Conv2d,
    ConvTranspose1d,
    Layer,
    LayerNorm,
    Linear,
    Repeat,
    Sequential,
    SpectralNorm,
    VectorQuantizer,
    WeightNorm,
    lift,
)

KEY = jax.random.key(0)
PAIRS = {
    "linear": (Linear(5, 3), lambda: torch.nn.Linear(5, 3), (4, 5)),
    "conv": (Conv2d(3, 4, 3), lambda: torch.nn.Conv2d(3, 4, 3), (2, 3, 6, 5)),
    "transposed": (ConvTranspose1d(3, 4, 3), lambda: torch.nn.ConvTranspose1d(3, 4, 3), (2, 3, 6)),
    "vector": (LayerNorm((5,)), lambda: torch.nn.LayerNorm((5,)), (4, 5)),
}


def data(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def load(module, **arrays):
    """Give the named parameters and buffers of a torch module these values; no other may be there."""
    state = module.state_dict()
    module.load_state_dict(
        {name: torch.from_numpy(np.array(arrays[name.replace(".", "_")])).reshape(old.shape) for name, old in state.items()}
    )


def close(ours, theirs, **kwargs):
    np.testing.assert_allclose(np.asarray(ours), theirs.detach().numpy(), rtol=2e-5, atol=2e-6, **kwargs)


@pytest.mark.parametrize("dim", [0, 1, -1, None])
@pytest.mark.parametrize("kind", ["linear", "conv", "transposed"])
def test_weight_norm_matches_torch(kind, dim):
    base, make, shape = PAIRS[kind]
    layer = WeightNorm(base, dim=dim)
    params, state = layer.init(KEY)
    x = data(*shape)
    plain = base.apply(params["base_layer"], {}, x)[0]
    np.testing.assert_allclose(layer.apply(params, state, x)[0], plain, rtol=1e-5, atol=1e-6)  # it begins as it was
    params = {**params, "g": params["g"] * 1.5}
    # of a negative dim torch takes -1 for "all"
    module = torch.nn.utils.parametrizations.weight_norm(
        make(), dim=dim if dim is None else dim % len(params["base_layer"]["weight"].shape)
    )
    inner = params["base_layer"]
    load(module, bias=inner["bias"], parametrizations_weight_original0=params["g"], parametrizations_weight_original1=inner["weight"])
    y, pull = jax.vjp(lambda params: layer.apply(params, state, x)[0], params)
    out = module(torch.from_numpy(x))
    close(y, out)
    cotangent = data(*y.shape)
    (gradients,) = pull(jnp.asarray(cotangent))
    out.backward(torch.from_numpy(cotangent))
    parametrization = module.parametrizations.weight
    close(gradients["g"], parametrization.original0.grad)
    close(gradients["base_layer"]["weight"], parametrization.original1.grad)
    close(gradients["base_layer"]["bias"], module.bias.grad)


@pytest.mark.parametrize("kind", PAIRS)
def test_spectral_norm_matches_torch(kind):
    base, make, shape = PAIRS[kind]
    layer = SpectralNorm(base, n_power_iterations=2)
    params, state = layer.init(KEY)
    params = jax.tree.map(lambda a: a * 3 + 0.1, params)
    module = torch.nn.utils.parametrizations.spectral_norm(make(), n_power_iterations=2)
    inner = params["base_layer"]
    vectors = {f"parametrizations_weight_0__{name}": value for name, value in state.items()}
    load(module, bias=inner["bias"], parametrizations_weight_original=inner["weight"], **vectors)
    x = data(*shape)
    for train in (True, True, False):
        module.train(train)
        module.zero_grad()

        def run(params, state=state, train=train):
            return layer.apply(params, state, x, train=train)

        y, pull, state = jax.vjp(run, params, has_aux=True)
        out = module(torch.from_numpy(x))
        close(y, out)
        cotangent = data(*y.shape)
        (gradients,) = pull(jnp.asarray(cotangent))
        out.backward(torch.from_numpy(cotangent))
        close(gradients["base_layer"]["weight"], module.parametrizations.weight.original.grad)
        for name in state:
            close(state[name], getattr(module.parametrizations.weight[0], f"_{name}"))
    assert set(state) == (set() if kind == "vector" else {"u", "v"})


def test_spectral_norm_begins_near_the_largest_singular_value():
    layer = SpectralNorm(Linear(20, 10))
    params, state = layer.init(KEY)
    weight = layer.apply(params, state, method="computed")[0]
    assert 0.95 < float(jnp.linalg.norm(weight, 2)) < 1.05
    zero = jax.tree.map(jnp.zeros_like, params)
    assert np.isnan(layer.apply(zero, state, jnp.ones(20))[0]).all()  # as in torch


def test_computed_weights_inside_others():
    net = Sequential(WeightNorm(Linear(None, 4)), SpectralNorm(Linear(4, 2)))
    params, state = net.init(KEY, jnp.ones((5, 3)))
    net = net.with_sizes(jnp.ones((5, 3)))
    assert params["0"]["g"].shape == (4, 1) and params["0"]["base_layer"]["weight"].shape == (4, 3)
    np.testing.assert_allclose(params["0"]["g"][:, 0], jnp.linalg.norm(params["0"]["base_layer"]["weight"], axis=1), rtol=1e-6)
    step = jax.jit(lambda params, state: net.apply(params, state, jnp.ones((5, 3)), train=True))
    y, new = step(params, state)
    assert y.shape == (5, 2) and bool((new["1"]["u"] != state["1"]["u"]).any())
    stack, single = Repeat(SpectralNorm(Linear(3, 3)), 2), SpectralNorm(Linear(3, 3))
    params, state = stack.init(KEY)
    y, new = stack.apply(params, state, jnp.ones(3), train=True)
    expected = jnp.ones(3)
    for i in range(2):
        one_params, one_state = jax.tree.map(lambda a, i=i: a[i], (params["layer"], state["layer"]))
        expected, one_new = single.apply(one_params, one_state, expected, train=True)
        np.testing.assert_allclose(new["layer"]["u"][i], one_new["u"], rtol=1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_wrong_arguments():
    for call, text in (
        (lambda: WeightNorm(Linear(3, 2), name="kernel"), r"WeightNorm: 'kernel' is no parameter of Linear.*; it has \['weight', 'bias'\]"),
        (lambda: WeightNorm(Linear(3, 2), dim=2), "dim must be None or an axis of the weight of rank 2, but got dim=2"),
        (lambda: SpectralNorm(Linear(3, 2), dim=-3), "dim must be an axis of the weight of rank 2, but got dim=-3"),
        (lambda: SpectralNorm(Linear(3, 2), n_power_iterations=0), "n_power_iterations must be positive, but got n_power_iterations=0"),
        (lambda: VectorQuantizer(0, 2), "must be positive, but got 0 and 2"),
        (lambda: VectorQuantizer(3, 2, decay=1.0), r"decay must be in \[0, 1\), or None, but got decay=1.0"),
    ):
        with pytest.raises(ValueError, match=text):
            call()


def layer_with(forward):
    return type("Made", (Layer,), {"__annotations__": {"body": Layer}, "forward": forward})(Sequential(Linear(3, 2), LayerNorm((2,))))


def test_substituted_parameters_have_gradients_and_go_back():
    def forward(self, x, weight):
        before = self.body(x)
        with lift.substituted(self.body, {"0": {"weight": weight}, "1.bias": jnp.ones(2)}) as body:
            inside = body(x)
            scanned = lift.scan(lambda body, carry, x: (carry, body(x)), body, 0, x)[1]
        return before, inside, scanned, self.body(x)

    layer = layer_with(forward)
    params, state = layer.init(KEY)
    x, weight = data(4, 3), data(2, 3)
    before, inside, scanned, after = layer.apply(params, state, x, weight)[0]
    inner = params["body"]
    other = {"0": {**inner["0"], "weight": weight}, "1": {**inner["1"], "bias": jnp.ones(2)}}
    expected = layer.body.apply(other, {}, x)[0]
    np.testing.assert_allclose(inside, expected, rtol=1e-6)
    np.testing.assert_allclose(scanned, expected, rtol=1e-5, atol=1e-6)
    assert bool((before == after).all()) and not np.allclose(before, inside)
    ours = jax.grad(lambda w: layer.apply(params, state, x, w)[0][1][:, 0].sum())(weight)
    theirs = jax.grad(lambda w: layer.body.apply({**other, "0": {**inner["0"], "weight": w}}, {}, x)[0][:, 0].sum())(weight)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_substituting_what_is_not_there():
    def forward(self, values):
        with lift.substituted(self.body, values):
            return self.body(jnp.ones(3))

    layer = layer_with(forward)
    variables = layer.init(KEY)
    with pytest.raises(
        ValueError, match=r"'0.kernel' is no parameter of Sequential; it has \['0.bias', '0.weight', '1.bias', '1.weight'\]"
    ):
        layer.apply(*variables, {"0.kernel": jnp.ones(2)})
    with pytest.raises(ValueError, match=r"'0.bias' has shape \(2,\), but got \(3,\)"):
        layer.apply(*variables, {"1.bias": jnp.ones(2), "0.bias": jnp.ones(3)})
    with pytest.raises(TypeError, match="layers inside forward"), lift.substituted(Linear(3, 2), {}):
        pass


# -- vector quantisation


def test_the_nearest_vectors_are_chosen_and_gradients_pass():
    layer = VectorQuantizer(7, 3)
    params, state = layer.init(KEY)
    z = data(2, 5, 3)
    (quantized, indices, loss), same = layer.apply(params, state, z)
    codebook = np.asarray(state["codebook"])
    expected = np.argmin(((z[..., None, :] - codebook) ** 2).sum(-1), -1)
    assert (np.asarray(indices) == expected).all() and indices.dtype == jnp.int32
    np.testing.assert_allclose(quantized, codebook[expected], rtol=1e-6)
    np.testing.assert_allclose(loss, 0.25 * ((z - codebook[expected]) ** 2).mean(), rtol=1e-5)
    assert all((same[name] == state[name]).all() for name in state)  # evaluation changes nothing
    assert (layer.apply(params, state, indices, method="lookup")[0] == codebook[expected]).all()
    weights = data(2, 5, 3)
    straight = jax.grad(lambda z: (layer.apply(params, state, z)[0].quantized * weights).sum())(z)
    np.testing.assert_allclose(straight, weights)
    of_loss = jax.grad(lambda z: layer.apply(params, state, z)[0].loss)(z)
    np.testing.assert_allclose(of_loss, 0.5 * (z - codebook[expected]) / z.size, rtol=1e-5, atol=1e-8)
    with pytest.raises(ShapeError, match=r"last axis must be embedding_dim=3, but got"):
        layer.apply(params, state, jnp.ones((3, 2)))


def test_moving_averages_follow_the_paper():
    layer = VectorQuantizer(4, 2, decay=0.9, eps=1e-5)
    params, state = layer.init(KEY)
    sizes, sums, codebook = np.ones(4), np.asarray(state["codebook"], np.float64), np.asarray(state["codebook"], np.float64)
    np.testing.assert_allclose(state["cluster_sum"], sums)
    for step in range(3):
        z = np.random.default_rng(step).standard_normal((6, 2)).astype(np.float32)
        chosen = np.argmin(((z[:, None] - codebook) ** 2).sum(-1), -1)
        one_hot = np.eye(4)[chosen]
        sizes, sums = 0.9 * sizes + 0.1 * one_hot.sum(0), 0.9 * sums + 0.1 * one_hot.T @ z
        smooth = (sizes + 1e-5) / (sizes.sum() + 4e-5) * sizes.sum()
        codebook = sums / smooth[:, None]
        _, state = layer.apply(params, state, z, train=True)
        np.testing.assert_allclose(state["codebook"], codebook, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(state["cluster_size"], sizes, rtol=1e-6)


def test_a_codebook_of_averages_finds_the_clusters():
    centres = jnp.array([[5.0, 5.0], [-5.0, 5.0], [0.0, -5.0]])
    layer = VectorQuantizer(3, 2, decay=0.8)
    params, state = layer.init(KEY)
    state = {**state, "codebook": centres * 0.2, "cluster_sum": centres * 0.2}

    @jax.jit
    def step(state, key):
        z = jnp.tile(centres, (20, 1)) + 0.1 * jax.random.normal(key, (60, 2))
        return layer.apply(params, state, z, train=True)

    for number in range(50):
        (_, _, loss), state = step(state, jax.random.key(number))
    np.testing.assert_allclose(state["codebook"], centres, atol=0.1)
    assert float(loss) < 0.01


def test_a_codebook_that_is_a_parameter_learns_by_its_loss():
    layer = VectorQuantizer(3, 2, decay=None)
    params, state = layer.init(KEY)
    z = data(8, 2)
    (_, indices, loss), new = layer.apply(params, state, z, train=True)
    chosen = np.asarray(params["codebook"])[np.asarray(indices)]
    np.testing.assert_allclose(loss, 1.25 * ((z - chosen) ** 2).mean(), rtol=1e-5)
    gradient = jax.grad(lambda params: layer.apply(params, state, z)[0].loss)(params)["codebook"]
    expected = np.zeros((3, 2))
    np.add.at(expected, np.asarray(indices), 2 * (chosen - z) / z.size)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-7)
    assert new == {}
