"""Operations on images that are tensors: (…, C, H, W), floats from 0 to 1 or integers over their whole range."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import funnn.torch as torch
from funnn.torch.nn import functional as nnf

Tensor = Any

_PADDING = {"edge": "replicate", "reflect": "reflect", "symmetric": "symmetric", "constant": "constant"}


def size_of(img: Tensor) -> tuple[int, int, int]:
    """Channels, height and width; a tensor of two dimensions has one channel."""
    if img.ndim < 2:
        raise TypeError("Tensor is not a torch image.")
    return (1 if img.ndim == 2 else int(img.shape[-3])), int(img.shape[-2]), int(img.shape[-1])


def largest(dtype: Any) -> float | int:
    """The value of white."""
    if dtype.is_floating_point:
        return 1.0
    return 1 if dtype == torch.bool else int(torch.iinfo(dtype).max)


def require_channels(img: Tensor, permitted: Sequence[int]) -> None:
    """Raise TypeError if the image has another number of channels."""
    if (channels := size_of(img)[0]) not in permitted:
        raise TypeError(f"Input image tensor permitted channel values are {list(permitted)}, but found {channels}")


def to_float(img: Tensor) -> Tensor:
    """A batch of floats of it, for what computes with those only."""
    img = img if img.ndim == 4 else img.reshape((-1, *((1,) * max(0, 3 - img.ndim)), *img.shape[-3:]))
    return img if img.dtype in (torch.float32, torch.float64) else img.to(torch.float32)


def from_float(result: Tensor, like: Tensor) -> Tensor:
    """The result of :func:`to_float` in the shape and type of the image that it was made of; integers are rounded."""
    shape = (*like.shape[:-2], *result.shape[-2:])
    if result.dtype != like.dtype:
        result = (result if like.dtype.is_floating_point else torch.round(result)).to(like.dtype)
    return result.reshape(shape)


def blend(img: Tensor, other: Tensor, ratio: float) -> Tensor:
    """``ratio`` of the first and the rest of the second, cut off at black and white."""
    return (float(ratio) * img + (1.0 - float(ratio)) * other).clamp(0, largest(img.dtype)).to(img.dtype)


# -- types and shapes


def convert_image_dtype(image: Tensor, dtype: Any) -> Tensor:
    """The image in another type, scaled so that white stays white."""
    if image.dtype == dtype:
        return image
    if image.dtype.is_floating_point:
        if dtype.is_floating_point:
            return image.to(dtype)
        if (image.dtype == torch.float32 and dtype in (torch.int32, torch.int64)) or (
            image.dtype == torch.float64 and dtype == torch.int64
        ):
            raise RuntimeError(f"The cast from {image.dtype} to {dtype} cannot be performed safely.")
        return image.mul(largest(dtype) + 1.0 - 1e-3).to(dtype)
    white, new_white = int(largest(image.dtype)), largest(dtype)
    if dtype.is_floating_point:
        return image.to(dtype) / white
    if white > new_white:
        return torch.div(image, (white + 1) // (int(new_white) + 1), rounding_mode="floor").to(dtype)
    return image.to(dtype) * ((int(new_white) + 1) // (white + 1))


def crop(img: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A part, with black where it lies outside."""
    _, h, w = size_of(img)
    right, bottom = left + width, top + height
    part = img[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if left >= 0 and top >= 0 and right <= w and bottom <= h:
        return part
    padding = [
        max(-left + min(0, right), 0),
        max(-top + min(0, bottom), 0),
        max(right - max(w, left), 0),
        max(bottom - max(h, top), 0),
    ]
    return pad(part, padding, 0, "constant")


def pad(img: Tensor, padding: Sequence[int], fill: float | None, mode: str) -> Tensor:
    """``padding``: left, top, right, bottom."""
    left, top, right, bottom = padding
    if mode == "symmetric":
        columns, rows = (_mirrored(img.shape[-1], left, right), _mirrored(img.shape[-2], top, bottom))
        return img[..., rows[:, None], columns[None, :]]
    if mode == "constant":
        return nnf.pad(img, [left, right, top, bottom], mode=mode, value=float(fill or 0))
    flat = img.reshape(-1, 1, *img.shape[-2:])
    flat = flat if img.dtype in (torch.float32, torch.float64) else flat.to(torch.float32)
    out = nnf.pad(flat, [left, right, top, bottom], mode=_PADDING[mode])
    return out.to(img.dtype).reshape((*img.shape[:-2], *out.shape[-2:]))


def _mirrored(size: int, before: int, after: int) -> Tensor:
    cut, end = max(0, -before), size - max(0, -after)
    inside = list(range(cut, end))
    front = list(range(before))[::-1]
    back = [size - 1 - i for i in range(after)]
    return torch.tensor(front + inside + back)


def resize(img: Tensor, size: Sequence[int], mode: str, antialias: bool) -> Tensor:
    """``size``: height and width."""
    align = False if mode in ("bilinear", "bicubic") else None
    out = nnf.interpolate(to_float(img), size=list(size), mode=mode, align_corners=align, antialias=antialias)
    if mode == "bicubic" and img.dtype == torch.uint8:
        out = out.clamp(0, 255)
    return from_float(out, img)


# -- colours


def rgb_to_grayscale(img: Tensor, num_output_channels: int) -> Tensor:
    """Luma of ITU-R 601: 0.2989 red + 0.587 green + 0.114 blue."""
    require_channels(img, [1, 3])
    if size_of(img)[0] == 3:
        red, green, blue = img.unbind(dim=-3)
        grey = (0.2989 * red + 0.587 * green + 0.114 * blue).to(img.dtype).unsqueeze(-3)
    else:
        grey = img.clone()
    return grey.expand((*img.shape[:-3], 3, *img.shape[-2:])) if num_output_channels == 3 else grey


def adjust_brightness(img: Tensor, factor: float) -> Tensor:
    """Towards black."""
    require_channels(img, [1, 3])
    return blend(img, torch.zeros_like(img), factor)


def adjust_contrast(img: Tensor, factor: float) -> Tensor:
    """Towards the mean of the grey image."""
    require_channels(img, [1, 3])
    dtype = img.dtype if img.dtype.is_floating_point else torch.float32
    grey = rgb_to_grayscale(img, 1) if size_of(img)[0] == 3 else img
    return blend(img, torch.mean(grey.to(dtype), dim=(-3, -2, -1), keepdim=True), factor)


def adjust_saturation(img: Tensor, factor: float) -> Tensor:
    """Towards the grey image."""
    require_channels(img, [1, 3])
    return img if size_of(img)[0] == 1 else blend(img, rgb_to_grayscale(img, 1), factor)


def adjust_hue(img: Tensor, factor: float) -> Tensor:
    """Hues turned by a part of the circle."""
    require_channels(img, [1, 3])
    if size_of(img)[0] == 1:
        return img
    h, s, v = _to_hsv(convert_image_dtype(img, torch.float32))
    return convert_image_dtype(_from_hsv((h + factor) % 1.0, s, v), img.dtype)


def _to_hsv(img: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    red, green, blue = img.unbind(dim=-3)
    high, low = torch.max(img, dim=-3).values, torch.min(img, dim=-3).values
    grey, chroma = high == low, high - low
    ones = torch.ones_like(high)
    saturation = chroma / torch.where(grey, ones, high)
    divisor = torch.where(grey, ones, chroma)
    to_red, to_green, to_blue = (high - red) / divisor, (high - green) / divisor, (high - blue) / divisor
    is_red = high == red
    is_green = (high == green) & ~is_red
    is_blue = ~is_red & (high != green)
    hue = is_red * (to_blue - to_green) + is_green * (2.0 + to_red - to_blue) + is_blue * (4.0 + to_green - to_red)
    return torch.fmod(hue / 6.0 + 1.0, 1.0), saturation, high


def _from_hsv(h: Tensor, s: Tensor, v: Tensor) -> Tensor:
    sector = torch.floor(h * 6.0)
    rest = h * 6.0 - sector
    sector = sector.to(torch.int32) % 6
    p = torch.clamp(v * (1.0 - s), 0.0, 1.0)
    q = torch.clamp(v * (1.0 - s * rest), 0.0, 1.0)
    t = torch.clamp(v * (1.0 - s * (1.0 - rest)), 0.0, 1.0)
    choices = ((v, q, p, p, t, v), (t, v, v, q, p, p), (p, p, t, v, v, q))
    index = sector.to(torch.int64).unsqueeze(0)
    return torch.stack([torch.stack(channel).gather(0, index).squeeze(0) for channel in choices], dim=-3)


def adjust_gamma(img: Tensor, gamma: float, gain: float) -> Tensor:
    """gain · value^gamma, for values from 0 to 1."""
    result = img if img.dtype.is_floating_point else convert_image_dtype(img, torch.float32)
    return convert_image_dtype((gain * result**gamma).clamp(0, 1), img.dtype)


def adjust_sharpness(img: Tensor, factor: float) -> Tensor:
    """Towards a blurred image, the border of one pixel excepted."""
    require_channels(img, [1, 3])
    _, height, width = size_of(img)
    if height <= 2 or width <= 2:
        return img
    blurred = img.clone()
    blurred[..., 1:-1, 1:-1] = smooth_inside(img)
    return blend(img, blurred, factor)


def smooth_inside(img: Tensor) -> Tensor:
    """Means of the pixels around each but those of the border, among which it counts five times."""
    values, channels = to_float(img), size_of(img)[0]
    kernel = torch.ones((3, 3), dtype=values.dtype)
    kernel[1, 1] = 5.0
    return from_float(nnf.conv2d(values, (kernel / kernel.sum()).expand(channels, 1, 3, 3), groups=channels), img)


def invert(img: Tensor) -> Tensor:
    """White minus the values."""
    require_channels(img, [1, 3])
    return largest(img.dtype) - img


def posterize(img: Tensor, bits: int) -> Tensor:
    """The first bits of each value."""
    if img.dtype != torch.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}")
    require_channels(img, [1, 3])
    return img & (256 - 2 ** (8 - bits))


def solarize(img: Tensor, threshold: float) -> Tensor:
    """Values from the threshold on are inverted."""
    require_channels(img, [1, 3])
    if threshold > largest(img.dtype):
        raise TypeError("Threshold should be less than bound of img.")
    return torch.where(img >= threshold, invert(img), img)


def autocontrast(img: Tensor) -> Tensor:
    """Each channel's values stretched from black to white."""
    require_channels(img, [1, 3])
    white, dtype = largest(img.dtype), img.dtype if img.dtype.is_floating_point else torch.float32
    low = img.amin(dim=(-2, -1), keepdim=True).to(dtype)
    scale = white / (img.amax(dim=(-2, -1), keepdim=True).to(dtype) - low)
    flat = torch.isfinite(scale).logical_not()
    low, scale = low.masked_fill(flat, 0), scale.masked_fill(flat, 1)
    return ((img - low) * scale).clamp(0, white).to(img.dtype)


def equalize(img: Tensor) -> Tensor:
    """Each channel's histogram made flat."""
    require_channels(img, [1, 3])
    if img.dtype != torch.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {img.dtype}")
    planes = img.reshape(-1, img.shape[-2], img.shape[-1])
    return torch.stack([_equalize_plane(plane) for plane in planes]).reshape(img.shape)


def _equalize_plane(plane: Tensor) -> Tensor:
    histogram = torch.bincount(plane.reshape(-1).to(torch.int64), minlength=256)
    step = int(torch.div(histogram[histogram != 0][:-1].sum(), 255, rounding_mode="floor"))
    if step == 0:
        return plane
    table = torch.div(torch.cumsum(histogram, 0) + step // 2, step, rounding_mode="floor")
    table = nnf.pad(table, [1, 0])[:-1].clamp(0, 255)
    return table[plane.to(torch.int64)].to(torch.uint8)


def gaussian_blur(img: Tensor, kernel_size: Sequence[int], sigma: Sequence[float]) -> Tensor:
    """A product of two Gaussians, with the border reflected; ``kernel_size`` and ``sigma`` are of x and y."""
    values = to_float(img)
    across, down = (_gaussian(size, width, values.dtype) for size, width in zip(kernel_size, sigma, strict=True))
    kernel = torch.mm(down[:, None], across[None, :]).expand(values.shape[-3], 1, *reversed(list(kernel_size)))
    x, y = kernel_size[0] // 2, kernel_size[1] // 2
    padded = nnf.pad(values, [x, x, y, y], mode="reflect")
    return from_float(nnf.conv2d(padded, kernel, groups=values.shape[-3]), img)


def _gaussian(size: int, sigma: float, dtype: Any) -> Tensor:
    half = (size - 1) * 0.5
    heights = torch.exp(-0.5 * (torch.linspace(-half, half, steps=size, dtype=dtype) / sigma).pow(2))
    return heights / heights.sum()


# -- movements


def affine(img: Tensor, matrix: Sequence[float], mode: str, fill: Sequence[float] | None, size: Sequence[int] | None = None) -> Tensor:
    """Where each pixel of the result (of ``size``: height, width) comes from is a product of the inverse matrix with its place."""
    _, height, width = size_of(img)
    out_height, out_width = size or (height, width)
    dtype = img.dtype if img.dtype.is_floating_point else torch.float32
    theta = torch.tensor(list(matrix), dtype=dtype).reshape(1, 2, 3)
    places = _places(out_height, out_width, -out_height * 0.5, -out_width * 0.5, dtype)
    scaled = theta.transpose(1, 2) / torch.tensor([0.5 * width, 0.5 * height], dtype=dtype)
    return _sample(img, places.reshape(1, -1, 3).bmm(scaled).reshape(1, out_height, out_width, 2), mode, fill)


def size_after(matrix: Sequence[float], width: int, height: int) -> tuple[int, int]:
    """Width and height of what holds the whole turned image."""
    corners = [
        [-0.5 * width, -0.5 * height, 1.0],
        [-0.5 * width, 0.5 * height, 1.0],
        [0.5 * width, 0.5 * height, 1.0],
        [0.5 * width, -0.5 * height, 1.0],
    ]
    moved = torch.tensor(corners) @ torch.tensor(list(matrix), dtype=torch.float32).reshape(2, 3).T
    middle = torch.tensor((width * 0.5, height * 0.5))
    high, low = moved.max(dim=0).values + middle, moved.min(dim=0).values + middle
    high, low = torch.ceil((high / 1e-4).trunc_() * 1e-4), torch.floor((low / 1e-4).trunc_() * 1e-4)
    across, down = (high - low).tolist()
    return int(across), int(down)


def perspective(img: Tensor, coefficients: Sequence[float], mode: str, fill: Sequence[float] | None) -> Tensor:
    """Where each pixel comes from is a quotient of products with its place."""
    a, b, c, d, e, f, g, h = coefficients
    _, height, width = size_of(img)
    dtype = img.dtype if img.dtype.is_floating_point else torch.float32
    places = _places(height, width, 0.0, 0.0, dtype).reshape(1, -1, 3)
    above = torch.tensor([[a, b, c], [d, e, f]], dtype=dtype).T / torch.tensor([0.5 * width, 0.5 * height], dtype=dtype)
    below = torch.tensor([[g, h, 1.0], [g, h, 1.0]], dtype=dtype).T
    return _sample(img, (places.matmul(above) / places.matmul(below) - 1.0).reshape(1, height, width, 2), mode, fill)


def elastic(img: Tensor, displacement: Tensor, mode: str, fill: Sequence[float] | None) -> Tensor:
    """Pixels come from their place plus ``displacement`` (1, H, W, 2), in halves of the image's size."""
    rows, columns = (torch.linspace((1 - size) / size, (size - 1) / size, size) for size in img.shape[-2:])
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    grid = torch.stack([x, y], -1).unsqueeze(0) + displacement
    return _sample(img, grid.to(img.dtype if img.dtype.is_floating_point else torch.float32), mode, fill)


def _places(height: int, width: int, top: float, left: float, dtype: Any) -> Tensor:
    """(height, width, 3): x, y and 1 of the middle of each pixel."""
    x = torch.linspace(left + 0.5, left + width + 0.5 - 1, steps=width, dtype=dtype)
    y = torch.linspace(top + 0.5, top + height + 0.5 - 1, steps=height, dtype=dtype)
    ones = torch.ones((height, width), dtype=dtype)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width), ones], dim=-1)


def _sample(img: Tensor, grid: Tensor, mode: str, fill: Sequence[float] | None) -> Tensor:
    values = to_float(img)
    grid = grid.expand(values.shape[0], *grid.shape[1:])
    if fill is None:
        return from_float(nnf.grid_sample(values, grid, mode=mode, padding_mode="zeros", align_corners=False), img)
    inside = torch.ones((values.shape[0], 1, *values.shape[-2:]), dtype=values.dtype)
    sampled = nnf.grid_sample(torch.cat((values, inside), dim=1), grid, mode=mode, padding_mode="zeros", align_corners=False)
    out, mask = sampled[:, :-1], sampled[:, -1:].expand_as(sampled[:, :-1])
    colour = torch.tensor([float(value) for value in fill], dtype=out.dtype).reshape(1, -1, 1, 1).expand_as(out)
    out = torch.where(mask < 0.5, colour, out) if mode == "nearest" else out * mask + (1.0 - mask) * colour
    return from_float(out, img)
