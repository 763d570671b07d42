"""Rows of the table: conv."""

import funnn.functional as F
from tests.cases._case import Given, case

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
    case("Conv1d", 3, 4, 3, padding=2, padding_mode="reflect", inputs=(SIGNAL,)),
    case("Conv2d", 3, 4, (3, 4), padding="same", padding_mode="circular", inputs=(IMAGE,)),
    case("Conv2d", 3, 4, 3, padding=(2, 1), stride=2, padding_mode="replicate", inputs=((3, 8, 7),)),
    case("ConvTranspose1d", 3, 4, 3, stride=2, padding=1, output_padding=1, inputs=(SIGNAL,)),
    case("ConvTranspose2d", 3, 6, 3, groups=3, bias=False, inputs=(IMAGE,)),
    case("ConvTranspose2d", 3, 4, (3, 2), stride=(2, 3), dilation=(2, 1), inputs=((3, 8, 7),)),
    case("ConvTranspose2d", 3, 4, 3, stride=2, inputs=((2, 3, 4, 3),), named={"output_size": Given((10, 8))}),
    case("ConvTranspose3d", 2, 3, 2, stride=2, inputs=(VOLUME,)),
]

FUNCTIONS = {
    "conv1d": ([(1, 2, 5), (3, 2, 3), (3,)], F.conv1d),
    "conv2d": ([(1, 2, 5, 4), (3, 2, 3, 3), (3,)], F.conv2d),
    "conv3d": ([(1, 2, 3, 3, 3), (3, 2, 2, 2, 2), (3,)], F.conv3d),
    "conv_tbc": ([(5, 2, 3), (3, 3, 4), (4,)], F.conv_tbc),
    "conv_transpose1d": ([(1, 2, 5), (2, 3, 3), (3,)], lambda *a: F.conv_transpose1d(*a, stride=2)),
    "conv_transpose2d": ([(1, 2, 5, 4), (2, 3, 3, 3), (3,)], F.conv_transpose2d),
    "conv_transpose3d": ([(1, 2, 3, 3, 3), (2, 3, 2, 2, 2), (3,)], F.conv_transpose3d),
}
