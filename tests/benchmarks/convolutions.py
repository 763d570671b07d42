"""Convolutions one by one: the value and both gradients, in PyTorch, as XLA's own convolution and in funnn.

    python -m tests.benchmarks.convolutions [--rounds N]

The choices in ``funnn/functional/_conv_cpu.py`` rest on this table: a shape at which XLA's own column is faster than funnn's is one where they should change.
"""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch

from funnn.functional import _conv_kernel as kernel
from funnn.functional import _conv_xla as xla
from funnn.functional._conv_xla import Geometry
from tests.benchmarks import _measure


class Shape(NamedTuple):
    """Images, channels in and out, an image's size, the kernel's; padding is half of the kernel's."""

    images: int
    channels: int
    results: int
    size: tuple[int, ...]
    kernel: int = 3
    stride: int = 1
    groups: int = 1


SHAPES = (
    Shape(128, 1, 6, (28, 28), 5),
    Shape(128, 6, 16, (14, 14), 5),
    Shape(32, 3, 32, (32, 32)),
    Shape(32, 3, 16, (64, 64), 7, 2),
    Shape(32, 8, 32, (32, 32)),
    Shape(32, 16, 16, (32, 32)),
    Shape(32, 32, 32, (32, 32)),
    Shape(32, 64, 64, (16, 16)),
    Shape(32, 128, 128, (8, 8)),
    Shape(32, 256, 256, (4, 4)),
    Shape(8, 64, 64, (56, 56)),
    Shape(1, 64, 64, (32, 32)),
    Shape(32, 32, 64, (32, 32), 3, 2),
    Shape(32, 64, 128, (16, 16), 3, 2),
    Shape(32, 64, 64, (32, 32), 1),
    Shape(32, 64, 128, (32, 32), 1, 2),
    Shape(32, 64, 64, (512,)),
    Shape(32, 16, 32, (2000,), 9),
    Shape(4, 3, 32, (16, 32, 32)),
    Shape(2, 32, 64, (16, 16, 16)),
    Shape(32, 96, 96, (16, 16), 3, 1, 96),
    Shape(32, 96, 96, (16, 16), 3, 2, 96),
    Shape(32, 64, 64, (16, 16), 3, 1, 8),
)


def runs(shape: Shape) -> dict[str, dict]:
    """For value, input's and weight's gradient each library's program, which takes nothing."""
    axes, padding = len(shape.size), shape.kernel // 2
    out = tuple((size + 2 * padding - shape.kernel) // shape.stride + 1 for size in shape.size)
    settings = [(number,) * axes for number in (shape.stride, padding, 1)]
    geometry = Geometry(shape.size, out, (shape.kernel,) * axes, settings[0], settings[2], settings[1], shape.groups)
    rng = np.random.default_rng(0)
    weight = (shape.results, shape.channels // shape.groups, *geometry.kernel)
    shapes = (shape.images, shape.channels, *shape.size), weight, (shape.images, shape.results, *out)
    x, w, g = (rng.standard_normal(each).astype(np.float32) for each in shapes)
    theirs, ours = [torch.from_numpy(array) for array in (x, w, g)], [jnp.asarray(array) for array in (x, w, g)]

    def by_torch(*wanted: bool):
        def run():
            if not any(wanted):
                return torch.convolution(theirs[0], theirs[1], None, *settings, False, [0] * axes, shape.groups)
            return torch.ops.aten.convolution_backward(theirs[2], *theirs[:2], None, *settings, False, [0] * axes, shape.groups, wanted)

        return run

    def by_jax(function, first, second):
        jitted = jax.jit(lambda a, b: function(a, b, geometry))
        return lambda: jitted(ours[first], ours[second])

    return {
        "value": {"torch": by_torch(), "XLA": by_jax(xla.correlate, 0, 1), "funnn": by_jax(kernel.correlate, 0, 1)},
        "input": {"torch": by_torch(True, False, False), "XLA": by_jax(xla.spread, 2, 1), "funnn": by_jax(kernel.spread, 2, 1)},
        "weight": {"torch": by_torch(False, True, False), "XLA": by_jax(xla.contract, 0, 2), "funnn": by_jax(kernel.contract, 0, 2)},
    }


def wait(result) -> None:
    if isinstance(result, jax.Array):
        result.block_until_ready()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, jax {jax.__version__}, torch {torch.__version__}; ms, median of {options.rounds} rounds, and torch's time of funnn's"
    )
    torch.set_grad_enabled(False)
    for shape in SHAPES:
        size = "×".join(map(str, shape.size))
        text = f"{shape.images}×{shape.channels:>3}→{shape.results:<3} {size:<8} k{shape.kernel} s{shape.stride} g{shape.groups}"
        for name, programs in runs(shape).items():
            times = _measure.in_turns(programs, wait, options.rounds, turn=0.02)
            shown = " ".join(f"{1e3 * seconds:6.2f}" for seconds in times.values())
            text += f" | {name} {shown} {times['funnn'] / times['torch']:5.2f}"
        print(text, flush=True)


if __name__ == "__main__":
    main()
