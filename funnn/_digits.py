"""``python -m funnn digits``: the same training the functional way and the torch way, side by side."""

from __future__ import annotations

import math
import shutil
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import funnn.torch as torch
from funnn import _digits_report as report
from funnn import functional as F
from funnn import optim
from funnn._run import load_script
from funnn.checkpoint import from_state_dict
from funnn.examples import digits_functional
from funnn.torch.utils.data import DataLoader, TensorDataset

_SCRIPT = Path(__file__).parent / "examples" / "digits_torch.py"
_OPTIONS: dict[str, Any] = {"momentum": 0.9, "weight_decay": 1e-3}
_WINDOWS = 5  # of the measurement of speed


@dataclass(frozen=True)
class Comparison:
    """What the two trainings gave.

    Attributes:
      losses: mean loss of each epoch, epochs × (functional, torch style).
      accuracy: on the test images, of both.
      images, labels: the test images (N, 1, S, S) and what they are (N,).
      probabilities: what the functional network says of them, (N, 10).
      train_count: how many images it was trained on.
      speed: steps per second, by name.
    """

    losses: np.ndarray
    accuracy: tuple[float, float]
    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    train_count: int
    speed: dict[str, float]

    @property
    def predictions(self) -> np.ndarray:
        """The functional network's answers, (N,)."""
        classes: np.ndarray = self.probabilities.argmax(1)
        return classes


def digits(data: tuple[np.ndarray, ...], epochs: int, batch_size: int, seed: int, lr: float) -> Comparison:
    """Train a LeNet on handwritten digits in both ways, from the same weights and with the same batches, and print how they compare.

    Args:
      data: training images and labels, test images and labels, as :func:`funnn.examples.data.load_digits` gives them.
      epochs, batch_size, seed, lr: of the training, SGD with momentum 0.9 and weight decay 0.001. ``batch_size`` is at most the number of training images.
    """
    train_images, train_labels, test_images, test_labels = data
    count, size = len(train_images), train_images.shape[-1]
    script = SimpleNamespace(**load_script(_SCRIPT, "digits_torch"))

    torch.manual_seed(seed)
    model = script.LeNet(size)
    layer = digits_functional.lenet(size)
    params, _ = from_state_dict(model.state_dict(), *jax.eval_shape(layer.init, jax.random.key(0)))
    weights = sum(leaf.size for leaf in jax.tree.leaves(params))
    options = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in {"learning rate": lr, **_OPTIONS}.items())
    report.paragraph(
        f"{count:,} training and {len(test_images):,} test images of {size}×{size}; a LeNet with {weights:,} weights; "
        f"{epochs} epoch{'s' if epochs > 1 else ''}, batches of {batch_size}, SGD with {options}, seed {seed}. It is trained twice, "
        "from the same weights and with the same batches: as pure functions, and as a PyTorch program.\n"
    )

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
        loss: jax.Array
        params, opt_state, loss = compiled(params, opt_state, images, labels)
        return loss

    def functional_training(step: Callable[..., Any]) -> Iterable[float]:
        for epoch in batches:
            losses = [step(train_images[index], train_labels[index]) for index in epoch]
            yield float(jnp.stack(losses).mean())

    functional = _train("functional", functional_step, functional_training, epochs)
    functional_accuracy = digits_functional.accuracy(layer, params, test_images, test_labels)
    report.trained("functional", functional, functional_accuracy)
    probabilities = np.asarray(F.softmax(jax.jit(layer.apply)(params, {}, test_images)[0], 1))

    tensors = [torch.from_numpy(part) for part in (train_images, train_labels, test_images, test_labels)]
    torch_step = script.make_train_step(model, torch.optim.SGD(model.parameters(), lr=lr, **_OPTIONS))
    loader = DataLoader(TensorDataset(*tensors[:2]), batch_size, shuffle=True)
    torch_style = _train("torch style", torch_step, lambda step: script.train(step, loader, epochs), epochs)
    torch_accuracy = script.accuracy(model, *tensors[2:])
    report.trained("torch style", torch_style, torch_accuracy)
    with torch.no_grad():
        agree = int((model(tensors[2]).argmax(1).numpy() == probabilities.argmax(1)).sum())
    report.paragraph(f"They give the same answer for {agree:,} of {len(test_labels):,} test images.")

    losses = np.array([functional.losses, torch_style.losses]).T
    report.losses(losses)
    report.answers(test_images, test_labels, probabilities)

    first = [index for index in batches[0] if len(index) == batch_size][:20]
    arrays = [(jnp.asarray(train_images[index]), jnp.asarray(train_labels[index])) for index in first]
    as_tensors = [tuple(tensor[index] for tensor in tensors[:2]) for index in first]

    def wait_for_arrays() -> None:
        jax.block_until_ready((params, opt_state))

    def wait_for_tensors() -> None:
        for parameter in model.parameters():
            parameter.detach().numpy()

    windows = _measure_speed(
        {
            "functional": (functional_step, arrays, wait_for_arrays),
            "torch style": (torch_step, as_tensors, wait_for_tensors),
            "torch style, compiled": (torch.compile(torch_step), as_tensors, wait_for_tensors),
        }
    )
    report.speeds(windows)
    speed = {name: statistics.median(values) for name, values in windows.items()}
    return Comparison(
        losses, (functional_accuracy, torch_accuracy), test_images, test_labels, probabilities, train_count=count, speed=speed
    )


