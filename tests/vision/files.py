"""Small files in the forms of the datasets."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from tests.vision.cases import image

_BOX = "<bndbox><xmin>1</xmin><ymax>9</ymax></bndbox>"
_XML = f"<annotation><folder>VOC</folder><object><name>cat</name>{_BOX}</object></annotation>"


def write(folder: Path) -> None:
    """Write all of them."""
    random = np.random.RandomState(0)
    for name, prefix, classes in (("MNIST", "", 10), ("FashionMNIST", "", 10), ("EMNIST", "emnist-letters-", 27)):
        for part, count in (("train", 5), ("t10k" if not prefix else "test", 3)):
            raw = folder / name / "raw"
            raw.mkdir(parents=True, exist_ok=True)
            pixels, labels = random.randint(0, 256, (count, 28, 28)), random.randint(0, classes, count)
            for kind, values in (("images-idx3", pixels), ("labels-idx1", labels)):
                head = struct.pack(f">BBBB{values.ndim}i", 0, 0, 8, values.ndim, *values.shape)
                (raw / f"{prefix}{part}-{kind}-ubyte").write_bytes(head + values.astype(np.uint8).tobytes())
    for name, key in (("cifar-10-batches-py", "labels"), ("cifar-100-python", "fine_labels")):
        (folder / name).mkdir()
        for part in ("one", "two", "test"):
            entry = {"data": random.randint(0, 256, (4, 3072)).astype(np.uint8), key: random.randint(0, 3, 4).tolist()}
            (folder / name / part).write_bytes(pickle.dumps(entry))
        (folder / name / "names").write_bytes(pickle.dumps({"names": ["a", "b", "c"]}))
    for name, count in (("cat", 2), ("dog", 1), ("dog/deep", 1)):
        (folder / "images" / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(image(9 + i, 8)).save(folder / "images" / name / f"{i}.png")
        (folder / "images" / name / "notes.txt").write_text("no image")
    (folder / "empty" / "none").mkdir(parents=True)
    _write_annotated(folder)


def _write_annotated(folder: Path) -> None:
    coco = {"images": [{"id": 7, "file_name": "0.png"}, {"id": 3, "file_name": "1.png"}], "categories": [{"id": 1, "name": "cat"}]}
    coco["annotations"] = [
        {"id": i, "image_id": image_id, "caption": f"a cat {i}", "category_id": 1, "iscrowd": 0} for i, image_id in ((5, 7), (2, 3), (9, 7))
    ]
    (folder / "coco.json").write_text(json.dumps(coco))
    voc = folder / "VOCdevkit" / "VOC2012"
    for name in ("ImageSets/Segmentation", "ImageSets/Main", "JPEGImages", "SegmentationClass", "Annotations"):
        (voc / name).mkdir(parents=True)
    for name in ("Segmentation", "Main"):
        (voc / "ImageSets" / name / "train.txt").write_text("x\n")
    Image.fromarray(image(8, 9)).save(voc / "JPEGImages" / "x.jpg")
    Image.fromarray(image(8, 9)[:, :, 0] % 4).convert("P").save(voc / "SegmentationClass" / "x.png")
    (voc / "Annotations" / "x.xml").write_text(_XML)
    celeba = folder / "celeba"
    (celeba / "img_align_celeba").mkdir(parents=True)
    names = ["000001.jpg", "000002.jpg", "000003.jpg", "000004.jpg"]
    for name in names:
        Image.fromarray(image(8, 9)).save(celeba / "img_align_celeba" / name)
    tables = {
        "list_eval_partition.txt": ["", "0", "1", "0", "1"],
        "identity_CelebA.txt": ["", "11", "12", "13", "14"],
        "list_bbox_celeba.txt": ["4\nimage_id x y w h", "1 2 3 4", "5 6 7 8", "9 10 11 12", "13 14 15 16"],
        "list_landmarks_align_celeba.txt": ["4\na b", "1 2", "3 4", "5 6", "7 8"],
        "list_attr_celeba.txt": ["4\nSmiling Young", "-1  1", " 1 -1", " 1  1", "-1 -1"],
    }
    for name, (head, *rows) in tables.items():
        lines = [*([head] if head else []), *(f"{image_name} {row}" for image_name, row in zip(names, rows, strict=True))]
        (celeba / name).write_text("\n".join(lines) + "\n")
