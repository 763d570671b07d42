"""The picture that ``python -m funnn digits`` writes: test images with answers, loss curves, confusion matrix. It needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import style
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from funnn._digits_report import confusion, mistakes

if TYPE_CHECKING:
    from funnn._digits import Comparison

_BLUE, _VERMILLION = "#0072B2", "#D55E00"  # of Okabe and Ito's palette
_COLUMNS, _ROWS, _WRONG_ROWS = 10, 5, 2


def draw(comparison: Comparison, file: str | Path) -> None:
    """Write the picture.

    Args:
      comparison: what :func:`funnn._digits.digits` returns.
      file: its format is that of the suffix, such as .png, .pdf or .svg.

    Raises:
      OSError: the file can't be written.
    """
    with style.context("default"):  # whatever the user's own settings are
        _figure(comparison).savefig(file)


def _figure(comparison: Comparison) -> Figure:
    figure = Figure(figsize=(12, 6.9), dpi=100, layout="constrained")
    sheet, right = figure.subfigures(1, 2, width_ratios=(1.22, 1))
    curves, matrix = right.subplots(2, 1, height_ratios=(1, 1.75))
    size, epochs = comparison.images.shape[-1], len(comparison.losses)
    correct = int((comparison.predictions == comparison.labels).sum())
    figure.suptitle(
        f"A LeNet after {epochs} epoch{'s' if epochs > 1 else ''} on {comparison.train_count:,} handwritten digits of {size}×{size}: "
        f"{correct:,} of {len(comparison.labels):,} test images right",
        fontsize=13,
    )
    _draw_sheet(sheet.subplots(), comparison)
    _draw_curves(curves, comparison.losses)
    _draw_confusion(matrix, confusion(comparison.labels, comparison.predictions))
    return figure


def _draw_sheet(axes: Any, comparison: Comparison) -> None:
    """The first test images, and below them wrong answers; a cross and a frame mark what is wrong."""
    wrong = mistakes(comparison.labels, comparison.probabilities)
    first = np.arange(min(len(comparison.labels), _COLUMNS * _ROWS))
    bottom = _place_tiles(axes, comparison, first, 0.0)
    if len(wrong):
        shown = wrong[: _COLUMNS * _WRONG_ROWS]
        which = f"the {len(shown)} surest of {len(wrong):,}" if len(shown) < len(wrong) else f"all {len(wrong)}, the surest first"
        text = f"Wrong answers ({which})"
    else:
        text, shown = "No wrong answer", wrong
    axes.text(0, bottom + 0.35, text, fontsize=11, va="center")
    bottom = _place_tiles(axes, comparison, shown, bottom + 0.75)
    axes.set(xlim=(-0.25, _COLUMNS), ylim=(bottom, -0.95), aspect="equal", anchor="N")
    which = "The first" if len(first) < len(comparison.labels) else "All"
    text = f"{which} {len(first)} test images\n✓ 7: taken for 7, right    ✗ 7 (1): taken for 7, but is 1"
    axes.text(0, -0.5, text, fontsize=11, va="center", linespacing=1.4)
    axes.set_axis_off()


def _place_tiles(axes: Any, comparison: Comparison, chosen: np.ndarray, top: float) -> float:
    """Draw images in rows from ``top`` down, with their answers below; returns where the next row would be."""
    height, side = 1.32, 0.86
    for place, index in enumerate(chosen):
        row, column = divmod(place, _COLUMNS)
        x, y = column, top + row * height
        answer, label = comparison.predictions[index], comparison.labels[index]
        axes.imshow(comparison.images[index, 0], cmap="gray_r", vmin=0, vmax=1, extent=(x, x + side, y + side, y))
        color, width = ("0.75", 0.6) if answer == label else (_VERMILLION, 2.2)
        axes.add_patch(Rectangle((x, y), side, side, fill=False, edgecolor=color, linewidth=width))
        text = f"✓ {answer}" if answer == label else f"✗ {answer} ({label})"
        weight = "normal" if answer == label else "bold"
        color = "0.25" if answer == label else _VERMILLION
        axes.text(x + side / 2, y + side + 0.19, text, fontsize=8.5, ha="center", va="center", color=color, weight=weight)
    return top + height * -(-len(chosen) // _COLUMNS)


def _draw_curves(axes: Any, losses: np.ndarray) -> None:
    """Both curves in one plot: a broad line, and a thin dashed one on it."""
    epochs = np.arange(1, len(losses) + 1)
    good = np.where(np.isfinite(losses) & (losses > 0), losses, np.nan)
    axes.plot(epochs, good[:, 0], color=_BLUE, alpha=0.45, linewidth=5, marker="o", markersize=5, label="functional")
    axes.plot(epochs, good[:, 1], color="black", linewidth=1.3, linestyle="--", marker=".", markersize=4, label="torch style")
    if np.isfinite(good).any():
        axes.set_yscale("log")
    else:
        axes.text(0.5, 0.4, "no finite losses", transform=axes.transAxes, ha="center", va="center")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, len(losses) + 0.5)
    with np.errstate(invalid="ignore"):  # of infinities
        difference = np.abs(losses[:, 0] - losses[:, 1]).max()
    title = f"largest difference {difference:.1e}" if difference else "the same numbers"
    axes.set_title(f"Two trainings, {title}" if np.isfinite(difference) else "Two trainings", fontsize=11)
    axes.set(xlabel="epoch", ylabel="mean training loss\n(nats, log scale)")
    axes.grid(alpha=0.3)
    axes.legend()


def _draw_confusion(axes: Any, counts: np.ndarray) -> None:
    """The counts, in rows of what the digits are; the colour is a row's share of its digit."""
    size = 8.5 if counts.max() < 1000 else 7
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.4, 0, 1))
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.25 else "black"
            weight = "normal" if row == column else "bold"
            axes.text(column, row, f"{count}", ha="center", va="center", fontsize=size, color=color, weight=weight)
    axes.set(xticks=range(10), yticks=range(10), xlabel="answer", ylabel="digit in the image")
    axes.set_title("Confusion matrix: number of test images", fontsize=11)
