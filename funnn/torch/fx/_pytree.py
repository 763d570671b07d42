"""torch.fx._pytree: containers among the arguments of a traced function, as flat lists."""

from __future__ import annotations

from typing import Any

from funnn.engine.types import tree


def tree_flatten_spec(pytree: Any, spec: Any) -> list[Any]:
    """The leaves of ``pytree``, which must be built as ``spec`` says.

    Raises:
      ValueError: it is built in another way.
    """
    leaves: list[Any] = []
    _collect(pytree, spec, leaves)
    return leaves


def tree_unflatten(leaves: Any, spec: Any) -> Any:
    """What has these leaves and is built as ``spec`` says."""
    return tree.unflatten(leaves, spec)


def _collect(value: Any, spec: Any, leaves: list[Any]) -> None:
    if spec is tree.LEAF:
        leaves.append(value)
        return
    if not isinstance(value, (tuple, list) if spec.keys is None else dict) or len(value) != len(spec.items):
        raise ValueError(f"expected a {spec.kind.__name__} of {len(spec.items)} items as the function was traced with, got {value!r}")
    for key, item in zip(range(len(spec.items)) if spec.keys is None else spec.keys, spec.items, strict=True):
        _collect(value[key], item, leaves)
