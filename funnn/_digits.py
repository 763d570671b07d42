"""``python -m funnn digits``: the same training the functional way and the torch way, side by side."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import funnn.torch as torch
from funnn import optim
from funnn._run import load_script
from funnn.checkpoint import from_state_dict
from funnn.examples import digits_functional
from funnn.torch.utils.data import DataLoader, TensorDataset

_SCRIPT = Path(__file__).parent / "examples" / "digits_torch.py"
_OPTIONS = {"momentum": 0.9, "weight_decay": 1e-3}


def digits(data: tuple[np.ndarray, ...], epochs: int, batch_size: int, seed: int, lr: float) -> SimpleNamespace:
    """Train a LeNet on handwritten digits in both ways, from the same weights and with the same batches, and print how they compare.

    Args:
      data: training images and labels, test images and labels, as :func:`funnn.examples.data.load_digits` gives them.
      epochs, batch_size, seed, lr: of the training, SGD with momentum 0.9 and weight decay 0.001. ``batch_size`` is at most the number of training images.

    Returns:
      losses (an array of epochs × (functional, torch style)), accuracy (of both) and speed (steps per second, by name).
    """
    train_images, train_labels, test_images, test_labels = data
    count, size = len(train_images), train_images.shape[-1]
    script = SimpleNamespace(**load_script(_SCRIPT, "digits_torch"))

    torch.manual_seed(seed)
    model = script.LeNet(size)
    layer = digits_functional.lenet(size)
    params, _ = from_state_dict(model.state_dict(), *jax.eval_shape(layer.init, jax.random.key(0)))
    weights = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(f"{count} training and {len(test_images)} test images of {size}×{size}; a LeNet with {weights:,} weights; {epochs} epochs,")
    options = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in {"learning rate": lr, **_OPTIONS}.items())
    print(f"batches of {batch_size}, SGD with {options}, seed {seed}\n")

    # the batches that the torch-style training will see: its generator is asked in advance, and put back
    before = torch.get_rng_state()
    order = DataLoader(range(count), batch_size, shuffle=True)
    batches = [[index.numpy() for index in order] for _ in range(epochs)]
    torch.set_rng_state(before)

    optimizer = optim.sgd(lr, **_OPTIONS)
    compiled = digits_functional.make_train_step(layer, optimizer)
    opt_state = optimizer.init(params)

    def functional_step(images: Any, labels: Any) -> jax.Array:
        nonlocal params, opt_state
        params, opt_state, loss = compiled(params, opt_state, images, labels)
        return loss

    def functional_training() -> Iterator[float]:
        for epoch in batches:
            losses = [functional_step(train_images[index], train_labels[index]) for index in epoch]
            yield float(jnp.stack(losses).mean())

    functional = _train("functional", functional_training(), epochs)
    functional_accuracy = digits_functional.accuracy(layer, params, test_images, test_labels)
    _report("functional", functional, functional_accuracy)

    tensors = [torch.from_numpy(part) for part in (train_images, train_labels, test_images, test_labels)]
    torch_step = script.make_train_step(model, torch.optim.SGD(model.parameters(), lr=lr, **_OPTIONS))
    loader = DataLoader(TensorDataset(*tensors[:2]), batch_size, shuffle=True)
    torch_style = _train("torch style", script.train(torch_step, loader, epochs), epochs)
    torch_accuracy = script.accuracy(model, *tensors[2:])
    _report("torch style", torch_style, torch_accuracy)

    losses = np.array([functional[0], torch_style[0]]).T
    _print_losses(losses)
    first = [index for index in batches[0] if len(index) == batch_size][:20]
    arrays = [(jnp.asarray(train_images[index]), jnp.asarray(train_labels[index])) for index in first]
    as_tensors = [tuple(tensor[index] for tensor in tensors[:2]) for index in first]
    speed = {
        "functional": _steps_per_second(functional_step, arrays),
        "torch style": _steps_per_second(torch_step, as_tensors),
        "torch style, compiled": _steps_per_second(torch.compile(torch_step), as_tensors),
    }
    print("\nsteps per second, after compilation")
    for name, value in speed.items():
        print(f"  {name:<22}{value:>8,.0f}")
    return SimpleNamespace(losses=losses, accuracy=(functional_accuracy, torch_accuracy), speed=speed)


def _train(name: str, training: Iterable[float], epochs: int) -> tuple[list[float], float]:
    """The losses of the epochs, and the seconds they took, compilation included."""
    begin = time.perf_counter()
    losses = list(progress(training, epochs, name))
    return losses, time.perf_counter() - begin


def _report(name: str, training: tuple[list[float], float], accuracy: float) -> None:
    print(f"{name:<12} test accuracy {accuracy:.4f}, trained in {training[1]:.1f} s with compilation")


def _print_losses(losses: np.ndarray) -> None:
    difference = np.abs(losses[:, 0] - losses[:, 1])
    print("\nmean training loss\n  epoch  functional  torch style  difference")
    shown = range(len(losses)) if len(losses) <= 12 else sorted({0, 1, 2, *range(4, len(losses), 5), len(losses) - 1})
    for epoch in shown:
        print(f"  {epoch + 1:5d}  {losses[epoch, 0]:10.6f}  {losses[epoch, 1]:11.6f}  {difference[epoch]:10.1e}")
    largest = f"{difference.max():.1e}, in epoch {difference.argmax() + 1}" if difference.any() else "0"
    print(f"  largest difference {largest}")


def _steps_per_second(step: Callable, batches: list, seconds: float = 1.0) -> float:
    for batch in batches[:2]:  # compilation
        float(step(*batch))
    count, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        for batch in batches:
            loss = step(*batch)
        float(loss)  # waits until it is there
        count += len(batches)
    return count / elapsed


def progress(items: Iterable, total: int, name: str) -> Iterator:
    """The items, with a bar on the error stream if that is a terminal: tqdm's if it is installed, else a plain line."""
    try:
        from tqdm import tqdm
    except ImportError:
        return _plain_progress(items, total, name)
    return iter(tqdm(items, desc=name, total=total, unit="epoch", leave=False, disable=None))


def _plain_progress(items: Iterable, total: int, name: str) -> Iterator:
    terminal = sys.stderr.isatty()
    for done, item in enumerate(items, 1):
        if terminal:
            print(f"\r{name}: epoch {done} of {total}", end="" if done < total else "\n", file=sys.stderr, flush=True)
        yield item
