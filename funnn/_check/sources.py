"""Programs on disk: files, folders of them, and notebooks, as trees whose lines can be told."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

_SUFFIXES = (".py", ".ipynb")
#: Folders in which nobody's own programs lie.
_SKIPPED = {"__pycache__", "node_modules", "site-packages", "build", "dist"}
#: What is no Python in a cell: magics and commands of the shell.
_MAGIC = re.compile(r"^(\s*)(?:[%!?].*|\w+\?+\s*)$", re.MULTILINE)


class Unreadable(Exception):
    """A program that can't be read; the text says why."""


class Program(NamedTuple):
    """A file's tree, and where the cells of a notebook begin: (line in the tree, number of the cell)."""

    tree: ast.Module
    cells: tuple[tuple[int, int], ...] = ()

    def place(self, line: int) -> dict[str, int]:
        """A line as its author counts: in a file, or in a cell."""
        begun = [(first, cell) for first, cell in self.cells if first <= line]
        return {"cell": begun[-1][1], "line": line - begun[-1][0] + 1} if begun else {"line": line}


def files_in(paths: Iterable[Path]) -> Iterator[Path]:
    """The programs that are meant: a file itself, and all Python files and notebooks of a folder.

    Raises:
      Unreadable: there is no such file or folder.
    """
    for path in paths:
        if path.is_dir():
            inside = (file for suffix in _SUFFIXES for file in path.rglob(f"*{suffix}"))
            yield from sorted(file for file in inside if not _is_skipped(file.relative_to(path)))
        elif path.is_file():
            yield path
        else:
            raise Unreadable(f"no such file or folder: {str(path)!r}")


def _is_skipped(file: Path) -> bool:
    return any(part in _SKIPPED or part.startswith(".") for part in file.parts)


def read(file: Path) -> Program:
    """A program's tree.

    Raises:
      Unreadable: it is not Python, or not a notebook.
    """
    try:
        if file.suffix == ".ipynb":
            return _notebook(json.loads(file.read_text(encoding="utf-8")))
        return Program(_parse(file.read_bytes()))
    except (SyntaxError, UnicodeDecodeError, ValueError, KeyError, TypeError, OSError) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise Unreadable(f"{file}{where}: {str(error).partition(' (<')[0]}") from None


def _parse(text: str | bytes) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in strings
        return ast.parse(text)


def _notebook(content: dict[str, Any]) -> Program:
    text, cells, line = "", [], 1
    for number, cell in enumerate(content["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and not source.lstrip().startswith("%%"):
            cells.append((line, number))
            piece = _MAGIC.sub(r"\1pass", source) + "\n"
            text += piece
            line += piece.count("\n")
    return Program(_parse(text), tuple(cells))
