"""torch.utils._pytree: functions over nested containers, which libraries built on torch use.

Unlike JAX's trees, dicts keep their order, None is a leaf, and named tuples need no registration.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from funnn.engine.types.dtype import Size
from funnn.torch import return_types
from funnn.torch.utils._pytree_nodes import BUILTIN_TYPES as BUILTIN_TYPES
from funnn.torch.utils._pytree_nodes import STANDARD_DICT_TYPES as STANDARD_DICT_TYPES
from funnn.torch.utils._pytree_nodes import SUPPORTED_NODES as SUPPORTED_NODES
from funnn.torch.utils._pytree_nodes import GetAttrKey as GetAttrKey
from funnn.torch.utils._pytree_nodes import MappingKey as MappingKey
from funnn.torch.utils._pytree_nodes import NodeDef as NodeDef
from funnn.torch.utils._pytree_nodes import SequenceKey as SequenceKey
from funnn.torch.utils._pytree_nodes import add_sequence
from funnn.torch.utils._pytree_nodes import is_constant_class as is_constant_class
from funnn.torch.utils._pytree_nodes import is_namedtuple as is_namedtuple
from funnn.torch.utils._pytree_nodes import is_namedtuple_class as is_namedtuple_class
from funnn.torch.utils._pytree_nodes import is_namedtuple_instance as is_namedtuple_instance
from funnn.torch.utils._pytree_nodes import is_structseq as is_structseq
from funnn.torch.utils._pytree_nodes import is_structseq_class as is_structseq_class
from funnn.torch.utils._pytree_nodes import is_structseq_instance as is_structseq_instance
from funnn.torch.utils._pytree_nodes import node_type as _get_node_type
from funnn.torch.utils._pytree_nodes import register_constant as register_constant
from funnn.torch.utils._pytree_nodes import register_dataclass as register_dataclass
from funnn.torch.utils._pytree_nodes import register_pytree_node as register_pytree_node

for _kind in (Size, *[kind for kind in vars(return_types).values() if isinstance(kind, type) and is_namedtuple_class(kind)]):
    add_sequence(_kind)
_register_pytree_node = _private_register_pytree_node = register_pytree_node
PyTree = Context = Any
KeyPath = tuple[Any, ...]
_Leafs = Callable[[Any], bool] | None
_PROTOCOL = 1


class TreeSpec:
    """The structure of a tree: the kind of its root, what the kind needs to put it together, and its children's structures."""

    __slots__ = ("_children", "_context", "_type", "num_children", "num_leaves", "num_nodes")

    def __init__(self, type: Any, context: Any, children_specs: Iterable[TreeSpec] = ()):
        self._type, self._context, self._children = type, context, list(children_specs)
        self.num_children = len(self._children)
        self.num_nodes = 1 + sum(child.num_nodes for child in self._children)
        self.num_leaves = sum(child.num_leaves for child in self._children) if type is not None else 1

    @property
    def type(self) -> Any:
        """The class of the container; None for a leaf."""
        return self._type

    @property
    def context(self) -> Any:
        """What the container holds beside its children, such as a dict's keys."""
        return self._context

    @property
    def children_specs(self) -> list[TreeSpec]:
        """The children's structures, under a name that torch has deprecated."""
        warnings.warn(
            "`treespec.children_specs` is deprecated. Use `treespec.child(index)` to access a single child, or `treespec.children()` to get all "
            "children.",
            FutureWarning,
            stacklevel=2,
        )
        return self._children

    def is_leaf(self) -> bool:
        """Whether it is the structure of a leaf."""
        return self.num_nodes == 1 and self.num_leaves == 1

    def children(self) -> list[TreeSpec]:
        """The children's structures."""
        return self._children.copy()

    def child(self, index: int) -> TreeSpec:
        """One child's structure."""
        return self._children[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeSpec):
            return NotImplemented
        return (self._type, self._context, self._children) == (other._type, other._context, other._children)

    def __hash__(self) -> int:
        context = tuple(self._context) if isinstance(self._context, list) and self._type in STANDARD_DICT_TYPES else None
        return hash((self._type, str(context), tuple(self._children)))

    def __repr__(self) -> str:
        return self._text(0)

    def _text(self, indent: int) -> str:
        if self._type is None:
            return "*"
        children = [child._text(indent + 2) for child in self._children]
        between = ",\n" + " " * (indent + 2)
        return f"TreeSpec({self._type.__name__}, {self._context}, [{between.join(children)}])"

    def unflatten(self, leaves: Iterable[Any]) -> PyTree:
        """The tree of this structure with the leaves.

        Raises:
          ValueError: there are too few or too many.
        """
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a pytree that holds {self.num_leaves} items "
                f"({self})."
            )
        return self._build(iter(leaves))

    def _build(self, leaves: Iterator[Any]) -> PyTree:
        if self._type is None:
            return next(leaves)
        return SUPPORTED_NODES[self._type].unflatten_fn([child._build(leaves) for child in self._children], self._context)

    def flatten_up_to(self, tree: PyTree) -> list[PyTree]:
        """What stands in ``tree`` where this structure has its leaves.

        Raises:
          ValueError: the tree is not of this structure down to there.
        """
        found: list[PyTree] = []
        self._match(tree, found)
        return found

    def _match(self, tree: PyTree, found: list[PyTree]) -> None:
        if self._type is None:
            found.append(tree)
            return
        kind = _get_node_type(tree)
        dicts = self._type in STANDARD_DICT_TYPES and kind in STANDARD_DICT_TYPES
        if kind != self._type and not dicts:
            raise ValueError(f"Node type mismatch; expected {self._type!r}, but got {kind!r}.")
        children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
        if len(children) != self.num_children and not dicts:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got {len(children)}.")
        if dicts:
            children = self._in_order(tree)
        elif context != self._context:
            if kind in BUILTIN_TYPES:
                raise ValueError(f"Node context mismatch; expected {self._context!r}, but got {context!r}.")
            raise ValueError(f"Node context mismatch for custom node type {self._type!r}.")
        for child, value in zip(self._children, children, strict=True):
            child._match(value, found)

    def _in_order(self, tree: Any) -> list[Any]:
        """A dict's values in the order of this structure's keys."""
        keys = self._context if self._type is not _DEFAULTDICT else self._context[1]
        missing, extra = set(keys) - set(tree), set(tree) - set(keys)
        if missing or extra:
            text = "".join([f"; missing key(s): {missing}"] * bool(missing) + [f"; extra key(s): {extra}"] * bool(extra))
            raise ValueError(f"Node keys mismatch{text}.")
        return [tree[key] for key in keys]


