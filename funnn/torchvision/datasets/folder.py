"""Files in folders that are named after classes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from funnn.torchvision.datasets.vision import Function, VisionDataset, opened

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def has_file_allowed_extension(filename: str, extensions: str | tuple[str, ...]) -> bool:
    """Whether a name ends with one of the extensions."""
    return filename.lower().endswith(extensions if isinstance(extensions, str) else tuple(extensions))


def is_image_file(filename: str) -> bool:
    """Whether a name is that of an image."""
    return has_file_allowed_extension(filename, IMG_EXTENSIONS)


def find_classes(directory: str | Path) -> tuple[list[str], dict[str, int]]:
    """The folders in a folder, and their numbers.

    Raises:
      FileNotFoundError: there are none.
    """
    classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    if not classes:
        raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
    return classes, {name: i for i, name in enumerate(classes)}


def make_dataset(
    directory: str | Path,
    class_to_idx: dict[str, int] | None = None,
    extensions: str | tuple[str, ...] | None = None,
    is_valid_file: Callable[[str], bool] | None = None,
    allow_empty: bool = False,
) -> list[tuple[str, int]]:
    """The files of each class, with its number.

    Args:
      directory: the folder with a folder for each class.
      class_to_idx: the numbers of classes; by default :func:`find_classes`.
      extensions: what names of files end with; or
      is_valid_file: says which files count.
      allow_empty: whether a class may have no file.

    Raises:
      ValueError: both of ``extensions`` and ``is_valid_file``, or none of them.
      FileNotFoundError: a class has no file.
    """
    directory = os.path.expanduser(directory)
    if class_to_idx is None:
        class_to_idx = find_classes(directory)[1]
    elif not class_to_idx:
        raise ValueError("'class_to_index' must have at least one entry to collect any samples.")
    if (extensions is None) == (is_valid_file is None):
        raise ValueError("Both extensions and is_valid_file cannot be None or not None at the same time")
    found, empty = [], set(class_to_idx)
    for name in sorted(class_to_idx):
        for folder, _, files in sorted(os.walk(os.path.join(directory, name), followlinks=True)):
            for file in sorted(files):
                path = os.path.join(folder, file)
                if is_valid_file(path) if is_valid_file is not None else has_file_allowed_extension(path, extensions or ()):
                    found.append((path, class_to_idx[name]))
                    empty.discard(name)
    if empty and not allow_empty:
        message = f"Found no valid file for the classes {', '.join(sorted(empty))}. "
        if extensions is not None:
            message += f"Supported extensions are: {extensions if isinstance(extensions, str) else ', '.join(extensions)}"
        raise FileNotFoundError(message)
    return found


class DatasetFolder(VisionDataset):
    """Files in folders that are named after classes.

    Args:
      root: the folder with a folder for each class.
      loader: makes a sample of a path.
      extensions: what names of files end with; or
      transform: a function of the sample.
      target_transform: a function of the target, the number of the class.
      is_valid_file: says which files count.
      allow_empty: whether a class may have no file.

    Raises:
      FileNotFoundError: there is no class, or one has no file.
    """

    def __init__(
        self,
        root: str | Path,
        loader: Callable[[str], Any],
        extensions: tuple[str, ...] | None = None,
        transform: Function | None = None,
        target_transform: Function | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.loader, self.extensions = loader, extensions
        self.classes, self.class_to_idx = self.find_classes(self.root)
        self.samples = self.make_dataset(self.root, self.class_to_idx, extensions, is_valid_file, allow_empty)
        self.targets = [target for _, target in self.samples]

    @staticmethod
    def make_dataset(
        directory: str | Path,
        class_to_idx: dict[str, int],
        extensions: tuple[str, ...] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> list[tuple[str, int]]:
        """As the function :func:`make_dataset`; to be overridden."""
        if class_to_idx is None:
            raise ValueError("The class_to_idx parameter cannot be None.")
        return make_dataset(directory, class_to_idx, extensions, is_valid_file, allow_empty)

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        """As the function :func:`find_classes`; to be overridden."""
        return find_classes(directory)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        return self._transformed(self.loader(path), target)

    def __len__(self) -> int:
        return len(self.samples)


def pil_loader(path: str | Path) -> Any:
    """The image in a file, in RGB."""
    return opened(path)


def default_loader(path: str | Path) -> Any:
    """The image in a file, in RGB."""
    return opened(path)


class ImageFolder(DatasetFolder):
    """Images in folders that are named after classes.

    Args:
      root: the folder with a folder for each class.
      transform: a function of the image, one of Pillow's.
      target_transform: a function of the target, the number of the class.
      loader: makes the image of a path.
      is_valid_file: says which files count; by default those with the extensions of images.
      allow_empty: whether a class may have no file.

    Raises:
      FileNotFoundError: there is no class, or one has no file.
    """

    def __init__(
        self,
        root: str | Path,
        transform: Function | None = None,
        target_transform: Function | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples
