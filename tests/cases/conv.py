"""Rows of the table: conv."""

import funnn.functional as F
from tests.cases._case import case

IMAGE = (2, 3, 8, 7)
SIGNAL = (2, 3, 9)
VOLUME = (2, 2, 5, 6, 4)

LAYERS = [
    case("Conv1d", 3, 4, 3, padding=1, inputs=(SIGNAL,)),
    case("Conv1d", 3, 6, 2, stride=2, groups=3, bias=False, inputs=((3, 9),)),
    case("Conv2d", 3, 6, 3, inputs=(IMAGE,)),
    case("Conv2d", 3, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=3, inputs=(IMAGE,)),
    case("Conv2d", 3, 4, 3, padding="same", inputs=((3, 8, 7),)),
    case("Conv3d", 2, 3, 2, inputs=(VOLUME,)),
]

FUNCTIONS = {
    "conv1d": ([(1, 2, 5), (3, 2, 3), (3,)], F.conv1d),
    "conv2d": ([(1, 2, 5, 4), (3, 2, 3, 3), (3,)], F.conv2d),
    "conv3d": ([(1, 2, 3, 3, 3), (3, 2, 2, 2, 2), (3,)], F.conv3d),
}
