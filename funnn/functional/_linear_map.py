"""A linear map with its own transpose: how a kernel gets a fast derivative and keeps every mode of differentiation.

A ``custom_vjp`` is fast but has no forward mode; a ``custom_jvp`` has both, but its reverse is what JAX makes by transposing the tangent's
formula, operation by operation. Here the tangent's formula is one primitive, bound with two functions: the map itself and its transpose.

    linear_map(forward, transpose, linear, residuals, **static)

computes ``forward(linear, residuals, **static)``, a function that is linear in the arrays of the tuple ``linear`` and returns a tuple, and
whose transpose is ``transpose(cotangents, residuals, **static)``. Reverse mode runs ``transpose``; forward mode and higher derivatives
differentiate the two functions in their residuals, vmap batches both. The functions are module-level ones (their identity is part of what
jit caches by), and what is not an array goes through ``static``, by hashable values.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from funnn._types import Arrays
from funnn.functional._precision import current_precision
from funnn.functional._varying import vary_like, varying, varying_type


@dataclasses.dataclass(frozen=True)
class _Map:
    """The two functions with their static arguments, the precision of their products and, for each vmap around them, which residuals are batched
    and how its axis is called."""

    forward: Callable[..., Any]
    transpose: Callable[..., Any]
    static: tuple[tuple[str, Any], ...]
    precision: Any
    batches: tuple[tuple[tuple[int | None, ...], Any], ...] = ()

    def __call__(self, linear: Arrays, residuals: Arrays) -> Arrays:
        function = functools.partial(self.forward, **dict(self.static))
        for batched, name in self.batches:
            function = jax.vmap(function, (0, batched), axis_name=name)
        with jax.default_matmul_precision(self.precision):
            return tuple(function(linear, residuals))

    def transposed(self) -> _Map:
        return dataclasses.replace(self, forward=self.transpose, transpose=self.forward)

    def batched(self, residuals: tuple[int | None, ...], name: Any) -> _Map:
        return dataclasses.replace(self, batches=(*self.batches, (residuals, name)))


def linear_map(
    forward: Callable[..., Any], transpose: Callable[..., Any], linear: Arrays, residuals: Arrays, like: Arrays | None = None, **static: Any
) -> Arrays:
    """``forward(linear, residuals, **static)``, with ``transpose(cotangents, residuals, **static)`` as its transpose.

    Args:
      forward: linear in ``linear``; both it and ``transpose`` take and return tuples of arrays.
      transpose: gives one array for each of ``linear``, of its shape and dtype.
      linear: the arrays that the map is linear in.
      residuals: the other arrays.
      like: arrays of the outputs' shapes and types, such as those whose tangents the outputs are: then nothing is traced to find them.
      **static: hashable values.

    Example:
      >>> import jax.numpy as jnp
      >>> def scale(linear, residuals):
      ...     return (linear[0] * residuals[0],)
      >>> y, vjp = jax.vjp(lambda t: linear_map(scale, scale, (t,), (jnp.array(3.0),))[0], 2.0)
      >>> y.item(), vjp(1.0)[0].item()
      (6.0, 3.0)
    """
    map = _Map(forward, transpose, tuple(sorted(static.items())), current_precision())
    linear = vary_like(linear, linear, residuals)
    outputs = None if like is None else _if_known([jax.typeof(x) for x in like], (*linear, *residuals))
    return tuple(_linear_map_p.bind(*linear, *residuals, map=map, count=len(linear), outputs=outputs))


def _if_known(types: list[Any], operands: Any) -> tuple[Any, ...] | None:
    """The types of outputs; None inside shard_map, if they vary over the mesh otherwise than what is computed of these operands."""
    wanted: frozenset[Any] = frozenset().union(*map(varying, operands))
    return tuple(types) if all(varying_type(type) == wanted for type in types) else None


_linear_map_p = Primitive("funnn_linear_map")
_linear_map_p.multiple_results = True


def _run(*arrays: jax.Array, map: _Map, count: int, outputs: tuple[Any, ...] | None) -> Arrays:
    return map(arrays[:count], arrays[count:])


def _abstract(*avals: Any, map: _Map, count: int, outputs: tuple[Any, ...] | None) -> list[Any]:
    """The outputs' types, which are traced where they are not known: a derivative's program meets each map twice, and runs one of them."""
    if outputs is not None:
        return list(outputs)
    return list(jax.make_jaxpr(lambda *arrays: map(arrays[:count], arrays[count:]))(*avals).out_avals)


_linear_map_p.def_impl(_run)
_linear_map_p.def_abstract_eval(_abstract)
mlir.register_lowering(_linear_map_p, mlir.lower_fun(_run, multiple_results=True))


def _jvp(primals: Any, tangents: Any, *, map: _Map, count: int, outputs: tuple[Any, ...] | None) -> tuple[Any, ...]:
    values = _linear_map_p.bind(*primals, map=map, count=count, outputs=outputs)
    linear, residuals = primals[:count], primals[count:]
    total: list[Any] | None = None
    if not all(type(tangent) is ad.Zero for tangent in tangents[:count]):
        moved = [ad.instantiate_zeros(tangent) for tangent in tangents[:count]]
        total = _linear_map_p.bind(*moved, *residuals, map=map, count=count, outputs=outputs)
    live = [i for i, tangent in enumerate(tangents[count:]) if type(tangent) is not ad.Zero]
    if live:

        def of_residuals(*chosen: jax.Array) -> Arrays:
            every = list(residuals)
            for i, residual in zip(live, chosen, strict=True):
                every[i] = residual
            return map(tuple(linear), tuple(every))

        _, part = jax.jvp(of_residuals, tuple(residuals[i] for i in live), tuple(tangents[count + i] for i in live))
        total = list(part) if total is None else [ad.add_tangents(*pair) for pair in zip(total, part, strict=True)]
    return values, total


def _transpose(cotangents: Any, *arguments: Any, map: _Map, count: int, outputs: tuple[Any, ...] | None) -> list[Any]:
    residuals = arguments[count:]
    given = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
    types = [x.aval if ad.is_undefined_primal(x) else jax.typeof(x) for x in arguments[:count]]
    results = _linear_map_p.bind(*given, *residuals, map=map.transposed(), count=len(given), outputs=_if_known(types, (*given, *residuals)))
    linear = [result if ad.is_undefined_primal(x) else None for result, x in zip(results, arguments[:count], strict=True)]
    return [*linear, *[None] * len(residuals)]


def _batch(axis: Any, arrays: Any, axes: Any, *, map: _Map, count: int, outputs: tuple[Any, ...] | None) -> tuple[Any, ...]:
    name = axis.name if isinstance(axis.name, (str, tuple)) else None  # JAX has a mark of its own for none
    if name is None and all(at is None for at in axes):
        results = _linear_map_p.bind(*arrays, map=map, count=count, outputs=outputs)
        return results, [None] * len(results)
    # What the map is linear in is batched always, so that its transpose is too; a residual only if it varies.
    front = [
        x if at is None and i >= count else batching.bdim_at_front(x, at, axis.size)
        for i, (x, at) in enumerate(zip(arrays, axes, strict=True))
    ]
    batched = map.batched(tuple(None if at is None else 0 for at in axes[count:]), name)
    results = _linear_map_p.bind(*front, map=batched, count=count, outputs=None)
    return results, [0] * len(results)


ad.primitive_jvps[_linear_map_p] = _jvp
ad.primitive_transposes[_linear_map_p] = _transpose
batching.fancy_primitive_batchers[_linear_map_p] = _batch