def _train(name: str, step: Callable[..., Any], training: Callable[[Callable[..., Any]], Iterable[float]], epochs: int) -> report.Training:
    """Run ``training(step)``, which yields the loss of each epoch; returns the losses, and the seconds it took."""
    begin, losses = time.perf_counter(), []
    with Progress(name, epochs) as progress:
        for loss in training(progress.watch(step)):
            losses.append(loss)
            progress.advance(loss)
    return report.Training(losses, time.perf_counter() - begin, progress.first_steps)


def _measure_speed(
    ways: dict[str, tuple[Callable[..., Any], list[Any], Callable[..., Any]]], seconds: float = 0.2
) -> dict[str, list[float]]:
    """Steps per second in several windows, by name.

    Args:
      ways: for each name a step, the batches it goes round, and a function that waits for all that the steps write. The ways take turns,
        so that what else the machine does meets all of them.
      seconds: how long a window is at least; it ends with the wait.
    """
    passes: dict[str, int] = {}
    windows: dict[str, list[float]] = {name: [] for name in ways}
    with Progress("speed", _WINDOWS, unit="window") as progress:
        for name, (step, batches, wait) in ways.items():
            watched = progress.watch(step)
            for batch in batches[:3] * 3:  # compilation, and the allocator's first requests
                watched(*batch)
            wait()
            begin = time.perf_counter()
            for batch in batches:
                step(*batch)
            wait()
            passes[name] = math.ceil(seconds / (time.perf_counter() - begin))
        for _ in range(_WINDOWS):
            for name, (step, batches, wait) in ways.items():
                begin = time.perf_counter()
                for _ in range(passes[name]):
                    for batch in batches:
                        step(*batch)
                wait()
                windows[name].append(passes[name] * len(batches) / (time.perf_counter() - begin))
            progress.advance()
    return windows


class Progress:
    """How far something is, in one line of the error stream if that is a terminal: tqdm's bar if it is installed, else a plain line.

    The line goes away at the end of the ``with`` block.

    Args:
      name: what it is.
      total: how many units there are.
      unit: their name.
    """

    def __init__(self, name: str, total: int, unit: str = "epoch"):
        self.name, self.total, self.unit = name, total, unit
        #: seconds in the first steps of :meth:`watch`
        self.first_steps = 0.0
        self._done = 0
        self._bar: Any = None
        self._loss: float | None = None

    def __enter__(self) -> Progress:
        try:
            from tqdm import tqdm
        except ImportError:
            self._show()
        else:
            self._bar = tqdm(desc=self.name, total=self.total, unit=self.unit, leave=False, disable=None, dynamic_ncols=True)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.close()
        else:
            self._write("")

    def watch(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The step, with "compiling" in the line during the first two calls for each batch size; the optimizer's second call differs."""
        calls: Counter[int] = Counter()

        def watched(images: Any, labels: Any) -> Any:
            size = len(images)
            calls[size] += 1
            if calls[size] > 2:
                return step(images, labels)
            self._show("compiling")
            begin = time.perf_counter()
            loss = step(images, labels)
            self.first_steps += time.perf_counter() - begin
            self._show()
            return loss

        return watched

    def advance(self, loss: float | None = None) -> None:
        """One unit is done."""
        self._done, self._loss = self._done + 1, loss
        if self._bar is not None:
            if loss is not None:
                self._bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            self._bar.update()
        else:
            self._show()

    def _show(self, status: str = "") -> None:
        name = f"{self.name}, {status}" if status else self.name
        if self._bar is not None:
            self._bar.set_description(name)
            return
        loss = "" if self._loss is None else f", loss {self._loss:.4f}"
        self._write(f"{name}: {self.unit} {self._done} of {self.total}{loss}")

    def _write(self, line: str) -> None:
        if sys.stderr.isatty():
            room = shutil.get_terminal_size().columns - 1
            print(f"\r{line[:room]:<{room}}\r", end="", file=sys.stderr, flush=True)
