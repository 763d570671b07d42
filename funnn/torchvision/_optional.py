"""Packages that funnn.torchvision can do without until one of their functions is needed."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


def find(name: str) -> Any:
    """The module, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def need(module: ModuleType | None, package: str, for_what: str) -> None:
    """Raise ImportError, with what to install, where a module is missing."""
    if module is None:
        raise ImportError(
            f"{for_what} needs {package}, which is not installed: pip install {package}, or the extra: pip install 'funnn[vision]'"
        )


Image: Any = find("PIL.Image")
ImageColor: Any = find("PIL.ImageColor")
ImageDraw: Any = find("PIL.ImageDraw")
ImageEnhance: Any = find("PIL.ImageEnhance")
ImageFont: Any = find("PIL.ImageFont")
ImageOps: Any = find("PIL.ImageOps")


def need_pillow(for_what: str) -> None:
    """Raise ImportError, with what to install, where there is no Pillow."""
    need(Image, "pillow", for_what)


def is_pil_image(value: object) -> bool:
    """Whether a value is an image of Pillow's."""
    return Image is not None and isinstance(value, Image.Image)
