"""Pipeline parallelism: the layers of a Repeat are split over devices, through which parts of the batch run one after the other."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from funnn.errors import ShapeError
from funnn.layers import lift
from funnn.layers._layer import Layer
from funnn.layers.combinator import Repeat


class Pipeline(Layer):
    """A :class:`Repeat` whose layers are split over a mesh axis of S stages, as GPipe does it: the batch is cut into M parts that follow each other.

    Args:
      layers: the Repeat. Each of its layers maps an array to one of its shape and type, and has no buffers; S divides their number.
      axis: the mesh axis of the stages; default "stage".
      microbatches: M, a divisor of the batch size. S − 1 of M + S − 1 turns a device waits, so M should be some times S.

    Where no mesh with that axis is set (``with jax.set_mesh(mesh):`` sets one) it is the Repeat itself: the parameters are the same. Split them by the
    rule ``by_axes(net, {"layers": "stage"})``, or ``(r"layers\\.layer\\.", P("stage"))``. Other mesh axes go on as they are. Layers that draw random numbers
    draw others for each part of the batch than without stages. Huang et al., "GPipe" (2019).

    Raises:
      ValueError: the layers have buffers, or S does not divide their number.
      ShapeError: microbatches does not divide the batch.

    >>> from funnn.layers import Linear
    >>> from funnn.sharding import make_mesh
    >>> net = Pipeline(Repeat(Linear(3, 3), 4), microbatches=2)
    >>> params, state = net.init(jax.random.key(0))
    >>> x = jnp.ones((4, 3))
    >>> with jax.set_mesh(make_mesh({"stage": 1}, jax.devices()[:1])):
    ...     y, _ = net.apply(params, state, x)
    >>> bool(jnp.allclose(y, net.apply(params, state, x)[0]))
    True
    """

    layers: Repeat
    axis: str = "stage"
    microbatches: int = 4

    def __post_init__(self) -> None:
        if not isinstance(self.layers, Repeat):
            raise TypeError(f"Pipeline takes a Repeat, whose layers it splits, got {self.layers!r}")
        if self.microbatches < 1:
            raise ValueError(f"Pipeline: microbatches must be positive, but got microbatches={self.microbatches}")

    def forward(self, x: Any) -> Any:
        mesh = jax.sharding.get_abstract_mesh()
        kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
        if kinds.get(self.axis, AxisType.Manual) == AxisType.Manual:
            return self.layers(x)
        stages, times = mesh.shape[self.axis], self.layers.times
        if times % stages:
            raise ValueError(f"Pipeline: the {times} layers can't be split over the {stages} devices of mesh axis {self.axis!r}")
        if x.shape[0] % self.microbatches:
            raise ShapeError(f"Pipeline: microbatches={self.microbatches} does not divide the batch of {x.shape[0]}")
        call, variables = lift.pure(lambda layer, x: layer(x), self.layers.layer)
        if jax.tree.leaves(variables.state):
            raise ValueError(
                f"Pipeline: {self.layers.layer!r} has buffers, which the parts of a batch would have to share; use LayerNorm or GroupNorm"
            )
        (params,), (key,) = variables.params, variables.keys
        data = None if key is None else jax.random.key_data(key)
        split, whole = PartitionSpec(self.axis), PartitionSpec()
        run: Any = jax.shard_map(
            lambda params, data, parts: _stage(self, call, variables, params, data, parts, stages),
            in_specs=(jax.tree.map(lambda _: split, params), None if key is None else whole, whole),
            out_specs=whole,
            axis_names={self.axis},
        )
        parts = x.reshape(self.microbatches, x.shape[0] // self.microbatches, *x.shape[1:])
        return run(params, data, parts).reshape(x.shape)


def _stage(pipeline: Pipeline, call: Any, variables: Any, params: Any, data: Any, parts: Any, stages: int) -> Any:
    """What one device does: in each turn it runs its layers on what the one before it gave, and passes the result on."""
    axis, count = pipeline.axis, len(parts)
    stage = lax.axis_index(axis)
    key = None if data is None else jax.random.wrap_key_data(data, impl=jax.random.key_impl(variables.keys[0]))
    numbers = jnp.arange(pipeline.layers.times // stages)

    def run_layers(x: Any, part: Any) -> Any:
        def one(x: Any, inputs: Any) -> Any:
            params, number = inputs
            own = None if key is None else jax.random.fold_in(jax.random.fold_in(key, part), number + stage * len(numbers))
            y, _ = call(lift.Variables([params], variables.state, [own]), x)
            return y, None

        return lax.scan(one, x, (params, numbers))[0]

    to_next = [(device, device + 1) for device in range(stages - 1)]

    def turn(carry: Any, time: Any) -> Any:
        came, results = carry
        part = jnp.clip(time - stage, 0, count - 1)
        x = jnp.where(stage == 0, parts[part], came)
        y = run_layers(x, part)
        done = (stage == stages - 1) & (time >= stage)
        results = results.at[part].set(jnp.where(done, y, results[part]))
        return (lax.ppermute(y, axis, to_next), results), None

    start = jax.tree.map(lambda x: lax.pcast(jnp.zeros_like(x), axis, to="varying"), (parts[0], parts))
    (_, results), _ = lax.scan(turn, start, jnp.arange(count + stages - 1))
    return lax.psum(jnp.where(stage == stages - 1, results, 0), axis)
