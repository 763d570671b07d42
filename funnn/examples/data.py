"""Handwritten digits as NumPy arrays: 1,797 small ones that come with funnn, or MNIST from a folder."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_BUNDLED = Path(__file__).with_name("digits.npz")

#: MNIST's files: name, first four bytes as a number (type and rank), rank.
_FILES = {
    "train_images": ("train-images-idx3-ubyte", 0x00000803, 3),
    "train_labels": ("train-labels-idx1-ubyte", 0x00000801, 1),
    "test_images": ("t10k-images-idx3-ubyte", 0x00000803, 3),
    "test_labels": ("t10k-labels-idx1-ubyte", 0x00000801, 1),
}


def load_digits(path: str | Path | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images and labels, test images and labels.

    Args:
      path: None for the digits that come with funnn (8×8, see digits.md): every fifth image is a test image, which makes 1,437 and 360.
        Otherwise a folder with MNIST's four files in the IDX format, as they are or compressed (.gz): train-images-idx3-ubyte,
        train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte.

    Returns:
      ``(train_images, train_labels, test_images, test_labels)``: float32 images (N, 1, H, W) in [0, 1], int64 labels (N,) in 0 … 9.

    Raises:
      FileNotFoundError: the folder, or one of its files, does not exist.
      ValueError: a file is damaged, or does not fit the others.

    >>> [part.shape for part in load_digits()]
    [(1437, 1, 8, 8), (1437,), (360, 1, 8, 8), (360,)]
    """
    if path is None:
        with np.load(_BUNDLED) as stored:
            images, labels = stored["images"], stored["labels"]
        test = np.arange(len(labels)) % 5 == 0
        return _scaled(images[~test], 16), labels[~test].astype(np.int64), _scaled(images[test], 16), labels[test].astype(np.int64)
    folder = Path(path)
    if not folder.is_dir():
        names = ", ".join(name for name, *_ in _FILES.values())
        raise FileNotFoundError(f"{folder} is not a folder; expected one with MNIST's files {names}")
    files = {part: _find(folder, name) for part, (name, *_) in _FILES.items()}
    arrays = {part: _read_idx(files[part], magic, rank) for part, (_, magic, rank) in _FILES.items()}
    for kind in ("train", "test"):
        _check_pair(files, arrays, f"{kind}_images", f"{kind}_labels")
    train, test = arrays["train_images"], arrays["test_images"]
    if train.shape[1:] != test.shape[1:]:
        sizes = f"images of {_sizes(test.shape[1:])}, but {files['train_images']} of {_sizes(train.shape[1:])}"
        raise ValueError(f"{files['test_images']} has {sizes}; take both of one set")
    return _scaled(train, 255), arrays["train_labels"].astype(np.int64), _scaled(test, 255), arrays["test_labels"].astype(np.int64)


def _scaled(images: np.ndarray, largest: int) -> np.ndarray:
    return images[:, None].astype(np.float32) / np.float32(largest)


def _sizes(sizes: Sequence[int]) -> str:
    return "×".join(map(str, sizes))


def _find(folder: Path, name: str) -> Path:
    for file in (folder / name, folder / f"{name}.gz"):
        if file.is_file():
            return file
    raise FileNotFoundError(f"{folder} has neither {name} nor {name}.gz; put MNIST's four files there")


def _read_idx(file: Path, magic: int, rank: int) -> np.ndarray:
    """The unsigned bytes of an IDX file: magic number, sizes (big-endian 32-bit numbers), then the values."""
    content = _content(file)
    header = 4 * (1 + rank)
    if len(content) < header:
        raise ValueError(f"{file} is truncated: it has {len(content)} bytes, and its header alone takes {header}; copy the file again")
    first, *sizes = np.frombuffer(content, ">u4", 1 + rank).tolist()
    if first != magic:
        kind = "images" if rank == 3 else "labels"
        raise ValueError(f"{file} is no IDX file of {kind}: it begins with 0x{first:08x}, expected 0x{magic:08x}; check the files' names")
    expected = header + math.prod(sizes)
    if len(content) != expected:
        problem = "truncated" if len(content) < expected else "too long"
        announced = f"its header announces {_sizes(sizes)} values, {expected} bytes in all"
        raise ValueError(f"{file} is {problem}: {announced}, but it has {len(content)}; copy the file again")
    if not math.prod(sizes):
        raise ValueError(f"{file} is empty: its header announces {_sizes(sizes)} values; expected at least one")
    return np.frombuffer(content, np.uint8, offset=header).reshape(sizes)


def _content(file: Path) -> bytes:
    data = file.read_bytes()
    if file.suffix != ".gz":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{file} is damaged and can't be decompressed ({error}); copy the file again") from error


def _check_pair(files: dict[str, Path], arrays: dict[str, np.ndarray], images: str, labels: str) -> None:
    counts = len(arrays[images]), len(arrays[labels])
    if counts[0] != counts[1]:
        raise ValueError(f"{files[images]} has {counts[0]} images, but {files[labels]} has {counts[1]} labels; take both of one set")
    if arrays[labels].max() > 9:
        raise ValueError(f"{files[labels]} has the label {arrays[labels].max()}; expected digits 0 to 9")
