"""Pascal VOC: segmentation and boxes."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import parse as parse_xml

from funnn.torchvision._download import download_url, extract
from funnn.torchvision.datasets.vision import Function, VisionDataset, one_of, opened

_ADDRESS = "https://thor.robots.ox.ac.uk/pascal/VOC/"
#: The archive, its checksum, and the folder in it.
DATASET_YEARS = {
    "2012": ("voc2012/VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd", "VOCdevkit/VOC2012"),
    "2011": ("voc2011/VOCtrainval_25-May-2011.tar", "6c3384ef61512963050cb5d687e5bf1e", "TrainVal/VOCdevkit/VOC2011"),
    "2010": ("voc2010/VOCtrainval_03-May-2010.tar", "da459979d0c395079b5c75ee67908abb", "VOCdevkit/VOC2010"),
    "2009": ("voc2009/VOCtrainval_11-May-2009.tar", "a3e00b113cfcfebf17e343f59da3caa1", "VOCdevkit/VOC2009"),
    "2008": ("voc2008/VOCtrainval_14-Jul-2008.tar", "2629fa636546599198acfcfbfcf1904a", "VOCdevkit/VOC2008"),
    "2007": ("voc2007/VOCtrainval_06-Nov-2007.tar", "c52e279531787c972589f7e41ab4ae64", "VOCdevkit/VOC2007"),
    "2007-test": ("voc2007/VOCtest_06-Nov-2007.tar", "b6e924de25625d8de591ea690078ad9f", "VOCdevkit/VOC2007"),
}


class _VOC(VisionDataset):
    _splits: str
    _targets: str
    _ending: str

    def __init__(
        self,
        root: str | Path,
        year: str = "2012",
        image_set: str = "train",
        download: bool = False,
        transform: Function | None = None,
        target_transform: Function | None = None,
        transforms: Function | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        self.year = one_of(year, "year", [str(number) for number in range(2007, 2013)])
        sets = ["train", "trainval", "val", *(["test"] if year == "2007" else [])]
        self.image_set = one_of(image_set, "image_set", sets)
        key = "2007-test" if year == "2007" and image_set == "test" else year
        self.url, self.md5, base = f"{_ADDRESS}{DATASET_YEARS[key][0]}", DATASET_YEARS[key][1], DATASET_YEARS[key][2]
        self.filename = Path(DATASET_YEARS[key][0]).name
        folder = Path(self.root, base)
        if download and not folder.is_dir():
            extract(download_url(self.url, self.root, self.filename, self.md5), Path(self.root))
        if not folder.is_dir():
            raise RuntimeError("Dataset not found or corrupted. You can use download=True to download it")
        names = (folder / "ImageSets" / self._splits / f"{image_set.rstrip()}.txt").read_text().split("\n")
        names = [name.strip() for name in names if name.strip()]
        self.images = [str(folder / "JPEGImages" / f"{name}.jpg") for name in names]
        self.targets = [str(folder / self._targets / f"{name}{self._ending}") for name in names]

    def __len__(self) -> int:
        return len(self.images)


class VOCSegmentation(_VOC):
    """Images with masks of classes.

    Args:
      root: the folder with the unpacked archive.
      year: "2007" to "2012".
      image_set: "train", "trainval", "val", and "test" of 2007.
      download: whether the archive is downloaded if it is not there.
      transform: a function of the image, one of Pillow's.
      target_transform: a function of the target, one of Pillow's.
      transforms: a function of both.

    Raises:
      ValueError: another year or set.
      RuntimeError: the files are not there, or cannot be downloaded.
    """

    _splits, _targets, _ending = "Segmentation", "SegmentationClass", ".png"

    @property
    def masks(self) -> list[str]:
        """The files with the masks."""
        return self.targets

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, target = opened(self.images[index]), opened(self.masks[index], None)
        return (image, target) if self.transforms is None else self.transforms(image, target)


class VOCDetection(_VOC):
    """Images with annotations, which are nested dicts; the arguments are those of :class:`VOCSegmentation`."""

    _splits, _targets, _ending = "Main", "Annotations", ".xml"

    @property
    def annotations(self) -> list[str]:
        """The files with the annotations."""
        return self.targets

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, target = opened(self.images[index]), self.parse_voc_xml(parse_xml(self.annotations[index]).getroot())
        return (image, target) if self.transforms is None else self.transforms(image, target)

    @staticmethod
    def parse_voc_xml(node: Element) -> dict[str, Any]:
        """An element as nested dicts; the objects of an annotation are a list."""
        found: dict[str, Any] = {}
        children = list(node)
        if children:
            parts = collections.defaultdict(list)
            for child in map(VOCDetection.parse_voc_xml, children):
                for name, value in child.items():
                    parts[name].append(value)
            if node.tag == "annotation":
                parts["object"] = [parts["object"]]
            found = {node.tag: {name: value[0] if len(value) == 1 else value for name, value in parts.items()}}
        if node.text and (text := node.text.strip()) and not children:
            found[node.tag] = text
        return found
