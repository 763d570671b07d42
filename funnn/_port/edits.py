"""Changes of a source text at the places of its tree, which leave all else as it was."""

from __future__ import annotations

import ast
from typing import NamedTuple


class Edit(NamedTuple):
    """The bytes from ``begin`` to ``end`` become ``text``."""

    begin: int
    end: int
    text: str


class Source:
    """A program's bytes and tree."""

    def __init__(self, content: bytes):
        self.content = content
        self.tree = ast.parse(content)
        self._starts = [0]
        for line in content.splitlines(keepends=True) if b"\f" not in content else content.split(b"\n"):
            self._starts.append(self._starts[-1] + len(line))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node lies in the bytes."""
        line, end = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        return self._starts[line - 1] + node.col_offset, self._starts[end - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def text(self, node: ast.AST) -> str:
        """A node as it is written."""
        begin, end = self.span(node)
        return self.content[begin:end].decode()

    def change(self, edits: list[Edit]) -> bytes:
        """The program with the edits, none of which overlap."""
        content = self.content
        for begin, end, text in sorted(edits, reverse=True):
            content = content[:begin] + text.encode() + content[end:]
        return content
