"""Looking inside: activations of a network that exists, gradients at them, and a map of what a class was seen by."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from funnn import Layer
from funnn import functional as F
from funnn.layers import Conv2d, Flatten, Linear, ReLU, Repeat, Residual, Sequential, Tanh
from tests.quick import quick

NET = Sequential(Conv2d(1, 4, 3, padding=1), ReLU(), Conv2d(4, 4, 3, padding=1), ReLU(), Flatten(), Linear(4 * 36, 3))
PARAMS, STATE = NET.init(jax.random.key(0))
IMAGES = jax.random.normal(jax.random.key(1), (2, 1, 6, 6))


def test_activations_are_those_of_the_network_cut_there():
    logits, _, seen = quick(lambda params, x: NET.apply(params, STATE, x, capture=True))(PARAMS, IMAGES)
    assert set(seen) == {"0", "1", "2", "3", "4", "5", ""}
    for end in range(1, 7):
        cut = {name: own for name, own in PARAMS.items() if int(name) < end}
        np.testing.assert_allclose(seen[str(end - 1)], NET[:end].apply(cut, {}, IMAGES)[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(seen[""], logits)


def test_a_gradient_weighted_activation_map():
    """Grad-CAM (Selvaraju et al., 2017): maps of the last convolution, weighted by the mean gradient of a class's logit at them."""
    place, kind = "3", 2
    zeros = jax.eval_shape(lambda: NET.apply(PARAMS, STATE, IMAGES, capture=place)[2][place])

    def logit(change):
        y, _, seen = NET.apply(PARAMS, STATE, IMAGES, capture=place, perturb={place: change})
        return y[:, kind].sum(), seen[place]

    slopes, maps = jax.grad(logit, has_aux=True)(jnp.zeros(zeros.shape))
    heat = F.relu(jnp.einsum("nc,nchw->nhw", slopes.mean((2, 3)), maps))
    # The head is linear, so the gradient at the map is the row of its weight.
    row = PARAMS["5"]["weight"][kind].reshape(1, 4, 6, 6)
    np.testing.assert_allclose(slopes, jnp.broadcast_to(row, slopes.shape), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(heat, F.relu(jnp.einsum("c,nchw->nhw", row.mean((2, 3))[0], maps)), rtol=1e-5, atol=1e-6)


class Sparse(Layer):
    """A layer that tells how much it uses."""

    linear: Linear

    def forward(self, x):
        y = F.relu(self.linear(x))
        self.sow("used", (y > 0).mean())
        return y


def test_a_penalty_on_what_was_sown():
    net = Sequential(Linear(3, 8), Repeat(Residual(Sparse(Linear(8, 8))), 4))
    params, state = net.init(jax.random.key(0))
    _, _, seen = net.apply(params, state, jnp.ones((5, 3)), capture="*.used")
    assert seen["1.layer.body.used"].shape == (4,)
    y, x = [], net[0].apply(params["0"], {}, jnp.ones((5, 3)))[0]
    for n in range(4):
        own = jax.tree.map(lambda p, n=n: p[n], params["1"]["layer"]["body"]["linear"])
        active = F.relu(F.linear(x, own["weight"], own["bias"]))
        y.append((active > 0).mean())
        x = x + active
    np.testing.assert_allclose(seen["1.layer.body.used"], jnp.stack(y), rtol=1e-6)


def test_a_linear_probe_on_a_layer_in_the_middle():
    """Ridge regression on captured activations, in closed form and by its normal equations."""
    net = Sequential(Linear(3, 16), Tanh(), Linear(16, 2))
    params, state = net.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (64, 3))
    _, _, seen = net.apply(params, state, x, capture="1")
    h, y = seen["1"], x[:, :1] ** 2
    weight = jnp.linalg.solve(h.T @ h + 1e-2 * jnp.eye(16), h.T @ y)
    np.testing.assert_allclose(h.T @ (h @ weight - y) + 1e-2 * weight, 0, atol=1e-3)