_DEFAULTDICT = next(kind for kind in STANDARD_DICT_TYPES if kind.__name__ == "defaultdict")
PyTreeSpec = TreeSpec


class LeafSpec(TreeSpec):
    """The structure of a leaf."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, None)


_LEAF = LeafSpec()


def treespec_leaf() -> LeafSpec:
    """The structure of a leaf."""
    return _LEAF


def treespec_tuple(iterable: Iterable[TreeSpec] = (), /) -> TreeSpec:
    """The structure of a tuple of trees of these structures."""
    return TreeSpec(tuple, None, iterable)


def treespec_dict(mapping: Any = (), /, **kwargs: TreeSpec) -> TreeSpec:
    """The structure of a dict of trees of these structures."""
    specs = dict(mapping, **kwargs)
    return TreeSpec(dict, list(specs), specs.values())


def tree_is_leaf(tree: PyTree, is_leaf: _Leafs = None) -> bool:
    """Whether nothing is looked into: it is no known container, or ``is_leaf`` says so."""
    return (is_leaf is not None and is_leaf(tree)) or _get_node_type(tree) not in SUPPORTED_NODES


def tree_flatten(tree: PyTree, is_leaf: _Leafs = None) -> tuple[list[Any], TreeSpec]:
    """The leaves from left to right, and the structure."""
    leaves: list[Any] = []
    return leaves, _flatten(tree, leaves, is_leaf)


def _flatten(tree: PyTree, leaves: list[Any], is_leaf: _Leafs) -> TreeSpec:
    if tree_is_leaf(tree, is_leaf):
        leaves.append(tree)
        return _LEAF
    kind = _get_node_type(tree)
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    return TreeSpec(kind, context, [_flatten(child, leaves, is_leaf) for child in children])


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> PyTree:
    """The tree of a structure with these leaves; the inverse of :func:`tree_flatten`.

    Raises:
      TypeError: it is no structure.
      ValueError: it has another number of leaves.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"Expected `treespec` to be an instance of PyTreeSpec but got item of type {type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_iter(tree: PyTree, is_leaf: _Leafs = None) -> Iterator[Any]:
    """The leaves, one after the other."""
    if tree_is_leaf(tree, is_leaf):
        yield tree
    else:
        for child in SUPPORTED_NODES[_get_node_type(tree)].flatten_fn(tree)[0]:
            yield from tree_iter(child, is_leaf)


