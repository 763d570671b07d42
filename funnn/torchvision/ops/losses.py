"""Losses of detection."""

from __future__ import annotations

import math
from typing import Any

import funnn.torch as torch
from funnn.torch.nn import functional as F

Tensor = Any


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return loss.mean() if loss.numel() > 0 else 0.0 * loss.sum()
    if reduction == "sum":
        return loss.sum()
    if reduction != "none":
        raise ValueError(f"Invalid Value for arg 'reduction': '{reduction} \n Supported reduction modes: 'none', 'mean', 'sum'")
    return loss


def sigmoid_focal_loss(inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2, reduction: str = "none") -> Tensor:
    """Binary cross entropy of logits times (1 - p_t)^gamma, where p_t is the probability of the target.

    Args:
      inputs: logits.
      targets: 0 or 1 for each.
      alpha: the weight of ones, and 1 - alpha that of zeros; none if it is negative.
      gamma: how much less easy examples count.
      reduction: "none", "mean" or "sum".

    Raises:
      ValueError: another reduction, or ``alpha`` above 1.
    """
    if not (0 <= alpha <= 1) and alpha != -1:
        raise ValueError(f"Invalid alpha value: {alpha}. alpha must be in the range [0,1] or -1 for ignore.")
    p = torch.sigmoid(inputs)
    entropy = F.binary_cross_entropy_with_logits(inputs, targets, reduction="none")
    loss = entropy * ((1 - (p * targets + (1 - p) * (1 - targets))) ** gamma)
    if alpha >= 0:
        loss = (alpha * targets + (1 - alpha) * (1 - targets)) * loss
    return _reduced(loss, reduction)


def _sides(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of pairs: intersection over union, the union, and width and height of the enclosing box."""
    (a1, b1, c1, d1), (a2, b2, c2, d2) = boxes1.unbind(-1), boxes2.unbind(-1)
    left, top, right, bottom = torch.max(a1, a2), torch.max(b1, b2), torch.min(c1, c2), torch.min(d1, d2)
    meet = (bottom > top) & (right > left)
    common = torch.where(meet, (right - left) * (bottom - top), torch.zeros_like(left))
    union = (c1 - a1) * (d1 - b1) + (c2 - a2) * (d2 - b2) - common
    return common / (union + eps), union, torch.max(c1, c2) - torch.min(a1, a2), torch.max(d1, d2) - torch.min(b1, b2)


def generalized_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 - generalized intersection over union, of pairs of boxes (N, 4)."""
    iou, union, width, height = _sides(boxes1, boxes2, eps)
    around = width * height
    return _reduced(1 - (iou - (around - union) / (around + eps)), reduction)


def _distance_loss(boxes1: Tensor, boxes2: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    iou, _, width, height = _sides(boxes1, boxes2, eps)
    (a1, b1, c1, d1), (a2, b2, c2, d2) = boxes1.unbind(-1), boxes2.unbind(-1)
    away = ((c1 + a1) / 2 - (a2 + c2) / 2) ** 2 + ((d1 + b1) / 2 - (b2 + d2) / 2) ** 2
    return 1 - iou + away / (width**2 + height**2 + eps), iou


def distance_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 - :func:`funnn.torchvision.ops.distance_box_iou`, of pairs of boxes (N, 4)."""
    return _reduced(_distance_loss(boxes1, boxes2, eps)[0], reduction)


def complete_box_iou_loss(boxes1: Tensor, boxes2: Tensor, reduction: str = "none", eps: float = 1e-7) -> Tensor:
    """1 - :func:`funnn.torchvision.ops.complete_box_iou`, of pairs of boxes (N, 4)."""
    loss, iou = _distance_loss(boxes1, boxes2, eps)
    angles = [torch.atan((b[..., 2] - b[..., 0]) / (b[..., 3] - b[..., 1])) for b in (boxes2, boxes1)]
    v = (4 / math.pi**2) * torch.pow(angles[0] - angles[1], 2)
    with torch.no_grad():
        alpha = v / (1 - iou + v + eps)
    return _reduced(loss + alpha * v, reduction)
