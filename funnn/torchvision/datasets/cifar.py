"""CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from funnn.torchvision._download import download_url, extract, matches
from funnn.torchvision.datasets.vision import Function, VisionDataset, image_of

_NOT_FOUND = "Dataset not found or corrupted. You can use download=True to download it"


class CIFAR10(VisionDataset):
    """Images 32 x 32 of ten classes: 50000 to train and 10000 to test.

    Args:
      root: the folder that has ``cifar-10-batches-py``.
      train: which of the two.
      transform: a function of the image, one of Pillow's.
      target_transform: a function of the target, a number.
      download: whether files that are not there are downloaded.

    Raises:
      RuntimeError: the files are not there, have other checksums, or cannot be downloaded.
    """

    base_folder = "cifar-10-batches-py"
    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    tgz_md5 = "c58f30108f718f92721af3b95e74349a"
    train_list: ClassVar[list[list[Any]]] = [
        ["data_batch_1", "c99cafc152244af753f735de768cd75f"],
        ["data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"],
        ["data_batch_3", "54ebc095f3ab1f0389bbae665268c751"],
        ["data_batch_4", "634d18415352ddfa80567beed471001a"],
        ["data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"],
    ]
    test_list: ClassVar[list[list[Any]]] = [["test_batch", "40351d587109b95175f43aff81a1287e"]]
    meta: ClassVar[dict[str, Any]] = {"filename": "batches.meta", "key": "label_names", "md5": "5ff9c542aee3614f3951f8cda6e48888"}

    def __init__(
        self,
        root: str | Path,
        train: bool = True,
        transform: Function | None = None,
        target_transform: Function | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        if download:
            self.download()
        if not self._check_integrity():
            raise RuntimeError(_NOT_FOUND)
        entries = [self._unpickled(name) for name, _ in (self.train_list if train else self.test_list)]
        self.data: Any = np.vstack([entry["data"] for entry in entries]).reshape(-1, 3, 32, 32).transpose((0, 2, 3, 1))
        self.targets: list[int] = [label for entry in entries for label in entry.get("labels", entry.get("fine_labels", ()))]
        self.classes: list[str] = self._unpickled(self.meta["filename"])[self.meta["key"]]
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}

    def _unpickled(self, name: str) -> dict[str, Any]:
        with Path(self.root, self.base_folder, name).open("rb") as file:  # its checksum was compared
            entry: dict[str, Any] = pickle.load(file, encoding="latin1")
        return entry

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transformed(image_of(self.data[index]), self.targets[index])

    def __len__(self) -> int:
        return len(self.data)

    def _check_integrity(self) -> bool:
        files = [*self.train_list, *self.test_list, [self.meta["filename"], self.meta["md5"]]]
        return all(matches(Path(self.root, self.base_folder, name), md5) for name, md5 in files)

    def download(self) -> None:
        """Download and unpack the files, if they are not there."""
        if not self._check_integrity():
            extract(download_url(self.url, self.root, self.filename, self.tgz_md5), Path(self.root))

    def extra_repr(self) -> str:
        """Which of the two."""
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR100(CIFAR10):
    """Images 32 x 32 of a hundred classes; the arguments are those of :class:`CIFAR10`."""

    base_folder = "cifar-100-python"
    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename = "cifar-100-python.tar.gz"
    tgz_md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    train_list: ClassVar[list[list[Any]]] = [["train", "16019d7e3df5f24257cddd939b257f8d"]]
    test_list: ClassVar[list[list[Any]]] = [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    meta: ClassVar[dict[str, Any]] = {"filename": "meta", "key": "fine_label_names", "md5": "7973b15100ade9c7d40fb424638fde48"}