def tree_leaves(tree: PyTree, is_leaf: _Leafs = None) -> list[Any]:
    """The leaves from left to right."""
    return list(tree_iter(tree, is_leaf))


def arg_tree_leaves(*args: PyTree, **kwargs: PyTree) -> list[Any]:
    """The leaves of a call's arguments."""
    return [leaf for argument in (*args, *kwargs.values()) for leaf in tree_iter(argument)]


def tree_structure(tree: PyTree, is_leaf: _Leafs = None) -> TreeSpec:
    """The structure."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: _Leafs = None) -> PyTree:
    """The tree of what ``func(leaf, …)`` gives for each leaf, and for what the other trees have at its place.

    Raises:
      ValueError: another tree has not this one's structure.
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    return spec.unflatten(list(map(func, leaves, *[spec.flatten_up_to(rest) for rest in rests])))


def tree_map_(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: _Leafs = None) -> PyTree:
    """Call ``func`` as :func:`tree_map` does; returns the tree itself."""
    leaves, spec = tree_flatten(tree, is_leaf)
    for each in zip(leaves, *[spec.flatten_up_to(rest) for rest in rests], strict=True):
        func(*each)
    return tree


def map_only(type_or_types_or_pred: Any, /) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """A decorator: the function is called for values of these types, or of which the function given says so; others stay.

    Raises:
      TypeError: it is neither a type, nor a tuple of types, nor a function.
    """
    chosen = type_or_types_or_pred
    if not callable(chosen) and not isinstance(chosen, tuple) and not hasattr(chosen, "__args__"):
        raise TypeError("Argument must be a type, a tuple of types, or a callable.")
    is_function = callable(chosen) and not isinstance(chosen, type) and not hasattr(chosen, "__args__")
    applies = chosen if is_function else lambda value: isinstance(value, chosen)
    return lambda func: lambda value: func(value) if applies(value) else value


