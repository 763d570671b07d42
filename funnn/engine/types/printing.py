"""The text of a tensor, character by character as PyTorch 2.13 prints it.

The work has three steps: pick the items to show, turn each into a text of one common width, lay the texts out in brackets. Everything is
computed from numpy arrays and from a `PrintOptions` that is passed in; where the current options live is the caller's business.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

ELLIPSIS = "..."


@dataclass(frozen=True)
class PrintOptions:
    """How tensors are printed; the fields and defaults of `torch.set_printoptions`.

    Args:
        precision: digits after the decimal point of floats that are not all whole numbers.
        threshold: a tensor with more elements than this is summarised.
        edgeitems: items shown at either end of each dimension of a summarised tensor.
        linewidth: characters per line.
        sci_mode: scientific notation always (True), never (False), or when the values call for it (None).
    """

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}


def resolve_options(
    current: PrintOptions,
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> PrintOptions:
    """The options after `torch.set_printoptions(...)`, starting from `current`.

    A profile ('default', 'short' or 'full') comes first and the other arguments override it; None leaves a field alone. As in torch, two
    things surprise: an unknown profile changes nothing, and `sci_mode` is always set, so leaving it out returns it to None.

    >>> resolve_options(PrintOptions(linewidth=120, sci_mode=True), precision=2)
    PrintOptions(precision=2, threshold=1000, edgeitems=3, linewidth=120, sci_mode=None)
    """
    given: dict[str, Any] = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(PROFILES.get(profile or "", current), **changes, sci_mode=sci_mode)


_current = PrintOptions()


def print_options() -> PrintOptions:
    """The options in force, for all threads."""
    return _current


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors print from now on; arguments that are not given stay as they are.

    Args:
      precision: digits behind the point (4).
      threshold: how many elements a tensor may have to be printed whole (1000).
      edgeitems: how many items of each end are printed of a larger one (3).
      linewidth: characters in a line (80).
      profile: "default", "short" or "full": a set of options to begin with.
      sci_mode: whether numbers are written with exponents; None decides by the numbers, and is the default of every call.
    """
    global _current
    _current = resolve_options(_current, precision, threshold, edgeitems, linewidth, profile, sci_mode)


def format_tensor(
    values: np.ndarray,
    *,
    dtype_name: str,
    default_dtype_name: str = "float32",
    prefix: str = "tensor(",
    suffixes: Sequence[str] = (),
    options: PrintOptions | None = None,
) -> str:
    """The `repr` of a tensor.

    Args:
        values: the elements; of a summarised tensor only those that are shown are looked at.
        dtype_name: torch's name of the dtype without "torch.", such as "bfloat16". It also decides between the three notations (floating,
            complex, and other).
        default_dtype_name: the current default floating dtype, which is not spelled out.
        prefix: the opening of the text; its length is the indentation of the lines that follow.
        suffixes: ready-made texts such as "device='cuda:0'" and "requires_grad=True". Devices go before the size and dtype that are added
            here, the others after.
        options: None means `PrintOptions()`.

    >>> print(format_tensor(np.float64([[1, 2], [3, 4]]), dtype_name="float64", suffixes=["requires_grad=True"]))
    tensor([[1., 2.],
            [3., 4.]], dtype=torch.float64, requires_grad=True)
    """
    options = options or PrintOptions()
    values = np.asarray(values)
    empty, added = values.size == 0, []
    if (empty and values.ndim != 1) or (not empty and options.edgeitems == 0):
        added.append(f"size={values.shape}")
    if dtype_name not in _unmarked_dtypes(default_dtype_name, empty):
        added.append(f"dtype=torch.{dtype_name}")
    devices = [suffix for suffix in suffixes if suffix.startswith("device=")]
    others = [suffix for suffix in suffixes if not suffix.startswith("device=")]
    text = prefix + contents(values, dtype_name, len(prefix), options)
    return append_suffixes(text, [*devices, *added, *others], len(prefix), options.linewidth) + ")"


def format_outline(
    shape: tuple[int, ...], dtype_name: str, default_dtype_name: str, *, prefix: str, suffixes: Sequence[str], options: PrintOptions
) -> str:
    """The `repr` of a tensor without numbers.

    >>> format_outline((2, 3), "int64", "float32", prefix="tensor(", suffixes=[], options=PrintOptions())
    "tensor(..., device='meta', size=(2, 3), dtype=torch.int64)"
    """
    added = ["device='meta'", f"size={shape}"] + ([] if dtype_name == default_dtype_name else [f"dtype=torch.{dtype_name}"])
    return append_suffixes(prefix + ELLIPSIS, [*added, *suffixes], len(prefix), options.linewidth) + ")"


def _unmarked_dtypes(default: str, empty: bool) -> set[str]:
    """Names of the dtypes that a reader infers from the items (or, when there are none, takes for granted)."""
    return {default} if empty else {default, "complex128" if default == "float64" else "complex64", "int64", "bool"}


