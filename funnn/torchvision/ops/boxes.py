"""Boxes (N, 4): conversions, areas, overlaps, and non-maximum suppression. They are (x1, y1, x2, y2) if nothing else is said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import funnn.torch as torch

Tensor = Any

_FORMATS = ("xyxy", "xywh", "cxcywh")


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """The indices of boxes that stay, best first: those whose overlap with each better one that stays is at most ``iou_threshold``."""
    corners, values = boxes.detach().numpy(), scores.detach().numpy()
    order = np.argsort(-values, kind="stable")
    x1, y1, x2, y2 = corners[order].T
    areas = (x2 - x1) * (y2 - y1)
    alive = np.ones(len(order), bool)
    kept = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(i)
        rest = slice(i + 1, None)
        width = np.maximum(np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest]), 0)
        height = np.maximum(np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest]), 0)
        common = width * height
        with np.errstate(divide="ignore", invalid="ignore"):
            alive[rest] &= ~(common / (areas[i] + areas[rest] - common) > iou_threshold)
    return torch.from_numpy(order[kept].astype(np.int64))


def batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """:func:`nms` within each of the classes ``idxs`` (N,); all that stay, best first."""
    if boxes.numel() == 0:
        return torch.empty((0,), dtype=torch.int64)
    if boxes.numel() > 4000:
        stays = torch.zeros_like(scores, dtype=torch.bool)
        for number in torch.unique(idxs):
            among = torch.where(idxs == number)[0]
            stays[among[nms(boxes[among], scores[among], iou_threshold)]] = True
        kept = torch.where(stays)[0]
        return kept[scores[kept].sort(descending=True)[1]]
    apart = idxs.to(boxes) * (boxes.max() + torch.tensor(1).to(boxes))
    return nms(boxes + apart[:, None], scores, iou_threshold)


def remove_small_boxes(boxes: Tensor, min_size: float) -> Tensor:
    """The indices of boxes with both sides at least ``min_size``."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return torch.where((width >= min_size) & (height >= min_size))[0]


