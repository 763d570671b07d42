"""Linear with weights of 8 bits beside Linear, both in funnn's functional world: the time of a call and the memory that XLA takes for it.

    python -m tests.benchmarks.quantized [--rounds N]

The programs run in turns; shown is the least time of a round.
"""

from __future__ import annotations

import argparse
import functools

import jax
import numpy as np

from funnn.layers import Linear, quantize
from tests.benchmarks import _measure, training

SIZES = (
    (1, 1024, 1024),
    (1, 2048, 2048),
    (1, 4096, 4096),
    (1, 4096, 16384),
    (8, 4096, 4096),
    (64, 4096, 4096),
)  # inputs, in_features, out_features


def compare(batch: int, inputs: int, outputs: int, rounds: int) -> str:
    layer = Linear(inputs, outputs)
    params, _ = layer.init(jax.random.key(0))
    x = np.random.default_rng(0).standard_normal((batch, inputs), np.float32)
    programs, memory = {}, {}
    for name, (own, tree) in {"float32": (layer, params), "int8": quantize(layer, params)}.items():
        compiled = jax.jit(lambda tree, x, own=own: own.apply(tree, {}, x)[0]).lower(tree, x).compile()
        programs[name] = functools.partial(compiled, tree, x)
        memory[name] = compiled.memory_analysis().temp_size_in_bytes / 2**20
    times = _measure.turns(programs, jax.block_until_ready, rounds)
    return "  ".join(f"{name} {1e3 * min(times[name]):6.2f} ms, {memory[name]:5.1f} MiB" for name in programs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    print(training.machine())
    for sizes in SIZES:
        print(f"{sizes[0]:3} x {sizes[1]} -> {sizes[2]:5}  {compare(*sizes, options.rounds)}", flush=True)


if __name__ == "__main__":
    main()
