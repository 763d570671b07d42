"""Pictures of the examples: colours, a figure, and the file. Matplotlib is imported when something is drawn, and only then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Eight colours that colour-blind people can tell apart. Okabe and Ito, "Color universal design" (2008).
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = COLOURS = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of ``width`` × ``height`` inches whose parts make room for each other. It needs no display and no pyplot.

    Raises:
      SystemExit: matplotlib is missing; the message says how to install it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("The picture needs matplotlib, which is not installed: pip install 'funnn[examples]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def tidy(axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Name the axes, and take away the frame's upper and right side."""
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, out: str | Path) -> None:
    """Write the picture, in the format that the file's name ends with, and say where it is."""
    smaller = {"pil_kwargs": {"optimize": True}} if Path(out).suffix == ".png" else {}
    figure.savefig(out, dpi=120, **smaller)
    print(f"picture: {out}")
