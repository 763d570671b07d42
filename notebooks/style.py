"""How the pictures of the notebooks look: one palette that colour-blind readers can tell apart, one size of text, and two columns of code."""

from __future__ import annotations

import contextlib
import html
import io
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython.display import HTML

#: Okabe and Ito's colours, in the order in which curves take them.
BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
    "#222222",
)
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, BLACK)
#: For numbers with a sign, centred at zero: blue below, red above. And for numbers without one.
SIGNED, UNSIGNED = "RdBu_r", "cividis"


def use() -> None:
    """Sets matplotlib's defaults for all that follows."""
    plt.rcParams.update(
        {
            "axes.grid": False,
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": 11,
            "figure.constrained_layout.use": True,
            "figure.dpi": 90,
            "figure.facecolor": "white",
            "font.size": 10,
            "image.cmap": UNSIGNED,
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "savefig.dpi": 90,
        }
    )


def matrix(axes: plt.Axes, values: Any, *, numbers: str = "{:g}", limit: float | None = None, title: str = "") -> None:
    """Draws a matrix as a coloured grid with its numbers in the cells; ``limit`` is the number that has the full colour."""
    values = np.asarray(values, dtype=float)
    limit = limit or max(float(np.abs(values).max(initial=0)), 1e-12)
    axes.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit)
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, numbers.format(value), ha="center", va="center", color="white" if abs(value) > 0.6 * limit else BLACK)
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(False)


def side_by_side(cell: Callable[[Any], Any], **libraries: Any) -> HTML:
    """Runs a function of a library under each of the named ones, and shows what it printed, in columns.

    Example: ``side_by_side(cell, PyTorch=torch, funnn=funnn.torch)``. The columns that print the same text say so.
    """
    texts = {}
    for name, library in libraries.items():
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            cell(library)
        texts[name] = printed.getvalue().rstrip()
    verdict = "the same text, character by character" if len(set(texts.values())) == 1 else "the texts differ"
    columns = "".join(
        f'<div style="flex: 1; min-width: 20em"><b>{html.escape(name)}</b><pre style="padding: 0.5em; border: 1px solid #8888">{html.escape(text)}</pre></div>'
        for name, text in texts.items()
    )
    return HTML(f'<div style="display: flex; gap: 1em; flex-wrap: wrap">{columns}</div><i>{verdict}</i>')
