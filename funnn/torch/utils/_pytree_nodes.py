"""The containers that ``torch.utils._pytree`` looks into: how each is taken apart and put together, and by which keys its parts are found."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


@dataclasses.dataclass(frozen=True)
class SequenceKey:
    """The place of an item in a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence: Any) -> Any:
        """The item."""
        return sequence[self.idx]


@dataclasses.dataclass(frozen=True)
class MappingKey:
    """The key of a value in a mapping."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        """The value."""
        return mapping[self.key]


@dataclasses.dataclass(frozen=True)
class GetAttrKey:
    """The name of an attribute."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        """The attribute."""
        return getattr(obj, self.name)


class NodeDef(NamedTuple):
    """How a kind of container is taken apart, ``flatten_fn(tree) -> (children, context)``, put together, ``unflatten_fn(children, context)``, and taken
    apart with keys; and for texts of structures, its name and the ways of its context into JSON and back."""

    type: Any
    flatten_fn: Callable[[Any], tuple[list[Any], Any]]
    unflatten_fn: Callable[[Iterable[Any], Any], Any]
    flatten_with_keys_fn: Callable[[Any], tuple[list[tuple[Any, Any]], Any]] | None = None
    serialized_type_name: str | None = None
    to_dumpable_context: Callable[[Any], Any] | None = None
    from_dumpable_context: Callable[[Any], Any] | None = None


#: Type -> NodeDef. Named tuples stand under ``namedtuple``.
SUPPORTED_NODES: dict[Any, NodeDef] = {}


def is_namedtuple(obj: Any) -> bool:
    """Whether it is a named tuple or a class of such."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def is_namedtuple_class(cls: type) -> bool:
    """Whether it is a class of named tuples."""
    fields = getattr(cls, "_fields", None)
    return (
        isinstance(cls, type)
        and issubclass(cls, tuple)
        and isinstance(fields, tuple)
        and all(type(field) is str for field in fields)
        and callable(getattr(cls, "_make", None))
        and callable(getattr(cls, "_asdict", None))
    )


def is_namedtuple_instance(obj: Any) -> bool:
    """Whether it is a named tuple."""
    return is_namedtuple_class(type(obj))


def is_structseq_class(cls: type) -> bool:
    """Whether it is a class of C's named sequences, such as ``time.struct_time``."""
    counts = ("n_fields", "n_sequence_fields", "n_unnamed_fields")
    return isinstance(cls, type) and cls.__bases__ == (tuple,) and all(isinstance(getattr(cls, name, None), int) for name in counts)


def is_structseq_instance(obj: Any) -> bool:
    """Whether it is one of C's named sequences."""
    return is_structseq_class(type(obj))


def is_structseq(obj: Any) -> bool:
    """Whether it is one of C's named sequences or a class of such."""
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


def node_type(tree: Any) -> Any:
    """Under what a container stands in the table: its type, and ``namedtuple`` for named tuples that have no entry of their own."""
    kind = type(tree)
    return namedtuple if kind not in SUPPORTED_NODES and is_namedtuple_class(kind) else kind


def _items(values: Any) -> tuple[list[Any], None]:
    return list(values), None


def _numbered(values: Any) -> tuple[list[tuple[Any, Any]], Any]:
    children, context = SUPPORTED_NODES[type(values)].flatten_fn(values)
    return [(SequenceKey(number), value) for number, value in enumerate(children)], context


def _keyed(mapping: Any) -> tuple[list[tuple[Any, Any]], Any]:
    children, context = SUPPORTED_NODES[type(mapping)].flatten_fn(mapping)
    return [(MappingKey(key), value) for key, value in zip(mapping, children, strict=True)], context


def _add(kind: Any, flatten: Callable, unflatten: Callable, with_keys: Callable, name: str, to: Any = None, back: Any = None) -> None:
    SUPPORTED_NODES[kind] = NodeDef(kind, flatten, unflatten, with_keys, name, to, back)


def _named(values: Any) -> tuple[list[tuple[Any, Any]], Any]:
    return [(GetAttrKey(field), value) for field, value in zip(values._fields, values, strict=True)], type(values)


