"""Ready rules: everything everywhere, fully sharded data parallelism, tensor parallelism by the names of a layer's dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import PartitionSpec

from funnn.layers._entries import Param, present
from funnn.layers._layer import Layer
from funnn.layers._surgery import nearest
from funnn.layers._value import parameter_shapes
from funnn.sharding._rules import AnyMesh, Chooser, Rule, Rules, axes_of

Axis = str | tuple[str, ...]


def replicated() -> Rule:
    """Every array whole on every device, which with a split batch is data parallelism: one sum of gradients a step.

    >>> import jax, jax.numpy as jnp
    >>> from funnn.sharding import make_mesh, named_shardings
    >>> named_shardings({"w": jnp.ones((4, 2))}, make_mesh({"data": -1}), replicated())["w"].spec
    P()
    """
    return lambda path, shape, mesh: PartitionSpec()


def fsdp(axis: Axis = "data", *, min_size: int = 2**14, base: Rules = ()) -> Rule:
    """Fully sharded data parallelism: each array is split along its largest dimension that the devices divide; parts are gathered where they are used.

    Args:
      axis: the mesh axis, or several, that the batch is split over.
      min_size: arrays with fewer numbers stay whole; default 16,384.
      base: rules that come first, such as those of :func:`tensor_parallel`: of what they split, another dimension is split over ``axis``.

    Source: Rajbhandari et al., "ZeRO: memory optimizations toward training trillion parameter models" (2020), stage 3; torch's fully_shard.

    >>> import jax, jax.numpy as jnp
    >>> from funnn.sharding import make_mesh, named_shardings
    >>> mesh = make_mesh({"data": 1})
    >>> shardings = named_shardings({"weight": jnp.ones((256, 512)), "bias": jnp.ones(256)}, mesh, fsdp())
    >>> shardings["weight"].spec, shardings["bias"].spec
    (P(None, 'data'), P())
    """
    names = axes_of(axis)
    choose = Chooser(base)

    def rule(path: str, shape: tuple[int, ...], mesh: AnyMesh) -> PartitionSpec | None:
        spec = choose(path, shape, mesh)
        entries = [*(spec or ()), *(None,) * (len(shape) - len(spec or ()))]
        parts = math.prod(dict(mesh.shape)[name] for name in _known(names, mesh))
        free = [n for n, entry in enumerate(entries) if entry is None and shape[n] % parts == 0 and shape[n] >= parts]
        if math.prod(shape) < min_size or not free or any(name in axes_of(entry) for entry in entries for name in names):
            return spec
        entries[max(free, key=lambda n: shape[n])] = axis if isinstance(axis, str) else names
        while entries and entries[-1] is None:
            entries.pop()
        return PartitionSpec(*entries)

    return rule


def _known(names: tuple[str, ...], mesh: AnyMesh) -> tuple[str, ...]:
    for name in names:
        if name not in mesh.shape:
            raise ValueError(f"the mesh has no axis {name!r}; it has {tuple(mesh.shape)}")
    return names


def logical_axes(layer: Layer) -> dict[str, tuple[str | None, ...]]:
    """The names of the dimensions of a layer's parameters by path, of those that have names.

    They are said by ``Param(shape, init, axes=("hidden", None))``, and by a layer's ``logical_axes`` for parameters inside it; the outermost layer
    decides. What ``Repeat`` stacks has "layers" in front.

    >>> from funnn.layers import FeedForward
    >>> logical_axes(FeedForward(4, 16))["up.weight"]
    ('hidden', 'features')
    """
    found: dict[str, tuple[str | None, ...]] = {}
    for name, entry in layer.spec().items():
        if isinstance(entry, Param) and present(entry) and entry.axes is not None:
            found[name] = tuple(entry.axes)
    for name, child in layer.children().items():
        below = logical_axes(child)
        if layer.stacks:
            below = {path: ("layers", *below.get(path, ())) for path in parameter_shapes(child)}
        found.update({f"{name}.{path}": axes for path, axes in below.items()})
    known = parameter_shapes(layer)
    found.update({path: tuple(axes) for path, axes in layer.logical_axes().items() if path in known})
    return found


def by_axes(layer: Layer, mapping: Mapping[str, Axis | None]) -> Rule:
    """Rules from the names of dimensions to mesh axes, said once for a whole layer, its gradients and its optimizer's state.

    Args:
      layer: whose ``logical_axes`` count.
      mapping: the mesh axis, or axes, by name of a dimension. Names without an entry are not split, nor is a dimension whose axis one before it has.

    Returns:
      A rule for every tree in whose paths the parameters' paths are ends: params, a TrainState, an optimizer's state. What has another shape than the
      parameter, such as Adafactor's means over rows, is left to other rules.

    Raises:
      ValueError: a name that is mapped is no parameter's.

    >>> import jax
    >>> from funnn.layers import FeedForward
    >>> from funnn.sharding import make_mesh, named_shardings
    >>> layer = FeedForward(4, 16)
    >>> shapes = jax.eval_shape(layer.init, jax.random.key(0))[0]
    >>> named_shardings(shapes, make_mesh({"model": 1}), by_axes(layer, {"hidden": "model"}))["down"]["weight"].spec
    P(None, 'model')
    """
    axes = logical_axes(layer)
    names = {name for dimensions in axes.values() for name in dimensions if name is not None}
    for name in mapping:
        if name not in names:
            raise ValueError(f"by_axes: no parameter of {type(layer).__name__} has a dimension {name!r}; {nearest(name, sorted(names))}")
    shapes = _shapes(layer)
    specs = {}
    for path, dimensions in axes.items():
        entries: list[Any] = []
        for dimension in dimensions:
            entry: Any = None if dimension is None else mapping.get(dimension)
            taken = {axis for earlier in entries for axis in axes_of(earlier)}
            entries.append(None if taken.intersection(axes_of(entry)) else entry)
        if any(entry is not None for entry in entries):
            while entries[-1] is None:
                entries.pop()
            specs[path] = shapes[path], PartitionSpec(*entries)

    def rule(path: str, shape: tuple[int, ...], mesh: AnyMesh) -> PartitionSpec | None:
        steps = path.split(".")
        ends = (".".join(steps[start:]) for start in range(len(steps)))
        found, spec = next((specs[end] for end in ends if end in specs), (None, None))
        return spec if shape == found else None

    return rule


def _shapes(layer: Layer) -> dict[str, tuple[int, ...]]:
    """The shapes of a layer's parameters by path, with the axes that stacked ones have in front."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(layer.init, jax.random.key(0))[0])
    return {jax.tree_util.keystr(keys, simple=True, separator="."): leaf.shape for keys, leaf in leaves}


