"""What ``python -m funnn check`` prints: by file, the names of torch that differ or are missing, with their lines."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from funnn._check.names import Use, uses
from funnn._check.sources import Program, Unreadable, files_in, read
from funnn._check.status import DIFFERS, MISSING, SAME, exists, returns_tensor, status


def check(paths: Sequence[str | Path], *, as_json: bool = False, every: bool = False) -> int:
    """Print what becomes of the names of torch and torchvision that programs use.

    Args:
      paths: Python files, notebooks, and folders of them.
      as_json: one JSON document instead of text, with all names.
      every: name those too that are the same.

    Returns:
      0 if all names are there, 1 if one is missing that the program is not ready to miss, 2 if a program can't be read.
    """
    reports, unreadable = [], []
    try:
        files = list(files_in(map(Path, paths)))
    except Unreadable as error:
        print(f"python -m funnn check: error: {error}", file=sys.stderr)
        return 2
    for file in files:
        try:
            reports.append(report(file))
        except Unreadable as error:
            unreadable.append(str(error))
    for text in unreadable:
        print(f"python -m funnn check: can't be read: {text}", file=sys.stderr)
    if as_json:
        print(json.dumps({"files": reports, "unreadable": unreadable}, indent=1))
    else:
        print(*(_text(each, every) for each in reports if each["names"] or len(reports) == 1), sep="\n")
        print(_total(reports))
    if unreadable:
        return 2
    return int(any(name["status"] == MISSING and not name["caught"] for each in reports for name in each["names"]))


def report(file: Path) -> dict[str, Any]:
    """One file's names: each with its status, how it differs or the way round, and the places where it stands.

    Raises:
      Unreadable: it is no program.
    """
    program = read(file)
    by_name: dict[str, list[Use]] = {}
    for use in uses(program.tree, returns_tensor, exists):
        by_name.setdefault(use.name, []).append(use)
    return {"file": str(file), "names": [_entry(name, found, program) for name, found in by_name.items()]}


def _entry(name: str, found: list[Use], program: Program) -> dict[str, Any]:
    kind, text = status(name)
    places = [program.place(use.line) for use in found]
    return {"name": name, "status": kind, "text": text, "caught": all(use.caught for use in found), "places": places}


def _text(each: dict[str, Any], every: bool) -> str:
    """A file's report: its counts, and an entry for each name that is not the same."""
    names = each["names"]
    lines = [f"{each['file']}: {_counts(names)}"]
    for name in names:
        if every or name["status"] != SAME:
            label = name["status"] + (", and the program is ready for that" if name["caught"] and name["status"] == MISSING else "")
            lines.append(f"  {name['name']}  {label}  ({_places(name['places'])})")
            if name["text"]:
                lines.append(textwrap.fill(name["text"], 110, initial_indent="      ", subsequent_indent="      "))
    return "\n".join(lines)


def _counts(names: list[dict[str, Any]]) -> str:
    if not names:
        return "uses no names of torch"
    counts = {kind: sum(name["status"] == kind for name in names) for kind in (SAME, DIFFERS, MISSING)}
    return f"{len(names)} names of torch: " + ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def _places(places: list[dict[str, int]]) -> str:
    shown = [f"cell {place['cell']} line {place['line']}" if "cell" in place else str(place["line"]) for place in places[:5]]
    more = len(places) - len(shown)
    word = "" if "cell" in places[0] else "line " if len(places) == 1 else "lines "
    return word + ", ".join(shown) + (f" and {more} more" if more else "")


def _total(reports: list[dict[str, Any]]) -> str:
    every = {name["name"]: name["status"] for each in reports for name in each["names"]}
    missing = sorted(name for name, kind in every.items() if kind == MISSING)
    files = "1 file" if len(reports) == 1 else f"{len(reports)} files"
    return f"{files}, {len(every)} different names, {len(missing)} missing" + (f": {', '.join(missing)}" if missing else "")
