"""Sizes that are found from an input, and initial values that depend on data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import jax

from funnn.layers._surgery import put, walk
from funnn.layers._watching import watching

if TYPE_CHECKING:
    from funnn.layers._layer import Layer

L = TypeVar("L", bound="Layer")


def unknown_sizes(layer: Any) -> list[str]:
    """The arguments of a layer that are to be found from its first input."""
    return [name for name in layer.sizes_from_input if layer.__dict__[name] is None]


def with_size_one(layer: L) -> L:
    """A layer with the smallest sizes in the place of unknown ones: it has the same names of parameters."""
    unknown = unknown_sizes(layer)
    return layer.replace(**dict.fromkeys(unknown, getattr(layer, "groups", 1))) if unknown else layer


def sizes_of(layer: Any, inputs: tuple[Any, ...]) -> dict[str, int]:
    """The unknown sizes of a layer, from the inputs of a call."""
    unknown = unknown_sizes(layer)
    if not unknown:
        return {}
    shape = getattr(inputs[0] if inputs else None, "shape", None)
    if shape is None or not -len(shape) <= layer.size_axis < len(shape):
        what = "no array" if shape is None else f"an array of shape {tuple(shape)}"
        raise ValueError(f"{layer!r} finds {unknown[0]} from axis {layer.size_axis} of its first input, but got {what}")
    return dict.fromkeys(unknown, shape[layer.size_axis])


def with_sizes(layer: L, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> L:
    """A layer with all sizes inside that were unknown, found by tracing a call.

    Raises:
      ValueError: a layer with an unknown size does not run in the call.
      NotImplementedError: it is inside one that stacks parameters.
    """
    paths: dict[str, Any] = dict(walk(layer))
    unknown = {path: inner for path, inner in paths.items() if unknown_sizes(inner)}
    if not unknown:
        return layer
    for path in unknown:
        above = [paths[path.rsplit(".", count)[0]] for count in range(1, path.count(".") + 1)]
        if any(outer.stacks for outer in [*above, layer] if outer is not paths[path]):
            raise NotImplementedError(
                f"the layer at {path!r} has an unknown size inside one that stacks parameters, which must know its sizes"
            )
    small: Any = layer
    for path, inner in unknown.items():
        small = put(small, path, with_size_one(inner)) if path else with_size_one(inner)
    found: dict[int, Any] = {}
    key = jax.random.key(0)

    def watch(view: Any, run: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        inner = unknown.get(view._scope.path)
        if inner is not None and view._scope.path in unknown:
            if id(inner) not in found:
                found[id(inner)] = inner.replace(**sizes_of(inner, inputs))
            params, state = found[id(inner)].init(key)
            view.__dict__.update(sizes_of(inner, inputs), **params, **state)
        return run(*inputs, **named)

    def call(arrays: list[Any]) -> None:
        left = iter(arrays)
        args, kwargs = jax.tree.unflatten(structure, [next(left) if hasattr(leaf, "shape") else leaf for leaf in leaves])
        params, state = small.init(key)
        token = watching.set(watch)
        try:
            small.apply(params, state, *args, key=key, **kwargs)
        finally:
            watching.reset(token)

    leaves, structure = jax.tree.flatten((args, dict(kwargs)))
    jax.eval_shape(call, [leaf for leaf in leaves if hasattr(leaf, "shape")])
    for path, inner in unknown.items():
        if id(inner) not in found:
            raise ValueError(
                f"the layer at {path!r} has {unknown_sizes(inner)[0]}=None and does not run with this example; give it its size"
            )
        layer = put(layer, path, found[id(inner)]) if path else found[id(inner)]
    return layer


def values_from_data(
    layer: Layer, params: Any, state: Any, key: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """By path, the initial values that layers inside give for themselves when they see the example, each after those before it."""
    found: dict[str, dict[str, Any]] = {}

    def watch(view: Any, run: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        path = view._scope.path
        if path not in found and (values := view.init_from(*inputs)):
            found[path] = dict(values)
            if strange := found[path].keys() - (view._scope.params | view._scope.buffers):
                raise ValueError(
                    f"init_from of {type(view).__name__} at {path!r} gives {sorted(strange)}, which are no parameters or buffers"
                )
            view.__dict__.update(found[path])
        return run(*inputs, **named)

    token = watching.set(watch)
    try:
        layer.apply(params, state, *args, key=key, **kwargs)
    finally:
        watching.reset(token)
    return found
