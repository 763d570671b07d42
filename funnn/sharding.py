"""Which part of which array lives on which device: a mesh, and rules over the paths of a tree. Layers know nothing of it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

Rules = Sequence[tuple[str, PartitionSpec]]


def named_shardings(tree: Any, mesh: Mesh | AbstractMesh, rules: Rules) -> Any:
    """A ``NamedSharding`` for every array of a tree, chosen by its path.

    Args:
      tree: any pytree of arrays or ``jax.ShapeDtypeStruct``: params, state, an optimizer's state.
      mesh: the devices and their axis names.
      rules: pairs of a regular expression and a ``PartitionSpec``. The expression is searched for in the path, names joined with ".", such
        as ``layers.0.weight``; the first rule that matches decides. An array that no rule matches is replicated, and so is every array of
        rank 0, which has nothing to split (an optimizer's ``step.fc.weight`` may thus match a rule for ``fc.weight``).

    Returns:
      A tree of the same structure, for ``jax.device_put``, ``jax.jit(in_shardings=…)`` or ``out_shardings``.

    Raises:
      ValueError: when a spec has more entries than its array has dimensions, names an axis that the mesh lacks or names one twice, or when
        its axes do not divide the dimension evenly.

    Example:
      >>> import jax, jax.numpy as jnp, numpy as np
      >>> from jax.sharding import Mesh, PartitionSpec as P
      >>> mesh = Mesh(np.array(jax.devices()[:1]), ("model",))
      >>> params = {"fc1": {"weight": jnp.ones((4, 2)), "bias": jnp.ones(4)}, "fc2": {"weight": jnp.ones((2, 4))}}
      >>> shardings = named_shardings(params, mesh, [(r"fc1\\.", P("model")), (r"weight$", P(None, "model"))])
      >>> jax.tree.map(lambda sharding: sharding.spec, shardings["fc1"])
      {'bias': P('model',), 'weight': P('model',)}
      >>> shardings["fc2"]["weight"].spec
      P(None, 'model')
    """
    patterns = [(re.compile(pattern), spec) for pattern, spec in rules]

    def choose(keys: Any, leaf: Any) -> NamedSharding:
        path, shape = jax.tree_util.keystr(keys, simple=True, separator="."), np.shape(leaf)
        spec = next((spec for pattern, spec in patterns if pattern.search(path)), PartitionSpec()) if shape else PartitionSpec()
        _check(path, shape, spec, mesh)
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(choose, tree)


def shard(tree: Any, mesh: Mesh, rules: Rules) -> Any:
    """Put every array of a tree on the mesh's devices as the rules say; see :func:`named_shardings`.

    Example:
      >>> import jax, jax.numpy as jnp, numpy as np
      >>> from jax.sharding import Mesh, PartitionSpec as P
      >>> mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
      >>> shard({"weight": jnp.ones((4, 2))}, mesh, [("weight", P("data"))])["weight"].sharding.spec
      P('data',)
    """
    return jax.device_put(tree, named_shardings(tree, mesh, rules))


def _check(path: str, shape: tuple[int, ...], spec: PartitionSpec, mesh: Mesh | AbstractMesh) -> None:
    def fail(what: str, fix: str) -> None:
        raise ValueError(f"cannot shard {path!r} of shape {shape} as {spec}: {what}; {fix}")

    sizes = dict(mesh.shape)
    if len(spec) > len(shape):
        fail(f"the spec has {len(spec)} entries and the array {len(shape)} dimensions", "shorten the spec or narrow the rule's pattern")
    used: set[str] = set()
    for dimension, entry in enumerate(spec):
        if entry is None or entry is PartitionSpec.UNCONSTRAINED:
            continue
        axes = entry if isinstance(entry, tuple) else (entry,)
        for axis in axes:
            if axis not in sizes:
                fail(f"the mesh has no axis {axis!r}", f"use one of {tuple(sizes)}")
            if axis in used:
                fail(f"the mesh axis {axis!r} is used twice", "give each axis to one dimension")
            used.add(axis)
        parts = math.prod(sizes[axis] for axis in axes)
        if shape[dimension] % parts:
            named = " x ".join(repr(axis) for axis in axes)
            fail(
                f"dimension {dimension} of size {shape[dimension]} is not divisible by the {parts} devices of mesh axis {named}",
                "pad the dimension, split another one, or replicate the array with PartitionSpec()",
            )
