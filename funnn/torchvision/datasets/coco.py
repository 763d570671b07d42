"""COCO: boxes, masks and captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from funnn.torchvision.datasets.vision import Function, VisionDataset, opened


class Annotations:
    """A file of annotations, under the names that pycocotools has for its parts."""

    def __init__(self, path: str | Path) -> None:
        self.dataset: dict[str, Any] = json.loads(Path(path).read_text())
        self.imgs: dict[int, Any] = {item["id"]: item for item in self.dataset.get("images", ())}
        self.anns: dict[int, Any] = {item["id"]: item for item in self.dataset.get("annotations", ())}
        self.cats: dict[int, Any] = {item["id"]: item for item in self.dataset.get("categories", ())}
        self.imgToAnns: dict[int, list[Any]] = {}
        for item in self.dataset.get("annotations", ()):
            self.imgToAnns.setdefault(item["image_id"], []).append(item)

    def getImgIds(self) -> list[int]:
        """The numbers of images."""
        return list(self.imgs)

    def getCatIds(self) -> list[int]:
        """The numbers of categories."""
        return list(self.cats)

    def getAnnIds(self, imgIds: Any) -> list[int]:
        """The numbers of the annotations of an image, or of several."""
        numbers = imgIds if isinstance(imgIds, (list, tuple)) else [imgIds]
        return [item["id"] for number in numbers for item in self.imgToAnns.get(number, ())]

    def loadImgs(self, ids: Any) -> list[Any]:
        """The images of those numbers."""
        return [self.imgs[number] for number in (ids if isinstance(ids, (list, tuple)) else [ids])]

    def loadCats(self, ids: Any) -> list[Any]:
        """The categories of those numbers."""
        return [self.cats[number] for number in (ids if isinstance(ids, (list, tuple)) else [ids])]

    def loadAnns(self, ids: Any) -> list[Any]:
        """The annotations of those numbers."""
        return [self.anns[number] for number in (ids if isinstance(ids, (list, tuple)) else [ids])]


class CocoDetection(VisionDataset):
    """Images with lists of annotations.

    Args:
      root: the folder with the images.
      annFile: the file with the annotations.
      transform: a function of the image, one of Pillow's.
      target_transform: a function of the target.
      transforms: a function of both.
    """

    def __init__(
        self,
        root: str | Path,
        annFile: str,
        transform: Function | None = None,
        target_transform: Function | None = None,
        transforms: Function | None = None,
    ) -> None:
        super().__init__(root, transforms, transform, target_transform)
        self.coco = Annotations(annFile)
        self.ids = sorted(self.coco.imgs)

    def _load_image(self, id: int) -> Any:
        return opened(Path(self.root, self.coco.imgs[id]["file_name"]))

    def _load_target(self, id: int) -> list[Any]:
        return self.coco.loadAnns(self.coco.getAnnIds(id))

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not isinstance(index, int):
            raise ValueError(f"Index must be of type integer, got {type(index)} instead.")
        image, target = self._load_image(self.ids[index]), self._load_target(self.ids[index])
        return (image, target) if self.transforms is None else self.transforms(image, target)

    def __len__(self) -> int:
        return len(self.ids)


class CocoCaptions(CocoDetection):
    """Images with lists of captions; the arguments are those of :class:`CocoDetection`."""

    def _load_target(self, id: int) -> list[Any]:
        return [item["caption"] for item in super()._load_target(id)]
