"""``python -m funnn run notebook.ipynb``: its cells in a kernel where ``import torch`` gives funnn.torch; what they print goes to stdout."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from funnn._import_torch import torch_is_funnn

_NEEDED = "python -m funnn run: a notebook needs nbclient and ipykernel: pip install 'funnn[jupyter]' ({})"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def run_notebook(path: str | Path, output: str | Path | None = None) -> int:
    """Run the cells in order, in this Python and the notebook's folder; the first error ends the run.

    Args:
      path: the notebook.
      output: a file for the notebook with what its cells gave.

    Returns:
      0; 1 if a cell raised; 2 if it can't be run here.
    """
    try:
        import ipykernel  # noqa: F401 (the kernel's process imports it)
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, DeadKernelError
    except ImportError as error:
        print(_NEEDED.format(error), file=sys.stderr)
        return 2
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:  # of JSON, of nbformat, of its schema
        print(f"python -m funnn run: {path} is not a notebook: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    language = notebook.metadata.get("kernelspec", {}).get("language", "python")
    if language != "python":
        print(f"python -m funnn run: {path} is a notebook for {language}, not Python", file=sys.stderr)
        return 2

    def show(cell: Any, **_: Any) -> None:
        for item in cell.get("outputs", ()):
            _show(item)

    folder = {"metadata": {"path": str(Path(path).resolve().parent)}}
    client = NotebookClient(notebook, timeout=None, kernel_name="python3", resources=folder, on_cell_executed=show)
    try:
        with torch_is_funnn():
            client.execute()
    except CellExecutionError:  # which has been shown
        return 1
    except DeadKernelError as error:
        print(f"python -m funnn run: {error}", file=sys.stderr)
        return 1
    finally:
        if output is not None:
            nbformat.write(notebook, output)
    return 0


def _show(item: Any) -> None:
    """Print one output of a cell: what it wrote, its value as text, or its error."""
    if item.output_type == "stream":
        print(item.text, end="", flush=True, file=sys.stderr if item.name == "stderr" else sys.stdout)
    elif item.output_type == "error":
        print(_COLOUR.sub("", "\n".join(item.traceback)), file=sys.stderr)
    elif "text/plain" in item.data:
        print(item.data["text/plain"], flush=True)
