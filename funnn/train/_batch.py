"""How a batch becomes the arguments of a layer and of a loss: by position, or by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from funnn.layers import Layer


class Arguments(NamedTuple):
    """What a function takes.

    Attributes:
      name: what error texts call it.
      parameters: its parameters by name, without those that it gets from elsewhere; None where Python does not know them.
    """

    name: str
    parameters: dict[str, inspect.Parameter] | None

    @property
    def named(self) -> list[str]:
        """Those that an entry of a batch may be."""
        variadic = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
        return [name for name, parameter in (self.parameters or {}).items() if parameter.kind not in variadic]

    @property
    def required(self) -> list[str]:
        """Those without a default."""
        return [name for name in self.named if (self.parameters or {})[name].default is inspect.Parameter.empty]

    @property
    def takes_any(self) -> bool:
        """Whether it has ``**kwargs``, or an unknown signature."""
        return self.parameters is None or any(p.kind is p.VAR_KEYWORD for p in self.parameters.values())

    def __str__(self) -> str:
        return f"{self.name}({'...' if self.parameters is None else ', '.join(map(_text, self.parameters.values()))})"


def _text(parameter: inspect.Parameter) -> str:
    stars = "*" * (1 if parameter.kind is parameter.VAR_POSITIONAL else 2 if parameter.kind is parameter.VAR_KEYWORD else 0)
    return f"{stars}{parameter.name}" + ("" if parameter.default is parameter.empty else f"={parameter.default!r}")


class Call(NamedTuple):
    """The arguments of one call.

    Attributes:
      args, kwargs: by position and by name.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Batches:
    """The arguments that a layer and a loss take, and how a batch gives them; see :func:`train_step`."""

    def __init__(self, layer: Layer, loss: Callable[..., Any] | Layer):
        own = isinstance(loss, Layer)
        parameters = _parameters(loss.forward if isinstance(loss, Layer) else loss)
        bound = loss.keywords if isinstance(loss, functools.partial) else {}
        extras = [] if own else [name for name in ("params", "key") if name in (parameters or {}) and name not in bound]
        name = type(loss).__name__ if own else getattr(loss, "__name__", type(loss).__name__)
        self.layer = Arguments(f"{type(layer).__name__}.forward", _parameters(layer.forward))
        self.loss = Arguments(f"the loss {name}", parameters and {n: p for n, p in list(parameters.items())[1:] if n not in extras})
        #: The names among "params" and "key" that the loss takes, and whether a position may fill them.
        self.extras = {name: (parameters or {})[name].kind is not inspect.Parameter.KEYWORD_ONLY for name in extras}
        self._order = [n for n, p in list((parameters or {}).items())[1:] if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._any_number = parameters is None or any(p.kind is p.VAR_POSITIONAL for p in parameters.values())

    def split(self, batch: Any, **extras: Any) -> tuple[Call, Call]:
        """The call of the layer, and that of the loss without the output.

        Args:
          batch: what a user gave.
          **extras: the values of "params" and "key", of which the loss is given those that it has arguments for.

        Raises:
          TypeError: the batch is neither a tuple or list nor a dict, or its entries are not what the two take.
        """
        extras = {name: extras[name] for name in self.extras}
        if isinstance(batch, Mapping):
            inputs, targets = self._by_name(batch)
            return inputs, targets._replace(kwargs=targets.kwargs | extras)
        if not isinstance(batch, (tuple, list)) or not batch:
            raise TypeError(
                f"train_step: a batch must be a tuple (inputs, *targets), or a dict of the arguments' names, got {_kind(batch)}; make one of its parts"
            )
        first, *rest = batch
        return Call(tuple(first) if isinstance(first, (tuple, list)) else (first,), {}), self._by_position(rest, extras)

    def _by_position(self, targets: list[Any], extras: dict[str, Any]) -> Call:
        """Targets in their order, and "params" and "key" in their places; where there are more targets than other arguments, the targets are these too."""
        free = [name for name in self._order if name not in extras]
        if len(targets) > len(free) and not self._any_number:
            taken = self._order[: len(targets)]
            return Call(tuple(targets), {name: value for name, value in extras.items() if name not in taken})
        waiting, args = list(targets), []
        for name in self._order:
            if not waiting:
                break
            args.append(extras.pop(name) if name in extras else waiting.pop(0))
        return Call((*args, *waiting), extras)

    def _by_name(self, batch: Mapping[str, Any]) -> tuple[Call, Call]:
        entries = dict(batch)
        positional: tuple[Any, ...] = ()
        if "inputs" in entries and "inputs" not in self.layer.named:
            inputs = entries.pop("inputs")
            positional = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
        filled = self.layer.named[: len(positional)]
        mine = {name: entries[name] for name in self.layer.named if name in entries and name not in filled}
        targets = {name: entries[name] for name in self.loss.named if name in entries}
        rest = {name: value for name, value in entries.items() if name not in mine and name not in targets}
        if self.layer.takes_any:
            mine, rest = mine | rest, {}
        elif self.loss.takes_any:
            targets, rest = targets | rest, {}
        missing = [f"{name} of {self.layer.name}" for name in self.layer.required if name not in mine and name not in filled]
        missing += [f"{name} of {self.loss.name}" for name in self.loss.required if name not in targets]
        if missing or rest:
            parts = [
                f"{what}: {', '.join(names)}"
                for what, names in (("missing", missing), ("taken by neither", [str(name) for name in rest]))
                if names
            ]
            raise TypeError(
                f"train_step: the batch has the entries {list(batch)}, which do not fit; {'; '.join(parts)}. A dict's entries are arguments of "
                f"{self.layer} or of {self.loss}, by name; rename, add or leave out those that differ"
            )
        return _bound(self.layer, positional, mine), Call((), targets)


def _bound(arguments: Arguments, positional: tuple[Any, ...], named: dict[str, Any]) -> Call:
    """A call with as much by position as can be, because ``apply`` has arguments of its own that forward's names may equal."""
    if arguments.parameters is None:
        return Call(positional, named)
    bound = inspect.Signature(list(arguments.parameters.values())).bind(*positional, **named)
    return Call(bound.args, bound.kwargs)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter] | None:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None


def _kind(batch: Any) -> str:
    if isinstance(batch, (tuple, list)):
        return f"an empty {type(batch).__name__}"
    return f"an array of shape {batch.shape}" if isinstance(batch, jax.Array) else type(batch).__name__
