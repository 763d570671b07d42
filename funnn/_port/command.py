"""What ``python -m funnn port`` does: the diff to stdout, the program to a file, and what both versions print, compared."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from pathlib import Path

from funnn._import_torch import installed
from funnn._port.edits import Source
from funnn._port.imports import ported, remaining
from funnn._port.layers import layers_of
from funnn._port.verify import verify


def port(script: str | Path, output: str | Path | None = None, *, check: bool = False, args: Sequence[str] = ()) -> int:
    """Change the import lines of a script and nothing else; print the diff.

    Args:
      script: a Python file.
      output: where the changed program goes; the script itself is allowed. Without it nothing is written.
      check: run both versions and compare what they print; PyTorch must be installed.
      args: the script's arguments, for that.

    Returns:
      0; 1 if the two versions print different things; 2 if the script can't be read, or not be verified.
    """
    file = Path(script)
    try:
        source = _read(file)
    except (OSError, SyntaxError, ValueError) as error:
        print(f"python -m funnn port: error: {script} can't be read: {error}", file=sys.stderr)
        return 2
    content = ported(source)
    show_diff(source.content, content, str(file), str(output or file))
    for text in remaining(source, file.resolve()):
        print(f"note: {text}", file=sys.stderr)
    if check:
        if installed("torch") is None:
            print("python -m funnn port: error: --verify runs the script with PyTorch, which is not installed here", file=sys.stderr)
            return 2
        agrees, lines = verify(file.resolve(), content, args)
        print(*lines, sep="\n")
    if output is not None:
        Path(output).write_bytes(content)
    return int(check and not agrees)


def write_layers(script: str | Path, output: str | Path | None = None) -> int:
    """Write the Module classes of a script as Layers, to stdout or a file; say on stderr what is not mechanical, by line.

    Returns:
      0; 1 if something is left to be done by hand; 2 if the script can't be read, or has no Module.
    """
    try:
        written = layers_of(_read(Path(script)))
    except (OSError, SyntaxError, ValueError) as error:
        print(f"python -m funnn port: error: {script} can't be read: {error}", file=sys.stderr)
        return 2
    for line, text in written.notes:
        print(f"{script}, line {line}: {text}", file=sys.stderr)
    if not written.text:
        print(f"python -m funnn port: error: {script} has no class that derives from torch.nn.Module", file=sys.stderr)
        return 2
    if output is None:
        print(written.text, end="")
    else:
        Path(output).write_text(written.text)
    return int(bool(written.notes))


def _read(file: Path) -> Source:
    if file.suffix == ".ipynb":
        raise ValueError("a notebook is no script; put `%load_ext funnn` into its first cell, or run it by `python -m funnn run`")
    return Source(file.read_bytes())


def show_diff(before: bytes, after: bytes, name: str, new_name: str) -> None:
    """Print the difference of two texts, as ``diff -u`` does."""
    if before == after:
        print(f"{name}: nothing to change")
        return
    lines = difflib.unified_diff(before.decode().splitlines(), after.decode().splitlines(), name, new_name, lineterm="")
    print(*lines, sep="\n")
