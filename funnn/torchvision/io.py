"""torchvision.io: image files to tensors (C, H, W) and back, by Pillow."""

from __future__ import annotations

import io as _io
from enum import Enum
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import funnn.torch as torch
from funnn.torchvision._missing import missing as _missing
from funnn.torchvision._optional import Image as _Image
from funnn.torchvision._optional import ImageOps as _ImageOps
from funnn.torchvision._optional import need_pillow as _need_pillow

_Tensor = Any


class ImageReadMode(Enum):
    """Which channels an image gets when it is read."""

    UNCHANGED = 0
    GRAY = 1
    GRAY_ALPHA = 2
    RGB = 3
    RGB_ALPHA = 4


_MODES = {ImageReadMode.GRAY: "L", ImageReadMode.GRAY_ALPHA: "LA", ImageReadMode.RGB: "RGB", ImageReadMode.RGB_ALPHA: "RGBA"}


def read_file(path: str) -> _Tensor:
    """The bytes of a file, as a uint8 tensor of one dimension."""
    return torch.from_numpy(np.frombuffer(Path(path).read_bytes(), np.uint8).copy())


def write_file(filename: str, data: _Tensor) -> None:
    """Write the bytes of a uint8 tensor of one dimension."""
    Path(filename).write_bytes(data.numpy().tobytes())


def decode_image(input: Any, mode: ImageReadMode | str = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False) -> _Tensor:
    """The image (C, H, W) in a file or in its bytes, as uint8, or uint16 for PNG files of 16 bits.

    Args:
      input: a uint8 tensor with the file's bytes, or its path.
      mode: which channels it gets; also by name ("RGB").
      apply_exif_orientation: whether it is turned as its EXIF data say.

    Raises:
      RuntimeError: the bytes are no image.
    """
    _need_pillow("torchvision.io")
    raw = input.numpy().tobytes() if isinstance(input, torch.Tensor) else Path(input).read_bytes()
    mode = ImageReadMode[mode.upper()] if isinstance(mode, str) else mode
    try:
        image = _Image.open(_io.BytesIO(raw))
        image.load()
    except OSError as error:
        raise RuntimeError(f"Unsupported image file: {error}") from None
    if apply_exif_orientation:
        image = _ImageOps.exif_transpose(image)
    if mode is ImageReadMode.UNCHANGED:
        if image.mode in ("P", "1"):
            image = image.convert("RGBA" if "transparency" in image.info else "RGB" if image.mode == "P" else "L")
    elif image.mode != _MODES[mode]:
        image = image.convert(_MODES[mode])
    array = np.array(image)
    if array.dtype == np.int32:
        array = array.astype(np.uint16)
    planes = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes))


def read_image(path: str, mode: ImageReadMode | str = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False) -> _Tensor:
    """:func:`decode_image` of a file."""
    return decode_image(read_file(path), mode, apply_exif_orientation)


def decode_png(input: _Tensor, mode: ImageReadMode = ImageReadMode.UNCHANGED, apply_exif_orientation: bool = False) -> _Tensor:
    """:func:`decode_image`."""
    return decode_image(input, mode, apply_exif_orientation)


def decode_jpeg(
    input: Any, mode: ImageReadMode = ImageReadMode.UNCHANGED, device: Any = "cpu", apply_exif_orientation: bool = False
) -> Any:
    """:func:`decode_image`, of one file's bytes or of a list of them."""
    if isinstance(input, list):
        return [decode_image(item, mode, apply_exif_orientation).to(device) for item in input]
    return decode_image(input, mode, apply_exif_orientation).to(device)


def decode_webp(input: _Tensor, mode: ImageReadMode = ImageReadMode.UNCHANGED) -> _Tensor:
    """:func:`decode_image`."""
    return decode_image(input, mode)


def decode_gif(input: _Tensor) -> _Tensor:
    """The pictures (N, 3, H, W) of a GIF file's bytes, or the one (3, H, W)."""
    _need_pillow("torchvision.io")
    image = _Image.open(_io.BytesIO(input.numpy().tobytes()))
    pictures = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        pictures.append(np.array(image.convert("RGB")).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(pictures) if len(pictures) > 1 else np.ascontiguousarray(pictures[0]))


def _encoded(input: _Tensor, format: str, **options: Any) -> _Tensor:
    _need_pillow("torchvision.io")
    if input.dtype != torch.uint8:
        raise RuntimeError("Input tensor dtype should be uint8")
    if input.ndim != 3 or input.shape[0] not in (1, 3):
        raise RuntimeError(f"The number of channels should be 1 or 3, got: {tuple(input.shape)}")
    array = input.detach().numpy()
    out = _io.BytesIO()
    _Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0))).save(out, format, **options)
    return torch.from_numpy(np.frombuffer(out.getvalue(), np.uint8).copy())


def encode_png(input: _Tensor, compression_level: int = 6) -> _Tensor:
    """The bytes of a PNG file of a uint8 image (1 or 3, H, W)."""
    return _encoded(input, "PNG", compress_level=compression_level)


def encode_jpeg(input: Any, quality: int = 75) -> Any:
    """The bytes of a JPEG file of a uint8 image (1 or 3, H, W), or of each of a list; ``quality`` is from 1 to 100."""
    if not 1 <= quality <= 100:
        raise ValueError("Image quality should be a positive number between 1 and 100")
    return [encode_jpeg(item, quality) for item in input] if isinstance(input, list) else _encoded(input, "JPEG", quality=quality)


def write_png(input: _Tensor, filename: str, compression_level: int = 6) -> None:
    """Write a uint8 image (1 or 3, H, W) to a PNG file."""
    write_file(filename, encode_png(input, compression_level))


def write_jpeg(input: _Tensor, filename: str, quality: int = 75) -> None:
    """Write a uint8 image (1 or 3, H, W) to a JPEG file."""
    write_file(filename, encode_jpeg(input, quality))


_VIDEO = "videos are read by other packages, such as PyAV; make tensors of its frames with torch.from_numpy"
_REASONS = dict.fromkeys(("read_video", "read_video_timestamps", "write_video", "VideoReader"), _VIDEO)
_REASONS.update(dict.fromkeys(("decode_avif", "decode_heic"), "open the file with Pillow, and use transforms.functional.pil_to_tensor"))


def __getattr__(name: str) -> NoReturn:
    """For what is not there: the reason, where torchvision has it."""
    _missing("torchvision.io", name, _REASONS)
