"""More of the benchmark's models as plain JAX with textbook formulas, on the parameters of ``_networks_funnn``."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.benchmarks import _networks_funnn
from tests.benchmarks._models_textbook import batch_norm, conv, layer_norm, linear, max_pool, step_of


def relu6(x):
    return jnp.clip(x, 0, 6)


def conv_transpose(p, x, stride, padding):
    """torch's: the kernel (in, out, k, k) is that of the convolution whose gradient this is."""
    k = p["weight"].shape[-1]
    pads = [(k - 1 - padding, k - 1 - padding)] * 2
    kernel = jnp.flip(p["weight"], (2, 3))
    y = lax.conv_general_dilated(x, kernel, (1, 1), pads, lhs_dilation=(stride, stride), dimension_numbers=("NCHW", "IOHW", "NCHW"))
    return y + p["bias"][:, None, None] if "bias" in p else y


def double(p, x):
    x = jax.nn.relu(batch_norm(p["1"], conv(p["0"], x, padding=1)))
    return jax.nn.relu(batch_norm(p["4"], conv(p["3"], x, padding=1)))


def unet(p, x):
    one = double(p["down1"], x)
    two = double(p["down2"], max_pool(one))
    x = conv_transpose(p["up2"], double(p["middle"], max_pool(two)), 2, 0)
    x = conv_transpose(p["up1"], double(p["merge2"], jnp.concatenate([two, x], 1)), 2, 0)
    return conv(p["head"], double(p["merge1"], jnp.concatenate([one, x], 1))).transpose(0, 2, 3, 1)


def inverted(p, x, stride):
    body = p["body"]
    y = relu6(batch_norm(body["1"], conv(body["0"], x)))
    y = relu6(batch_norm(body["4"], conv(body["3"], y, stride, 1, groups=y.shape[1])))
    y = batch_norm(body["7"], conv(body["6"], y))
    return x + y if x.shape == y.shape else y


def mobilenet(p, x):
    x = relu6(batch_norm(p["stem"]["1"], conv(p["stem"]["0"], x, padding=1)))
    for i, stride in enumerate((1, 2, 1, 2, 1, 2)):
        x = inverted(p["blocks"][str(i)], x, stride)
    x = relu6(batch_norm(p["last"]["1"], conv(p["last"]["0"], x)))
    return linear(p["head"], x.mean((2, 3)))


def attention(p, x, heads=4):
    n, t, d = x.shape
    q, k, v = jnp.moveaxis(linear(p["qkv"], x).reshape(n, t, 3, heads, d // heads), 2, 0)
    weights = jax.nn.softmax(jnp.einsum("nqhd,nkhd->nhqk", q, k) / np.sqrt(d // heads), -1)
    return linear(p["out"], jnp.einsum("nhqk,nkhd->nqhd", weights, v).reshape(n, t, d))


def vit(p, x):
    x = conv(p["patches"], x, 4)
    x = x.reshape(*x.shape[:2], -1).swapaxes(1, 2) + p["places"]["weight"]
    for i in range(4):
        block = p["blocks"][str(i)]
        x = x + attention(block["attention"], layer_norm(block["n1"], x))
        x = x + linear(block["mlp"]["2"], jax.nn.gelu(linear(block["mlp"]["0"], layer_norm(block["n2"], x)), approximate=False))
    return linear(p["head"], layer_norm(p["norm"], x).mean(1))


def gru_direction(p, x, suffix):
    w, u, b, c = (p[f"{name}_l0{suffix}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))

    def cell(h, x):
        xr, xz, xn = jnp.split(x @ w.T + b, 3, -1)
        hr, hz, hn = jnp.split(h @ u.T + c, 3, -1)
        r, z = jax.nn.sigmoid(xr + hr), jax.nn.sigmoid(xz + hz)
        h = (1 - z) * jnp.tanh(xn + r * hn) + z * h
        return h, h

    return lax.scan(cell, jnp.zeros((x.shape[1], u.shape[1])), x, reverse=bool(suffix))[1]


def gru(p, x):
    x = p["tokens"]["weight"][x].swapaxes(0, 1)
    both = [gru_direction(p["rnn"], x, suffix) for suffix in ("", "_reverse")]
    return linear(p["head"], jnp.concatenate(both, -1).swapaxes(0, 1))


def convolutions(size):
    """Convolutions with padding, each with a maximum over windows of ``size`` behind it."""

    def net(p, x):
        n = x.ndim - 2
        axes = "DHW"[-n:]
        *convs, head = (p[name] for name in sorted(p, key=int))
        for c in convs:
            pads = [(s // 2, s // 2) for s in c["weight"].shape[2:]]
            x = lax.conv_general_dilated(x, c["weight"], (1,) * n, pads, dimension_numbers=("NC" + axes, "OI" + axes, "NC" + axes))
            x = jax.nn.relu(x + c["bias"].reshape(-1, *(1,) * n))
            window = (1, 1, *(size,) * n)
            x = lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
        return linear(head, x.reshape(x.shape[0], -1))

    return net


MODELS = {"unet": unet, "mobilenet": mobilenet, "vit": vit, "gru": gru, "conv1d": convolutions(4), "conv3d": convolutions(2)}


def step(row: str, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    return step_of(MODELS[row], _networks_funnn.model(row), x, y)
