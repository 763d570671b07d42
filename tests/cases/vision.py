"""Rows of the table: vision."""

import warnings
from collections.abc import Callable

import funnn.functional as F
from tests.cases._case import case

IMAGE = (2, 3, 8, 7)
SIGNAL = (2, 3, 9)
VOLUME = (2, 2, 5, 6, 4)

LAYERS = [
    case("Upsample", 5, inputs=(SIGNAL,)),
    case("Upsample", scale_factor=(2, 1.5), mode="bilinear", inputs=(IMAGE,)),
    case("Upsample", scale_factor=1.7, mode="bicubic", align_corners=True, recompute_scale_factor=True, inputs=(IMAGE,)),
    case("Upsample", (4, 7, 4), mode="trilinear", inputs=(VOLUME,)),
    case("Upsample", (3, 5), mode="nearest-exact", inputs=(IMAGE,)),
    case("UpsamplingNearest2d", scale_factor=2, inputs=(IMAGE,)),
    case("UpsamplingBilinear2d", (5, 9), inputs=(IMAGE,)),
    case("PixelShuffle", 2, inputs=((2, 8, 3, 4),)),
    case("PixelUnshuffle", 2, inputs=((3, 4, 6),)),
    case("ChannelShuffle", 3, inputs=((2, 6, 4),)),
]


def _quietly(function: Callable) -> Callable:
    """Without the warning that it is deprecated."""

    def run(x):
        with warnings.catch_warnings(action="ignore"):
            return function(x, (3, 7))

    return run


FUNCTIONS = {
    "interpolate": ([(1, 2, 5, 4)], lambda x: F.interpolate(x, (3, 7), mode="bicubic", antialias=True)),
    "upsample": ([(1, 2, 5, 4)], _quietly(F.upsample)),
    "upsample_nearest": ([(1, 2, 5, 4)], _quietly(F.upsample_nearest)),
    "upsample_bilinear": ([(1, 2, 5, 4)], _quietly(F.upsample_bilinear)),
    "grid_sample": ([(1, 2, 5, 4), (1, 3, 2, 2)], lambda x, g: F.grid_sample(x, g, "bicubic", "reflection", False)),
    "affine_grid": ([(2, 2, 3)], lambda theta: F.affine_grid(theta, (2, 1, 3, 4), False)),
    "pixel_shuffle": ([(4, 2, 3)], lambda x: F.pixel_shuffle(x, 2)),
    "pixel_unshuffle": ([(1, 4, 6)], lambda x: F.pixel_unshuffle(x, 2)),
    "channel_shuffle": ([(1, 6, 2)], lambda x: F.channel_shuffle(x, 2)),
    "native_channel_shuffle": ([(1, 6, 2)], lambda x: F.native_channel_shuffle(x, 2)),
}
