"""A module called with other parameters and buffers."""

from __future__ import annotations

from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn.modules.module import Module


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call ``module`` with other parameters and buffers; afterwards it has its own again.

    Args:
      parameter_and_buffer_dicts: ``{"name": tensor}``, or several such dicts whose names do not meet. Names that are not given keep their tensors.
      args, kwargs: the module's arguments; a single one needs no tuple.
      tie_weights: whether a tensor that the module has under several names is replaced under all when one is given.
      strict: whether every name must be given, and no other.

    Raises:
      ValueError: no dict, or a name in several; tied weights given different values.
      RuntimeError: with ``strict``, missing or unexpected names.

    Example:
      >>> import funnn.torch as torch
      >>> functional_call(torch.nn.Linear(2, 1), {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, torch.ones(2))
      tensor([2.])
    """
    given = _merged(parameter_and_buffer_dicts)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    places = _places(module)
    tied: dict[int, list[str]] = {}
    for name, (attributes, own) in places.items():
        tied.setdefault(id(attributes[own]) if tie_weights else len(tied), []).append(name)
    groups = list(tied.values())
    if strict:
        _check_names(type(module).__name__, groups, given)
    replaced = []
    for names in groups:
        values = [given[name] for name in names if name in given]
        if any(value is not values[0] for value in values):
            raise ValueError(
                f"functional_call got multiple values for keys {names}, which are tied. Consider using tie_weights=False, or give only one of them"
            )
        replaced += [(*places[name], values[0]) for name in names if values]
    before = [(attributes, own, attributes[own]) for attributes, own, _ in replaced]
    try:
        _assign(replaced)
        return module(*args, **(kwargs or {}))
    finally:
        _assign(before)


def _merged(dicts: Any) -> dict[str, Tensor]:
    if isinstance(dicts, dict):
        return dicts
    if not isinstance(dicts, (tuple, list)):
        raise ValueError(f"Expected parameter_and_buffer_dicts to be a dict, or a list/tuple of dicts, but got {type(dicts)}")
    if not all(isinstance(item, dict) for item in dicts):
        raise ValueError("Expected all elements of parameter_and_buffer_dicts to be dictionaries")
    names = [name for item in dicts for name in item]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"{repeated} appeared in multiple dictionaries; behavior of functional call is ambiguous")
    return {name: value for item in dicts for name, value in item.items()}


def _places(module: Module) -> dict[str, tuple[dict, str]]:
    """Where each parameter and buffer is kept: the dict and the name in it."""
    return {
        f"{prefix}.{own}" if prefix else own: (attributes, own)
        for prefix, part in module.named_modules(remove_duplicate=False)
        for attributes in (part._parameters, part._buffers)
        for own, value in attributes.items()
        if value is not None
    }


def _check_names(kind: str, groups: list[list[str]], given: dict) -> None:
    unexpected = sorted(given.keys() - {name for names in groups for name in names})
    missing = sorted(name for names in groups if given.keys().isdisjoint(names) for name in names)
    lines = [
        f"{what} key(s): {', '.join(map(repr, names))}." for what, names in (("Unexpected", unexpected), ("Missing", missing)) if names
    ]
    if lines:
        raise RuntimeError(f"Error(s) in reparametrizing for {kind}:\n\t" + "\n\t".join(lines))


def _assign(items: list[tuple]) -> None:
    for attributes, own, value in items:
        attributes[own] = value
