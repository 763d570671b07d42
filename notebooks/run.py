"""Runs the notebooks from a clean kernel, and compares what they print with what is stored in them.

    python notebooks/run.py                       the quick ones
    python notebooks/run.py --all                 all of them
    python notebooks/run.py --write FILE …        runs these and stores what they print and draw

Text is compared to the character, pictures by whether they are there. A cell tagged ``varies`` (timings, addresses) runs but is not compared.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError

FOLDER = Path(__file__).parent
#: What of an output is text that a reader sees, the richest form first.
TEXTS = ("text/html", "text/markdown", "text/latex", "text/plain")
ADDRESS = re.compile(r"(?<=0x)[0-9a-f]+(?=>)|(?<=<Figure size )\S+(?= with)")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="notebooks; without any, those that are quick")
    parser.add_argument("--all", action="store_true", help="every notebook")
    parser.add_argument("--write", action="store_true", help="store the outputs instead of comparing them")
    parser.add_argument("--timeout", type=int, default=600, metavar="SECONDS", help="for one cell (default %(default)s)")
    options = parser.parse_args(argv)
    every = sorted(FOLDER.glob("[0-9]*.ipynb"))
    chosen = options.files or [path for path in every if options.all or _is_quick(path)]
    if not chosen:
        parser.error("no notebooks to run")
    return sum([not _run(path, options.write, options.timeout) for path in chosen]) and 1


def _is_quick(path: Path) -> bool:
    return bool(nbformat.read(path, as_version=4).metadata.get("funnn", {}).get("quick"))


def _run(path: Path, write: bool, timeout: int) -> bool:
    notebook = nbformat.read(path, as_version=4)
    expected = [texts(cell) for cell in notebook.cells]
    begin = time.perf_counter()
    try:
        NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}).execute()
    except (CellExecutionError, CellTimeoutError) as error:
        print(f"{path.name}: FAILED\n{error}")
        return False
    seconds = time.perf_counter() - begin
    if write:
        _tidy(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: stored, {seconds:.0f} s")
        return True
    differences = []
    for number, (cell, stored) in enumerate(zip(notebook.cells, expected, strict=True)):
        now = texts(cell)
        if now != stored and "varies" not in cell.metadata.get("tags", []):
            differences += [f"cell {number}:", *difflib.unified_diff(stored, now, "stored", "now", lineterm="")]
    print(f"{path.name}: {'DIFFERS' if differences else 'ok'}, {seconds:.0f} s", *differences, sep="\n", flush=True)
    return not differences


def texts(cell: Any) -> list[str]:
    """The lines that a cell printed or showed; of a picture, that there is one."""
    lines: list[str] = []
    printed = ""  # a line may come in several pieces
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            printed += output.text if output.name == "stdout" else ""
            continue
        lines += _lines(printed)
        printed = ""
        if "image/png" in output.get("data", {}):
            lines.append("(picture)")
        elif "data" in output:
            lines += _lines(next(output.data[kind] for kind in TEXTS if kind in output.data))
    return lines + _lines(printed)


def _lines(text: str) -> list[str]:
    return ADDRESS.sub("…", text).splitlines()


def _tidy(notebook: Any) -> None:
    """Leaves out what changes from run to run or from machine to machine and tells a reader nothing."""
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata.pop("jupytext", None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        for name in ("execution", "lines_to_next_cell"):
            cell.metadata.pop(name, None)
        if cell.cell_type != "code":
            continue
        merged: list[Any] = []
        for output in cell.outputs:
            if output.output_type == "stream" and merged and merged[-1].output_type == "stream" and merged[-1].name == output.name:
                merged[-1].text += output.text
            else:
                merged.append(output)
        cell.outputs = merged


if __name__ == "__main__":
    sys.exit(main())
