"""torchvision.utils: grids of images, files of them, and boxes, masks and points drawn onto them."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

import funnn.torch as torch
from funnn.torchvision._optional import Image as _Image
from funnn.torchvision._optional import ImageColor as _ImageColor
from funnn.torchvision._optional import ImageDraw as _ImageDraw
from funnn.torchvision._optional import ImageFont as _ImageFont
from funnn.torchvision._optional import need_pillow as _need_pillow
from funnn.torchvision.transforms.functional import convert_image_dtype as _convert

_Tensor = Any


@torch.no_grad()
def make_grid(
    tensor: Any,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> _Tensor:
    """One image (C, H, W) of many.

    Args:
      tensor: (B, C, H, W), or a list of images of one size; one channel becomes three.
      nrow: how many stand beside each other.
      padding: pixels between them.
      normalize: whether values are scaled to 0 … 1.
      value_range: what becomes 0 and 1; by default the least and the largest value.
      scale_each: whether each image is scaled by itself.
      pad_value: the colour between them.

    Raises:
      TypeError: it is neither a tensor nor a list of tensors.
    """
    if not torch.is_tensor(tensor):
        if not isinstance(tensor, list):
            raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
        for item in tensor:
            if not torch.is_tensor(item):
                raise TypeError(f"tensor or list of tensors expected, got a list containing {type(item)}")
        tensor = torch.stack(tensor, dim=0)
    if tensor.dim() == 2:
        tensor = tensor.unsqueeze(0)
    if tensor.dim() == 3:
        tensor = (torch.cat((tensor, tensor, tensor), 0) if tensor.size(0) == 1 else tensor).unsqueeze(0)
    if tensor.dim() == 4 and tensor.size(1) == 1:
        tensor = torch.cat((tensor, tensor, tensor), 1)
    if normalize:
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
        tensor = torch.stack([_scaled(t, value_range) for t in tensor]) if scale_each else _scaled(tensor, value_range)
    if tensor.size(0) == 1:
        return tensor.squeeze(0)
    count, channels = tensor.size(0), tensor.size(1)
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    height, width = int(tensor.size(2) + padding), int(tensor.size(3) + padding)
    grid = tensor.new_full((channels, height * rows + padding, width * columns + padding), pad_value)
    for k in range(count):
        y, x = k // columns * height + padding, k % columns * width + padding
        grid[:, y : y + height - padding, x : x + width - padding] = tensor[k]
    return grid


def _scaled(images: _Tensor, value_range: tuple[float, float] | None) -> _Tensor:
    low, high = value_range if value_range is not None else (float(images.min()), float(images.max()))
    return images.clamp(min=low, max=high).sub(low).div(max(high - low, 1e-5))


@torch.no_grad()
def save_image(tensor: Any, fp: Any, format: str | None = None, **kwargs: Any) -> None:
    """Write an image, or :func:`make_grid` of many, to a file.

    Args:
      tensor: floats from 0 to 1.
      fp: the file or its path, whose ending says the format.
      format: Pillow's name of the format.
      **kwargs: those of :func:`make_grid`.
    """
    _need_pillow("save_image")
    grid = make_grid(tensor, **kwargs)
    array = grid.mul(255).add(0.5).clamp(0, 255).permute(1, 2, 0).to("cpu", torch.uint8).numpy()
    _Image.fromarray(np.ascontiguousarray(array)).save(fp, format=format)


def _palette(count: int) -> list[tuple[int, ...]]:
    """Colours that differ."""
    return [tuple(i * step % 255 for step in (2**25 - 1, 2**15 - 1, 2**21 - 1)) for i in range(count)]


def _colours(colors: Any, count: int) -> list[Any]:
    """A colour for each of ``count`` things, of one colour, a list of them, or none."""
    if colors is None:
        found: list[Any] = list(_palette(count))
    elif isinstance(colors, list):
        if len(colors) < count:
            raise ValueError(f"Number of colors must be equal or larger than the number of objects, but got {len(colors)} < {count}.")
        found = colors
    elif isinstance(colors, (str, tuple)):
        found = [colors] * count
    else:
        raise ValueError(f"`colors` must be a tuple or a string, or a list thereof, but got {colors}.")
    return [_ImageColor.getrgb(colour) if isinstance(colour, str) else colour for colour in found]


def _canvas(image: _Tensor, what: str) -> _Tensor:
    """The image as bytes.

    Raises:
      TypeError: it is no tensor.
      ValueError: it has another shape or type.
    """
    _need_pillow(what)
    if not isinstance(image, torch.Tensor):
        raise TypeError(f"Tensor expected, got {type(image)}")
    if not (image.dtype == torch.uint8 or image.is_floating_point()):
        raise ValueError(f"The image dtype must be uint8 or float, got {image.dtype}")
    if image.dim() != 3:
        raise ValueError("Pass individual images, not batches")
    return _convert(image, torch.uint8)


def _drawn(picture: Any, dtype: Any) -> _Tensor:
    return _convert(torch.from_numpy(np.array(picture)).permute(2, 0, 1), dtype)


@torch.no_grad()
def draw_bounding_boxes(
    image: _Tensor,
    boxes: _Tensor,
    labels: list[str | None] | None = None,
    colors: Any = None,
    fill: bool | None = False,
    width: int = 1,
    font: str | None = None,
    font_size: int | None = None,
    label_colors: Any = None,
    label_background_colors: Any = None,
    fill_labels: bool = False,
) -> _Tensor:
    """The image with boxes drawn onto it, and what is in them.

    Args:
      image: (C, H, W) with one or three channels, uint8 or floats from 0 to 1.
      boxes: (N, 4) of (x1, y1, x2, y2).
      labels: texts.
      colors: a colour (a name or three numbers), or a list of them; by default different ones.
      fill: whether the boxes are filled, half transparent.
      width: of the lines.
      font: a file with a TrueType font.
      font_size: its size.
      label_colors: those of the texts; by default the boxes'.
      label_background_colors: those behind the texts, with ``fill_labels``.
      fill_labels: whether the texts have a background.

    Raises:
      TypeError: the image is no tensor.
      ValueError: a wrong shape, type or number of labels or colours.
    """
    canvas = _canvas(image, "draw_bounding_boxes")
    if image.size(0) not in (1, 3):
        raise ValueError("Only grayscale and RGB images are supported")
    if boxes.shape[-1] != 4:
        raise NotImplementedError("boxes with four corners (N, 8) are not drawn; pass (N, 4)")
    if (boxes[:, 0] > boxes[:, 2]).any() or (boxes[:, 1] > boxes[:, 3]).any():
        raise ValueError("Boxes need to be in (xmin, ymin, xmax, ymax) format. Use torchvision.ops.box_convert to convert them")
    count = boxes.shape[0]
    if count == 0:
        warnings.warn("boxes doesn't contain any box. No box was drawn", stacklevel=2)
        return image
    texts: list[str | None] = [None] * count if labels is None else labels
    if len(texts) != count:
        raise ValueError(f"Number of boxes ({count}) and labels ({len(texts)}) mismatch. Please specify labels for each box.")
    outlines = _colours(colors, count)
    text_colours = _colours(label_colors, count) if label_colors is not None else list(outlines)
    backgrounds = _colours(label_background_colors, count) if label_background_colors is not None else list(outlines)
    if font is None:
        if font_size is not None:
            warnings.warn("Argument 'font_size' will be ignored since 'font' is not set.", stacklevel=2)
        letters = _ImageFont.load_default()
    else:
        letters = _ImageFont.truetype(font=font, size=font_size or 10)
    if canvas.size(0) == 1:
        canvas = canvas.expand(3, -1, -1)
    picture = _Image.fromarray(np.ascontiguousarray(canvas.permute(1, 2, 0).numpy()))
    draw = _ImageDraw.Draw(picture, "RGBA") if fill else _ImageDraw.Draw(picture)
    for box, colour, text, text_colour, background in zip(
        boxes.to(torch.int64).tolist(), outlines, texts, text_colours, backgrounds, strict=False
    ):
        draw.rectangle(box, width=width, outline=colour, fill=(*colour, 100) if fill else None)
        if text is None:
            continue
        corner = box[0] + width + 1, box[1] + width + 1
        if fill_labels:
            left, top, right, bottom = draw.textbbox(corner, text, font=letters)
            draw.rectangle((left - 4, top - 4, right + 4, bottom + 4), fill=background)
        draw.text(corner, text, fill=text_colour, font=letters)
    return _drawn(picture, image.dtype)


@torch.no_grad()
def draw_segmentation_masks(image: _Tensor, masks: _Tensor, alpha: float = 0.8, colors: Any = None) -> _Tensor:
    """The image with masks in colours over it; where masks overlap they are black.

    Args:
      image: (3, H, W), uint8 or floats from 0 to 1.
      masks: bool, (N, H, W) or (H, W).
      alpha: how opaque they are, from 0 to 1.
      colors: a colour (a name or three numbers), or a list of them; by default different ones.

    Raises:
      TypeError: the image is no tensor.
      ValueError: a wrong shape, type or number of colours.
    """
    _canvas(image, "draw_segmentation_masks")
    if image.size(0) != 3:
        raise ValueError("Pass an RGB image. Other Image formats are not supported")
    masks = masks[None] if masks.ndim == 2 else masks
    if masks.ndim != 3:
        raise ValueError("masks must be of shape (H, W) or (batch_size, H, W)")
    if masks.dtype != torch.bool:
        raise ValueError(f"The masks must be of dtype bool. Got {masks.dtype}")
    if masks.shape[-2:] != image.shape[-2:]:
        raise ValueError("The image and the masks must have the same height and width")
    count = masks.size(0)
    if count == 0:
        warnings.warn("masks doesn't contain any mask. No mask was drawn", stacklevel=2)
        return image
    painted = image.detach().clone()
    for mask, colour in zip(masks, _colours(colors, count), strict=False):
        value = _convert(torch.tensor(colour, dtype=torch.uint8), image.dtype)
        painted = torch.where(mask, value[:, None, None], painted)
    painted = painted.masked_fill(masks.sum(0) > 1, 0)
    return (image * (1 - alpha) + painted * alpha).to(image.dtype)


@torch.no_grad()
def draw_keypoints(
    image: _Tensor,
    keypoints: _Tensor,
    connectivity: list[tuple[int, int]] | None = None,
    colors: Any = None,
    radius: int = 2,
    width: int = 3,
    visibility: _Tensor | None = None,
) -> _Tensor:
    """The image with points drawn onto it, and lines between them.

    Args:
      image: (3, H, W), uint8 or floats from 0 to 1.
      keypoints: (N, K, 2): x and y of K points of N things.
      connectivity: pairs of points that have a line between them.
      colors: the colour, a name or three numbers.
      radius: of the points.
      width: of the lines.
      visibility: which points are drawn, bool (N, K); by default all.

    Raises:
      TypeError: the image is no tensor.
      ValueError: a wrong shape or type.
    """
    canvas = _canvas(image, "draw_keypoints")
    if image.size(0) != 3:
        raise ValueError("Pass an RGB image. Other Image formats are not supported")
    if keypoints.ndim != 3:
        raise ValueError("keypoints must be of shape (num_instances, K, 2)")
    shown = torch.ones(keypoints.shape[:-1], dtype=torch.bool) if visibility is None else visibility.reshape(keypoints.shape[:-1])
    picture = _Image.fromarray(np.ascontiguousarray(canvas.permute(1, 2, 0).numpy()))
    draw = _ImageDraw.Draw(picture)
    for points, seen in zip(keypoints.to(torch.int64).tolist(), shown.tolist(), strict=True):
        for (x, y), visible in zip(points, seen, strict=True):
            if visible:
                draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colors, outline=None, width=0)
        for start, end in connectivity or ():
            if seen[start] and seen[end]:
                draw.line((*points[start], *points[end]), width=width)
    return _drawn(picture, image.dtype)
