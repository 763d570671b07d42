"""Layers inside a layer by their dotted paths: found, replaced at any depth, and set to training or evaluation from outside."""

from __future__ import annotations

import copy
import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from funnn.layers._sharing import find_shared

if TYPE_CHECKING:
    from funnn.layers._value import Value as Layer

L = TypeVar("L", bound="Layer")


class Replaced:
    """What was put in the place of children that no argument of the constructor gives: pairs of a path and a layer, in order."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: tuple[tuple[str, Any], ...]):
        self.pairs = pairs

    def with_pair(self, path: str, new: Any) -> Replaced:
        """These and another; what lies at or below its path is gone."""
        return Replaced((*(pair for pair in self.pairs if not is_at_or_below(pair[0], path)), (path, new)))

    def __repr__(self) -> str:
        return f"Replaced({self.pairs!r})"


def is_at_or_below(path: str, top: str) -> bool:
    """Whether a dotted path is ``top`` or leads to something inside; everything is inside of "".

    >>> is_at_or_below("encoder.0", "encoder"), is_at_or_below("encoder2", "encoder")
    (True, False)
    """
    return not top or path == top or path.startswith(f"{top}.")


def walk(layer: Layer, path: str = "") -> Iterator[tuple[str, Layer]]:
    """A layer and all inside it with their paths, parents first."""
    yield path, layer
    for name, child in layer.children().items():
        yield from walk(child, f"{path}.{name}" if path else name)


def nearest(name: str, names: list[str]) -> str:
    """The end of an error's text about an unknown name: those that are most like it, else the first few.

    >>> nearest("encodr.0", ["encoder.0", "encoder.1", "head"])
    "nearest: ['encoder.0', 'encoder.1']"
    """
    if not names:
        return "it has none"
    close = difflib.get_close_matches(name, names, n=4, cutoff=0.6)
    same_end = [other for other in names if other.rpartition(".")[2] == name.rpartition(".")[2] and other not in close]
    found = [*close, *same_end][:4]
    return f"nearest: {found}" if found else f"it has {names[:8]}{' …' if len(names) > 8 else ''}"


def fits(path: str, pattern: str) -> bool:
    """Whether a dotted path fits a pattern: ``*``, ``?`` and ``[…]`` stand for characters of one name, ``**`` for any number of names.

    >>> fits("encoder.0.norm1", "encoder.*.norm?"), fits("encoder.0.norm1", "encoder.*"), fits("encoder.0.norm1", "**.norm1")
    (True, False, True)
    """
    return _fits(path.split(".") if path else [], pattern.split("."))


def _fits(names: list[str], parts: list[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        return any(_fits(names[start:], parts[1:]) for start in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], parts[0]) and _fits(names[1:], parts[1:])


def beginnings(path: str) -> list[str]:
    """A path and those of what it lies in, but for the whole.

    >>> beginnings("encoder.0.norm1")
    ['encoder.0.norm1', 'encoder.0', 'encoder']
    """
    names = path.split(".")
    return [".".join(names[:count]) for count in range(len(names), 0, -1)]


def matching(layer: Layer, path: str | None, kind: type | tuple[type, ...] | None, where: str) -> list[str]:
    """The paths of the layers inside that fit a pattern and a type, parents first.

    Raises:
      AttributeError: none does.
    """
    paths = dict(walk(layer))
    found = [name for name, inner in paths.items() if (path is None or fits(name, path)) and (kind is None or isinstance(inner, kind))]
    if not found:
        asked = ", ".join(
            f"{label}={text}" for label, text in (("path", repr(path)), ("type", type_names(kind))) if text not in ("None", "")
        )
        names = [name for name, inner in paths.items() if name and (kind is None or isinstance(inner, kind))]
        names = names or [name for name in paths if name]
        raise AttributeError(f"{where}: {type(layer).__name__} has no layer with {asked}; {nearest(path or '', names)}")
    return found


def type_names(kind: type | tuple[type, ...] | None) -> str:
    """Types as an error names them.

    >>> type_names((int, str)), type_names(int), type_names(None)
    ('int or str', 'int', '')
    """
    kinds = kind if isinstance(kind, tuple) else () if kind is None else (kind,)
    return " or ".join(one.__name__ for one in kinds)


# -- replacing


def put(layer: L, path: str, new: Any) -> L:
    """A copy of ``layer`` with ``new`` at ``path``: a layer, a list of layers, or for an optional argument of a constructor None."""
    name, _, rest = path.partition(".")
    child = layer.children().get(name)
    if child is None or (new is None and not rest):
        if rest or not _is_optional(layer, name):
            if child is None:
                raise _unknown_path(layer, path)
            raise TypeError(f"{type(layer).__name__} can't do without {name!r}, whose default is not None; put Identity() in its place")
        return layer.replace(**{name: new})
    placed = put(child, rest, new) if rest else layer._as_child(new, f"{type(layer).__name__} at {path!r}")
    changed = copy.copy(layer)
    attributes = changed.__dict__
    args, kwargs = layer._given
    bound = inspect.signature(type(layer)).bind(*args, **kwargs)
    if name in bound.arguments and _is_argument(bound, name, child, layer):
        bound.arguments[name] = placed
        attributes["_given"] = bound.args, bound.kwargs
    else:
        attributes["_replaced"] = (layer._replaced or Replaced(())).with_pair(path, layer._as_child(new, path) if not rest else new)
    attributes[name] = placed
    attributes["_shared"] = find_shared(changed)
    if not attributes["_shared"]:
        del attributes["_shared"]
    return changed


def _is_argument(bound: inspect.BoundArguments, name: str, child: Layer, layer: Layer) -> bool:
    """Whether a child is what the constructor was given under its name, and not something made from it."""
    if bound.signature.parameters[name].kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        return False
    try:
        return bool(layer._as_child(bound.arguments[name], name) == child)
    except TypeError:
        return False


def _is_optional(layer: Layer, name: str) -> bool:
    """Whether ``name`` is an argument of the constructor that is None or a layer, and None by default, so that it may become the other."""
    argument = inspect.signature(type(layer)).parameters.get(name)
    return argument is not None and argument.default is None and (layer.__dict__.get(name) is None or name in layer.children())


def _unknown_path(layer: Layer, path: str) -> AttributeError:
    return AttributeError(f"{type(layer).__name__} has no layer at {path!r}; {nearest(path, [inner for inner, _ in walk(layer) if inner])}")


def replaced(layer: L, changes: Mapping[str, Any]) -> L:
    """A copy of ``layer`` with other arguments of its constructor, and other children by name or path; see ``Layer.replace``."""
    parameters = inspect.signature(type(layer)).parameters
    names = [name for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    children = layer.children()
    below = {path: new for path, new in changes.items() if path not in names and path.partition(".")[0] in children}
    arguments = {name: value for name, value in changes.items() if name not in below}
    changed = _rebuilt(layer, names, arguments) if arguments or not below else layer
    for path, new in below.items():
        changed = Place(changed, path, None).set(new)
    return changed


def _rebuilt(layer: L, names: list[str], arguments: Mapping[str, Any]) -> L:
    args, kwargs = layer._given
    signature = inspect.signature(type(layer))
    given = signature.bind(*args, **kwargs)
    open_ended = {name for name, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD}
    more = {key: value for name in open_ended for key, value in given.arguments.pop(name, {}).items()}
    unknown = [name for name in (*given.arguments, *(() if open_ended else arguments)) if name not in names]
    if unknown:
        inside = [path for path, _ in walk(layer) if path]
        near = f" or replace a layer inside, {nearest(next(iter(unknown)), inside)}" if inside else ""
        raise TypeError(
            f"{type(layer).__name__}.replace can change {names}, but got {sorted(unknown)}; make a new layer with its constructor{near}"
        )
    changed = type(layer)(**{**given.arguments, **more, **arguments})._settled_as(layer)
    for path, new in layer._replaced.pairs if layer._replaced else ():
        if path.partition(".")[0] in arguments:
            continue
        try:
            changed = put(changed, path, new)
        except AttributeError as error:
            raise ValueError(
                f"{type(layer).__name__}.replace({', '.join(arguments)}): the new layer has nothing at {path!r}, where {new!r} had been put; "
                "start from its constructor"
            ) from error
    return changed


# -- a place


class Place(Generic[L]):
    """Where ``layer.at(path)`` points to: one layer inside, or all that fit a pattern.

    >>> from funnn.layers import Identity, Linear, ReLU, Sequential
    >>> net = Sequential(Linear(2, 3), ReLU())
    >>> net.at("1").get(), net.at("1").set(Identity())[1], net.at("0").apply(lambda linear: linear.replace(bias=False))[0].bias
    (ReLU(), Identity(), False)
    """

    def __init__(self, layer: L, path: str | None, kind: type | tuple[type, ...] | None):
        self._layer, self._path = layer, path
        if kind is None and path is not None and not any(character in path for character in "*?["):
            self._paths = [path]
            if path and self._find(path) is None:
                parent, _, name = path.rpartition(".")
                above = self._find(parent)
                if above is None or not _is_optional(above, name):
                    raise _unknown_path(layer, path)
        else:
            self._paths = matching(layer, path, kind, "at")

    def _find(self, path: str) -> Layer | None:
        found: Layer | None = self._layer
        for name in path.split(".") if path else ():
            found = None if found is None else found.children().get(name)
        return found

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the layers, parents first."""
        return tuple(self._paths)

    def get(self) -> Any:
        """The layer there; None for an optional one that is not there.

        Raises:
          ValueError: several layers fit.
        """
        if len(self._paths) > 1:
            raise ValueError(f"at(…).get() is for one layer, but {self._paths} fit; use named_layers()")
        return self._find(self._paths[0])

    def set(self, new: Any) -> L:
        """The whole layer with ``new`` there: a layer, a list of layers where a list was, or None for an optional argument of a constructor.

        Raises:
          TypeError: ``new`` is something else.
        """
        outermost = [path for path in self._paths if not any(path != top and is_at_or_below(path, top) for top in self._paths)]
        return self._put_all(outermost, lambda layer: new)

    def apply(self, function: Callable[[Any], Any]) -> L:
        """The whole layer with ``function(layer)`` in the place of the layer there; of several, those inside others come first."""
        return self._put_all(self._paths[::-1], function)

    def train(self) -> L:
        """The whole layer with training switched on there and below, whatever ``apply(train=…)`` says; see ``Layer.with_mode``."""
        return self.apply(lambda layer: layer.with_mode(True))

    def eval(self) -> L:
        """The whole layer with training switched off there and below, whatever ``apply(train=…)`` says; see ``Layer.with_mode``."""
        return self.apply(lambda layer: layer.with_mode(False))

    def _put_all(self, paths: list[str], function: Callable[[Any], Any]) -> L:
        layer: Any = self._layer
        for path in paths:
            new = function(Place(layer, path, None).get())
            layer = put(layer, path, new) if path else layer._as_child(new, "the path ''")
        return layer

    def __repr__(self) -> str:
        return f"{type(self._layer).__name__}.at({', '.join(map(repr, self._paths))})"
