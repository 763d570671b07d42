"""Rows of the table: normalization."""

import funnn.functional as F
from tests.cases._case import case

IMAGE = (2, 3, 8, 7)
SIGNAL = (2, 3, 9)
VOLUME = (2, 2, 5, 6, 4)

LAYERS = [
    case("BatchNorm1d", 3),
    case("BatchNorm1d", 3, momentum=None, inputs=((4, 3, 5),)),
    case("BatchNorm2d", 3, affine=False, inputs=(IMAGE,)),
    case("BatchNorm2d", 3, track_running_stats=False, inputs=(IMAGE,)),
    case("BatchNorm3d", 2, eps=1e-3, momentum=0.3, inputs=(VOLUME,)),
    case("SyncBatchNorm", 3, inputs=((4, 3, 5),)),
    case("InstanceNorm1d", 3, inputs=(SIGNAL,)),
    case("InstanceNorm1d", 3, affine=True, track_running_stats=True, inputs=((3, 9),)),
    case("InstanceNorm2d", 3, affine=True, bias=False, track_running_stats=True, momentum=0.3, inputs=(IMAGE,)),
    case("InstanceNorm2d", 3, track_running_stats=True, momentum=None, inputs=(IMAGE,)),
    case("InstanceNorm3d", 2, eps=1e-3, inputs=(VOLUME,)),
    case("GroupNorm", 2, 4, inputs=((3, 4),)),
    case("GroupNorm", 3, 6, affine=False, inputs=((2, 6, 4, 3),)),
    case("GroupNorm", 1, 3, bias=False, eps=1e-3, inputs=(SIGNAL,)),
    case("RMSNorm", 3),
    case("RMSNorm", (4, 3), eps=1e-2, elementwise_affine=False, inputs=((2, 4, 3),)),
    case("LocalResponseNorm", 2, inputs=(SIGNAL,)),
    case("LocalResponseNorm", 3, alpha=0.5, beta=0.5, k=2.0, inputs=(IMAGE,)),
    case("LayerNorm", 3),
    case("LayerNorm", (4, 3), elementwise_affine=False, inputs=((2, 4, 3),)),
    case("LayerNorm", 3, bias=False),
]

FUNCTIONS = {
    "batch_norm": ([(4, 3), (3,), (3,)], lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)),
    "batch_norm_with_stats": ([(4, 3), (3,), (3,)], lambda x, m, v: F.batch_norm_with_stats(x, m, v)[0]),
    "layer_norm": ([(4, 3), (3,), (3,)], lambda x, w, b: F.layer_norm(x, (3,), w, b)),
    "instance_norm": ([(2, 3, 4), (3,), (3,)], lambda x, w, b: F.instance_norm(x, weight=w, bias=b)),
    "instance_norm_with_stats": ([(2, 3, 4), (3,), (3,)], lambda x, m, v: F.instance_norm_with_stats(x, m, v)[0]),
    "group_norm": ([(3, 4, 2), (4,), (4,)], lambda x, w, b: F.group_norm(x, 2, w, b)),
    "rms_norm": ([(4, 3), (3,)], lambda x, w: F.rms_norm(x, (3,), w)),
    "local_response_norm": ([(2, 3, 4)], lambda x: F.local_response_norm(x, 2, 0.5)),
    "normalize": ([(4, 3)], F.normalize),
}