def tree_map_only(type_or_types_or_pred: Any, /, func: Callable[[Any], Any], tree: PyTree, is_leaf: _Leafs = None) -> PyTree:
    """:func:`tree_map` with leaves of these types; others stay."""
    return tree_map(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_map_only_(type_or_types_or_pred: Any, /, func: Callable[[Any], Any], tree: PyTree, is_leaf: _Leafs = None) -> PyTree:
    """:func:`tree_map_` with leaves of these types."""
    return tree_map_(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: PyTree, is_leaf: _Leafs = None) -> bool:
    """Whether ``pred`` holds of all leaves."""
    return all(map(pred, tree_iter(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: PyTree, is_leaf: _Leafs = None) -> bool:
    """Whether ``pred`` holds of a leaf."""
    return any(map(pred, tree_iter(tree, is_leaf)))


def tree_all_only(type_or_types: Any, /, pred: Callable[[Any], bool], tree: PyTree, is_leaf: _Leafs = None) -> bool:
    """Whether ``pred`` holds of all leaves of these types."""
    return all(pred(leaf) for leaf in tree_iter(tree, is_leaf) if isinstance(leaf, type_or_types))


def tree_any_only(type_or_types: Any, /, pred: Callable[[Any], bool], tree: PyTree, is_leaf: _Leafs = None) -> bool:
    """Whether ``pred`` holds of a leaf of these types."""
    return any(pred(leaf) for leaf in tree_iter(tree, is_leaf) if isinstance(leaf, type_or_types))


def _broadcast_to_and_flatten(tree: PyTree, treespec: TreeSpec, is_leaf: _Leafs = None) -> list[Any] | None:
    """The leaves of ``tree`` where it is a beginning of the structure, each as often as the structure has leaves below it; else None."""
    if tree_is_leaf(tree, is_leaf):
        return [tree] * treespec.num_leaves
    kind = _get_node_type(tree)
    if treespec.is_leaf() or kind != treespec.type:
        return None
    children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
    if len(children) != treespec.num_children or context != treespec.context:
        return None
    parts = [_broadcast_to_and_flatten(child, spec, is_leaf) for child, spec in zip(children, treespec.children(), strict=True)]
    return None if any(part is None for part in parts) else [leaf for part in parts for leaf in part]


# -- paths


def tree_flatten_with_path(tree: PyTree, is_leaf: _Leafs = None) -> tuple[list[tuple[KeyPath, Any]], TreeSpec]:
    """The leaves with the keys that lead to them, and the structure.

    Raises:
      ValueError: a container has been registered without a function that names its keys.
    """
    return list(_with_paths((), tree, is_leaf)), tree_structure(tree, is_leaf)


def _with_paths(path: KeyPath, tree: PyTree, is_leaf: _Leafs) -> Iterator[tuple[KeyPath, Any]]:
    if tree_is_leaf(tree, is_leaf):
        yield path, tree
        return
    node = SUPPORTED_NODES[_get_node_type(tree)]
    if node.flatten_with_keys_fn is None:
        raise ValueError(
            f"Did not find a flatten_with_keys_fn for type: {node.type}. Please pass a flatten_with_keys_fn argument to register_pytree_node."
        )
    for key, child in node.flatten_with_keys_fn(tree)[0]:
        yield from _with_paths((*path, key), child, is_leaf)


def tree_leaves_with_path(tree: PyTree, is_leaf: _Leafs = None) -> list[tuple[KeyPath, Any]]:
    """The leaves with the keys that lead to them."""
    return list(_with_paths((), tree, is_leaf))


def tree_map_with_path(func: Callable[..., Any], tree: PyTree, *rests: PyTree, is_leaf: _Leafs = None) -> PyTree:
    """:func:`tree_map` with the path as the first argument of the function."""
    found, spec = tree_flatten_with_path(tree, is_leaf)
    paths, leaves = [path for path, _ in found], [leaf for _, leaf in found]
    return spec.unflatten(list(map(func, paths, leaves, *[spec.flatten_up_to(rest) for rest in rests])))


def keystr(kp: KeyPath) -> str:
    """A path as Python writes it: ``['a'][0].b``."""
    return "".join(map(str, kp))


def key_get(obj: Any, kp: KeyPath) -> Any:
    """What a path leads to."""
    for key in kp:
        obj = key.get(obj)
    return obj


# -- texts

#: Named tuples that structures with them can be written of -> their names in it.
_named: dict[type, str] = {}


def _register_namedtuple(cls: type, *, serialized_type_name: str) -> None:
    """Give a class of named tuples a name in texts of structures."""
    _named[cls] = serialized_type_name


def treespec_pprint(treespec: TreeSpec) -> str:
    """The structure as the tree itself is printed, with * for leaves."""

    class Star:
        def __repr__(self) -> str:
            return "*"

    return repr(treespec.unflatten([Star()] * treespec.num_leaves))


def treespec_dumps(treespec: TreeSpec, protocol: int | None = None) -> str:
    """The structure as JSON.

    Raises:
      NotImplementedError: a class in it has been registered without ``serialized_type_name``.
      TypeError: it is no structure.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(
            f"treespec_dumps(treespec, protocol): Expected `treespec` to be instance of TreeSpec but got item of type {type(treespec)}."
        )
    if protocol not in (None, _PROTOCOL):
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: {[_PROTOCOL]}")
    return json.dumps([_PROTOCOL, _to_json(treespec)])


def _to_json(spec: TreeSpec) -> dict[str, Any]:
    if spec.type is None:
        return {"type": None, "context": None, "children_spec": []}
    node = SUPPORTED_NODES[spec.type]
    if node.serialized_type_name is None:
        raise NotImplementedError(
            f"No registered serialization name for {spec.type} found. Please update your _register_pytree_node call with a `serialized_type_name` kwarg."
        )
    context = spec.context
    if spec.type is namedtuple:
        if context not in _named:
            raise NotImplementedError(
                f"Can't serialize TreeSpec of namedtuple class {context} because we didn't register a serializated_type_name. Please register using "
                "`_register_namedtuple`."
            )
        context = _named[context]
    elif spec.type is _DEFAULTDICT:
        factory = context[0]
        context = {"default_factory_module": factory.__module__, "default_factory_name": factory.__qualname__, "dict_context": context[1]}
    if node.to_dumpable_context is not None:
        context = node.to_dumpable_context(context)
    return {
        "type": node.serialized_type_name,
        "context": context if node.to_dumpable_context is not None and isinstance(context, str) else json.dumps(context),
        "children_spec": [_to_json(child) for child in spec.children()],
    }


def treespec_loads(serialized: str) -> TreeSpec:
    """The structure from what :func:`treespec_dumps` wrote.

    Raises:
      ValueError: another version wrote it.
      NotImplementedError: a class in it is not registered here.
    """
    protocol, content = json.loads(serialized)
    if protocol != _PROTOCOL:
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: {[_PROTOCOL]}")
    return _from_json(content)


def _from_json(content: dict[str, Any]) -> TreeSpec:
    name, text = content["type"], content["context"]
    if name is None:
        return _LEAF
    node = next((each for each in SUPPORTED_NODES.values() if each.serialized_type_name == name), None)
    if node is None:
        raise NotImplementedError(f"Deserializing {name} in pytree is not registered.")
    if node.from_dumpable_context is not None:
        try:
            context = node.from_dumpable_context(json.loads(text))
        except (TypeError, ValueError):
            context = node.from_dumpable_context(text)
    else:
        context = json.loads(text)
    if node.type is namedtuple:
        context = next((kind for kind, name in _named.items() if name == context), None)
        if context is None:
            raise NotImplementedError(f"Can't deserialize TreeSpec of namedtuple class {json.loads(text)}: it is not registered.")
    elif node.type is _DEFAULTDICT:
        factory = getattr(importlib.import_module(context["default_factory_module"]), context["default_factory_name"])
        context = [factory, context["dict_context"]]
    return TreeSpec(node.type, context, [_from_json(child) for child in content["children_spec"]])


# the functions of the table, under the names by which libraries know them
_tuple_flatten, _tuple_unflatten, _tuple_flatten_with_keys = SUPPORTED_NODES[tuple][1:4]
_list_flatten, _list_unflatten, _list_flatten_with_keys = SUPPORTED_NODES[list][1:4]
_dict_flatten, _dict_unflatten, _dict_flatten_with_keys = SUPPORTED_NODES[dict][1:4]
_namedtuple_flatten, _namedtuple_unflatten, _namedtuple_flatten_with_keys = SUPPORTED_NODES[namedtuple][1:4]
_ordereddict_flatten, _ordereddict_unflatten, _ordereddict_flatten_with_keys = SUPPORTED_NODES[OrderedDict][1:4]
_defaultdict_flatten, _defaultdict_unflatten, _defaultdict_flatten_with_keys = SUPPORTED_NODES[defaultdict][1:4]
_deque_flatten, _deque_unflatten, _deque_flatten_with_keys = SUPPORTED_NODES[deque][1:4]
