"""JAX's transformations over functions that call layers, for use inside ``forward``.

A layer that draws random numbers or assigns buffers can't be used inside a transformation of JAX's that begins inside ``forward``: draws would repeat,
and new values would be lost, so it raises TransformedLayerError. The functions here take the layer as an argument and hand it to the function, bound
anew: keys are split, parameters and state are carried or stacked as asked.

    def forward(self, xs):
        def step(layer, carry, x):
            return layer(carry + x), carry

        return lift.scan(step, self.cell, carry, xs)

``layer`` is a layer inside ``forward``, ``self``, or a tuple, list or dict of such. On a Module of funnn.torch the same functions run as plain loops.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from funnn import errors
from funnn.layers._layer import Layer
from funnn.layers._lift_modules import is_module, loop, members


class Variables(NamedTuple):
    """The arrays of bound layers, in lists of one item a layer: what :func:`pure` takes and gives.

    Attributes:
      params, state: nested dicts; keys: what they draw from, or None where ``apply`` got no key.
    """

    params: list[Any]
    state: list[Any]
    keys: list[Any]


def pure(function: Callable[..., Any], layer: Any) -> tuple[Callable[..., Any], Variables]:
    """A function that calls bound layers as a pure one, for transformations that have no lifted form.

    Args:
      function: ``function(layer, *args, **kwargs)``.
      layer: a layer inside ``forward``, or a tuple, list or dict of them.

    Returns:
      ``call`` and ``variables``, where ``call(variables, *args, **kwargs)`` is ``(output, new_variables)``. Give what it returns at last to :func:`update`.

    Raises:
      TypeError: there is no bound layer in ``layer``.

    >>> from funnn.layers import Layer, Linear, lift
    >>> class Slope(Layer):
    ...     body: Layer
    ...     def forward(self, x):
    ...         call, variables = lift.pure(lambda body, x: body(x).sum(), self.body)
    ...         return jax.grad(lambda x: call(variables, x)[0])(x)
    >>> layer = Slope(Linear(2, 1))
    >>> params, state = layer.init(jax.random.key(0))
    >>> bool((layer.apply(params, state, jnp.ones(2))[0] == params["body"]["weight"][0]).all())
    True
    """
    call, variables = _split(function, layer)

    def run(variables: Variables, *args: Any, **kwargs: Any) -> tuple[Any, Variables]:
        output, state, _ = call(variables, *args, **kwargs)
        return output, variables._replace(state=state)

    return run, variables


def update(layer: Any, variables: Variables) -> None:
    """Give bound layers the state that a function made by :func:`pure` returned."""
    for view, state in zip(_views(layer), variables.state, strict=True):
        view._restore(state)


@contextlib.contextmanager
def substituted(layer: Any, values: Mapping[str, Any]) -> Iterator[Any]:
    """Inside ``forward``, a layer with other arrays in the place of some of its parameters, as those that another network computes.

    Args:
      layer: a layer inside ``forward``, such as ``self.body``.
      values: arrays by path, ``{"0.weight": w}``, or in nested dicts as in ``params``; those that are left out stay.

    Returns:
      A context whose value is the layer; when it ends, the layer has its own parameters again.

    Raises:
      TypeError: it is no layer inside ``forward``.
      ValueError: it has no such parameter, or its shape is another one.

    >>> from funnn.layers import Layer, Linear, lift
    >>> class Hyper(Layer):
    ...     body: Layer
    ...     maker: Layer
    ...     def forward(self, x, code):
    ...         weight = self.maker(code).reshape(self.body.weight.shape)
    ...         with lift.substituted(self.body, {"weight": weight}) as body:
    ...             return body(x)
    >>> layer = Hyper(Linear(3, 2), Linear(4, 6))
    >>> layer.apply(*layer.init(jax.random.key(0)), jnp.ones((5, 3)), jnp.ones(4))[0].shape
    (5, 2)
    """
    if is_module(layer):
        raise NotImplementedError("lift.substituted takes layers; on a Module use torch.func.functional_call(module, values, args)")
    (view,) = _views([layer])
    places = []
    for path, value in _flat(values):
        *steps, name = path.split(".")
        holder: Any = view
        for step in steps:
            holder = holder.__dict__.get(step) if isinstance(holder, Layer) else None
        if not isinstance(holder, Layer) or holder._scope is None or name not in holder._scope.params:
            raise ValueError(
                f"substituted: {path!r} is no parameter of {type(view).__name__}; it has {sorted(dict(_flat(view._params())))}"
            )
        places.append((holder.__dict__, name, value, path))
    for attributes, name, value, path in places:
        if jnp.shape(attributes[name]) != jnp.shape(value):
            raise ValueError(f"substituted: {path!r} has shape {jnp.shape(attributes[name])}, but got {jnp.shape(value)}")
    before = [attributes[name] for attributes, name, _, _ in places]
    try:
        for attributes, name, value, _ in places:
            attributes[name] = value
        yield layer
    finally:
        for (attributes, name, _, _), value in zip(places, before, strict=True):
            attributes[name] = value


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def scan(
    function: Callable[[Any, Any, Any], tuple[Any, Any]],
    layer: Any,
    init: Any,
    xs: Any = None,
    length: int | None = None,
    *,
    params: Any = "shared",
    state: Any = "carried",
    reverse: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:
    """``jax.lax.scan`` of a function that calls layers: ``(carry, ys)``.

    Args:
      function: ``function(layer, carry, x) -> (carry, y)``. Each step draws random numbers of its own.
      layer: a layer inside ``forward``, or a tuple, list or dict of them.
      init, xs, length, reverse, unroll: as of ``jax.lax.scan``.
      params: "shared", all steps use the same; or "stacked", each step uses its own, which stand along a leading axis.
      state: "carried", each step reads the buffers that the one before assigned; or "stacked", as for params. Both may be tuples, lists or dicts
        in the structure of ``layer``.

    Source: jax.lax.scan.

    >>> from funnn.layers import Dropout, Layer, lift
    >>> class Noisy(Layer):
    ...     drop: Layer
    ...     def forward(self, xs):
    ...         return lift.scan(lambda drop, carry, x: (carry, drop(x)), self.drop, None, xs)[1]
    >>> y, _ = Noisy(Dropout(0.5)).apply({}, {}, jnp.ones((2, 1000)), key=jax.random.key(0), train=True)
    >>> bool((y[0] == y[1]).all())
    False
    """
    if is_module(layer):
        return loop(function, layer, init, xs, length, reverse)
    call, variables = _split(function, layer)
    stacked = _Modes(layer, params, "params", ("shared", "stacked")), _Modes(layer, state, "state", ("carried", "stacked"))
    fixed_params, each_params = stacked[0].split(variables.params)
    carried_state, each_state = stacked[1].split(variables.state)
    size = length if length is not None else _size(xs if jax.tree.leaves(xs) else (each_params, each_state))
    keys = [None if key is None else jax.random.split(key, size) for key in variables.keys]

    def step(carry: Any, inputs: Any) -> tuple[Any, Any]:
        (carry, carried), (x, each_params, each_state, keys) = carry, inputs
        bound = Variables(stacked[0].join(fixed_params, each_params), stacked[1].join(carried, each_state), keys)
        (carry, y), new, found = call(bound, carry, x)
        carried, each = stacked[1].split(new)
        return (carry, carried), (y, each, found)

    (carry, carried), (ys, each, found) = lax.scan(
        step, (init, carried_state), (xs, each_params, each_state, keys), length=size, reverse=reverse, unroll=unroll
    )
    _take_back(layer, stacked[1].join(carried, each), found)
    return carry, ys


def vmap(
    function: Callable[..., Any],
    layer: Any,
    in_axes: Any = 0,
    out_axes: Any = 0,
    *,
    axis_name: Any = None,
    params: Any = "shared",
    state: Any = "shared",
) -> Callable[..., Any]:
    """``jax.vmap`` of a function that calls layers.

    Args:
      function: ``function(layer, *args)``. Each member draws random numbers of its own.
      layer: a layer inside ``forward``, or a tuple, list or dict of them.
      in_axes, out_axes, axis_name: as of ``jax.vmap``, of the arguments behind ``layer``.
      params: "shared", or "stacked" along a leading axis.
      state: "shared", which may be read but not assigned; "mean", all members read the same and the buffers become the mean of what they assign
        (the largest, if they are integers); or "stacked". Both may be tuples, lists or dicts in the structure of ``layer``.

    Returns:
      The function of ``*args``.

    Raises:
      TransformedLayerError: a member assigns a buffer of the state that they share.

    Source: jax.vmap.
    """

    def mapped(*args: Any) -> Any:
        if is_module(layer):
            return members(function, layer, in_axes, out_axes, args)
        call, variables = _split(function, layer)
        modes = _Modes(layer, params, "params", ("shared", "stacked")), _Modes(layer, state, "state", ("shared", "mean", "stacked"))
        fixed_params, each_params = modes[0].split(variables.params)
        fixed_state, each_state = modes[1].split(variables.state)
        name = _MEMBERS if axis_name is None else axis_name

        def member(each_params: Any, each_state: Any, *args: Any) -> Any:
            keys = [None if key is None else jax.random.fold_in(key, lax.axis_index(name)) for key in variables.keys]
            bound = Variables(modes[0].join(fixed_params, each_params), modes[1].join(fixed_state, each_state), keys)
            output, new, found = call(bound, *args)
            modes[1].check_unassigned(_views(layer), variables.state, new)
            kept = [None if mode == "shared" else tree for mode, tree in zip(modes[1].of, new, strict=True)]
            return output, kept, found

        axes = tuple(in_axes) if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
        output, new, found = jax.vmap(member, (0, 0, *axes), (out_axes, 0, 0), axis_name=name)(each_params, each_state, *args)
        _take_back(layer, [_merged(mode, tree, old) for mode, tree, old in zip(modes[1].of, new, variables.state, strict=True)], found)
        return output

    return mapped


def cond(pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], layer: Any, *operands: Any) -> Any:
    """``jax.lax.cond`` of functions that call layers: ``true_fun(layer, *operands)`` or ``false_fun(layer, *operands)``. Source: jax.lax.cond."""
    if is_module(layer):
        return (true_fun if bool(pred) else false_fun)(layer, *operands)
    branches, variables = _branches([true_fun, false_fun], layer)
    output, state = lax.cond(pred, *branches, variables, *operands)
    _take_back(layer, state, {})
    return output


def switch(index: Any, branches: list[Callable[..., Any]], layer: Any, *operands: Any) -> Any:
    """``jax.lax.switch`` of functions that call layers: ``branches[index](layer, *operands)``. Source: jax.lax.switch."""
    if is_module(layer):
        return branches[min(max(int(index), 0), len(branches) - 1)](layer, *operands)
    functions, variables = _branches(branches, layer)
    output, state = lax.switch(index, functions, variables, *operands)
    _take_back(layer, state, {})
    return output


def while_loop(cond_fun: Callable[[Any, Any], Any], body_fun: Callable[[Any, Any], Any], layer: Any, init: Any) -> Any:
    """``jax.lax.while_loop`` of functions that call layers: while ``cond_fun(layer, value)``, ``value = body_fun(layer, value)``.

    Each turn draws random numbers of its own and reads the buffers that the one before assigned; ``cond_fun`` may assign none.

    Raises:
      TransformedLayerError: ``cond_fun`` assigns a buffer.

    Source: jax.lax.while_loop.
    """
    if is_module(layer):
        while bool(cond_fun(layer, init)):
            init = body_fun(layer, init)
        return init
    test, variables = _split(cond_fun, layer)
    call, _ = _split(body_fun, layer, variables)
    modes = _Modes(layer, "shared", "state", ("shared",))

    def bound(state: Any, count: Any, what: int) -> Variables:
        keys = [None if key is None else jax.random.fold_in(jax.random.fold_in(key, count), what) for key in variables.keys]
        return Variables(variables.params, state, keys)

    def go_on(carry: Any) -> Any:
        value, state, count = carry
        answer, new, _ = test(bound(state, count, 0), value)
        modes.check_unassigned(_views(layer), state, new)
        return answer

    def turn(carry: Any) -> Any:
        value, state, count = carry
        value, state, _ = call(bound(state, count, 1), value)
        return value, state, count + 1

    value, state, _ = lax.while_loop(go_on, turn, (init, variables.state, jnp.int32(0)))
    _take_back(layer, state, {})
    return value


def remat(
    function: Callable[..., Any], layer: Any, *, policy: Callable[..., Any] | None = None, prevent_cse: bool = True
) -> Callable[..., Any]:
    """``jax.checkpoint`` of a function that calls layers: intermediate values are computed again in the backward pass instead of being kept.

    Args:
      function: ``function(layer, *args, **kwargs)``. Its arguments may be trees with arrays and anything else.
      layer: a layer inside ``forward``, or a tuple, list or dict of them.
      policy, prevent_cse: as of ``jax.checkpoint``.

    Returns:
      The function of ``*args, **kwargs``.

    Source: jax.checkpoint.
    """

    def again(*args: Any, **kwargs: Any) -> Any:
        if is_module(layer):
            return function(layer, *args, **kwargs)
        call, variables = _split(function, layer)
        leaves, structure = jax.tree.flatten((args, kwargs))
        traced = [isinstance(leaf, jax.Array) or hasattr(leaf, "__array__") for leaf in leaves]

        def run(variables: Variables, arrays: list[Any]) -> Any:
            left = iter(arrays)
            args, kwargs = jax.tree.unflatten(
                structure, [next(left) if is_array else leaf for leaf, is_array in zip(leaves, traced, strict=True)]
            )
            return call(variables, *args, **kwargs)

        arrays = [leaf for leaf, is_array in zip(leaves, traced, strict=True) if is_array]
        output, state, found = jax.checkpoint(run, policy=policy, prevent_cse=prevent_cse)(variables, arrays)
        _take_back(layer, state, found)
        return output

    return again


_MEMBERS = "funnn.lift.vmap"


def _views(layer: Any) -> list[Layer]:
    """The bound layers of a tree of them.

    Raises:
      TypeError: there is none, or something else.
    """
    found = jax.tree.leaves(layer)
    for view in found:
        if not isinstance(view, Layer) or view._scope is None:
            what = f"{view!r}, a description," if isinstance(view, Layer) else f"{view!r} of type {type(view).__name__}"
            raise TypeError(f"a lifted transformation takes layers inside forward, such as self.cell or (self.a, self.b), but got {what}")
    if not found:
        raise TypeError(f"a lifted transformation takes the layers that its function calls, such as self.cell, but got {layer!r}")
    return found


def _split(function: Callable[..., Any], layer: Any, variables: Variables | None = None) -> tuple[Callable[..., Any], Variables]:
    """``call(variables, *args, **kwargs) -> (output, state, what was observed)`` of a function that calls bound layers, and their arrays."""
    views, structure = _views(layer), jax.tree.structure(layer)
    scopes: list[Any] = [view._scope for view in views]
    if variables is None:
        variables = Variables(
            [view._params() for view in views], [view._collect() for view in views], [scope.next_key() for scope in scopes]
        )

    def call(variables: Variables, *args: Any, **kwargs: Any) -> Any:
        observers = [None if scope.observer is None else scope.observer.inside() for scope in scopes]
        bound = [view._rebind(*parts) for view, *parts in zip(views, *variables, observers, strict=True)]
        output = function(jax.tree.unflatten(structure, bound), *args, **kwargs)
        found = [observer and {path: tuple(values) for path, values in observer.found.items()} for observer in observers]
        for scope, observer in zip(scopes, observers, strict=True):
            if observer is not None:
                scope.observer.seen.update(observer.seen)
        return output, [view._collect() for view in bound], found

    return call, variables


def _take_back(layer: Any, state: list[Any], found: Any) -> None:
    """Give bound layers their new state, and observers what was seen."""
    views = _views(layer)
    for view, tree in zip(views, state, strict=True):
        view._restore(tree)
    for view, values in zip(views, found or [], strict=False):
        if values is not None and view._scope is not None and view._scope.observer is not None:
            view._scope.observer.take_over(values)


def _branches(functions: list[Callable[..., Any]], layer: Any) -> tuple[list[Callable[..., Any]], Variables]:
    """Branches of a choice, of which one draws the numbers that another would have drawn."""
    _, variables = _split(functions[0], layer)

    def branch(function: Callable[..., Any], variables: Variables, *operands: Any) -> Any:
        return _split(function, layer, variables)[0](variables, *operands)[:2]

    return [functools.partial(branch, function) for function in functions], variables


class _Modes:
    """How each layer's params or state go through a transformation.

    Args:
      layer: the bound layers; given: a mode for all, or a tree of modes; name: of the argument; known: the modes.
    """

    def __init__(self, layer: Any, given: Any, name: str, known: tuple[str, ...]):
        count = len(_views(layer))
        self.of = [given] * count if isinstance(given, str) else jax.tree.leaves(given)
        fits = isinstance(given, str) or str(jax.tree.structure(given)) == str(jax.tree.structure(layer))
        if len(self.of) != count or not fits:
            raise ValueError(f"{name} must be one of {known}, or a tree of them in the structure of the layers, but got {given!r}")
        if unknown := set(self.of) - set(known):
            raise ValueError(f"{name} must be one of {known}, but got {sorted(map(str, unknown))}")

    def split(self, trees: list[Any]) -> tuple[list[Any], list[Any]]:
        """Those that are the same for all or carried, and those of which each has its own."""
        stacked = [mode == "stacked" for mode in self.of]
        return [None if each else tree for tree, each in zip(trees, stacked, strict=True)], [
            tree if each else None for tree, each in zip(trees, stacked, strict=True)
        ]

    def join(self, fixed: list[Any], each: list[Any]) -> list[Any]:
        """The inverse of ``split``."""
        return [mine if mode == "stacked" else common for mode, common, mine in zip(self.of, fixed, each, strict=True)]

    def check_unassigned(self, views: list[Layer], before: list[Any], after: list[Any]) -> None:
        """Refuse new values of buffers that all share."""
        for mode, view, old, new in zip(self.of, views, before, after, strict=True):
            if mode == "shared" and any(a is not b for a, b in zip(jax.tree.leaves(old), jax.tree.leaves(new), strict=True)):
                at = f" at {view._scope.path!r}" if view._scope is not None and view._scope.path else ""
                raise errors.TransformedLayerError(
                    f"{type(view).__name__}{at} assigns a buffer where all use the same state: say state='mean' or state='stacked' to lift.vmap, "
                    "and assign none in the condition of lift.while_loop"
                )


def _merged(mode: str, new: Any, old: Any) -> Any:
    """The state after a vmap."""
    if mode == "shared":
        return old
    if mode == "stacked":
        return new
    return jax.tree.map(lambda a: a.mean(0).astype(a.dtype) if jnp.issubdtype(a.dtype, jnp.inexact) else a.max(0), new)


def _size(tree: Any) -> int:
    leaves = jax.tree.leaves(tree)
    if not leaves:
        raise ValueError("scan needs xs, stacked params or state, or length, to know how many steps there are")
    return int(leaves[0].shape[0])
