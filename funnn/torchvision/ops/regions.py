"""Parts of feature maps (regions of interest) pooled to one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import funnn.torch as torch
from funnn.torch import nn

Tensor = Any


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[-1]))


def _with_images(boxes: Any) -> Tensor:
    """Boxes (K, 5) with the image's number first, of those or of a list with those of each image."""
    if isinstance(boxes, (list, tuple)):
        if any(box.size(1) != 4 for box in boxes):
            raise AssertionError("The shape of the tensor in the boxes list is not correct as List[Tensor[L, 4]]")
        numbers = torch.cat([torch.full_like(box[:, :1], i) for i, box in enumerate(boxes)], dim=0)
        return torch.cat([numbers, torch.cat(list(boxes), dim=0)], dim=1)
    if boxes.size(1) != 5:
        raise AssertionError("The boxes tensor shape is not correct as Tensor[K, 5]")
    return boxes


def _weights(starts: np.ndarray[Any, Any], bins: np.ndarray[Any, Any], count: int, sampling: int, size: int) -> np.ndarray[Any, Any]:
    """(K, count, size): how much each row (or column) counts in each bin, by linear interpolation at evenly spaced points.

    ``bins`` are the sizes of bins (K,); without a ``sampling`` number there is a point for about each pixel.
    """
    points = np.full(len(bins), sampling) if sampling > 0 else np.ceil(bins).astype(int)
    most = max(int(points.max(initial=1)), 1)
    number = np.arange(most)
    place = starts[:, None, None] + bins[:, None, None] * (
        np.arange(count)[None, :, None] + ((number + 0.5) / np.maximum(points, 1)[:, None])[:, None, :]
    )
    counts = (number[None, None, :] < points[:, None, None]) & (place >= -1.0) & (place <= size)
    place = np.clip(place, 0, size - 1)
    low = np.minimum(place.astype(int), size - 1)
    high = np.minimum(low + 1, size - 1)
    part = (place - low).astype(np.float32)
    weights = np.zeros((len(bins), count, size), np.float32)
    k, p, _ = np.indices(low.shape)
    np.add.at(weights, (k, p, low), (1 - part) * counts)
    np.add.at(weights, (k, p, high), part * counts)
    return weights / np.maximum(points, 1)[:, None, None]


def roi_align(
    input: Tensor,
    boxes: Any,
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Means of linearly interpolated values in the bins of regions: (K, C, *output_size).

    Args:
      input: feature maps (N, C, H, W).
      boxes: (K, 5), the map's number first, or a list of (L, 4) for each map; no gradient goes to them.
      output_size: how many bins, in height and width or one number for both.
      spatial_scale: the factor from coordinates of boxes to those of the maps.
      sampling_ratio: how many points in each bin, in each direction; about one a pixel if it is not positive.
      aligned: whether coordinates are moved by half a pixel, so that pixels have their middles at .5.
    """
    regions = _with_images(boxes).detach().numpy().astype(np.float32)
    rows, columns = _pair(output_size)
    height, width = input.shape[-2:]
    x1, y1, x2, y2 = (regions[:, 1:] * np.float32(spatial_scale) - np.float32(0.5 if aligned else 0)).T
    wide, high = x2 - x1, y2 - y1
    if not aligned:
        wide, high = np.maximum(wide, 1), np.maximum(high, 1)
    down = torch.from_numpy(_weights(y1, high / rows, rows, sampling_ratio, height).astype(np.float32)).to(input.dtype)
    across = torch.from_numpy(_weights(x1, wide / columns, columns, sampling_ratio, width).astype(np.float32)).to(input.dtype)
    images = regions[:, 0].astype(int)
    out = []
    for image in range(input.shape[0]):  # regions of one map together: two products of matrices
        here = torch.from_numpy(np.flatnonzero(images == image))
        if len(here):
            out.append(torch.einsum("kph,chw,kqw->kcpq", down[here], input[image], across[here]))
    if not out:
        return input.new_zeros((0, input.shape[1], rows, columns))
    order = np.argsort(np.argsort(images, kind="stable"), kind="stable")
    return torch.cat(out)[torch.from_numpy(order)]


def roi_pool(input: Tensor, boxes: Any, output_size: int | Sequence[int], spatial_scale: float = 1.0) -> Tensor:
    """The largest values in the bins of regions, whose edges are rounded to pixels: (K, C, *output_size).

    Args:
      input: feature maps (N, C, H, W).
      boxes: (K, 5), the map's number first, or a list of (L, 4) for each map.
      output_size: how many bins, in height and width or one number for both.
      spatial_scale: the factor from coordinates of boxes to those of the maps.
    """
    regions = _with_images(boxes).detach().numpy().astype(np.float32)
    rows, columns = _pair(output_size)
    scaled = regions[:, 1:] * np.float32(spatial_scale)
    edges = np.where(scaled >= 0, np.floor(scaled + 0.5), np.ceil(scaled - 0.5)).astype(int)  # halves away from zero
    out = []
    for (x1, y1, x2, y2), image in zip(edges, regions[:, 0].astype(int), strict=True):
        down, across = _bins(y1, y2, rows, input.shape[-2]), _bins(x1, x2, columns, input.shape[-1])
        values = _largest(input[int(image)], down[:, None, :, None], 2)  # (rows, C, W)
        values = _largest(values[:, :, None, :], across[None, None], 3)  # (rows, C, columns)
        empty = torch.from_numpy(~(down.any(1)[:, None] & across.any(1)[None, :]))
        out.append(values.permute(1, 0, 2).masked_fill(empty, 0.0))
    return torch.stack(out) if out else input.new_zeros((0, input.shape[1], rows, columns))


def _bins(first: int, last: int, count: int, size: int) -> Any:
    """(count, size): whether a row (or column) is in a bin."""
    step = np.float32(max(last - first + 1, 1)) / np.float32(count)
    number = np.arange(count, dtype=np.float32)
    starts = np.clip(np.floor(number * step).astype(int) + first, 0, size)
    ends = np.clip(np.ceil((number + 1) * step).astype(int) + first, 0, size)
    places = np.arange(size)
    return (places >= starts[:, None]) & (places < ends[:, None])


def _largest(values: Tensor, mask: np.ndarray[Any, Any], dim: int) -> Tensor:
    inside = torch.from_numpy(np.ascontiguousarray(mask))
    return torch.where(inside, values, torch.tensor(float("-inf"), dtype=values.dtype)).max(dim=dim).values


class RoIAlign(nn.Module):
    """:func:`roi_align` as a module."""

    def __init__(self, output_size: Any, spatial_scale: float, sampling_ratio: int, aligned: bool = False) -> None:
        super().__init__()
        self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned = output_size, spatial_scale, sampling_ratio, aligned

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        """The pooled regions."""
        return roi_align(input, rois, self.output_size, self.spatial_scale, self.sampling_ratio, self.aligned)

    def __repr__(self) -> str:
        names = ("output_size", "spatial_scale", "sampling_ratio", "aligned")
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)}' for name in names)})"


class RoIPool(nn.Module):
    """:func:`roi_pool` as a module."""

    def __init__(self, output_size: Any, spatial_scale: float) -> None:
        super().__init__()
        self.output_size, self.spatial_scale = output_size, spatial_scale

    def forward(self, input: Tensor, rois: Any) -> Tensor:
        """The pooled regions."""
        return roi_pool(input, rois, self.output_size, self.spatial_scale)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(output_size={self.output_size}, spatial_scale={self.spatial_scale})"
