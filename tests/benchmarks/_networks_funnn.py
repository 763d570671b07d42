"""More of the benchmark's models as funnn Layers, with the names of ``_networks_torch``."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from funnn import functional as F
from funnn.layers import (
    GELU,
    GRU,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose2d,
    Embedding,
    Flatten,
    Layer,
    LayerNorm,
    Linear,
    MaxPool1d,
    MaxPool3d,
    ReLU,
    ReLU6,
    Sequential,
)
from tests.benchmarks._models_funnn import step_of


def double(c: int, out: int) -> Layer:
    pairs = ((c, out), (out, out))
    return Sequential(*(part for i, o in pairs for part in (Conv2d(i, o, 3, padding=1, bias=False), BatchNorm2d(o), ReLU())))


class UNet(Layer):
    def __post_init__(self):
        self.down1, self.down2, self.middle = double(3, 16), double(16, 32), double(32, 64)
        self.up2, self.merge2 = ConvTranspose2d(64, 32, 2, 2), double(64, 32)
        self.up1, self.merge1 = ConvTranspose2d(32, 16, 2, 2), double(32, 16)
        self.head = Conv2d(16, 4, 1)

    def forward(self, x):
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        x = self.up2(self.middle(F.max_pool2d(two, 2)))
        x = self.up1(self.merge2(jnp.concatenate([two, x], 1)))
        return self.head(self.merge1(jnp.concatenate([one, x], 1))).transpose(0, 2, 3, 1)


class Inverted(Layer):
    c: int
    out: int
    stride: int

    def __post_init__(self):
        c, out, wide = self.c, self.out, 4 * self.c
        self.body = Sequential(
            *(Conv2d(c, wide, 1, bias=False), BatchNorm2d(wide), ReLU6()),
            *(Conv2d(wide, wide, 3, self.stride, 1, groups=wide, bias=False), BatchNorm2d(wide), ReLU6()),
            *(Conv2d(wide, out, 1, bias=False), BatchNorm2d(out)),
        )

    def forward(self, x):
        return x + self.body(x) if self.c == self.out and self.stride == 1 else self.body(x)


class MobileNet(Layer):
    def __post_init__(self):
        self.stem = Sequential(Conv2d(3, 16, 3, padding=1, bias=False), BatchNorm2d(16), ReLU6())
        sizes = [(16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 32, 2), (32, 32, 1), (32, 64, 2)]
        self.blocks = Sequential(*(Inverted(*size) for size in sizes))
        self.last = Sequential(Conv2d(64, 128, 1, bias=False), BatchNorm2d(128), ReLU6())
        self.head = Linear(128, 10)

    def forward(self, x):
        return self.head(self.last(self.blocks(self.stem(x))).mean((2, 3)))


class SelfAttention(Layer):
    d: int
    heads: int

    def __post_init__(self):
        self.qkv, self.out = Linear(self.d, 3 * self.d), Linear(self.d, self.d)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).transpose(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(0, 2, 1, 3).reshape(n, t, d))


class Encoder(Layer):
    d: int

    def __post_init__(self):
        d = self.d
        self.n1, self.attention, self.n2 = LayerNorm(d), SelfAttention(d, 4), LayerNorm(d)
        self.mlp = Sequential(Linear(d, 4 * d), GELU(), Linear(4 * d, d))

    def forward(self, x):
        x = x + self.attention(self.n1(x))
        return x + self.mlp(self.n2(x))


class ViT(Layer):
    d: int = 128

    def __post_init__(self):
        d = self.d
        self.patches, self.places = Conv2d(3, d, 4, 4), Embedding(64, d)
        self.blocks = Sequential(*(Encoder(d) for _ in range(4)))
        self.norm, self.head = LayerNorm(d), Linear(d, 10)

    def forward(self, x):
        x = self.patches(x)
        x = x.reshape(*x.shape[:2], -1).swapaxes(1, 2) + self.places.weight
        return self.head(self.norm(self.blocks(x)).mean(1))


class Tagger(Layer):
    def __post_init__(self):
        self.tokens, self.rnn = Embedding(1000, 128), GRU(128, 128, batch_first=True, bidirectional=True)
        self.head = Linear(256, 20)

    def forward(self, x):
        return self.head(self.rnn(self.tokens(x))[0])


def conv1d() -> Layer:
    parts = (p for c, o in itertools.pairwise((8, 32, 64, 64)) for p in (Conv1d(c, o, 5, padding=2), ReLU(), MaxPool1d(4)))
    return Sequential(*parts, Flatten(), Linear(64 * 16, 10))


def conv3d() -> Layer:
    parts = (p for c, o in itertools.pairwise((1, 8, 16, 32)) for p in (Conv3d(c, o, 3, padding=1), ReLU(), MaxPool3d(2)))
    return Sequential(*parts, Flatten(), Linear(32 * 2 * 4 * 4, 10))


MODELS = {"unet": UNet, "mobilenet": MobileNet, "vit": ViT, "gru": Tagger, "conv1d": conv1d, "conv3d": conv3d}


def model(row: str) -> Layer:
    return MODELS[row]()


def step(row: str, x: np.ndarray, y: np.ndarray) -> tuple[Callable, int]:
    return step_of(model(row), x, y)
