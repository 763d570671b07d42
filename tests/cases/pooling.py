"""Rows of the table: pooling."""

import funnn.functional as F
from tests.cases._case import case

IMAGE = (2, 3, 8, 7)
SIGNAL = (2, 3, 9)
VOLUME = (2, 2, 5, 6, 4)

LAYERS = [
    case("MaxPool1d", 3, inputs=(SIGNAL,)),
    case("MaxPool2d", 2, inputs=((2, 3, 8, 6),)),
    case("MaxPool2d", 3, stride=2, padding=1, ceil_mode=True, inputs=(IMAGE,)),
    case("MaxPool3d", 2, inputs=(VOLUME,)),
    case("AvgPool1d", 2, inputs=(SIGNAL,)),
    case("AvgPool2d", 3, stride=2, padding=1, count_include_pad=False, inputs=(IMAGE,)),
    case("AvgPool2d", 2, divisor_override=3, inputs=(IMAGE,)),
    case("AvgPool3d", 2, inputs=(VOLUME,)),
]

FUNCTIONS = {
    "avg_pool1d": ([(1, 2, 6)], lambda x: F.avg_pool1d(x, 2)),
    "avg_pool2d": ([(1, 2, 5, 4)], lambda x: F.avg_pool2d(x, 3, 2, 1)),
    "avg_pool3d": ([(1, 4, 4, 4)], lambda x: F.avg_pool3d(x, 2)),
    "max_pool1d": ([(1, 2, 6)], lambda x: F.max_pool1d(x, 2)),
    "max_pool2d": ([(1, 2, 5, 4)], lambda x: F.max_pool2d(x, 3, 2, 1)),
    "max_pool3d": ([(1, 4, 4, 4)], lambda x: F.max_pool3d(x, 2)),
}