#: Dimensions that are split in tensor parallelism, by the names that the layers here have for them.
_SPLIT = ("hidden", "heads", "kv_heads", "vocabulary", "experts", "out_channels")


def tensor_parallel(layer: Layer, axis: Axis = "model") -> Rule:
    """Tensor parallelism: what a token is mapped to between two linear maps is split over devices, which then sum the second map's results.

    Split are the hidden features of FeedForward, SwiGLU and of torch's Transformer layers, the heads of attention, the vocabulary of Embedding, the
    experts of MixtureOfExperts, and the output channels of convolutions; the rest is whole on each device. For layers of your own say ``logical_axes``. In
    a network that has none of these the output features of each Linear are split.

    Args:
      layer: the whole network. axis: the mesh axis.

    Raises:
      ValueError: no dimension in the network has such a name.

    Source: Shoeybi et al., "Megatron-LM" (2019).

    >>> import jax
    >>> from funnn.layers import TransformerEncoderLayer
    >>> from funnn.sharding import make_mesh, named_shardings
    >>> layer = TransformerEncoderLayer(8, 2, 16)
    >>> shapes = jax.eval_shape(layer.init, jax.random.key(0))[0]
    >>> specs = named_shardings(shapes, make_mesh({"model": 1}), tensor_parallel(layer))
    >>> specs["linear1"]["weight"].spec, specs["linear2"]["weight"].spec, specs["norm1"]["weight"].spec
    (P('model',), P(None, 'model'), P())
    """
    names = {name for dimensions in logical_axes(layer).values() for name in dimensions}
    mapping = {name: axis for name in _SPLIT if name in names} or {name: axis for name in names if name == "out_features"}
    if not mapping:
        raise ValueError(
            f"tensor_parallel: no parameter of {type(layer).__name__} has a dimension named {', '.join(_SPLIT)}; define logical_axes in its class, or write "
            "rules of paths"
        )
    return by_axes(layer, mapping)
