"""Rows of the table: pooling."""

import jax
import jax.numpy as jnp
import numpy as np

import funnn.functional as F
from tests.cases._case import Given, case

IMAGE = (2, 3, 8, 7)
SIGNAL = (2, 3, 9)
VOLUME = (2, 2, 5, 6, 4)

SMALL = {1: (1, 2, 5), 2: (1, 2, 5, 4), 3: (1, 1, 5, 4, 4)}
KEY = jax.random.key(0)

LAYERS = [
    case("MaxPool1d", 3, inputs=(SIGNAL,)),
    case("MaxPool2d", 2, inputs=((2, 3, 8, 6),)),
    case("MaxPool2d", 3, stride=2, padding=1, ceil_mode=True, inputs=(IMAGE,)),
    case("MaxPool3d", 2, inputs=(VOLUME,)),
    case("MaxPool1d", 3, 2, return_indices=True, inputs=(SIGNAL,)),
    case("MaxPool2d", 2, return_indices=True, inputs=((3, 6, 5),)),
    case("LPPool1d", 2, 3, inputs=(SIGNAL,)),
    case("LPPool2d", 2, (2, 3), stride=2, ceil_mode=True, inputs=(IMAGE,)),
    case("LPPool3d", 4, 2, inputs=(VOLUME,)),
    case("MaxUnpool1d", 2, inputs=((2, 1, 3), Given(np.array([[[1, 2, 4]], [[0, 3, 5]]])))),
    case("MaxUnpool2d", 2, inputs=((1, 1, 2, 2), Given(np.array([[[[0, 3], [8, 10]]]])))),
    case("MaxUnpool2d", 2, inputs=((1, 1, 2, 2), Given(np.array([[[[0, 3], [10, 13]]]]))), named={"output_size": Given((5, 5))}),
    case("MaxUnpool3d", 2, inputs=((1, 1, 1, 1, 2), Given(np.array([[[[[4, 15]]]]])))),
    case("AdaptiveAvgPool1d", 3, inputs=(SIGNAL,)),
    case("AdaptiveAvgPool2d", (None, 3), inputs=(IMAGE,)),
    case("AdaptiveAvgPool2d", 1, inputs=((3, 8, 7),)),
    case("AdaptiveAvgPool3d", (2, 4, 3), inputs=(VOLUME,)),
    case("AdaptiveMaxPool1d", 4, inputs=(SIGNAL,)),
    case("AdaptiveMaxPool2d", (3, 7), return_indices=True, inputs=(IMAGE,)),
    case("AdaptiveMaxPool3d", 2, inputs=(VOLUME,)),
    case("FractionalMaxPool2d", 2, output_size=4, stochastic_="always", inputs=(IMAGE,)),
    case("FractionalMaxPool2d", (3, 2), output_ratio=0.5, return_indices=True, stochastic_="always", inputs=((3, 8, 7),)),
    case("FractionalMaxPool3d", 2, output_size=(2, 3, 2), stochastic_="always", inputs=(VOLUME,)),
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
    **{f"max_pool{n}d_with_indices": ([SMALL[n]], lambda x, n=n: getattr(F, f"max_pool{n}d_with_indices")(x, 2)[0]) for n in (1, 2, 3)},
    **{f"lp_pool{n}d": ([SMALL[n]], lambda x, n=n: getattr(F, f"lp_pool{n}d")(x, 2.0, 2)) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": ([SMALL[n]], lambda x, n=n: getattr(F, f"adaptive_avg_pool{n}d")(x, 3)) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": ([SMALL[n]], lambda x, n=n: getattr(F, f"adaptive_max_pool{n}d")(x, 3)) for n in (1, 2, 3)},
    **{
        f"adaptive_max_pool{n}d_with_indices": ([SMALL[n]], lambda x, n=n: getattr(F, f"adaptive_max_pool{n}d_with_indices")(x, 3)[0])
        for n in (1, 2, 3)
    },
    **{f"fractional_max_pool{n}d": ([SMALL[n]], lambda x, n=n: getattr(F, f"fractional_max_pool{n}d")(x, 2, 2, key=KEY)) for n in (2, 3)},
    **{
        f"fractional_max_pool{n}d_with_indices": (
            [SMALL[n]],
            lambda x, n=n: getattr(F, f"fractional_max_pool{n}d_with_indices")(x, 2, 2, key=KEY)[0],
        )
        for n in (2, 3)
    },
    **{
        f"max_unpool{n}d": (
            [(1, 1, *(1,) * (n - 1), 2)],
            lambda x, n=n: getattr(F, f"max_unpool{n}d")(x, jnp.array([1, 2]).reshape(x.shape), 2),
        )
        for n in (1, 2, 3)
    },
}
