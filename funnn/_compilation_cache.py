"""Compiled programs that outlive the process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import jax

#: Bytes that the default folder may hold; what was used least lately goes first.
_LIMIT = 2 << 30


def cache_compilations(directory: str | os.PathLike[str] | None = None) -> Path:
    """Keep compiled programs on disk, so that the next run of the same script compiles next to nothing.

    It is JAX's persistent compilation cache with every program in it, however short its compilation was; all of the process's JAX programs take part.
    Programs are known by their code, options, and the versions of JAX and XLA, so nothing there is ever out of date. The folder can be deleted at any
    time. ``python -m funnn run`` calls this for every script.

    Args:
      directory: the folder, made if need be. Default: ``funnn/programs`` in the user's cache folder (``$XDG_CACHE_HOME``, else ``~/.cache``;
        ``~/Library/Caches`` on macOS, ``%LOCALAPPDATA%`` on Windows), which is kept below 2 GiB.

    Returns:
      the folder.

    Raises:
      OSError: the folder can't be made.

    Example:
      >>> import funnn, tempfile
      >>> folder = funnn.cache_compilations(tempfile.mkdtemp())
    """
    folder = Path(directory) if directory is not None else _users_folder() / "funnn" / "programs"
    folder.mkdir(parents=True, exist_ok=True)
    if directory is None:
        _keep_below(folder, _LIMIT)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder


def _users_folder() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    given = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return Path(given) if given else Path.home() / ".cache"


def _keep_below(folder: Path, limit: int) -> None:
    """Delete the files that were read longest ago, as far as they are more than ``limit`` bytes together."""
    files = []
    for file in folder.iterdir():
        try:
            status = file.stat()
        except OSError:  # another process has just deleted it
            continue
        files.append((max(status.st_atime, status.st_mtime), status.st_size, file))
    total = sum(size for _, size, _ in files)
    for _, size, file in sorted(files, key=lambda item: item[0]):
        if total <= limit:
            return
        file.unlink(missing_ok=True)
        total -= size
