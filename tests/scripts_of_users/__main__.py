"""Runs scripts and says whether they print the same, and how long they took: ``python -m tests.scripts_of_users [NAME…]``.

``--record`` runs those that have a record, of torchvision or of what PyTorch's compiler does, with this Python, which must have PyTorch 2.13, and
torchvision 0.28 for those of torchvision; what they print is written down.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.scripts_of_users import _running


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="scripts (default: all)")
    parser.add_argument("--record", action="store_true", help="write what scripts with a record print with this Python")
    options = parser.parse_args()
    wrong = 0
    for name, path in _running.scripts().items():
        if (options.names and name not in options.names) or (options.record and not _running.record_of(path).exists()):
            continue
        with tempfile.TemporaryDirectory() as folder:
            if options.record:
                _running.record_of(path).write_text(_running.run(path, _running.ON_TORCH, Path(folder)).text)
                continue
            theirs, ours = _running.expected(path, Path(folder)), _running.run(path, _running.ON_FUNNN, Path(folder))
        lines = _running.difference(ours, theirs)
        wrong += bool(lines)
        print(
            f"{name:<28} {theirs.seconds:6.1f} s  {ours.seconds:6.1f} s  {'differs' if lines else 'same'}", *lines, sep="\n  ", flush=True
        )
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