def clip_boxes_to_image(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Boxes inside an image of that height and width."""
    height, width = size
    x, y = boxes[..., 0::2].clamp(min=0, max=width), boxes[..., 1::2].clamp(min=0, max=height)
    return torch.stack((x, y), dim=boxes.dim()).reshape(boxes.shape)


def box_convert(boxes: Tensor, in_fmt: str, out_fmt: str) -> Tensor:
    """Boxes (…, 4) from one format to another: "xyxy", "xywh" (corner and size), "cxcywh" (middle and size).

    Raises:
      ValueError: another format.
      NotImplementedError: one of the rotated formats.
    """
    for fmt in (in_fmt, out_fmt):
        if fmt in ("xywhr", "cxcywhr", "xyxyxyxy"):
            raise NotImplementedError(f"rotated boxes ({fmt!r}) are not supported; the formats are {_FORMATS}")
        if fmt not in _FORMATS:
            raise ValueError(f"Unsupported Bounding Box Conversions for given in_fmt {in_fmt} and out_fmt {out_fmt}")
    if in_fmt == out_fmt:
        return boxes.clone()
    a, b, c, d = boxes.unbind(-1)
    if in_fmt == "xywh":
        c, d = a + c, b + d
    elif in_fmt == "cxcywh":
        a, b, c, d = a - 0.5 * c, b - 0.5 * d, a + 0.5 * c, b + 0.5 * d
    if out_fmt == "xywh":
        c, d = c - a, d - b
    elif out_fmt == "cxcywh":
        a, b, c, d = (a + c) / 2, (b + d) / 2, c - a, d - b
    return torch.stack((a, b, c, d), dim=-1)


def _widened(values: Tensor) -> Tensor:
    """In a type in which products of sides do not overflow."""
    if values.is_floating_point():
        return values if values.dtype in (torch.float32, torch.float64) else values.float()
    return values if values.dtype in (torch.int32, torch.int64) else values.int()


def box_area(boxes: Tensor, fmt: str = "xyxy") -> Tensor:
    """The areas (N,) of boxes in that format."""
    if fmt not in _FORMATS:
        raise ValueError(f"Unsupported Bounding Box area for given format {fmt}")
    a, b, c, d = _widened(boxes).unbind(-1)
    return (c - a) * (d - b) if fmt == "xyxy" else c * d


def _overlap(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> tuple[Tensor, Tensor]:
    """Common areas and areas of unions (N, M)."""
    if fmt not in _FORMATS:
        raise ValueError(f"Unsupported Box IoU Calculation for given fmt {fmt}.")
    areas1, areas2 = box_area(boxes1, fmt), box_area(boxes2, fmt)
    if fmt != "xyxy":
        boxes1, boxes2 = box_convert(boxes1, fmt, "xyxy"), box_convert(boxes2, fmt, "xyxy")
    first = torch.max(boxes1[..., None, :2], boxes2[..., None, :, :2])
    last = torch.min(boxes1[..., None, 2:], boxes2[..., None, :, 2:])
    sides = _widened(last - first).clamp(min=0)
    common = sides[..., 0] * sides[..., 1]
    return common, areas1[..., None] + areas2[..., None, :] - common


def box_iou(boxes1: Tensor, boxes2: Tensor, fmt: str = "xyxy") -> Tensor:
    """Intersection over union (N, M) of all pairs."""
    common, union = _overlap(boxes1, boxes2, fmt)
    return common / union


def generalized_box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union, minus the part of the smallest enclosing box that is in neither: (N, M)."""
    common, union = _overlap(boxes1, boxes2)
    sides = _enclosing(boxes1, boxes2)
    around = sides[..., 0] * sides[..., 1]
    return common / union - (around - union) / around


def _enclosing(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    first = torch.min(boxes1[..., None, :2], boxes2[..., None, :, :2])
    last = torch.max(boxes1[..., None, 2:], boxes2[..., None, :, 2:])
    return _widened(last - first).clamp(min=0)


def distance_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """Intersection over union, minus the squared distance of the middles over the squared diagonal of the enclosing box: (N, M)."""
    boxes1, boxes2 = _widened(boxes1), _widened(boxes2)
    sides = _enclosing(boxes1, boxes2)
    diagonal = (sides**2).sum(-1) + eps
    middle1, middle2 = (boxes1[..., :2] + boxes1[..., 2:]) / 2, (boxes2[..., :2] + boxes2[..., 2:]) / 2
    away = (_widened(middle1[..., None, :] - middle2[..., None, :, :]) ** 2).sum(-1)
    return box_iou(boxes1, boxes2) - away / diagonal


def complete_box_iou(boxes1: Tensor, boxes2: Tensor, eps: float = 1e-7) -> Tensor:
    """:func:`distance_box_iou`, minus a term for different ratios of sides: (N, M)."""
    boxes1, boxes2 = _widened(boxes1), _widened(boxes2)
    angle1, angle2 = (torch.atan((b[..., 2] - b[..., 0]) / (b[..., 3] - b[..., 1])) for b in (boxes1, boxes2))
    v = (4 / math.pi**2) * (angle1[..., None] - angle2[..., None, :]) ** 2
    with torch.no_grad():
        alpha = v / (1 - box_iou(boxes1, boxes2) + v + eps)
    return distance_box_iou(boxes1, boxes2, eps) - alpha * v


def masks_to_boxes(masks: Tensor) -> Tensor:
    """The boxes (N, 4) around the true pixels of masks (N, H, W)."""
    boxes = torch.zeros((masks.shape[0], 4), dtype=torch.float)
    for i, mask in enumerate(masks.numpy()):
        y, x = np.nonzero(mask)
        boxes[i] = torch.tensor([x.min(), y.min(), x.max(), y.max()], dtype=torch.float)
    return boxes
