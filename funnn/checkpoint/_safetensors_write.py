"""Writing checkpoints of safetensors: one file, or several and an index."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.checkpoint._flat import flatten
from funnn.checkpoint._replacing import replacements
from funnn.checkpoint._safetensors_file import TYPES, Path, package
from funnn.checkpoint._shards import ENDING, INDEX_ENDING, index_text, parse_size, read_index, split

_SAVED = frozenset(TYPES.values())


def save_safetensors(
    tree: Mapping[str, Any],
    path: Path,
    metadata: Mapping[str, str] | None = None,
    *,
    max_shard_size: int | str | None = None,
    ties: Mapping[str, str] | None = None,
) -> None:
    """Write arrays into a checkpoint of safetensors, which :func:`load_safetensors` and the libraries of others read.

    What was at ``path`` stays whole until the new files are on disk: these are written beside it, under other names, and take their places last.
    Then an older checkpoint's files that the new one does not have (its index, more shards) are removed.

    Args:
      tree: ``{key: array}`` of NumPy and JAX arrays, or nested dicts as ``layer.init`` returns them, whose names are joined by dots. None leaves
        no trace.
      path: the file, whose name ends with ``.safetensors`` if there is a ``max_shard_size``; a folder that is there means ``model.safetensors`` in it.
      metadata: texts for the header. ``{"format": "pt"}`` is what transformers wants of a file.
      max_shard_size: bytes, or a text such as ``"5GB"``. If the arrays have more in all, they go to files ``model-00001-of-00003.safetensors``, of
        which each has no more (but for a single larger array), and ``model.safetensors.index.json`` says which key is where. None: one file.
      ties: ``{key: other}``: the array of ``key`` is that of ``other`` and is not written. Without it, keys are tied that have the same array: the
        same jax.Array, or NumPy arrays of the same memory, shape and strides. Of these the first by name is written. Either is noted in the metadata
        as ``{key: other}``, as ``safetensors.torch.save_model`` does, and restored by :func:`load_safetensors`. Arrays that overlap otherwise are
        written whole, each for itself. ``ties={}`` writes every key.

    Raises:
      TypeError: a value is no array, or of a type that the format does not have.
      ValueError: a tie names a key that is not there or arrays that differ, or a key, text or size is not valid.
      ImportError: the package safetensors is not installed.

    Example:
      >>> import numpy as np, os, tempfile
      >>> folder = tempfile.mkdtemp()
      >>> save_safetensors({"a": np.ones(100), "b": {"c": np.ones(100)}}, folder, max_shard_size="1KB")
      >>> sorted(os.listdir(folder))
      ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors', 'model.safetensors.index.json']
    """
    package()
    path = os.fspath(path)
    path = os.path.join(path, f"model{ENDING}") if os.path.isdir(path) else path
    if max_shard_size is not None and not path.endswith(ENDING):
        raise ValueError(f"path must end with {ENDING!r} where max_shard_size is given, but is {path!r}")
    arrays = _checked_arrays(tree)
    texts = _checked_metadata(metadata)
    tied = _ties_by_memory(arrays, texts) if ties is None else _checked_ties(arrays, ties, texts)
    notes = tied | texts
    kept = {key: array for key, array in arrays.items() if key not in tied}
    sizes = {key: array.nbytes for key, array in kept.items()}
    shards = [list(kept)] if max_shard_size is None else split(sizes, parse_size(max_shard_size))
    names = _names(path, len(shards))
    previous = _previous_files(path)
    folder = os.path.dirname(path)
    with replacements() as begin:
        for name, keys in zip(names, shards, strict=True):
            _write_file({key: kept[key] for key in keys}, notes, begin(os.path.join(folder, name)))
        if len(shards) > 1:
            where = {key: name for name, keys in zip(names, shards, strict=True) for key in keys}
            with open(begin(f"{path}.index.json"), "w", encoding="utf-8") as stream:
                stream.write(index_text(where, sum(sizes.values())))
    current = {os.path.join(folder, name) for name in names} | ({f"{path}.index.json"} if len(shards) > 1 else set())
    for file in previous - current:
        with suppress(FileNotFoundError):
            os.remove(file)


def _checked_arrays(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays by key, in the tree's order; nothing is copied."""
    if not isinstance(tree, Mapping):
        raise TypeError(
            f"expected a dict of arrays, got {type(tree).__name__}; pass the params that layer.init returned, or {{key: array}}"
        )
    nested = any(isinstance(value, Mapping) for value in tree.values())
    flat = flatten(tree) if nested else {key: value for key, value in tree.items() if value is not None}
    for key, value in flat.items():
        if not isinstance(key, str) or key == "__metadata__":
            raise ValueError(f"a key must be a string other than '__metadata__', but got {key!r}")
        if not isinstance(value, (np.ndarray, np.generic, jax.Array)):
            raise TypeError(
                f"{key!r} is a {type(value).__name__}; pass NumPy or JAX arrays (tensors of torch: safetensors.torch.save_file)"
            )
        if value.dtype not in _SAVED:
            hint = "; pass jax.random.key_data of it" if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else ""
            fix = hint or f"; convert it to one of {', '.join(map(str, TYPES.values()))}"
            raise TypeError(f"{key!r} is of type {value.dtype}, which safetensors does not have{fix}")
        if isinstance(value, jax.Array) and not value.is_fully_addressable:
            raise ValueError(
                f"{key!r} is spread over several processes; gather it first, as with jax.experimental.multihost_utils.process_allgather"
            )
    return flat


