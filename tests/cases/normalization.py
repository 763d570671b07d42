"""Rows of the table: normalization."""

import funnn.functional as F
from tests.cases._case import case

IMAGE = (2, 3, 8, 7)
VOLUME = (2, 2, 5, 6, 4)

LAYERS = [
    case("BatchNorm1d", 3),
    case("BatchNorm1d", 3, momentum=None, inputs=((4, 3, 5),)),
    case("BatchNorm2d", 3, affine=False, inputs=(IMAGE,)),
    case("BatchNorm2d", 3, track_running_stats=False, inputs=(IMAGE,)),
    case("BatchNorm3d", 2, eps=1e-3, momentum=0.3, inputs=(VOLUME,)),
    case("LayerNorm", 3),
    case("LayerNorm", (4, 3), elementwise_affine=False, inputs=((2, 4, 3),)),
    case("LayerNorm", 3, bias=False),
]

FUNCTIONS = {
    "batch_norm": ([(4, 3), (3,), (3,)], lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)),
    "batch_norm_with_stats": ([(4, 3), (3,), (3,)], lambda x, m, v: F.batch_norm_with_stats(x, m, v)[0]),
    "layer_norm": ([(4, 3), (3,), (3,)], lambda x, w, b: F.layer_norm(x, (3,), w, b)),
}
