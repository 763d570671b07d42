"""Handwritten digits with a LeNet, the functional way: a Layer, its parameters, and one compiled training step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import optax

from funnn import Layer
from funnn import functional as F
from funnn.layers import Conv2d, Linear


class LeNet(Layer):
    """Two convolutions with pooling, three fully connected layers: (N, 1, S, S) -> (N, 10). Make one with :func:`lenet`."""

    conv1: Conv2d
    conv2: Conv2d
    fc1: Linear
    fc2: Linear
    fc3: Linear

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.reshape(x.shape[0], -1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def lenet(image_size: int) -> LeNet:
    """The LeNet for images of ``image_size`` × ``image_size`` pixels, as in digits_torch.py.

    >>> lenet(8).fc1
    Linear(in_features=64, out_features=120, bias=True)
    """
    kernel_size = 5 if image_size >= 16 else 3
    return LeNet(
        conv1=Conv2d(1, 6, kernel_size, padding=kernel_size // 2),
        conv2=Conv2d(6, 16, kernel_size, padding=kernel_size // 2),
        fc1=Linear(16 * (image_size // 4) ** 2, 120),
        fc2=Linear(120, 84),
        fc3=Linear(84, 10),
    )


def make_train_step(layer: Layer, optimizer: optax.GradientTransformation) -> Callable:
    """``train_step(params, opt_state, images, labels) -> (params, opt_state, loss)``: gradient and update as one program.

    The memory of ``params`` and ``opt_state`` is reused for the new ones, so a caller must not use the old ones again.
    """

    def loss_of(params: Any, images: jax.Array, labels: jax.Array) -> jax.Array:
        logits, _ = layer.apply(params, {}, images, train=True)
        return F.cross_entropy(logits, labels)

    @partial(jax.jit, donate_argnums=(0, 1))
    def train_step(params: Any, opt_state: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, Any, jax.Array]:
        loss, grads = jax.value_and_grad(loss_of)(params, images, labels)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, loss

    return train_step


def accuracy(layer: Layer, params: Any, images: jax.Array, labels: jax.Array) -> float:
    """The share of images whose largest output is at their label."""
    logits, _ = jax.jit(layer.apply)(params, {}, images)
    return float((logits.argmax(1) == labels).mean())
