"""A residual network with batch normalisation on handwritten digits, with augmentation and a cosine schedule.

    python -m funnn.examples.resnet --out docs/pictures/resnet.png

It shows buffers: ``BatchNorm2d``'s running statistics are the ``state`` that training returns and evaluation uses. An epoch is one compiled
program: the images are shifted and turned on the device, and a scan runs ``step`` over the batches. He et al., "Deep residual learning for image
recognition" (2015); Loshchilov and Hutter, "SGDR" (2016) for the schedule.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import funnn
from funnn import functional as F
from funnn import optim
from funnn.examples._plot import BLUE, VERMILION, new_figure, save, tidy
from funnn.examples.data import load_digits
from funnn.layers import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, ReLU, Residual, Sequential


def block(channels_in: int, channels: int, stride: int = 1) -> Sequential:
    """Two 3×3 convolutions around which the input passes; where its shape changes, through a 1×1 convolution."""
    body = Sequential(
        Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False),
        BatchNorm2d(channels),
        ReLU(),
        Conv2d(channels, channels, 3, padding=1, bias=False),
        BatchNorm2d(channels),
    )
    if stride == 1 and channels_in == channels:
        return Sequential(Residual(body), ReLU())
    shortcut = Sequential(Conv2d(channels_in, channels, 1, stride=stride, bias=False), BatchNorm2d(channels))
    return Sequential(Residual(body, shortcut), ReLU())


def resnet(width: int = 16) -> Sequential:
    """The network: images (N, 1, S, S) -> logits (N, 10)."""
    stem = Conv2d(1, width, 3, padding=1, bias=False)
    blocks = block(width, width), block(width, 2 * width, stride=2), block(2 * width, 4 * width, stride=2)
    return Sequential(stem, BatchNorm2d(width), ReLU(), *blocks, AdaptiveAvgPool2d(1), Flatten(), Linear(4 * width, 10))


def augment(images: jax.Array, key: jax.Array, shift: float = 0.125, turn: float = 0.17, scale: float = 0.1) -> jax.Array:
    """Each image (N, 1, S, S) moved by up to ``shift`` of its half size, turned by up to ``turn`` radians, scaled by up to ``scale``."""
    count = len(images)
    move_key, turn_key, scale_key = jax.random.split(key, 3)
    angle = jax.random.uniform(turn_key, (count,), minval=-turn, maxval=turn)
    size = 1 + jax.random.uniform(scale_key, (count, 1, 1), minval=-scale, maxval=scale)
    move = jax.random.uniform(move_key, (count, 2, 1), minval=-shift, maxval=shift)
    rotation = jnp.stack([jnp.cos(angle), -jnp.sin(angle), jnp.sin(angle), jnp.cos(angle)], -1).reshape(count, 2, 2)
    grid = F.affine_grid(jnp.concatenate([size * rotation, move], -1), images.shape, align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def loss_of(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Cross entropy, and as metrics the accuracy and the logits."""
    return F.cross_entropy(logits, labels), {"accuracy": (logits.argmax(1) == labels).mean(), "logits": logits}


def draw(curves: dict[str, np.ndarray], images: np.ndarray, labels: np.ndarray, logits: np.ndarray, out: str) -> None:
    """Loss and errors of each epoch, and the nine test images whose true digit got the lowest probability."""
    figure = new_figure(11, 5)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.5, 1))
    left, right = top.subplots(1, 2)
    epochs = np.arange(1, len(curves["train loss"]) + 1)
    left.plot(epochs, curves["train loss"], color=BLUE, label="training, shifted and turned images")
    left.plot(epochs, curves["test loss"], color=VERMILION, linestyle="--", label="test")
    left.set_yscale("log")
    tidy(left, "Loss", "epochs", "cross entropy (nats)")
    right.plot(epochs, 100 * (1 - curves["train accuracy"]), color=BLUE, label="training, shifted and turned images")
    right.plot(epochs, 100 * (1 - curves["test accuracy"]), color=VERMILION, linestyle="--", label="test")
    right.set_yscale("symlog", linthresh=1)
    right.set_ylim(0, 100)
    right.set_yticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    tidy(right, "Errors", "epochs", "digits not found (%)")
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)

    probabilities = np.asarray(F.softmax(logits, 1))
    truth = probabilities[np.arange(len(labels)), labels]
    guesses = probabilities.argmax(1)
    title = f"The nine test digits that it finds hardest ({(guesses != labels).sum()} of {len(labels)} are not found)"
    bottom.suptitle(title, fontsize=10, x=0.01, ha="left")
    for axes, i in zip(bottom.subplots(1, 9), truth.argsort(), strict=False):
        axes.imshow(images[i, 0], cmap="gray_r")
        axes.axis("off")
        if guesses[i] == labels[i]:
            axes.set_title(f"{labels[i]}, found\n({truth[i]:.0%} sure)", fontsize=8, color=BLUE)
        else:
            axes.set_title(f"{labels[i]}, taken for {guesses[i]}\n({probabilities[i, guesses[i]]:.0%} sure)", fontsize=8, color=VERMILION)
    save(figure, out)


def main(arguments: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Train, test, draw; returns loss and accuracy of each epoch, on the training and the test images."""
    parser = argparse.ArgumentParser(description="Train a ResNet on the digits that come with funnn.")
    parser.add_argument("--steps", type=int, default=400, help="training steps, rounded up to whole epochs")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="resnet.png")
    options = parser.parse_args(arguments)

    train_images, train_labels, test_images, test_labels = map(jnp.asarray, load_digits())
    batches = len(train_images) // options.batch_size
    epochs = -(-options.steps // batches)
    net = resnet(options.width)
    print(funnn.summary(net, test_images[:1]))
    schedule = optim.schedules.cosine_annealing_lr(0.1, T_max=epochs * batches)
    start, step, evaluate = funnn.train_step(net, loss_of, optim.sgd(lr=schedule, momentum=0.9, weight_decay=5e-4, nesterov=True))

    @partial(jax.jit, donate_argnums=0)
    def train_epoch(train_state: funnn.TrainState, key: jax.Array) -> tuple[funnn.TrainState, dict[str, jax.Array]]:
        order_key, image_key = jax.random.split(key)
        order = jax.random.permutation(order_key, len(train_images))[: batches * options.batch_size].reshape(batches, -1)
        images = augment(train_images, image_key)
        train_state, metrics = jax.lax.scan(lambda state, rows: step(state, (images[rows], train_labels[rows])), train_state, order)
        return train_state, {name: metrics[name].mean() for name in ("loss", "accuracy")}

    key = jax.random.key(options.seed)
    train_state, curves = jax.jit(start)(key), []
    for epoch in range(epochs):
        train_state, trained = train_epoch(train_state, jax.random.fold_in(key, epoch))
        tested = evaluate(train_state, (test_images, test_labels))
        curves.append([trained["loss"], tested["loss"], trained["accuracy"], tested["accuracy"]])
        if epoch % 5 == 4 or epoch == epochs - 1:
            print("epoch {:3d}  loss {:.3f}, test {:.3f}  accuracy {:.4f}, test {:.4f}".format(epoch + 1, *map(float, curves[-1])))
    curves = dict(zip(("train loss", "test loss", "train accuracy", "test accuracy"), np.array(curves).T, strict=True))
    draw(curves, np.asarray(test_images), np.asarray(test_labels), np.asarray(tested["logits"]), options.out)
    return curves


if __name__ == "__main__":
    main()
