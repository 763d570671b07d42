"""Denoising diffusion: a network learns to take a little noise away from 8×8 digits, and then makes digits out of noise alone.

    python -m funnn.examples.ddpm --out docs/pictures/ddpm.png

It shows a layer of one's own with several inputs, ``Repeat`` with a second argument that every block is given, batches drawn inside the scan
that trains, and the whole chain of sampling as one scan. Ho et al., "Denoising diffusion probabilistic models" (2020); the blocks are modulated
by time and label as in Peebles and Xie, "Scalable diffusion models with transformers" (2022).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import funnn
from funnn import Layer, optim
from funnn import functional as F
from funnn.examples._plot import new_figure, save
from funnn.examples.data import load_digits
from funnn.layers import Embedding, LayerNorm, Linear, Repeat, Sequential, SiLU

#: How many times noise is added, how much at each time (β), and how much of the image is left (ᾱ, the product of all 1 − β so far).
TIMES = 200
BETA = np.linspace(5e-4, 0.1, TIMES, dtype=np.float32)
ALPHA_BAR = np.cumprod(1 - BETA)


class Block(Layer):
    """x + mlp(scale · norm(x) + shift); the condition (N, width) decides scale and shift."""

    norm: LayerNorm
    modulation: Linear
    mlp: Sequential

    def forward(self, x, condition):
        scale, shift = jnp.split(self.modulation(condition), 2, axis=-1)
        return x + self.mlp((1 + scale) * self.norm(x) + shift)


class Denoiser(Layer):
    """Noisy images (N, 64), times (N,) and labels (N,) -> the noise in them (N, 64). Make one with :func:`denoiser`."""

    image: Linear
    time: Sequential
    label: Embedding
    blocks: Repeat
    out: Linear

    def forward(self, noisy, time, label):
        frequencies = jnp.exp(-jnp.log(1e3) * jnp.arange(32) / 32)
        angles = time[:, None] * frequencies
        waves = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
        condition = F.silu(self.time(waves) + self.label(label))
        return self.out(self.blocks(self.image(noisy), condition))


def denoiser(width: int = 192, depth: int = 4) -> Denoiser:
    """A denoiser of ``depth`` equal blocks."""
    mlp = Sequential(Linear(width, 2 * width), SiLU(), Linear(2 * width, width))
    block = Block(LayerNorm(width, elementwise_affine=False), Linear(width, 2 * width), mlp)
    time = Sequential(Linear(64, width), SiLU(), Linear(width, width))
    return Denoiser(Linear(64, width), time, Embedding(10, width), Repeat(block, depth), Linear(width, 64))


def draw_batch(images: jax.Array, labels: jax.Array, key: jax.Array, batch_size: int) -> tuple[tuple, jax.Array]:
    """((√ᾱ·image + √(1−ᾱ)·noise, time, label), noise): random images (M, 64) at random times, and the noise that is to be found."""
    row_key, time_key, noise_key = jax.random.split(key, 3)
    rows = jax.random.randint(row_key, (batch_size,), 0, len(images))
    time = jax.random.randint(time_key, (batch_size,), 0, TIMES)
    noise = jax.random.normal(noise_key, (batch_size, images.shape[1]))
    left = jnp.asarray(ALPHA_BAR)[time, None]
    return (jnp.sqrt(left) * images[rows] + jnp.sqrt(1 - left) * noise, time, labels[rows]), noise


@partial(jax.jit, static_argnames="net")
def sample(net: Denoiser, params: Any, key: jax.Array, labels: jax.Array) -> jax.Array:
    """Images of these labels (N,) on their way from noise: (TIMES + 1, N, 64), the last of them finished."""
    beta, alpha_bar = jnp.asarray(BETA), jnp.asarray(ALPHA_BAR)

    def less_noise(x: jax.Array, time: jax.Array) -> tuple[jax.Array, jax.Array]:
        noise, _ = net.apply(params, {}, x, jnp.full(len(x), time), labels)
        mean = (x - beta[time] / jnp.sqrt(1 - alpha_bar[time]) * noise) / jnp.sqrt(1 - beta[time])
        before = jnp.where(time > 0, alpha_bar[time - 1], 1.0)
        deviation = jnp.sqrt(beta[time] * (1 - before) / (1 - alpha_bar[time]))
        x = mean + deviation * jax.random.normal(jax.random.fold_in(key, time), x.shape)
        return x, x

    first = jax.random.normal(jax.random.fold_in(key, TIMES), (len(labels), 64))
    return jnp.concatenate([first[None], jax.lax.scan(less_noise, first, jnp.arange(TIMES)[::-1])[1]])


def nearest(images: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each image (N, 64) the number of the nearest one of the others, and the distance to it."""
    distances = np.sqrt(((images[:, None] - others[None]) ** 2).sum(-1))
    return distances.argmin(1), distances.min(1)


