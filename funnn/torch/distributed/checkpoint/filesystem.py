"""A checkpoint in a folder: a file of arrays for each process, and one that says what is where.

``part-R.pt`` has what the process of rank R wrote, by keys ``name/number``; ``checkpoint.json`` has of each tensor its shape, its type and its parts, and
which names are other objects. It is renamed into its place when all files are there, so that a folder with it is whole.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from funnn.torch import serialization

_INDEX = "checkpoint.json"


class CheckpointException(RuntimeError):
    """A checkpoint is not there, not whole, or not what is asked for."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Where some of a tensor's numbers are.

    Attributes:
      rank, key: of the file, and within it.
      offset, size: of the part within the tensor.
    """

    rank: int
    key: str
    offset: tuple[int, ...]
    size: tuple[int, ...]


class FileSystemWriter:
    """Writes a checkpoint into a folder.

    Args:
      path: the folder; it is made where it isn't there.
    """

    def __init__(self, path: str | os.PathLike[str], **options: Any):
        self.path = Path(path)

    def write(self, rank: int, values: dict[str, Any]) -> None:
        """The file of one process."""
        self.path.mkdir(parents=True, exist_ok=True)
        place = self.path / f"part-{rank}.pt"
        unfinished = place.with_suffix(".unfinished")
        serialization.save(values, unfinished)
        os.replace(unfinished, place)

    def finish(self, index: dict[str, Any]) -> None:
        """The file that says what is where."""
        unfinished = self.path / f"{_INDEX}.unfinished"
        unfinished.write_text(json.dumps(index, indent=1))
        os.replace(unfinished, self.path / _INDEX)

    def begin(self) -> None:
        """From now on until ``finish`` the folder has no whole checkpoint."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / _INDEX).unlink(missing_ok=True)


class FileSystemReader:
    """Reads a checkpoint from a folder.

    Args:
      path: the folder.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        self._files: dict[int, dict[str, Any]] = {}

    def index(self) -> dict[str, Any]:
        """What is where.

        Raises:
          CheckpointException: there is no whole checkpoint of this library's.
        """
        place = self.path / _INDEX
        if not place.is_file():
            if (self.path / ".metadata").is_file():
                raise CheckpointException(
                    f"{self.path} has a checkpoint that PyTorch wrote; there, dcp_to_torch_save of torch.distributed.checkpoint.format_utils makes one file "
                    "of it, which torch.load reads here"
                )
            raise CheckpointException(f"{self.path} has no whole checkpoint: there is no {_INDEX}")
        found: dict[str, Any] = json.loads(place.read_text())
        return found

    def read(self, part: Part) -> Any:
        """The numbers of a part."""
        if part.rank not in self._files:
            self._files[part.rank] = serialization.load(self.path / f"part-{part.rank}.pt")
        return self._files[part.rank][part.key]
