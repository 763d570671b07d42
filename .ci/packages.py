"""Writes docs/packages.md: which packages that others built on PyTorch run here, with their numbers.

    python .ci/packages.py --plain PYTHON --torch PYTHON [PACKAGE…]

``--plain`` is the interpreter of an environment with funnn and the packages and without torch; ``--torch`` that of one with torch and the packages. Each
example of tests/packages is run by both. With names of packages, only these are run, and nothing is written.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.packages import running  # noqa: E402

PAGE = ROOT / "docs" / "packages.md"
HEAD = """# Packages that run

Packages that others built on PyTorch, unchanged, in an environment without torch: `python -m funnn run script.py`, or `funnn.install()` before the first
import. Each is tried by its first example, made small; the programs are in `tests/packages`. *Same* means that all that it prints is what it prints on
PyTorch {torch}, numbers to 2·10⁻⁴ of the largest in their line. `.ci/packages.py` makes this page.

{count} of {all} print the same.

| package | version | state |
|---|---|---|
"""


def version(python: str, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip() or "not installed"


def state(plain: str, torch: str, path: Path) -> str:
    """What becomes of an example."""
    with tempfile.TemporaryDirectory() as folder:
        found = running.run([plain, "-m", "funnn", "run"], path, Path(folder))
        if found.returncode:
            return f"stops: {running.reason(found.stderr)}"
        expected = running.run([torch], path, Path(folder))
    if expected.returncode:
        return f"runs; on PyTorch it stops here: {running.reason(expected.stderr)}"
    other = running.difference(found.stdout, expected.stdout)
    return "same" if other is None else f"differs: {other[:200]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*")
    parser.add_argument("--plain", required=True)
    parser.add_argument("--torch", required=True)
    options = parser.parse_args()
    rows = []
    for package, path in running.examples().items():
        if options.packages and package not in options.packages:
            continue
        found = state(options.plain, options.torch, path)
        print(f"{package}: {found}", flush=True)
        rows.append((package, version(options.plain, package), found))
    if not options.packages:
        same = sum(found == "same" for _, _, found in rows)
        head = HEAD.format(torch=version(options.torch, "torch").partition("+")[0], count=same, all=len(rows))
        lines = [f"| {package} | {number} | {found.replace('|', '/')} |" for package, number, found in rows]
        PAGE.write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
