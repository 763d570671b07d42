"""Layers on two fake devices, in a process of its own: the batch is split inside shard_map, or the experts; the result is that of one device."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn
from funnn.errors import ShapeValueError
from funnn.layers import BatchNorm1d, BatchNorm2d, SyncBatchNorm


def test_two_devices():
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(funnn.__file__).parents[1]),
    }
    subprocess.run([sys.executable, "-W", "error", __file__], env=environment, check=True, timeout=300)


@pytest.mark.parametrize("shape", [(8, 3), (6, 3, 4, 5)])
def test_members_of_a_vmap_that_hold_one_example_each(shape):
    layer, whole = SyncBatchNorm(3, process_group="members"), BatchNorm1d(3) if len(shape) == 2 else BatchNorm2d(3)
    params, state = whole.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), shape)

    def run(x):
        return layer.apply(params, state, x[None], train=True)

    def split(x):
        y, new = jax.vmap(run, axis_name="members", out_axes=(0, None))(x)
        return y[:, 0], new

    (y, new), (expected, expected_new) = split(x), whole.apply(params, state, x, train=True)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), new, expected_new)
    ours, theirs = (
        jax.grad(lambda x, f=f: jnp.sin(f(x)[0]).sum())(x) for f in (split, lambda x: whole.apply(params, state, x, train=True))
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    with pytest.raises(ShapeValueError, match="Expected more than 1 value per channel"):
        jax.vmap(run, axis_name="members")(x[:1] if len(shape) == 2 else x[:1, :, :1, :1])


def two_devices():
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import PartitionSpec as P

    from funnn.layers import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, SyncBatchNorm

    assert len(jax.devices()) == 2
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def check(split, whole, *shape):
        """``split`` on two halves of the batch, with parameters on both devices, does what ``whole`` does on the batch."""
        params, state = whole.init(jax.random.key(0))
        params = jax.tree.map(lambda a: a + 0.3 * jnp.arange(float(a.size)), params)
        x = jax.random.normal(jax.random.key(1), shape)

        def run(params, state, x):
            return split.apply(params, state, x, train=True)

        mapped = jax.jit(jax.shard_map(run, mesh=mesh, in_specs=(P(), P(), P("data")), out_specs=(P("data"), P())))
        (y, new), (expected, expected_new) = mapped(params, state, x), whole.apply(params, state, x, train=True)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), new, expected_new)
        gradients = jax.grad(lambda p, x: jnp.sin(mapped(p, state, x)[0]).sum(), (0, 1))(params, x)
        reference = jax.grad(lambda p, x: jnp.sin(whole.apply(p, state, x, train=True)[0]).sum(), (0, 1))(params, x)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradients, reference)

    check(SyncBatchNorm(3, process_group="data"), BatchNorm1d(3), 8, 3)
    check(SyncBatchNorm(3, momentum=None, process_group=("data",)), BatchNorm2d(3, momentum=None), 4, 3, 5, 2)
    check(LayerNorm(3), LayerNorm(3), 8, 3)
    check(GroupNorm(2, 4), GroupNorm(2, 4), 8, 4, 3)
    experts_on_two_devices(mesh)


def experts_on_two_devices(mesh):
    """A mixture whose experts are split over the devices is that on one, and no device gets the other's weights."""
    import re

    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import PartitionSpec as P

    from funnn.layers import MixtureOfExperts
    from funnn.sharding import shard

    for factor in (None, 1.0):
        layer = MixtureOfExperts(8, 64, num_experts=4, capacity_factor=factor)
        params, _ = layer.init(jax.random.key(0))
        x = jax.random.normal(jax.random.key(1), (2, 6, 8))

        def loss(params, x, layer=layer):
            (y, losses), _ = layer.apply(params, {}, x)
            return jnp.sum(jnp.sin(y)) + losses.load_balancing

        split = shard(params, mesh, [(r"(gate|up|down)$", P("data"))])
        assert split["gate"].sharding.spec == P("data") and split["gate"].addressable_shards[0].data.shape == (2, 64, 8)
        compiled = jax.jit(jax.value_and_grad(loss)).lower(split, x).compile()
        value, gradients = compiled(split, x)
        expected, reference = jax.value_and_grad(loss)(params, x)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), gradients, reference)
        assert not re.search(r"all-gather[^=]*= f32\[4,(64,8|8,64)\]", compiled.as_text())


if __name__ == "__main__":
    two_devices()
