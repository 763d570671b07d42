"""MNIST and datasets in its form: FashionMNIST, KMNIST, EMNIST."""

from __future__ import annotations

import gzip
import string
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import funnn.torch as torch
from funnn.torchvision._download import download_url, extract
from funnn.torchvision.datasets.vision import Arrays, Function, VisionDataset, image_of, one_of

_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: str | Path) -> Any:
    """The tensor in a file of the form IDX, packed by gzip or not.

    Raises:
      ValueError: the file has another form, or is shorter than it says.
    """
    path = Path(path)
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES:
        raise ValueError(f"{path} is no IDX file")
    dimensions = raw[3]
    start = 4 + 4 * dimensions
    shape = tuple(int(size) for size in np.frombuffer(raw, ">i4", dimensions, 4))
    values = np.frombuffer(raw, _TYPES[raw[2]], offset=start)
    if values.size != int(np.prod(shape)):
        raise ValueError(f"{path} should hold {shape}, and has {values.size} numbers")
    native = values.dtype.newbyteorder("=" if sys.byteorder == "little" else ">")
    return torch.from_numpy(values.reshape(shape).astype(native))


class MNIST(VisionDataset):
    """Handwritten digits, 28 x 28: 60000 to train and 10000 to test.

    Args:
      root: the folder in which ``MNIST/raw`` has the files, unpacked.
      train: which of the two.
      transform: a function of the image, one of Pillow's.
      target_transform: a function of the target, a number.
      download: whether files that are not there are downloaded.

    Raises:
      RuntimeError: the files are not there, or cannot be downloaded.
    """

    mirrors: tuple[str, ...] = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
    resources: tuple[tuple[str, str], ...] = (
        ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    )
    classes: ClassVar[list[str]] = [
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    ]

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
        self._arrays = Arrays()
        if download:
            self.download()
        if not self._check_exists():
            raise RuntimeError(
                "Dataset not found. You can use download=True to download it, "
                f"or put {self._images_file} and {self._labels_file} into {self.raw_folder}"
            )
        self.data, self.targets = self._load_data()

    @property
    def _images_file(self) -> str:
        return f"{'train' if self.train else 't10k'}-images-idx3-ubyte"

    @property
    def _labels_file(self) -> str:
        return f"{'train' if self.train else 't10k'}-labels-idx1-ubyte"

    def _load_data(self) -> tuple[Any, Any]:
        folder = Path(self.raw_folder)
        return read_idx(folder / self._images_file), read_idx(folder / self._labels_file).long()

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = image_of(self._arrays("data", self.data)[index])
        return self._transformed(image, int(self._arrays("targets", self.targets)[index]))

    def __len__(self) -> int:
        return len(self.data)

    @property
    def raw_folder(self) -> str:
        """Where the files are."""
        return str(Path(self.root, type(self).__name__, "raw"))

    @property
    def processed_folder(self) -> str:
        """Where earlier versions of torchvision kept tensors."""
        return str(Path(self.root, type(self).__name__, "processed"))

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: i for i, name in enumerate(self.classes)}

    def _check_exists(self) -> bool:
        return all(Path(self.raw_folder, name).is_file() for name in (self._images_file, self._labels_file))

    def download(self) -> None:
        """Download and unpack the files, if they are not there.

        Raises:
          RuntimeError: none of the mirrors gives them.
        """
        if all(Path(self.raw_folder, name.removesuffix(".gz")).is_file() for name, _ in self.resources):
            return
        for name, md5 in self.resources:
            for mirror in self.mirrors:
                try:
                    packed = download_url(f"{mirror}{name}", self.raw_folder, name, md5)
                    break
                except RuntimeError as error:
                    failed = error
            else:
                raise RuntimeError(f"Error downloading {name}: {failed}") from failed
            packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))

    def extra_repr(self) -> str:
        """Which of the two."""
        return f"Split: {'Train' if self.train else 'Test'}"


class FashionMNIST(MNIST):
    """Pictures of clothes in the form of :class:`MNIST`; the arguments are the same."""

    mirrors = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
    resources = (
        ("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    )
    classes: ClassVar[list[str]] = [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ]


class KMNIST(MNIST):
    """Japanese characters in the form of :class:`MNIST`; the arguments are the same."""

    mirrors = ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",)
    resources = (
        ("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
    )
    classes: ClassVar[list[str]] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


_MERGED = set("cijklmopsuvwxyz")
_ALL = set(string.digits + string.ascii_letters)


class EMNIST(MNIST):
    """Handwritten letters and digits in the form of :class:`MNIST`.

    Args:
      root: the folder in which ``EMNIST/raw`` has the files, unpacked.
      split: "byclass", "bymerge", "balanced", "letters", "digits" or "mnist".
      **kwargs: the other arguments of :class:`MNIST`.

    Raises:
      ValueError: another split.
      RuntimeError: the files are not there, or cannot be downloaded.
    """

    url = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
    md5 = "58c8d27c78d21e728a6bc7b3cc06412e"
    splits = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")
    classes_split_dict: ClassVar[dict[str, list[str]]] = {
        "byclass": sorted(_ALL),
        "bymerge": sorted(_ALL - _MERGED),
        "balanced": sorted(_ALL - _MERGED),
        "letters": ["N/A", *string.ascii_lowercase],
        "digits": list(string.digits),
        "mnist": list(string.digits),
    }

    def __init__(self, root: str | Path, split: str, **kwargs: Any) -> None:
        self.split = one_of(split, "split", self.splits)
        super().__init__(root, **kwargs)
        self.__dict__["classes"] = self.classes_split_dict[self.split]

    @property
    def _images_file(self) -> str:
        return f"emnist-{self.split}-{'train' if self.train else 'test'}-images-idx3-ubyte"

    @property
    def _labels_file(self) -> str:
        return f"emnist-{self.split}-{'train' if self.train else 'test'}-labels-idx1-ubyte"

    def download(self) -> None:
        """Download and unpack the files, if they are not there."""
        if self._check_exists():
            return
        folder = Path(self.raw_folder)
        extract(download_url(self.url, folder, md5=self.md5), folder)
        for packed in (folder / "gzip").glob("*.gz"):
            (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
