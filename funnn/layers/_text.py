"""How layers and Modules print: torch's indented tree, from a name, the extra text and the children's texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def layer_text(name: str, extra: str, children: Mapping[str, str]) -> str:
    """``Name(extra)`` for a leaf, else one child a line, indented by two spaces.

    >>> print(layer_text("Net", "", {"fc": "Linear(in_features=2, out_features=1, bias=True)"}))
    Net(
      (fc): Linear(in_features=2, out_features=1, bias=True)
    )
    """
    extra_lines = extra.split("\n") if extra else []
    child_lines = [f"({key}): {_indent(text)}" for key, text in children.items()]
    if len(extra_lines) == 1 and not child_lines:
        return f"{name}({extra})"
    lines = extra_lines + child_lines
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)" if lines else f"{name}()"


def list_text(texts: Sequence[str], name: str = "ModuleList") -> str:
    """torch's text of a list: equal neighbours print once.

    >>> print(list_text(["ReLU()", "ReLU()", "Tanh()"]))
    ModuleList(
      (0-1): 2 x ReLU()
      (2): Tanh()
    )
    """
    children, start = {}, 0
    for end in range(1, len(texts) + 1):
        if end == len(texts) or texts[end] != texts[start]:
            count = end - start
            children[f"{start}" if count == 1 else f"{start}-{end - 1}"] = texts[start] if count == 1 else f"{count} x {texts[start]}"
            start = end
    return layer_text(name, "", children)


def _indent(text: str) -> str:
    return text.replace("\n", "\n  ")


def enabled(parameter: Any) -> bool:
    """Whether an optional parameter exists, on a layer (where the name holds the flag) and on a Module (where it holds the array)."""
    return parameter is not None and parameter is not False
