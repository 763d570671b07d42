"""What ``python -m funnn digits`` prints; as wide as the terminal, without colours and control codes."""

from __future__ import annotations

import math
import shutil
import statistics
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_BLOCKS, _SHADES = "▁▂▃▄▅▆▇█", " ░▒▓█"
#: What stands for them where the output's encoding has no such characters.
_ASCII = str.maketrans(dict(zip(f"{_BLOCKS}{_SHADES}×", "_.-:=+*# .+*#x", strict=True)))


@dataclass(frozen=True)
class Training:
    """Losses of the epochs, the seconds they took, and how many of these were the first steps, which compile."""

    losses: list[float]
    seconds: float
    first_steps: float


def say(text: str = "") -> None:
    """Print, with ASCII characters where the output's encoding has no others."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    print(text, flush=True)


def columns() -> int:
    """How many characters a line has; 80 without a terminal."""
    return max(20, shutil.get_terminal_size().columns)


def paragraph(text: str) -> None:
    """Print a text in lines of at most 100 characters."""
    say(textwrap.fill(text, min(columns(), 100)) + "\n" * text.endswith("\n"))


def trained(name: str, training: Training, accuracy: float) -> None:
    """One line on a training."""
    first = f"{training.first_steps:.1f} s of it in first steps, which compile"
    text = f"{name:<12} test accuracy {accuracy:.4f}, trained in {training.seconds:.1f} s, {first}"
    say(textwrap.fill(text, columns(), subsequent_indent="  "))


def losses(values: np.ndarray) -> None:
    """Sparklines of the two curves, a table of some epochs, and the largest difference."""
    say()
    finite = values[np.isfinite(values) & (values > 0)]
    if finite.size and finite.min() < finite.max():
        paragraph(f"Mean training loss of each epoch, in a logarithmic scale from {finite.min():.2g} to {finite.max():.2g}")
    else:
        paragraph("Mean training loss of each epoch")
    for name, curve in zip(("functional", "torch style"), values.T, strict=True) if len(values) > 1 else ():
        say(f"  {name:<12} {sparkline(curve, finite, columns() - 15)}")
    with np.errstate(invalid="ignore"):  # of infinities
        difference = np.abs(values[:, 0] - values[:, 1])
    say("  epoch  functional  torch style  difference")
    shown = range(len(values)) if len(values) <= 6 else sorted({0, 1, 2, *range(4, len(values), max(5, len(values) // 6)), len(values) - 1})
    for epoch in shown:
        say(f"  {epoch + 1:5d}  {values[epoch, 0]:10.6f}  {values[epoch, 1]:11.6f}  {difference[epoch]:10.1e}")
    if not np.isfinite(difference).all():
        paragraph("  Some losses are no finite numbers: a smaller learning rate (--lr) helps.")
    else:
        largest = f"{difference.max():.1e}, in epoch {difference.argmax() + 1}" if difference.any() else "0"
        say(f"  largest difference {largest}")


def sparkline(curve: np.ndarray, finite: np.ndarray, width: int) -> str:
    """One character a value, higher where it is larger in a logarithmic scale over ``finite``; "?" where it is no finite number.

    >>> sparkline(np.array([8.0, 4, 2, 1, np.nan]), np.array([1.0, 8]), 10)
    '█▆▃▁?'
    """
    if len(curve) > width:
        curve = curve[np.linspace(0, len(curve) - 1, max(width, 1)).round().astype(int)]
    low, high = (math.log(finite.min()), math.log(finite.max())) if finite.size else (0.0, 0.0)
    top = len(_BLOCKS) - 1

    def block(value: float) -> str:
        if not math.isfinite(value):
            return "?"
        place = (math.log(value) - low) / (high - low) if value > 0 and high > low else 0.0
        return _BLOCKS[round(top * place)]

    return "".join(map(block, curve.tolist()))


def confusion(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """How often a digit (row) got an answer (column): (10, 10).

    >>> confusion(np.array([1, 1, 2]), np.array([1, 2, 2]))[:3, :3]
    array([[0, 0, 0],
           [0, 1, 1],
           [0, 0, 1]])
    """
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, predictions), 1)
    return counts


def mistakes(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The numbers of the images with a wrong answer, the surest answer first."""
    (wrong,) = np.nonzero(probabilities.argmax(1) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")]


def answers(images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> None:
    """A table of the digits with what they were taken for, and a few images as text."""
    counts = confusion(labels, probabilities.argmax(1))
    say()
    paragraph("Test images: how many are right, and what the others were taken for")
    say("  digit         right  accuracy  taken for")
    for digit, row in enumerate(counts):
        others = sorted((other for other in range(10) if other != digit and row[other]), key=lambda other: -row[other])
        taken = ", ".join(f"{other} ({row[other]}×)" for other in others[:3]) + (", ..." if len(others) > 3 else "")
        share = f"{row[digit] / row.sum():.3f}" if row.sum() else "-"
        say(f"  {digit:5d}  {row[digit]:5d} of {row.sum():4d}  {share:>8}  {taken}".rstrip())
    wrong = mistakes(labels, probabilities)
    chosen = wrong if len(wrong) else np.arange(len(labels))
    lines = drawings(images[chosen[:4], 0], [_caption(labels[index], probabilities[index]) for index in chosen[:4]], columns())
    if lines:
        say(f"\n{'Wrong answers, the surest first' if len(wrong) else 'No answer is wrong. The first test images'}")
        say("\n".join(lines))


def _caption(label: int, probabilities: np.ndarray) -> str:
    answer = int(probabilities.argmax())
    return f"{answer}, right" if answer == label else f"{answer}, but is {label}"


def drawings(images: Sequence[np.ndarray], captions: Sequence[str], width: int) -> list[str]:
    """Images with values from 0 to 1 as lines of text, side by side, as many as fit."""
    tiles = []
    for image, caption in zip(images, captions, strict=True):
        factor = math.ceil(len(image) / 14)
        image = np.pad(image, [(0, -len(image) % factor)] * 2)
        image = image.reshape(len(image) // factor, factor, -1, factor).mean((1, 3))
        double = 2 if 2 * len(image) + 2 <= width else 1
        shades = (np.clip(image, 0, 1) * (len(_SHADES) - 1)).round().astype(int)
        rows = ["".join(_SHADES[shade] * double for shade in row) for row in shades.tolist()]
        tile_width = max(len(rows[0]), len(caption))
        tiles.append([f"  {line:<{tile_width}}" for line in (*rows, caption)])
        if sum(len(tile[0]) for tile in tiles) > width:
            tiles.pop()
            break
    return ["".join(lines).rstrip() for lines in zip(*tiles, strict=True)]


def speeds(windows: dict[str, list[float]]) -> None:
    """Steps per second: the median of the windows, and the slowest and the fastest."""
    count = len(next(iter(windows.values())))
    say()
    paragraph(f"Steps per second after compilation: median of {count} windows (slowest to fastest)")
    for name, values in windows.items():
        text = f"  {name:<22}{statistics.median(values):>8,.0f}"
        span = f"  ({min(values):,.0f} to {max(values):,.0f})"
        say(text + span if len(text + span) <= columns() else text)


#: What is said at the end: headings with names and what they are.
_NEXT = {
    "What to try next": {
        "python -m funnn run your_script.py": "a PyTorch script, as it is",
        "python -m funnn run --profile your_script.py": "and where its time goes",
    },
    "In the repository": {
        "notebooks/04_lenet_three_ways.ipynb": "this, step by step",
        "notebooks/09_port_your_script_in_ten_minutes.ipynb": "from PyTorch",
        "docs/index.md": "start here",
        "docs/own-layer.md": "a layer of your own",
        "docs/from-pytorch.md": "for users of PyTorch",
    },
}


def suggestions() -> None:
    """What to try next: commands, notebooks, pages of the documentation."""
    for heading, entries in _NEXT.items():
        say(f"\n{heading}")
        width = max(map(len, entries))
        wide = all(width + 4 + len(text) <= columns() for text in entries.values())
        for name, text in entries.items():
            say(f"  {name:<{width}}  {text}" if wide else f"  {name}\n    {text}")
