"""Shardings by path: rules over the names of a tree, and what is wrong with them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import numpy as np
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from funnn.layers._surgery import nearest

AnyMesh = Mesh | AbstractMesh
#: What a rule may be: a pattern of paths with its spec, or a function of path, shape and mesh that gives a spec, or None where it has none.
Rule = tuple[str, PartitionSpec] | Callable[[str, tuple[int, ...], AnyMesh], PartitionSpec | None]
Rules = Rule | Sequence[Rule]


def named_shardings(tree: Any, mesh: AnyMesh, rules: Rules, *, strict: bool = True) -> Any:
    """A ``NamedSharding`` for every array of a tree, chosen by its path.

    Args:
      tree: any pytree of arrays or ``jax.ShapeDtypeStruct``: params, state, an optimizer's state, a whole TrainState.
      mesh: the devices and their axis names.
      rules: one or several, of which the first that has a spec decides. A pair of a regular expression and a ``PartitionSpec``: the expression is
        searched for in the path, names joined with ".", such as ``layers.0.weight``. Or a function of path, shape and mesh, such as :func:`fsdp` and
        :func:`tensor_parallel` make. An array for which there is no spec is replicated, and so is every array of rank 0, which has nothing to split
        (an optimizer's ``step.fc.weight`` may thus match a rule for ``fc.weight``).
      strict: whether a pattern that is found in no path is an error; say False for rules that serve several trees.

    Returns:
      A tree of the same structure, for ``jax.device_put``, ``jax.jit(in_shardings=…)`` or ``out_shardings``.

    Raises:
      ValueError: when a pattern is found in no path; when a spec has more entries than its array has dimensions, names an axis that the mesh lacks or
        names one twice, or when its axes do not divide the dimension evenly.

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
    choose = Chooser(rules)

    def named(keys: Any, leaf: Any) -> NamedSharding:
        path, shape = jax.tree_util.keystr(keys, simple=True, separator="."), np.shape(leaf)
        spec = choose(path, shape, mesh) or PartitionSpec()
        check_spec(path, shape, spec, mesh)
        return NamedSharding(mesh, spec)

    shardings = jax.tree_util.tree_map_with_path(named, tree)
    if strict:
        choose.check_all_found()
    return shardings


def shard(tree: Any, mesh: Mesh, rules: Rules, *, strict: bool = True) -> Any:
    """Put every array of a tree on the mesh's devices as the rules say; see :func:`named_shardings`.

    Example:
      >>> import jax, jax.numpy as jnp, numpy as np
      >>> from jax.sharding import Mesh, PartitionSpec as P
      >>> mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
      >>> shard({"weight": jnp.ones((4, 2))}, mesh, [("weight", P("data"))])["weight"].sharding.spec
      P('data',)
    """
    return jax.device_put(tree, named_shardings(tree, mesh, rules, strict=strict))


def sharded(function: Callable[..., Any], mesh: Mesh, rules: Rules, *, strict: bool = True) -> Callable[..., Any]:
    """A function, such as ``init``, whose results are made where they belong: no device ever holds all of them.

    Args:
      function: pure; it is traced. mesh, rules, strict: as of :func:`named_shardings`, for the tree that it returns.

    Returns:
      A function of the same arguments. The numbers are those of the plain call, whatever the mesh is.

    Example:
      >>> import jax
      >>> from funnn.layers import Linear
      >>> from funnn.sharding import fsdp, make_mesh
      >>> mesh = make_mesh({"data": 1})
      >>> params, state = sharded(Linear(4, 2).init, mesh, fsdp("data", min_size=1))(jax.random.key(0))
      >>> params["weight"].sharding.spec
      P(None, 'data')
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        shardings = named_shardings(jax.eval_shape(function, *args, **kwargs), mesh, rules, strict=strict)
        return jax.jit(function, out_shardings=shardings)(*args, **kwargs)

    return call


class Chooser:
    """``choose(path, shape, mesh)``: the spec of the first rule that has one, or None; it remembers which rules were of use."""

    def __init__(self, rules: Rules):
        every = [rules] if callable(rules) or (isinstance(rules, tuple) and rules and isinstance(rules[0], str)) else list(rules)
        self._rules: list[Any] = [rule if callable(rule) else (re.compile(rule[0]), rule[1]) for rule in every]
        self._found: set[int] = set()
        self._paths: list[str] = []

    def __call__(self, path: str, shape: tuple[int, ...], mesh: AnyMesh) -> PartitionSpec | None:
        self._paths.append(path)
        chosen: PartitionSpec | None = None
        for number, rule in enumerate(self._rules):
            if callable(rule):
                spec = rule(path, shape, mesh) if shape else None
            else:
                spec = rule[1] if rule[0].search(path) else None
            if spec is not None:
                self._found.add(number)
                chosen = spec if chosen is None else chosen
        return chosen if shape else None

    def check_all_found(self) -> None:
        """Raise a ValueError for a pattern that no path had."""
        for number, rule in enumerate(self._rules):
            if not callable(rule) and number not in self._found:
                words = re.sub(r"\\.|[\^$*+?()\[\]{}|]", lambda found: "." if found[0] == "\\." else "", rule[0].pattern).strip(".")
                raise ValueError(
                    f"the rule {rule[0].pattern!r} is found in no path; {nearest(words, self._paths)}. Mend the pattern, or say strict=False if the rules "
                    "serve other trees too"
                )


def axes_of(entry: Any) -> tuple[Any, ...]:
    """The mesh axes of an entry of a spec."""
    if entry is None or entry is PartitionSpec.UNCONSTRAINED:
        return ()
    return entry if isinstance(entry, tuple) else (entry,)


def check_spec(path: str, shape: tuple[int, ...], spec: PartitionSpec, mesh: AnyMesh) -> None:
    """Raise a ValueError for a spec that does not fit an array."""

    def fail(what: str, fix: str) -> NoReturn:
        raise ValueError(f"cannot shard {path!r} of shape {shape} as {spec}: {what}; {fix}")

    sizes = dict(mesh.shape)
    if len(spec) > len(shape):
        fail(f"the spec has {len(spec)} entries and the array {len(shape)} dimensions", "shorten the spec or narrow the rule's pattern")
    used: set[str] = set()
    for dimension, entry in enumerate(spec):
        axes = axes_of(entry)
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