_add(tuple, _items, lambda values, _: tuple(values), _numbered, "builtins.tuple")
_add(list, _items, lambda values, _: list(values), _numbered, "builtins.list")
_add(
    dict,
    lambda d: (list(d.values()), list(d)),
    lambda values, keys: dict(zip(keys, values, strict=True)),
    _keyed,
    "builtins.dict",
)
_add(namedtuple, lambda values: (list(values), type(values)), lambda values, kind: kind(*values), _named, "collections.namedtuple")
_add(
    OrderedDict,
    lambda d: (list(d.values()), list(d)),
    lambda values, keys: OrderedDict(zip(keys, values, strict=True)),
    _keyed,
    "collections.OrderedDict",
)
_add(
    defaultdict,
    lambda d: (list(d.values()), [d.default_factory, list(d)]),
    lambda values, context: defaultdict(context[0], zip(context[1], values, strict=True)),
    _keyed,
    "collections.defaultdict",
)
_add(deque, lambda d: (list(d), d.maxlen), lambda values, length: deque(values, maxlen=length), _numbered, "collections.deque")
BUILTIN_TYPES = frozenset(SUPPORTED_NODES)
STANDARD_DICT_TYPES = frozenset((dict, OrderedDict, defaultdict))


def add_sequence(kind: Any) -> None:
    """Let one of torch's own sequences be looked into: what an operation with several results returns, or a size, which becomes a tuple."""
    make = kind._make if is_namedtuple_class(kind) else tuple
    _add(kind, _items, lambda values, _: make(values), _numbered, f"torch.{kind.__qualname__}")


def register_pytree_node(
    cls: type,
    flatten_fn: Callable[[Any], tuple[list[Any], Any]],
    unflatten_fn: Callable[[Iterable[Any], Any], Any],
    *,
    serialized_type_name: str | None = None,
    to_dumpable_context: Callable[[Any], Any] | None = None,
    from_dumpable_context: Callable[[Any], Any] | None = None,
    flatten_with_keys_fn: Callable[[Any], tuple[list[tuple[Any, Any]], Any]] | None = None,
) -> None:
    """Let objects of a class be looked into; see :class:`NodeDef` for the functions.

    Raises:
      ValueError: the class has been registered, or one of the two functions of its context is missing.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    if (to_dumpable_context is None) ^ (from_dumpable_context is None):
        raise ValueError(f"Both to_dumpable_context and from_dumpable_context for {cls} must be None or registered.")
    SUPPORTED_NODES[cls] = NodeDef(
        cls, flatten_fn, unflatten_fn, flatten_with_keys_fn, serialized_type_name, to_dumpable_context, from_dumpable_context
    )


def register_dataclass(
    cls: type, *, field_names: list[str] | None = None, drop_field_names: list[str] | None = None, serialized_type_name: str | None = None
) -> None:
    """Let objects of a dataclass be looked into: all fields are children, in order; those that are None are left out.

    Raises:
      ValueError: the class has been registered, or it is no dataclass and no fields are named.
    """
    if field_names is None:
        if not dataclasses.is_dataclass(cls):
            raise ValueError(f"field_names must be specified with a list of all fields used to initialize {cls}, as it is not a dataclass.")
        dropped = set(drop_field_names or ())
        field_names = [field.name for field in dataclasses.fields(cls) if field.init and field.name not in dropped]
    names = list(field_names)

    def flatten(obj: Any) -> tuple[list[Any], Any]:
        kept = [name for name in names if getattr(obj, name) is not None]
        return [getattr(obj, name) for name in kept], [kept, [name for name in names if name not in kept]]

    def with_keys(obj: Any) -> tuple[list[tuple[Any, Any]], Any]:
        children, context = flatten(obj)
        return [(GetAttrKey(name), child) for name, child in zip(context[0], children, strict=True)], context

    def unflatten(values: Iterable[Any], context: Any) -> Any:
        return cls(**dict(zip(context[0], values, strict=True)), **dict.fromkeys(context[1]))

    register_pytree_node(cls, flatten, unflatten, serialized_type_name=serialized_type_name, flatten_with_keys_fn=with_keys)


class _Constant(NamedTuple):
    value: Any


def register_constant(cls: type) -> None:
    """Let objects of a class be nodes without leaves: the object is part of the structure, and must be hashable and comparable.

    Raises:
      TypeError: the class compares by identity.
    """
    if cls.__eq__ is object.__eq__:
        raise TypeError("register_constant(cls) expects `cls` to have a non-default `__eq__` implementation.")
    register_pytree_node(
        cls, lambda obj: ([], _Constant(obj)), lambda _, context: context.value, flatten_with_keys_fn=lambda obj: ([], _Constant(obj))
    )
    _constants.add(cls)


_constants: set[type] = set()


def is_constant_class(cls: type) -> bool:
    """Whether it is a class of :func:`register_constant`."""
    return isinstance(cls, type) and cls in _constants
