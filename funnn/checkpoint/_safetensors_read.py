"""Reading checkpoints of safetensors: one file, or the files that an index names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import Sharding, SingleDeviceSharding

from funnn.checkpoint._errors import CheckpointError
from funnn.checkpoint._lazy import LazyTensors
from funnn.checkpoint._safetensors_file import Path, TensorFile
from funnn.checkpoint._shards import INDEX_ENDING, find_checkpoint, read_index

Target: TypeAlias = jax.Device | Sharding
Targets: TypeAlias = Target | Callable[[str], Target | None]


def load_safetensors(
    path: Path, *, lazy: bool = False, device: Targets | None = None, ties: Mapping[str, str] | None = None
) -> Mapping[str, Any]:
    """Read the arrays of a checkpoint of safetensors.

    Args:
      path: a file; or an index (``….safetensors.index.json``) and with it the files that it names; or a folder with
        ``model.safetensors.index.json`` or, without one, ``model.safetensors``.
      lazy: return a mapping that reads an array when it is looked up, from the file mapped into memory, and keeps none. It has the files' texts as
        ``metadata``, and is for checkpoints that are not to be in memory as a whole.
      device: where the arrays go: a jax.Device, a Sharding, or a function from a key to either, or to None for NumPy. Of an array for a sharding,
        only the parts for this process' devices are read. None: NumPy arrays of their own memory.
      ties: ``{key: other}`` for keys that the files do not have because their array is that of another key, such as
        ``{"lm_head.weight": "transformer.wte.weight"}``. In addition to them, ties are restored that the metadata note as ``{key: other}``, as
        :func:`save_safetensors` and ``safetensors.torch.save_model`` do. Both keys get the same array.

    Returns:
      ``{key: array}``. Types are those of the file in every mode of JAX: bfloat16, float8 and float4 are those of ml_dtypes.

    Raises:
      CheckpointError: (a ValueError) a file or the index is damaged, an index names a file outside of its folder, or keys that a file lacks.
      KeyError: ``ties`` names a key that is not there.
      ImportError: the package safetensors is not installed.

    The format: https://huggingface.co/docs/safetensors

    Example:
      >>> import numpy as np, tempfile
      >>> path = tempfile.mkdtemp() + "/model.safetensors"
      >>> from funnn.checkpoint import save_safetensors
      >>> save_safetensors({"weight": np.ones((2, 3), np.float32)}, path)
      >>> load_safetensors(path)["weight"].shape
      (2, 3)
      >>> load_safetensors(path, lazy=True, device=jax.devices()[0])["weight"].sum()
      Array(6., dtype=float32)
    """
    files, metadata = _files_by_key(find_checkpoint(path))

    def reader(key: str) -> Callable[[], Any]:
        target = device(key) if callable(device) else device
        return lambda: _placed(files[key].view(key), target)

    readers = {key: reader(key) for key in files}
    known = {key: other for key, other in metadata.items() if other in files and key not in files and key != "format"}
    for key, other in {**known, **(ties or {})}.items():
        if other not in files:
            raise KeyError(
                f"ties: {key!r} is tied to {other!r}, which the checkpoint does not have; its keys are {', '.join(sorted(files))}"
            )
        readers.setdefault(key, readers[other])
        known.setdefault(key, other)
    if lazy:
        return LazyTensors(readers, metadata)
    arrays = {key: readers[key]() for key in files}
    return arrays | {key: arrays[other] for key, other in known.items() if key not in arrays}


def safetensors_metadata(path: Path) -> dict[str, str]:
    """The texts that a checkpoint of safetensors has beside its arrays: those of its file, or of all files that its index names.

    Args:
      path: as for :func:`load_safetensors`.

    Raises:
      CheckpointError: as for :func:`load_safetensors`.
    """
    return _files_by_key(find_checkpoint(path))[1]


def _files_by_key(path: str) -> tuple[dict[str, TensorFile], dict[str, str]]:
    """The file of each key, and the metadata of all files."""
    if not path.endswith(INDEX_ENDING):
        file = TensorFile(path)
        return dict.fromkeys(file.entries, file), file.metadata
    names = read_index(path)
    folder = os.path.dirname(path)
    opened: dict[str, TensorFile] = {}
    for name in sorted(set(names.values())):
        if not os.path.isfile(os.path.join(folder, name)):
            raise CheckpointError(f"{path} names the file {name}, which is not there; copy or download it too")
        opened[name] = TensorFile(os.path.join(folder, name))
    for key, name in names.items():
        if key not in opened[name].entries:
            raise CheckpointError(f"{path} says that {key!r} is in {name}, which does not have it; copy or download all files again")
    metadata = {text: value for file in opened.values() for text, value in file.metadata.items()}
    return {key: opened[name] for key, name in names.items()}, metadata


def _placed(view: np.ndarray, target: Target | None) -> Any:
    """The array, in memory of its own or on devices."""
    if target is None:
        return np.array(view)
    sharding = target if isinstance(target, Sharding) else SingleDeviceSharding(target)
    with jax.enable_x64(True):  # types of 64 bits stay as they are
        return jax.make_array_from_callback(view.shape, sharding, lambda part: np.array(view[part]), dtype=view.dtype)
