"""A compiled step whose state stays where it is: each array comes out with the sharding that it went in with."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from funnn.train._accumulating import Split, split_of

Shardings = tuple[jax.sharding.Sharding, ...]


class InPlaceStep:
    """``step(train_state, batch) -> (train_state, metrics)``, compiled; the memory of the first argument becomes that of the first result.

    XLA chooses the sharding of a result by itself, and need not choose that of the argument: then the second step would be compiled again, for
    other shardings, and a parameter meant to be whole everywhere would end up split. So the shardings of the state are those of the result.
    What was not put anywhere (as ``init`` gives it) is first put on all devices of the mesh that the rest, or the batch, is on.

    Inside another transformation (a scan, a jit) shardings are not known, and the program around decides them.

    Args:
      step: the function. splits: whether it is told as ``split`` how the batch is split over devices that all hold the whole state.
    """

    def __init__(self, step: Callable[..., Any], splits: bool = False):
        self._splits = splits
        self._anywhere = jax.jit(step, donate_argnums=0)
        self._program_for = functools.lru_cache(maxsize=16)(functools.partial(_program, step))
        functools.update_wrapper(self, step)

    def __call__(self, train_state: Any, batch: Any) -> Any:
        check_alive(train_state)
        return self._choose(train_state, batch, place=True)

    def lower(self, train_state: Any, batch: Any) -> Any:
        """The step lowered for these arguments, arrays or ``jax.ShapeDtypeStruct``, as ``jax.jit(step).lower`` does."""
        return self._choose(train_state, batch, place=False)

    def _choose(self, train_state: Any, batch: Any, place: bool) -> Any:
        tree: Any
        leaves, tree = jax.tree.flatten(train_state)
        shardings = [_sharding(leaf) for leaf in leaves]
        if None in shardings:
            mesh = next((s.mesh for s in (*shardings, *map(_sharding, jax.tree.leaves(batch))) if isinstance(s, NamedSharding)), None)
            if mesh is None or any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
                return self._anywhere(train_state, batch) if place else self._anywhere.lower(train_state, batch)
            whole = NamedSharding(mesh, PartitionSpec())
            shardings = [whole if sharding is None else sharding for sharding in shardings]
            train_state = jax.device_put(train_state, tree.unflatten(shardings)) if place else train_state
        split = split_of(shardings, batch) if self._splits else None
        program = self._program_for(tree, tuple(shardings), split)
        return program(train_state, batch) if place else program.lower(train_state, batch)


def _program(step: Callable[..., Any], tree: Any, shardings: Shardings, split: Split | None) -> Any:
    return jax.jit(
        step if split is None else functools.partial(step, split=split), donate_argnums=0, out_shardings=(tree.unflatten(shardings), None)
    )


def _sharding(leaf: Any) -> jax.sharding.Sharding | None:
    """Where somebody put an array; None for one that was put nowhere, for a tracer and for what is no jax Array."""
    if isinstance(leaf, jax.core.Tracer) or not getattr(leaf, "committed", True):
        return None
    return getattr(leaf, "sharding", None)


def check_alive(train_state: Any) -> None:
    """Raise RuntimeError for a state whose memory another step has reused."""
    step = getattr(train_state, "step", None)
    if isinstance(step, jax.Array) and not isinstance(step, jax.core.Tracer) and step.is_deleted():
        raise RuntimeError(
            "train_step: this train_state was given to step before, and its memory holds the next one now. Go on with what step returned: "
            "train_state, metrics = step(train_state, batch). To keep one, copy it first: jax.tree.map(jnp.copy, train_state)"
        )
