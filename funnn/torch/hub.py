"""torch.hub: models by the entry points of a ``hubconf.py``, and files of weights from a cache or a server."""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlparse as urlparse

from funnn.torch.serialization import load as _load_file

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
READ_DATA_CHUNK = 128 * 1024
_dir: builtins.list[str] = []  # what set_dir was given last


def get_dir() -> str:
    """The folder of repositories and weights: what :func:`set_dir` set, else ``$TORCH_HOME/hub``, by default ``~/.cache/torch/hub``."""
    if _dir:
        return _dir[-1]
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    return os.path.join(os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch"))), "hub")


def set_dir(d: str | os.PathLike) -> None:
    """Choose the folder of repositories and weights."""
    _dir[:] = [os.path.expanduser(d)]


def load(
    repo_or_dir: str,
    model: str,
    *args: Any,
    source: str = "github",
    trust_repo: Any = "check",
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    **kwargs: Any,
) -> Any:
    """What the entry point ``model`` of a ``hubconf.py`` returns for the arguments.

    Args:
      repo_or_dir: with ``source="local"`` a folder; else ``"owner/repository:branch"``, which must lie in :func:`get_dir`, for nothing is downloaded.
      model: the name of a function in it.
      source: "github" or "local".
      trust_repo, force_reload, verbose, skip_validation: of downloads.

    Raises:
      ValueError: there is no such source.
      RuntimeError: the repository is not there, it needs a package that is missing, or has no such function.
    """
    source = source.lower()
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    folder = Path(repo_or_dir) if source == "local" else _cached(repo_or_dir, verbose)
    with _hubconf(folder) as module:
        return _entry(module, model)(*args, **kwargs)


def list(github: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = "check", verbose: bool = True) -> Any:
    """The names of the entry points of a repository that lies in :func:`get_dir`."""
    with _hubconf(_cached(github, verbose)) as module:
        return [name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")]


def help(github: str, model: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = "check") -> Any:
    """The docstring of an entry point of a repository that lies in :func:`get_dir`."""
    with _hubconf(_cached(github, True)) as module:
        return _entry(module, model).__doc__


def _cached(github: str, verbose: bool) -> Path:
    """The folder of a repository in the cache."""
    name, _, ref = github.partition(":")
    owner, _, repository = name.partition("/")
    names = [f"{owner}_{repository}_{each.replace('/', '_')}" for each in ([ref] if ref else ["main", "master"])]
    found = next((Path(get_dir(), each) for each in names if Path(get_dir(), each).is_dir()), None)
    if found is None:
        raise RuntimeError(
            f"the repository {github!r} is not in the cache: put its files into {os.path.join(get_dir(), names[0])}, or load it from a folder with "
            "source='local'; torch.hub downloads no programs here"
        )
    if verbose:
        sys.stderr.write(f"Using cache found in {found}\n")
    return found


@contextlib.contextmanager
def _hubconf(folder: Path) -> Iterator[ModuleType]:
    """A repository's hubconf.py as a module, which finds the modules beside it."""
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location("hubconf.py", folder / "hubconf.py")
        if spec is None or spec.loader is None:
            raise AssertionError(f"{folder} has no hubconf.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        missing = [name for name in getattr(module, "dependencies", ()) if importlib.util.find_spec(name) is None]
        if missing:
            raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
        yield module
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


def _entry(module: ModuleType, name: Any) -> Any:
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a string of function name")
    function = getattr(module, name, None)
    if not callable(function):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return function


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Write what a server has at ``url`` to a file, which is there as a whole or not at all.

    Args:
      url: of the file.
      dst: where it goes.
      hash_prefix: what its SHA-256 must begin with.
      progress: is ignored: nothing is drawn.

    Raises:
      RuntimeError: the hash is another one.
      URLError: there is no network, or no such server.
    """
    digest = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "torch.hub"})
    target = Path(dst).expanduser()
    with urllib.request.urlopen(request) as answer, tempfile.NamedTemporaryFile(dir=target.parent, suffix=".partial", delete=False) as file:
        try:
            while chunk := answer.read(READ_DATA_CHUNK):
                file.write(chunk)
                digest.update(chunk)
            file.close()
            if hash_prefix is not None and not digest.hexdigest().startswith(hash_prefix):
                raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
            os.replace(file.name, target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """What the file of ``url``'s name holds, from the cache, or else from the server.

    Args:
      url: of the file.
      model_dir: the cache; by default ``checkpoints`` in :func:`get_dir`.
      map_location, weights_only: as in torch.load.
      progress: is ignored.
      check_hash: a downloaded file's name ends in ``-<beginning of its SHA-256>.ext``, which is checked.
      file_name: another name in the cache.

    Raises:
      URLError: it is not in the cache, and there is no network; the text says where it was looked for.
    """
    folder = Path(model_dir if model_dir is not None else os.path.join(get_dir(), "checkpoints"))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / (file_name if file_name is not None else os.path.basename(urllib.parse.urlparse(url).path))
    if not file.exists():
        sys.stderr.write(f'Downloading: "{url}" to {file}\n')
        found = HASH_REGEX.search(file.name) if check_hash else None
        try:
            download_url_to_file(url, str(file), found and found[1], progress)
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError as error:
            raise urllib.error.URLError(f"{error.reason}; {url} is not in the cache: put the file to {file}") from error
    return _load_file(file, map_location=map_location, weights_only=weights_only)
