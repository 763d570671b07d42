"""CelebA: faces with attributes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import funnn.torch as torch
from funnn.torchvision._download import matches
from funnn.torchvision.datasets.vision import Function, VisionDataset, one_of, opened


class _Table(NamedTuple):
    header: list[str]
    names: list[str]
    data: Any


class CelebA(VisionDataset):
    """Faces, with attributes, identities, boxes and landmarks.

    Args:
      root: the folder in which ``celeba`` has the files, with the images unpacked in ``img_align_celeba``.
      split: "train", "valid", "test" or "all".
      target_type: "attr", "identity", "bbox", "landmarks", or a list of them.
      transform: a function of the image, one of Pillow's.
      target_transform: a function of the target.
      download: not supported: the files are on Google Drive.

    Raises:
      RuntimeError: the files are not there, or have other checksums.
      NotImplementedError: they are to be downloaded.
    """

    base_folder = "celeba"
    #: Google Drive's name, the checksum and the file.
    file_list = (
        ("0B7EVK8r0v71pZjFTYXZWM3FlRnM", "00d2c5bc6d35e252742224ab0c1e8fcb", "img_align_celeba.zip"),
        ("0B7EVK8r0v71pblRyaVFSWGxPY0U", "75e246fa4810816ffd6ee81facbd244c", "list_attr_celeba.txt"),
        ("1_ee_0u7vcNLOfNLegJRHmolfH5ICW-XS", "32bd1bd63d3c78cd57e08160ec5ed1e2", "identity_CelebA.txt"),
        ("0B7EVK8r0v71pbThiMVRxWXZ4dU0", "00566efa6fedff7a56946cd1c10f1c16", "list_bbox_celeba.txt"),
        ("0B7EVK8r0v71pd0FJY3Blby1HUTQ", "cc24ecafdb5b50baae59b03474781f8c", "list_landmarks_align_celeba.txt"),
        ("0B7EVK8r0v71pY0NSMzRuSXJEVkk", "d32c9cbf5e040fd4025c592c306e6668", "list_eval_partition.txt"),
    )

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        target_type: list[str] | str = "attr",
        transform: Function | None = None,
        target_transform: Function | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.split = split
        self.target_type = target_type if isinstance(target_type, list) else [target_type]
        if not self.target_type and self.target_transform is not None:
            raise RuntimeError("target_transform is specified but target_type is empty")
        folder = Path(self.root, self.base_folder)
        there = (
            all(matches(folder / name, md5) for _, md5, name in self.file_list if not name.endswith(".zip"))
            and (folder / "img_align_celeba").is_dir()
        )
        if not there and download:
            names = ", ".join(name for _, _, name in self.file_list[1:])
            raise NotImplementedError(f"CelebA is on Google Drive: download it by hand, and put {names} and img_align_celeba into {folder}")
        if not there:
            raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")
        number = {"train": 0, "valid": 1, "test": 2, "all": None}[one_of(split.lower(), "split", ("train", "valid", "test", "all"))]
        splits, identity = self._table("list_eval_partition.txt"), self._table("identity_CelebA.txt")
        boxes, landmarks = self._table("list_bbox_celeba.txt", 1), self._table("list_landmarks_align_celeba.txt", 1)
        attributes = self._table("list_attr_celeba.txt", 1)
        if number is None:
            self.filename, mask = splits.names, slice(None)
        else:
            mask = (splits.data == number).squeeze()
            self.filename = [splits.names[i] for i in torch.squeeze(torch.nonzero(mask), 1).tolist()]
        self.identity, self.bbox, self.landmarks_align = identity.data[mask], boxes.data[mask], landmarks.data[mask]
        self.attr = torch.div(attributes.data[mask] + 1, 2, rounding_mode="floor")  # from ±1 to 0 and 1
        self.attr_names = attributes.header

    def _table(self, name: str, header: int | None = None) -> _Table:
        with Path(self.root, self.base_folder, name).open() as file:
            rows = list(csv.reader(file, delimiter=" ", skipinitialspace=True))
        names = [] if header is None else rows[header]
        rows = rows if header is None else rows[header + 1 :]
        return _Table(names, [row[0] for row in rows], torch.tensor([[int(number) for number in row[1:]] for row in rows]))

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = opened(Path(self.root, self.base_folder, "img_align_celeba", self.filename[index]), None)
        parts = {"attr": self.attr, "bbox": self.bbox, "landmarks": self.landmarks_align}
        targets = []
        for kind in self.target_type:
            if kind == "identity":
                targets.append(self.identity[index, 0])
            elif kind in parts:
                targets.append(parts[kind][index, :])
            else:
                raise ValueError(f'Target type "{kind}" is not recognized.')
        target = None if not targets else tuple(targets) if len(targets) > 1 else targets[0]
        image = image if self.transform is None else self.transform(image)
        return image, target if target is None or self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self.attr)

    def extra_repr(self) -> str:
        """The targets and which part."""
        return f"Target type: {self.target_type}\nSplit: {self.split}"
