"""Which layer a NaN comes from, in outputs and in gradients."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from funnn._types import Arrays
from funnn.functional._linear_map import linear_map
from funnn.layers._watching import watching


class NanSource(NamedTuple):
    """A call of a layer that made a NaN.

    Attributes:
      path: of the layer, in the one that was applied.
      layer: its text.
      call: which of its calls it was, from 1 (a step of a scan is a call).
      gradient: False, its output has a NaN and its inputs have none; True, the gradient of its inputs or parameters has one and that of its
        output has none.
      parameters: those that were NaN before, by name.
    """

    path: str
    layer: str
    call: int
    gradient: bool
    parameters: tuple[str, ...]

    def __str__(self) -> str:
        what = "makes a NaN in the gradient of its inputs or parameters" if self.gradient else "makes a NaN of inputs without one"
        before = f"; its parameters {list(self.parameters)} are NaN" if self.parameters else ""
        return f"layer {self.path!r} (call {self.call}) {what}{before}: {self.layer}"


class _Call:
    """What is known of a call of a layer."""

    def __init__(self, view: Any, ordinal: int, caller: _Call | None):
        self.path, self.layer, self.ordinal, self.caller = view._scope.path, view, ordinal, caller
        #: Kind of arrays ("inputs", "output", "gradient of the output", "gradient of the rest", a parameter's name) -> whether one had a NaN.
        self.has: dict[str, bool] = {}

    def note(self, kind: str, found: Any) -> None:
        self.has[kind] = self.has.get(kind, False) or bool(found)

    def makes(self, gradient: bool) -> bool:
        """Whether a NaN begins here."""
        if gradient:
            return self.has.get("gradient of the rest", False) and not self.has.get("gradient of the output", False)
        return self.has.get("output", False) and not self.has.get("inputs", False)

    def source(self, gradient: bool) -> NanSource:
        return NanSource(
            self.path, repr(self.layer), self.ordinal, gradient, tuple(name for name in self.layer._scope.params if self.has.get(name))
        )


def find_nans(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[NanSource]:
    """Run ``function(*args, **kwargs)`` and say which layers inside made NaN, in their outputs and in the gradients that go back through them.

    Args:
      function: anything that runs layers: ``layer.apply``, a loss, ``jax.grad`` of one, ``step`` of :func:`train_step`. It runs operation by operation,
        compiled functions and the steps of scans too, so that every call of a layer is seen; nothing is donated.
      *args, **kwargs: its arguments.

    Returns:
      The calls at which a NaN begins, the innermost layers, first those of outputs in the order of the calls, then those of gradients in the order of the
      backward pass; an empty list where there is none. Infinite numbers are none, and a NaN among the arguments of the outermost layer begins nowhere.

    ``jax.debug_nans`` raises at the operation, and the error's notes name the layer whose ``forward`` made it, but none of the backward pass or inside a scan.
    An array that a layer's function closes over is none of its inputs, so a NaN in it counts as the layer's.

    >>> from funnn.layers import Lambda, Sequential, Tanh
    >>> net = Sequential(Tanh(), Lambda(jnp.log))
    >>> for source in find_nans(net.apply, {}, {}, jnp.array([1.0, -1.0])):
    ...     print(source)
    layer '1' (call 1) makes a NaN of inputs without one: Lambda(log)
    """
    calls: list[_Call] = []
    counts: Counter[str] = Counter()
    open_calls: list[_Call] = []

    def watch(view: Any, run: Callable[..., Any], inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        counts[view._scope.path] += 1
        call = _Call(view, counts[view._scope.path], open_calls[-1] if open_calls else None)
        calls.append(call)
        inputs, named = _watched((inputs, named), call, "inputs", "gradient of the rest")
        for name in view._scope.params:
            view.__dict__[name] = _watched(view.__dict__[name], call, name, "gradient of the rest")
        open_calls.append(call)
        try:
            return _watched(run(*inputs, **named), call, "output", "gradient of the output")
        finally:
            open_calls.pop()

    token = watching.set(watch)
    try:
        with jax.disable_jit():
            function(*args, **kwargs)
            jax.effects_barrier()
    finally:
        watching.reset(token)
    found = []
    for gradient in (False, True):
        making = [call for call in calls if call.makes(gradient)]
        callers = {id(caller) for call in making for caller in _callers(call)}
        innermost = [call.source(gradient) for call in making if id(call) not in callers]
        found += innermost[::-1] if gradient else innermost
    return found


def _callers(call: _Call) -> list[_Call]:
    found = []
    while call.caller is not None:
        call = call.caller
        found.append(call)
    return found


def _watched(tree: Any, call: _Call, kind: str, gradient_kind: str) -> Any:
    """The tree, of whose floating-point arrays the call is told whether they have a NaN, and later whether their gradients have."""

    def one(leaf: Any) -> Any:
        if isinstance(leaf, float):
            call.note(kind, math.isnan(leaf))
        if not isinstance(leaf, (jax.Array, np.ndarray)) or not jnp.issubdtype(leaf.dtype, jnp.inexact):
            return leaf
        leaf = jnp.asarray(leaf)
        jax.debug.callback(partial(call.note, kind), jnp.isnan(leaf).any())
        return linear_map(_same, _same_and_note, (leaf,), (), (leaf,), note=partial(call.note, gradient_kind))[0]

    return jax.tree.map(one, tree)


def _same(linear: Arrays, residuals: Arrays, note: Callable[..., None]) -> Arrays:
    return linear


def _same_and_note(linear: Arrays, residuals: Arrays, note: Callable[..., None]) -> Arrays:
    jax.debug.callback(note, jnp.isnan(linear[0]).any())
    return linear
