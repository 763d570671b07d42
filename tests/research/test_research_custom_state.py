"""A codebook that follows its data by moving averages (van den Oord et al., 2017, appendix A.1), as a layer's state."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import funnn
from funnn import Layer, init, optim
from funnn import functional as F
from funnn.layers import Buffer, Linear, Sequential
from tests.quick import quick

CODES, WIDTH, DECAY, EPS = 6, 4, 0.9, 1e-5


class Codebook(Layer):
    """x (N, width) -> the nearest code of each, with the gradient of x, its number, and the commitment loss."""

    codes: int
    width: int
    decay: float = DECAY

    def spec(self):
        return {
            "embedding": Buffer((self.codes, self.width), init.normal),
            "count": Buffer((self.codes,), init.ones),
            "total": Buffer((self.codes, self.width), init.zeros),
        }

    def forward(self, x):
        distance = jnp.square(x[:, None] - self.embedding).sum(-1)
        number = distance.argmin(-1)
        code = self.embedding[number]
        if self.training:
            hot = jax.nn.one_hot(number, self.codes)
            frozen = jax.lax.stop_gradient(x)
            self.count = self.decay * self.count + (1 - self.decay) * hot.sum(0)
            self.total = self.decay * self.total + (1 - self.decay) * hot.T @ frozen
            size = (self.count + EPS) / (self.count.sum() + self.codes * EPS) * self.count.sum()
            self.embedding = self.total / size[:, None]
        return x + jax.lax.stop_gradient(code - x), number, jnp.square(x - jax.lax.stop_gradient(code)).mean()


def test_the_update_is_that_of_the_paper():
    layer = Codebook(CODES, WIDTH)
    _, state = layer.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    embedding, count, total = (np.array(state[name], np.float64) for name in ("embedding", "count", "total"))
    step = quick(lambda state, x: layer.apply({}, state, x, train=True))
    for _ in range(5):
        x = rng.standard_normal((32, WIDTH)).astype(np.float32)
        (y, number, _), state = step(state, x)
        nearest = ((x[:, None] - embedding) ** 2).sum(-1).argmin(-1)
        np.testing.assert_array_equal(number, nearest)
        np.testing.assert_allclose(y, embedding[nearest], rtol=1e-4, atol=1e-5)
        for code in range(CODES):
            chosen = x[nearest == code]
            count[code] = DECAY * count[code] + (1 - DECAY) * len(chosen)
            total[code] = DECAY * total[code] + (1 - DECAY) * chosen.sum(0)
        size = (count + EPS) / (count.sum() + CODES * EPS) * count.sum()
        embedding = total / size[:, None]
        np.testing.assert_allclose(state["embedding"], embedding, rtol=1e-4, atol=1e-5)
    _, same = layer.apply({}, state, jnp.asarray(x))
    jax.tree.map(np.testing.assert_array_equal, same, state)


def test_gradients_go_straight_through():
    layer = Codebook(CODES, WIDTH)
    _, state = layer.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, WIDTH))
    slope = jax.grad(lambda x: jnp.sum(layer.apply({}, state, x, train=True)[0][0] * jnp.arange(WIDTH)))(x)
    np.testing.assert_array_equal(slope, jnp.broadcast_to(jnp.arange(WIDTH), x.shape))


class Autoencoder(Layer):
    encoder: Linear
    codebook: Codebook
    decoder: Linear

    def forward(self, x):
        code, _, commitment = self.codebook(self.encoder(x))
        return self.decoder(code), commitment


def test_it_trains_inside_a_network_and_in_a_scan():
    """Data of four points: in the end four codes are theirs, and the commitment is next to nothing."""
    points = jnp.array([[3.0, 0], [0, 3], [-3, 0], [0, -3]])
    net = Autoencoder(Linear(2, WIDTH), Codebook(16, WIDTH), Linear(WIDTH, 2))

    def loss(output, target):
        y, commitment = output
        return F.mse_loss(y, target) + 0.25 * commitment, {"commitment": commitment}

    start, step, evaluate = funnn.train_step(net, loss, optim.adam(lr=1e-2))

    def one(state, key):
        x = points[jax.random.randint(key, (64,), 0, 4)]
        return step(state, (x, x))

    train_state, _ = quick(lambda state, keys: jax.lax.scan(one, state, keys))(
        start(jax.random.key(0)), jax.random.split(jax.random.key(1), 400)
    )
    metrics = evaluate(train_state, (points, points))
    (_, numbers, _), _ = net.codebook.apply(
        {}, train_state.state["codebook"], net.encoder.apply(train_state.params["encoder"], {}, points)[0]
    )
    assert metrics["commitment"] < 1e-2 and metrics["loss"] < 5e-2 and len(set(numbers.tolist())) == 4
    assert list(Sequential(net).init(jax.random.key(0))[1]["0"]) == ["codebook"]