def append_suffixes(text: str, suffixes: Sequence[str], indent: int, linewidth: int, new_line: bool = False) -> str:
    """`text` followed by the suffixes, each on a new line where it would pass the line width, the first always if `new_line`."""
    column = len(text) - text.rfind("\n") + 1  # two more than the last line has: torch counts it so
    for suffix in suffixes:
        column += 2 + len(suffix)
        if new_line or column > linewidth:
            text += ",\n" + " " * indent + suffix
            column, new_line = indent + len(suffix), False
        else:
            text += ", " + suffix
    return text


def contents(values: np.ndarray, dtype_name: str, indent: int, options: PrintOptions) -> str:
    """The bracketed items, the opening bracket standing at column `indent`."""
    if values.size == 0:
        return "[]"
    edge = options.edgeitems if values.size > options.threshold else math.inf
    if edge == 0 and values.ndim:
        return f"[{ELLIPSIS}]"
    texts, width = _item_texts(_shown_items(values, edge), dtype_name, options)
    return _layout(texts, width, values.shape, edge, indent, options.linewidth)


def _shown_items(values: np.ndarray, edge: Any) -> np.ndarray:
    """The items to print, flat: those among the first or last `edge` of every dimension."""
    if all(n <= 2 * edge for n in values.shape):
        return values.reshape(-1)
    values = values.squeeze()  # numpy cannot index by more than 63 arrays; without the dimensions of one item there are fewer
    shown: list[Any] = [range(n) if n <= 2 * edge else [*range(edge), *range(n - edge, n)] for n in values.shape]
    return values[np.ix_(*shown)].reshape(-1)


def _item_texts(values: np.ndarray, dtype_name: str, options: PrintOptions) -> tuple[list[str], int]:
    """The padded texts of flat `values`, and the width by which torch reckons how many fit on a line."""
    if dtype_name.startswith(("float", "bfloat")):
        texts, width = _float_texts(values, options, exponents=dtype_name == "float8_e8m0fnu")
    elif dtype_name.startswith("complex"):
        texts, width = _float_texts(values.real, options)
        imaginary, imaginary_width = _float_texts(values.imag, options)
        # Only the real part is padded, so columns of complex numbers may be ragged.
        pairs = zip(texts, imaginary, strict=True)
        return [f"{re:>{width}}{'' if im[0] == '-' else '+'}{im}j" for re, im in pairs], width + imaginary_width + 1
    else:
        texts = [str(value) for value in values.tolist()]
        width = max(map(len, texts))
    return [text.rjust(width) for text in texts], width


def _float_texts(values: np.ndarray, options: PrintOptions, exponents: bool = False) -> tuple[list[str], int]:
    """The texts of floats in one notation, and the width of the widest among the finite nonzero ones, the only ones that torch measures.

    Those also decide the notation: scientific where they are large, small or far apart; "1." where all are whole; else fixed point. Of ``exponents``
    torch measures NaN too, and takes the least one for 0.
    """
    with np.errstate(invalid="ignore"):  # a signalling nan
        values = values.astype(np.float64)
    measured = values != 2.0**-127 if exponents else np.isfinite(values) & (values != 0)
    sizes = np.abs(values[measured])
    whole = bool((sizes == np.ceil(sizes)).all())
    if sizes.size and (_needs_exponent(sizes) if options.sci_mode is None else options.sci_mode):
        spec, point = f".{options.precision}e", ""
    elif whole:
        spec, point = ".0f", "."
    else:
        spec, point = f".{options.precision}f", ""
    texts = [format(value, spec) + (point if math.isfinite(value) else "") for value in values.tolist()]
    width = max((len(text) for text, counts in zip(texts, measured.tolist(), strict=True) if counts), default=1)
    return texts, width


def _needs_exponent(sizes: np.ndarray) -> bool:
    """Whether positive magnitudes are too small, too large or too far apart for fixed point."""
    low, high = float(sizes.min()), float(sizes.max())
    return high / low > 1000 or high > 1e8 or low < 1e-4


def _layout(texts: list[str], width: int, shape: tuple[int, ...], edge: Any, indent: int, linewidth: int) -> str:
    """The brackets around the texts, from the innermost dimension outwards: rows wrap at `linewidth`, blank lines part the blocks."""
    if not shape:
        return texts[0]
    # A row stands inside the brackets of the outer dimensions; its own bracket is not counted, but a comma after the last item is.
    per_line = max(1, math.floor((linewidth - indent - (len(shape) - 1)) / (width + 2)))
    for axis in reversed(range(len(shape))):
        elided = shape[axis] > 2 * edge
        count = 2 * edge if elided else shape[axis]
        groups = [texts[start : start + count] for start in range(0, len(texts), count)]
        innermost = axis == len(shape) - 1
        if elided:
            gap = " " + ELLIPSIS if innermost else ELLIPSIS
            groups = [[*group[:edge], gap, *group[edge:]] for group in groups]
        if innermost:
            groups = [[", ".join(group[i : i + per_line]) for i in range(0, len(group), per_line)] for group in groups]
        break_ = "," + "\n" * max(1, len(shape) - 1 - axis) + " " * (indent + axis + 1)
        texts = [f"[{break_.join(group)}]" for group in groups]
    return texts[0]
