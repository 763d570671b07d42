"""The functions of torchvision.transforms.functional that change colours, and the one that blurs."""

from __future__ import annotations

from collections.abc import Sequence

from funnn.torchvision._optional import is_pil_image
from funnn.torchvision.transforms import _pil_images as _pil
from funnn.torchvision.transforms import _tensor_images as _tensors
from funnn.torchvision.transforms._conversions import pil_to_tensor, to_pil_image
from funnn.torchvision.transforms._images import Image, is_tensor


def rgb_to_grayscale(img: Image, num_output_channels: int = 1) -> Image:
    """0.2989 red + 0.587 green + 0.114 blue, in one channel or in three equal ones.

    Raises:
      ValueError: another number of channels.
    """
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    return (_tensors if is_tensor(img) else _pil).rgb_to_grayscale(img, num_output_channels)


def to_grayscale(img: Image, num_output_channels: int = 1) -> Image:
    """As :func:`rgb_to_grayscale`, for images of Pillow's of any mode.

    Raises:
      TypeError: it is a tensor.
    """
    if not is_pil_image(img):
        raise TypeError("Input should be PIL Image")
    return _pil.rgb_to_grayscale(img, num_output_channels)


def adjust_brightness(img: Image, brightness_factor: float) -> Image:
    """The values times the factor: 0 is black, 1 the image itself.

    Raises:
      ValueError: the factor of a tensor is negative.
    """
    return _adjusted(img, "brightness", brightness_factor)


def adjust_contrast(img: Image, contrast_factor: float) -> Image:
    """Between the mean of the grey image (0), the image (1) and beyond.

    Raises:
      ValueError: the factor of a tensor is negative.
    """
    return _adjusted(img, "contrast", contrast_factor)


def adjust_saturation(img: Image, saturation_factor: float) -> Image:
    """Between the grey image (0), the image (1) and beyond.

    Raises:
      ValueError: the factor of a tensor is negative.
    """
    return _adjusted(img, "saturation", saturation_factor)


def adjust_sharpness(img: Image, sharpness_factor: float) -> Image:
    """Between a blurred image (0), the image (1) and beyond.

    Raises:
      ValueError: the factor of a tensor is negative.
    """
    return _adjusted(img, "sharpness", sharpness_factor)


def _adjusted(img: Image, what: str, factor: float) -> Image:
    if not is_tensor(img):
        return getattr(_pil, f"adjust_{what}")(img, factor)
    if factor < 0:
        raise ValueError(f"{what}_factor ({factor}) is not non-negative.")
    return getattr(_tensors, f"adjust_{what}")(img, factor)


def adjust_hue(img: Image, hue_factor: float) -> Image:
    """Hues turned by ``hue_factor`` of the circle, from -0.5 to 0.5.

    Raises:
      ValueError: another factor.
    """
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    return (_tensors if is_tensor(img) else _pil).adjust_hue(img, hue_factor)


def adjust_gamma(img: Image, gamma: float, gain: float = 1) -> Image:
    """gain · value^gamma, for values from 0 to 1.

    Raises:
      ValueError: ``gamma`` is negative.
    """
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    return (_tensors if is_tensor(img) else _pil).adjust_gamma(img, gamma, gain)


def invert(img: Image) -> Image:
    """White minus the values."""
    return (_tensors if is_tensor(img) else _pil).invert(img)


def posterize(img: Image, bits: int) -> Image:
    """The first ``bits`` (0 to 8) of each byte.

    Raises:
      ValueError: another number of bits.
    """
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    return (_tensors if is_tensor(img) else _pil).posterize(img, bits)


def solarize(img: Image, threshold: float) -> Image:
    """Values from the threshold on are inverted."""
    return (_tensors if is_tensor(img) else _pil).solarize(img, threshold)


def autocontrast(img: Image) -> Image:
    """Each channel's values stretched from black to white."""
    return (_tensors if is_tensor(img) else _pil).autocontrast(img)


def equalize(img: Image) -> Image:
    """Each channel's histogram made flat; for bytes."""
    return (_tensors if is_tensor(img) else _pil).equalize(img)


def gaussian_blur(img: Image, kernel_size: int | Sequence[int], sigma: float | Sequence[float] | None = None) -> Image:
    """The image under a Gaussian, with the border reflected.

    Args:
      img: the image.
      kernel_size: odd sizes in x and y, or one for both.
      sigma: standard deviations in x and y, or one for both; by default 0.15 kernel_size + 0.35.

    Raises:
      TypeError: a size or deviation is no number.
      ValueError: a size is even or not positive, or a deviation not positive.
    """
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}")
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if len(sizes) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(sizes)}")
    for size in sizes:
        if size % 2 == 0 or size < 0:
            raise ValueError(f"kernel_size should have odd and positive integers. Got {sizes}")
    if sigma is None:
        widths = [size * 0.15 + 0.35 for size in sizes]
    elif isinstance(sigma, (int, float)):
        widths = [float(sigma)] * 2
    elif isinstance(sigma, (list, tuple)):
        widths = list(sigma) * (2 if len(sigma) == 1 else 1)
        if len(widths) != 2:
            raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(widths)}")
    else:
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    for width in widths:
        if width <= 0.0:
            raise ValueError(f"sigma should have positive values. Got {widths}")
    if is_tensor(img):
        return _tensors.gaussian_blur(img, sizes, widths)
    return to_pil_image(_tensors.gaussian_blur(pil_to_tensor(img), sizes, widths), mode=img.mode)
