"""Memory in pages of 2 MiB for a program that this process starts as.

XLA asks the C library for the memory of a program's intermediate values at every call, and gives it back after. On a CPU each page that is touched for the
first time costs a fault: 256 faults a MiB with pages of 4 KiB, one for two MiB with large ones. glibc can ask Linux for the large
ones, if it is told so in the environment before the process begins; a library that is imported later cannot.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

_SETTING = "glibc.malloc.hugetlb"
_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def obstacle() -> str | None:
    """Why this machine's processes can't have them, or None."""
    library, version = platform.libc_ver()
    if sys.platform != "linux" or library != "glibc":
        return f"they need Linux with glibc, and this is {sys.platform} with {library or 'another C library'}"
    if tuple(map(int, version.split(".")[:2])) < (2, 35):
        return f"they need glibc 2.35, and this is {version}"
    if not _PAGES.is_file() or "[never]" in _PAGES.read_text():
        return f"Linux gives none here: {_PAGES} says never"
    return None


def environment() -> dict[str, str]:
    """The environment with the setting; one that is there already stays."""
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    wanted = tunables if _SETTING in tunables else ":".join(filter(None, (tunables, f"{_SETTING}=1")))
    return {**os.environ, "GLIBC_TUNABLES": wanted}


def restart(asked: bool) -> None:
    """Begin this process again, with the same command line and the setting; return if it has it, can't have it, or is another program's that runs funnn.

    Args:
      asked: whether somebody asked for it, who is then told on stderr why it can't be.
    """
    reason = obstacle()
    if reason is not None:
        if asked:
            print(f"--huge-pages: {reason}; going on without", file=sys.stderr)
    elif _SETTING not in os.environ.get("GLIBC_TUNABLES", "") and (asked or _is_own()):
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment())


def _is_own() -> bool:
    """Whether the process was started as ``python … -m funnn``, and not as a debugger, say, that will find itself at its beginning again."""
    place = sys.orig_argv.index("-m") if "-m" in sys.orig_argv else len(sys.orig_argv)
    return sys.orig_argv[place + 1 : place + 2] == ["funnn"] and all(word[0] == "-" for word in sys.orig_argv[1:place])
