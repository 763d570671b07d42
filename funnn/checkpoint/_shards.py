"""Checkpoints of several files, as Hugging Face lays them out: an index in JSON says which file has which key."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath

from funnn.checkpoint._errors import CheckpointError

ENDING = ".safetensors"
INDEX_ENDING = ".safetensors.index.json"
_UNITS = {
    f"{prefix}{i}B".upper(): base**power for i, base in (("", 1000), ("i", 1024)) for power, prefix in enumerate(("", "K", "M", "G", "T"))
}


def find_checkpoint(path: str | os.PathLike[str]) -> str:
    """The file or index that a path means: itself, or for a folder what is in it, or the index beside a file that is not there.

    Raises:
      FileNotFoundError: there is none.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        for name in (f"model{INDEX_ENDING}", f"model{ENDING}"):
            if os.path.isfile(os.path.join(path, name)):
                return os.path.join(path, name)
        there = sorted(name for name in os.listdir(path) if name.endswith((ENDING, INDEX_ENDING)))
        hint = f"give the path of one of {', '.join(there)}" if there else "there is no file of safetensors at all"
        raise FileNotFoundError(f"the folder {path} has no model{INDEX_ENDING} and no model{ENDING}; {hint}")
    if not os.path.exists(path) and path.endswith(ENDING) and os.path.isfile(f"{path}.index.json"):
        return f"{path}.index.json"
    if not os.path.exists(path):
        raise FileNotFoundError(f"no such file: {path}")
    return path


def read_index(path: str) -> dict[str, str]:
    """The file's name for each key, from an index.

    Raises:
      CheckpointError: it is no index, or names a file outside of its folder.
    """
    names: dict[str, str] = {}
    try:
        with open(path, encoding="utf-8") as stream:
            names = json.load(stream)["weight_map"]
        valid = isinstance(names, dict) and all(isinstance(name, str) for name in names.values())
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise CheckpointError(
            f'{path} is no index of safetensors: expected JSON with {{"weight_map": {{key: file}}}}; copy or download it again'
        )
    for key, name in names.items():
        parts = (*PurePosixPath(name).parts, *PureWindowsPath(name).parts)
        if not name or ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or "\0" in name:
            raise CheckpointError(
                f"{path}: weight_map says that {key!r} is in {name!r}, outside of the folder; name files of the folder only"
            )
    return names


def index_text(names: Mapping[str, str], total_size: int) -> str:
    """The text of an index."""
    return json.dumps({"metadata": {"total_size": total_size}, "weight_map": dict(names)}, indent=2, sort_keys=True) + "\n"


def parse_size(size: int | str) -> int:
    """A number of bytes, from itself or a text such as ``"5GB"``: KB, MB, GB and TB count thousands, KiB, MiB, GiB and TiB 1024s.

    Raises:
      ValueError: it is no positive size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?i?B)\s*", size, re.IGNORECASE) if isinstance(size, str) else None
    count = (
        size if isinstance(size, int) else int(float(found[1]) * _UNITS[found[2].upper()]) if found and found[2].upper() in _UNITS else 0
    )
    if count <= 0:
        raise ValueError(f"max_shard_size must be a positive number of bytes or a text such as '5GB' or '500MiB', but got {size!r}")
    return count


def split(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    """The keys of each file, so that none has more than ``limit`` bytes of arrays, but for an array that alone has more; as Hugging Face does.

    Keys stay in their order; an array above the limit has a file of its own.
    """
    shards: list[list[str]] = []
    current: list[str] = []
    used = 0
    for key, size in sizes.items():
        if size > limit:
            shards.append([key])
            continue
        if current and used + size > limit:
            shards.append(current)
            current, used = [], 0
        current.append(key)
        used += size
    return [*shards, current] if current or not shards else shards
