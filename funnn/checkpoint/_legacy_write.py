"""Writing the files of PyTorch before 1.6, which its newer versions read too: five pickles in a row, and then the bytes of every storage."""

from __future__ import annotations

import io
import os
import pickle
import struct
from typing import Any

from funnn.checkpoint._legacy_file import MAGIC
from funnn.checkpoint._replacing import replacing
from funnn.checkpoint._source import File, opened

_PROTOCOL = 1001
_MACHINE = {"protocol_version": _PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def write_legacy(tree: Any, file: File, pickler: Any) -> None:
    """Pickle ``tree`` by ``pickler(stream)``, a TorchPickler, and write that and its storages."""
    stream = io.BytesIO()
    job = pickler(stream)
    job.of_a_storage = (None,)  # a view of another one, which PyTorch has no more
    job.dump(tree)
    records = dict(sorted(job.records.values()))
    place = replacing(file) if isinstance(file, (str, os.PathLike)) else opened(file, "wb")
    with place as target:
        for value in (MAGIC, _PROTOCOL, _MACHINE):
            pickle.dump(value, target, protocol=2)
        target.write(stream.getvalue())
        pickle.dump(list(records), target, protocol=2)
        for record in records.values():
            target.write(struct.pack("<q", record.array.size))
            target.write(record.array.tobytes())
