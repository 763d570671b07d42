"""Runs the code blocks of Markdown files: ``code_blocks.py README.md docs/*.md``.

In a README each ```python block runs alone in a fresh process. In any other file the blocks of the page run in order in one process with one
namespace, as a reader would type them. A block that is followed by a ```text block must print exactly that.

A ```sh block that starts with ``python -m funnn`` runs too. The commands under ``<!-- main -->`` and ``<!-- test -->`` are run by ``.ci/run``.
Nothing else is left out, except what says so in the line before: ``<!-- not run: the reason -->``. Code of other libraries is a ```text block.

Everything runs in an empty folder, so that nothing is imported from the repository by accident.
"""

from __future__ import annotations

import contextlib
import io
import linecache
import re
import subprocess
import sys
import tempfile
import time
import traceback
import types
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^>]*?) -->\n+)?^(?P<indent> *)```(?P<language>python|sh)[^\n]*\n(?P<code>.*?)^(?P=indent)```[ ]*\n"
    r"(?:\s*^(?P=indent)```text\n(?P<expected>.*?)^(?P=indent)```)?",
    re.DOTALL | re.MULTILINE,
)
NOT_RUN = "not run:"


class Block(NamedTuple):
    """A block of a page, with its line and what it has to print (None: anything)."""

    line: int
    language: str
    code: str
    expected: str | None
    mark: str


def blocks_of(text: str) -> list[Block]:
    """The python and sh blocks of a page."""
    blocks = []
    for match in FENCE.finditer(text):
        indent = match["indent"]
        code, expected = (
            None if part is None else re.sub(f"^{indent}", "", part, flags=re.MULTILINE) for part in (match["code"], match["expected"])
        )
        line = text.count("\n", 0, match.start("code")) + 1
        blocks.append(Block(line, match["language"], code, expected, (match["mark"] or "").strip()))
    return blocks


def problem_of_mark(block: Block) -> str | None:
    """What is wrong with what stands before a block."""
    if block.mark.startswith(NOT_RUN) and not block.mark.removeprefix(NOT_RUN).strip():
        return "a block that is not run needs a reason: <!-- not run: reason -->"
    runs = block.language == "python" or block.code.startswith("python -m funnn") or block.mark in ("main", "test")
    if not runs and not block.mark.startswith(NOT_RUN):
        return "a shell block that does not start with `python -m funnn` needs <!-- not run: reason -->"
    return None


def wanted(block: Block) -> bool:
    """Whether a block runs here."""
    return not block.mark.startswith(NOT_RUN) and block.mark not in ("main", "test")


def run_alone(command: list[str], expected: str | None) -> str | None:
    """Run a command; what went wrong, or None."""
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if result.returncode:
        return result.stdout + result.stderr
    return different(result.stdout, expected)


def different(printed: str, expected: str | None) -> str | None:
    """How the output differs from what was expected."""
    if expected is None or printed == expected:
        return None
    return f"printed:\n{printed}expected:\n{expected}"


def run_page(path: str) -> int:
    """Run the python blocks of a page in this process, one after the other; the first failure ends it."""
    page = sys.modules["__main__"] = types.ModuleType("__main__")  # so that pickle finds what the page defines
    for block in blocks_of(Path(path).read_text()):
        if block.language != "python" or not wanted(block):
            continue
        name, output = f"{path}:{block.line}", io.StringIO()
        linecache.cache[name] = (len(block.code), None, block.code.splitlines(True), name)
        try:
            with contextlib.redirect_stdout(output):
                exec(compile(block.code, name, "exec"), page.__dict__)
            problem = different(output.getvalue(), block.expected)
        except BaseException:
            problem = output.getvalue() + traceback.format_exc()
        if problem:
            print(f"{name}: FAILED\n{problem}")
            return 1
    return 0


def run_file(path: Path) -> int:
    """Run all that a file has; the count of failures."""
    blocks = blocks_of(path.read_text())
    problems = [(block, problem_of_mark(block)) for block in blocks]
    failed = [f"{path}:{block.line}: {problem}" for block, problem in problems if problem]
    chosen = [block for block in blocks if wanted(block)]
    python = [block for block in chosen if block.language == "python"]
    if path.name == "README.md":
        if not python:
            failed.append(f"{path}: no code blocks")
        for block in python:
            problem = run_alone([sys.executable, "-c", block.code], block.expected)
            if problem:
                failed.append(f"{path}:{block.line}: FAILED\n{problem}")
    elif python:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(Path(__file__).resolve()), "--page", str(path)]
            result = subprocess.run(command, capture_output=True, text=True, cwd=folder)
        if result.returncode:
            failed.append(result.stdout + result.stderr)
    for block in chosen:
        if block.language == "sh":
            problem = run_alone(["bash", "-euc", block.code], block.expected)
            if problem:
                failed.append(f"{path}:{block.line}: FAILED\n{problem}")
    for text in failed:
        print(text)
    return len(failed)


def main(paths: list[str]) -> int:
    """Run all files; the exit code."""
    failures, begin = 0, time.monotonic()
    for path in (Path(name).resolve() for name in paths):
        start = time.monotonic()
        found = run_file(path)
        failures += found
        count = sum(map(wanted, blocks_of(path.read_text())))
        print(f"{path.name}: {count} blocks, {'ok' if not found else 'FAILED'} ({time.monotonic() - start:.1f} s)", flush=True)
    print(f"{len(paths)} files, {failures} failures ({time.monotonic() - begin:.1f} s)")
    return 1 if failures or not paths else 0


if __name__ == "__main__":
    sys.exit(run_page(sys.argv[2]) if sys.argv[1:2] == ["--page"] else main(sys.argv[1:]))
