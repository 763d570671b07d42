"""Street View House Numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from funnn.torchvision._download import download_url, matches
from funnn.torchvision._optional import find, need
from funnn.torchvision.datasets.vision import Function, VisionDataset, image_of, one_of


class SVHN(VisionDataset):
    """Digits 32 x 32 of house numbers; SciPy reads the files.

    Args:
      root: the folder that has the files.
      split: "train", "test" or "extra".
      transform: a function of the image, one of Pillow's.
      target_transform: a function of the target, a number.
      download: whether the file is downloaded if it is not there.

    Raises:
      ValueError: another split.
      RuntimeError: the file is not there, has another checksum, or cannot be downloaded.
      ImportError: SciPy is not installed.
    """

    split_list: ClassVar[dict[str, list[Any]]] = {
        "train": ["http://ufldl.stanford.edu/housenumbers/train_32x32.mat", "train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"],
        "test": ["http://ufldl.stanford.edu/housenumbers/test_32x32.mat", "test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"],
        "extra": ["http://ufldl.stanford.edu/housenumbers/extra_32x32.mat", "extra_32x32.mat", "a93ce644f1a588dc4d68dda5feec44a7"],
    }

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        transform: Function | None = None,
        target_transform: Function | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.split = one_of(split, "split", self.split_list)
        self.url, self.filename, self.file_md5 = self.split_list[split]
        if download:
            self.download()
        path = Path(self.root, self.filename)
        if not matches(path, self.file_md5):
            raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")
        scipy_io = find("scipy.io")
        need(scipy_io, "scipy", "SVHN")
        loaded = scipy_io.loadmat(path)
        self.data: Any = np.transpose(loaded["X"], (3, 2, 0, 1))
        self.labels: Any = loaded["y"].astype(np.int64).squeeze() % 10  # zeros are 10 in the files

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self._transformed(image_of(np.transpose(self.data[index], (1, 2, 0))), int(self.labels[index]))

    def __len__(self) -> int:
        return len(self.data)

    def download(self) -> None:
        """Download the file, if it is not there."""
        download_url(self.url, self.root, self.filename, self.file_md5)

    def extra_repr(self) -> str:
        """Which part."""
        return f"Split: {self.split}"
