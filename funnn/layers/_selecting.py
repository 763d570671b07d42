"""Parameters by the layer that they belong to: masks of them, and trees taken apart and put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import jax

from funnn._types import Tree
from funnn.layers._layer import Layer
from funnn.layers._surgery import beginnings, fits, nearest, type_names

Types = type[Layer] | tuple[type[Layer], ...]


def param_mask(
    layer: Layer,
    params: Any,
    *,
    path: str | tuple[str, ...] | None = None,
    type: Types | None = None,
    name: str | tuple[str, ...] | None = None,
) -> Tree:
    """Which parameters are meant, as a tree of bools in the structure of ``params``.

    Args:
      layer: the layer whose parameters they are.
      params: as ``layer.init`` gives them, or any tree of the same names: shapes, gradients, a part of them.
      path: a dotted path, or several, of which one is enough. What lies below it is meant too: "encoder" is all of the encoder. ``*`` stands for any
        characters of one name, ``**`` for any names: "encoder.*.bias", "**.norm1".
      type: a class of layers, or a tuple: parameters of such layers and of what is inside them.
      name: the last name, or several: "bias", "lora_*".

    Returns:
      True for a parameter that fits all that is given. The bools are Python's, as optax.masked needs them.

    The layer says what a parameter is, and not its shape, so those that ``Repeat`` stacks are found as any. The opposite mask is
    ``jax.tree.map(operator.not_, mask)``; two are joined by ``jax.tree.map(operator.or_, a, b)``.

    Raises:
      ValueError: no parameter fits; the text has the nearest names.
      TypeError: none of path, type and name is given.

    >>> from funnn.layers import Linear, ReLU, Sequential
    >>> net = Sequential(Linear(2, 3), ReLU(), Linear(3, 1))
    >>> params, state = net.init(jax.random.key(0))
    >>> param_mask(net, params, type=Linear, name="bias")
    {'0': {'weight': False, 'bias': True}, '2': {'weight': False, 'bias': True}}
    >>> import optax
    >>> frozen = optax.chain(optax.sgd(0.1), optax.masked(optax.set_to_zero(), param_mask(net, params, path="0")))
    """
    if path is None and type is None and name is None:
        raise TypeError("param_mask takes at least one of path, type and name; all parameters are jax.tree.map(lambda _: True, params)")
    patterns, names = _tuple(path), _tuple(name)

    def chosen(where: str, owners: tuple[Layer, ...]) -> bool:
        return (
            (patterns is None or any(fits(above, pattern) for above in beginnings(where) for pattern in patterns))
            and (type is None or any(isinstance(owner, type) for owner in owners))
            and (names is None or any(fnmatchcase(where.rpartition(".")[2], pattern) for pattern in names))
        )

    mask = _map(layer, params, chosen)
    if not any(jax.tree.leaves(mask)):
        asked = (
            [f"path={path!r}"] * (path is not None)
            + [f"type={type_names(type)}"] * (type is not None)
            + [f"name={name!r}"] * (name is not None)
        )
        known: dict[str, None] = {}
        for where in _paths(layer, params):
            known.update(dict.fromkeys([where.rpartition(".")[2]] if patterns is None and names else beginnings(where)))
        wanted = (patterns or names or ("",))[0]
        raise ValueError(
            f"param_mask: {type_names(layer.__class__)} has no parameter with {', '.join(asked)}; {nearest(wanted, list(known))}"
        )
    return mask


def partition(tree: Any, mask: Any) -> tuple[Tree, Tree]:
    """Nested dicts taken apart by a tree of bools: those with True, and the rest. What is empty is left out; ``combine`` joins them again.

    Gradients and an optimizer's moments are then of the first part only:

    >>> import jax.numpy as jnp
    >>> from funnn.layers import Linear, Sequential
    >>> net = Sequential(Linear(2, 2), Linear(2, 1))
    >>> params, state = net.init(jax.random.key(0))
    >>> trained, frozen = partition(params, param_mask(net, params, path="1"))
    >>> grads = jax.grad(lambda trained: net.apply(combine(trained, frozen), state, jnp.ones(2))[0].sum())(trained)
    >>> {name: list(tree) for name, tree in grads.items()}, list(frozen)
    ({'1': ['bias', 'weight']}, ['0'])

    Raises:
      ValueError: the mask has other names.
    """
    first: Tree = {}
    rest: Tree = {}
    if not (isinstance(tree, Mapping) and isinstance(mask, Mapping) and tree.keys() == mask.keys()):
        texts = [sorted(part) if isinstance(part, Mapping) else type(part).__name__ for part in (tree, mask)]
        raise ValueError(f"partition: the tree has {texts[0]} where the mask has {texts[1]}; make the mask of this tree")
    for name, value in tree.items():
        if isinstance(mask[name], bool):
            (first if mask[name] else rest)[name] = value
            continue
        for target, part in zip((first, rest), partition(value, mask[name]), strict=True):
            if part:
                target[name] = part
    return first, rest


def combine(*trees: Any) -> Tree:
    """Nested dicts joined to one: the inverse of :func:`partition`.

    >>> combine({"a": {"weight": 1}}, {"a": {"bias": 2}, "b": 3})
    {'a': {'weight': 1, 'bias': 2}, 'b': 3}

    Raises:
      ValueError: two of them have the same leaf.
    """
    return _combine(trees, "")


def _combine(trees: tuple[Any, ...], path: str) -> Tree:
    joined: Tree = {}
    for name in dict.fromkeys(name for tree in trees for name in tree):
        parts = [tree[name] for tree in trees if name in tree]
        where = f"{path}.{name}" if path else name
        if len(parts) == 1:
            joined[name] = parts[0]
        elif all(isinstance(part, Mapping) for part in parts):
            joined[name] = _combine(tuple(parts), where)
        else:
            raise ValueError(f"combine: {where!r} is in several of the trees; each leaf may be in one")
    return joined


def _tuple(value: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
    return (value,) if isinstance(value, str) else value


def _map(layer: Layer, params: Any, function: Callable[[str, tuple[Layer, ...]], bool]) -> Tree:
    """For each parameter what the function says of its path and the layers around it, its own last."""
    if not isinstance(params, Mapping):
        raise TypeError(f"params must be a dict as layer.init(key) gives it, got {type(params).__name__}")
    return _map_below(layer, params, "", (layer,), function)


def _map_below(
    layer: Layer, params: Mapping[str, Any], path: str, owners: tuple[Layer, ...], function: Callable[[str, tuple[Layer, ...]], bool]
) -> Tree:
    children, mask = layer.children(), {}
    for name, value in params.items():
        where = f"{path}.{name}" if path else name
        if name in children and isinstance(value, Mapping):
            mask[name] = _map_below(children[name], value, where, (*owners, children[name]), function)
        else:
            mask[name] = jax.tree.map(lambda _, where=where: function(where, owners), value)
    return mask


def _paths(layer: Layer, params: Any) -> list[str]:
    found: list[str] = []

    def note(where: str, owners: tuple[Layer, ...]) -> bool:
        found.append(where)
        return True

    _map(layer, params, note)
    return found
