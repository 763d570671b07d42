"""Every layer inside ``shard_map`` with its check of types: values, gradients and tangents are those of the devices' parts one by one.

Each device has inputs of its own and the parameters of all, whose gradient is then the sum over the devices.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from tests import exhaustive
from tests.cases import CASES, TOPICS

ROOT = Path(__file__).parents[2]


#: A layer of each kernel with loops, branches or a derivative of its own, for every run.
KERNELS = "BatchNorm2d CTCLoss Conv2d ConvTranspose2d GRU LSTM LinearCrossEntropyLoss MultiheadAttention RNN Softmax"
TESTS = [
    pytest.param(KERNELS, id="kernels"),
    *(pytest.param(topic, id=topic.rpartition(".")[2], marks=exhaustive.mark) for topic in sorted(set(TOPICS.values()))),
]


def chosen(what):
    """The cases of a topic, or one of each named layer: that with most options."""
    if what in TOPICS.values():
        return [case for case in CASES if TOPICS[case.name] == what]
    return [max((case for case in CASES if case.name == name), key=lambda case: len(case.args) + len(case.kwargs)) for name in what.split()]


@pytest.mark.parametrize("what", TESTS)
def test_layers(what):
    pytest.importorskip("torch", reason="the other tests of the table, whose inputs are used, import it")
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.layers.test_shard_map", what],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    assert result.stdout.split()[-1] == str(len(chosen(what)))


def check(case, mesh) -> None:
    from tests.layers.test_cases import Inputs, run_layer

    layer = case.layer()
    params, state = layer.init(jax.random.key(0))
    inputs, other = Inputs(case, 0), Inputs(case, 1)
    arrays = [jnp.stack(pair) for pair in zip(inputs.jax(), other.jax(), strict=True)]

    def run(params, state, arrays):
        y, new = run_layer(layer, inputs, params, state, arrays, train=True, key=jax.random.key(3))
        return jax.tree.leaves(y), new

    def part(params, state, arrays):
        return jax.tree.map(lambda x: x[None], run(params, state, [x[0] for x in arrays]))

    def one_by_one(params, state, arrays):
        return jax.tree.map(lambda *parts: jnp.stack(parts), *(run(params, state, [x[i] for x in arrays]) for i in range(2)))

    split = jax.shard_map(part, mesh=mesh, in_specs=(P(), P(), P("data")), out_specs=P("data"))

    def every(function):
        def loss(params, floats):
            given = list(arrays)
            for place, x in zip(inputs.floats, floats, strict=True):
                given[place] = x
            ys = [y for y in function(params, state, given)[0] if jnp.issubdtype(y.dtype, jnp.inexact)]
            return sum((jnp.sum(jnp.sin(y) * (1 + jnp.arange(y.size).reshape(y.shape) / y.size)) for y in ys), jnp.zeros(()))

        floats = [arrays[place] for place in inputs.floats]
        tangent = jax.jvp(loss, (params, floats), (params, floats))[1]
        return function(params, state, arrays), jax.grad(loss, (0, 1))(params, floats), tangent

    ours, expected = (jax.jit(lambda function=function: every(function))() for function in (split, one_by_one))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), ours, expected)


if __name__ == "__main__":
    assert len(jax.devices()) == 2
    data = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    for number, case in enumerate(chosen(sys.argv[1]), 1):
        try:
            check(case, data)
        except Exception as error:
            error.add_note(f"in {case}")
            raise
        print(number)
