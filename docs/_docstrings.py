"""Docstrings as Markdown: they are written for ``help()``, with doctests and a little reStructuredText."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


def markdown(text: str) -> str:
    """A docstring with its roles, links, formulas and doctests in Markdown."""
    text = re.sub(r":(?:func|class|mod|data|attr|meth):`~?([^`]+)`", r"`\1`", text)
    text = re.sub(r":math:`([^`]+)`", r"$\1$", text)
    text = re.sub(r"`([^`<]+?)\s*<(https?://[^>]+)>`__?", r"[\1](\2)", text)
    text = re.sub(r"^( *)\.\. math::\n((?:(?:\1 +.*)?\n?)+)", _display, text, flags=re.MULTILINE)
    return _doctests(text)


def _display(match: re.Match) -> str:
    lines = match[2].strip("\n").split("\n")
    formula = "\n".join(match[1] + line.strip() for line in lines)
    return f"{match[1]}$$\n{formula}\n{match[1]}$$\n\n"


def _doctests(text: str) -> str:
    """Each run of lines from a prompt to an empty line becomes a fenced block; the heading before it goes, because the block shows what it is."""
    out: list[str] = []
    block: list[str] | None = None
    lines = text.split("\n")
    for line in [*lines, ""]:
        if block is None and line.lstrip().startswith(">>> "):
            while out and not out[-1].strip():
                out.pop()
            if out and out[-1].strip() in ("Example:", "Examples:"):
                out[-1] = ""
            block = [line]
        elif block is not None and not line.strip():
            indent = len(block[0]) - len(block[0].lstrip())
            out += ["", "```pycon", *(row[indent:] for row in block), "```", ""]
            block = None
        elif block is not None:
            block.append(line)
        else:
            out.append(line)
    return "\n".join(out)


class Docstrings(Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Called for every object when it and its members are loaded."""
        if obj.docstring is not None and not obj.docstring.value.startswith("\u200b"):
            obj.docstring.value = markdown(obj.docstring.value)