def tiles(images: np.ndarray) -> np.ndarray:
    """Images (rows, columns, 64) as one image, with a gap of one pixel between them."""
    padded = np.pad(images.reshape(*images.shape[:2], 8, 8), ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    return padded.transpose(0, 2, 1, 3).reshape(9 * images.shape[0], 9 * images.shape[1])[:-1, :-1]


def draw(path: np.ndarray, out: str) -> None:
    """The way of one digit of each label from noise (left), and the ends of other ways (right). path: (TIMES + 1, 100, 64)."""
    shown = np.array([0, 80, 110, 130, 145, 160, 170, 180, 190, TIMES])
    ways = path[shown, ::10].swapaxes(0, 1)
    ends = path[-1].reshape(10, 10, 64)[:, 1:]
    figure = new_figure(11, 5.9)
    left, right = figure.subplots(1, 2, width_ratios=(10, 9))
    for axes, images in ((left, ways), (right, ends)):
        axes.imshow(tiles(images), cmap="gray_r", vmin=-1, vmax=1)
        axes.set_yticks(9 * np.arange(10) + 3.5, range(10))
        axes.set_ylabel("digit that was asked for")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    left.set_xticks(9 * np.arange(10) + 3.5, TIMES - shown)
    left.set_xlabel("steps of noise that are left")
    left.set_title("From noise to a digit", loc="left", fontsize=10)
    right.set_xticks([])
    right.set_xlabel("nine more, each from other noise")
    right.set_title("What comes out", loc="left", fontsize=10)
    save(figure, out)


def main(arguments: Sequence[str] | None = None) -> np.ndarray:
    """Train, sample, draw; returns the loss of each step."""
    parser = argparse.ArgumentParser(description="Train a diffusion model on the digits that come with funnn.")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="ddpm.png")
    options = parser.parse_args(arguments)

    train_images, train_labels, test_images, _ = load_digits()
    train_images, test_images = (2 * images.reshape(-1, 64) - 1 for images in (train_images, test_images))
    images, labels = jnp.asarray(train_images), jnp.asarray(train_labels)
    net = denoiser(options.width)
    schedule = optim.schedules.one_cycle_lr(2e-3, total_steps=options.steps + 1, pct_start=0.05)
    start, step, _ = funnn.train_step(net, F.mse_loss, optim.adamw(lr=schedule))
    key = jax.random.key(options.seed)
    train_state = jax.jit(start)(key)
    print(f"{sum(leaf.size for leaf in jax.tree.leaves(train_state.params)):,} parameters, {len(images):,} images")

    @partial(jax.jit, donate_argnums=0)
    def train(train_state: funnn.TrainState, keys: jax.Array) -> tuple[funnn.TrainState, jax.Array]:
        def one(train_state: funnn.TrainState, key: jax.Array) -> tuple[funnn.TrainState, jax.Array]:
            train_state, metrics = step(train_state, draw_batch(images, labels, key, options.batch_size))
            return train_state, metrics["loss"]

        return jax.lax.scan(one, train_state, keys)

    losses = []
    for keys in jnp.array_split(jax.random.split(jax.random.fold_in(key, 1), options.steps), 10):
        train_state, piece = train(train_state, keys)
        losses.append(np.asarray(piece))
        print(f"step {train_state.step.item():5d}  loss {losses[-1].mean():.4f}")

    asked = np.repeat(np.arange(10), 10)
    path = np.asarray(sample(net, train_state.params, jax.random.fold_in(key, 2), jnp.asarray(asked)))
    found, distance = nearest(path[-1], train_images)
    print(
        f"{(train_labels[found] == asked).mean():.0%} of 100 digits made are nearest to a training image of the label that was asked for;"
    )
    print(
        f"the distance to that image is {np.median(distance):.2f}, for test images it is {np.median(nearest(test_images, train_images)[1]):.2f}"
    )
    draw(path, options.out)
    return np.concatenate(losses)


if __name__ == "__main__":
    main()