def _checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ValueError(f"metadata holds texts by texts, but got {key!r}: {value!r}; use str() or json.dumps")
    return dict(metadata or {})


def _ties_by_memory(arrays: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, str]:
    """Of keys with the same array, the others by name to the first; not those of which the metadata cannot take a note."""
    first: dict[Any, str] = {}
    tied: dict[str, str] = {}
    for key in sorted(arrays):
        array = arrays[key]
        if array.size == 0 or isinstance(array, np.generic):
            continue
        interface = array.__array_interface__ if isinstance(array, np.ndarray) else None
        same = (interface["data"][0], array.shape, array.strides, array.dtype) if interface else id(array)
        if first.setdefault(same, key) != key and key not in texts and key != "format":
            tied[key] = first[same]
    return tied


def _checked_ties(arrays: Mapping[str, Any], ties: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, str]:
    for key, other in ties.items():
        if key in texts or key == "format":
            raise ValueError(
                f"ties: the metadata has {key!r} as a text, and can't note that it is tied to {other!r}; rename the text or the key"
            )
        if other not in arrays or other in ties:
            reason = "is tied itself" if other in ties else "is not there"
            raise ValueError(f"ties: {key!r} is tied to {other!r}, which {reason}; name a key whose array is written")
        if key in arrays and arrays[key] is not arrays[other] and not _equal(arrays[key], arrays[other]):
            raise ValueError(f"ties: {key!r} is tied to {other!r}, but their arrays differ; leave one of them out")
    return dict(ties)


def _equal(a: Any, b: Any) -> bool:
    """Whether two arrays have the same bytes."""
    return a.shape == b.shape and a.dtype == b.dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes()


def _names(path: str, count: int) -> list[str]:
    """The files' names."""
    name = os.path.basename(path)
    return [name] if count == 1 else [f"{name.removesuffix(ENDING)}-{number:05d}-of-{count:05d}{ENDING}" for number in range(1, count + 1)]


def _previous_files(path: str) -> set[str]:
    """The files of the checkpoint that is at ``path``."""
    files, index = {path}, f"{path}.index.json"
    if index.endswith(INDEX_ENDING) and os.path.isfile(index):
        with suppress(ValueError):
            files |= {os.path.join(os.path.dirname(path), name) for name in read_index(index).values() if name.endswith(ENDING)}
        files.add(index)
    return files


def _write_file(arrays: Mapping[str, Any], metadata: Mapping[str, str], path: str) -> None:
    """One file."""
    library = package()
    mode = os.stat(path).st_mode
    values = {key: np.asarray(array, order="C") for key, array in arrays.items()}
    try:
        library.numpy.save_file(values, path, metadata=dict(metadata) or None)
    except library.SafetensorError as error:
        if isinstance(error, OSError) or "I/O error" in str(error):
            raise OSError(f"cannot write {path}: {error}") from error
        raise TypeError(f"the package safetensors {library.__version__} cannot write this: {error}; upgrade it") from error
    os.chmod(path, mode)  # the package writes a file of its own, for its user alone
