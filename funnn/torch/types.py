"""torch.types: names for annotations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import IO, TypeAlias

from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _devices
from funnn.engine.types import dtype as _dtypes
from funnn.torch.storage import TypedStorage, UntypedStorage

__all__ = ["Device", "FileLike", "Number", "Storage"]

Number: TypeAlias = int | float | bool
_Number = (int, float, bool)
Device: TypeAlias = _devices.device | str | int | None
FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]
Storage: TypeAlias = TypedStorage | UntypedStorage
_TensorOrTensors: TypeAlias = Tensor | Sequence[Tensor]
_size: TypeAlias = Sequence[int]
_dtype, _device = _dtypes.dtype, _devices.device
_int, _float, _bool, _complex, _str, _bytes = int, float, bool, complex, str, bytes
