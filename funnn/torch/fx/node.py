"""torch.fx.Node: one operation of a graph, and the walks over its arguments."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.device import device
from funnn.engine.types.dtype import dtype
from funnn.engine.types.layout import layout, memory_format
from funnn.torch.fx._names import qualified_name, type_text
from funnn.torch.fx.immutable_collections import immutable_dict, immutable_list
from funnn.torch.overrides import _assert

if TYPE_CHECKING:
    from funnn.torch.fx.graph import Graph

__all__ = ["Node", "has_side_effect", "map_aggregate", "map_arg"]

Target = Callable[..., Any] | str  # for annotations that programs write
Argument = Any

OPS = ("call_function", "call_method", "get_attr", "call_module", "placeholder", "output")
#: The types of arguments beside nodes and what holds them.
base_types = (str, int, float, bool, complex, dtype, Tensor, device, memory_format, layout, range)
#: Functions that are called for what they do, so that nodes of them stay where nobody uses the result.
_side_effectful_functions: set[Callable] = {operator.setitem, _assert}
_RANDOM = (
    "rand",
    "randn",
    "randint",
    "randperm",
    "rand_like",
    "randn_like",
    "randint_like",
    "normal",
    "poisson",
    "bernoulli",
    "multinomial",
)


def has_side_effect(fn: Callable) -> Callable:
    """Let ``eliminate_dead_code`` leave calls of a function where they are."""
    _side_effectful_functions.add(fn)
    return fn


def map_aggregate(a: Any, fn: Callable[[Any], Any]) -> Any:
    """``a`` with ``fn`` of all that its tuples, lists, dicts and slices hold; the new lists and dicts are immutable."""
    if isinstance(a, tuple):
        items = [map_aggregate(item, fn) for item in a]
        return type(a)(*items) if hasattr(a, "_fields") else tuple(items)
    if isinstance(a, list):
        return immutable_list([map_aggregate(item, fn) for item in a])
    if isinstance(a, dict):
        return immutable_dict({name: map_aggregate(item, fn) for name, item in a.items()})
    if isinstance(a, slice):
        return slice(map_aggregate(a.start, fn), map_aggregate(a.stop, fn), map_aggregate(a.step, fn))
    return fn(a)


def map_arg(a: Any, fn: Callable[[Node], Any]) -> Any:
    """``a`` with ``fn`` of all nodes in it."""
    if not callable(fn):
        raise AssertionError("torch.fx.map_arg(a, fn): fn must be a callable")
    return map_aggregate(a, lambda item: fn(item) if isinstance(item, Node) else item)


def _text(value: Any) -> str:
    """An argument as the text of a graph has it."""
    if hasattr(value, "_custom_fx_repr_fn"):
        return value._custom_fx_repr_fn()
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(_text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_text(item)}' for name, item in value.items())}}}"
    return f"%{value}" if isinstance(value, Node) else str(value)


class Node:
    """One operation of a graph, or an input, or the output.

    What ``target``, ``args`` and ``kwargs`` are depends on ``op``: of a ``placeholder``, the argument's name and ``args`` its default, if any; of ``get_attr``,
    the path of a parameter, buffer or module; of ``call_function``, the function and its arguments; of ``call_module``, the path of a module and the
    arguments; of ``call_method``, the method's name and the arguments, ``self`` first; of ``output``, ``"output"``, and ``args[0]`` is what is returned.

    Attributes:
      name: the name of the value, which no other node of the graph has.
      users: the nodes that use the value, as the keys of a dict.
      type: how the value is annotated, or None.
      meta: whatever passes want to know of it; copies of the node have the same.

    Raises:
      ValueError: the target is not callable (of ``call_function``), or not a string (of the others).
    """

    def __init__(self, graph: Graph, name: str, op: str, target: Any, args: tuple, kwargs: dict[str, Any], return_type: Any = None) -> None:
        _check_target(op, target, f"Node [graph = {graph}, name = '{name}']" if op != "root" else "")
        self.graph, self.name, self.op, self.target, self.type = graph, name, op, target, return_type
        self.users: dict[Node, None] = {}
        self.meta: dict[str, Any] = {}
        self._repr_fn: Callable[[Node], str] | None = None
        self._erased = False
        self._prev = self._next = self
        self._input_nodes: dict[Node, None] = {}
        self._update(args, kwargs)

    # -- its place

    @property
    def next(self) -> Node:
        """The node behind it in the graph's order."""
        return self._next

    @property
    def prev(self) -> Node:
        """The node before it in the graph's order."""
        return self._prev

    def prepend(self, x: Node) -> None:
        """Put a node of the same graph before this one."""
        if self.graph is not x.graph:
            raise AssertionError("Attempting to move a Node into a different Graph")
        if self is x:
            return
        x._unlink()
        before = self._prev
        before._next, x._prev = x, before
        x._next, self._prev = self, x

    def append(self, x: Node) -> None:
        """Put a node of the same graph behind this one."""
        self._next.prepend(x)

    def _unlink(self) -> None:
        self._prev._next, self._next._prev = self._next, self._prev

    def __lt__(self, other: Any) -> bool:
        """Whether it comes before another node of its graph."""
        if not isinstance(other, Node):
            return NotImplemented
        return self is not other and next(node for node in self.graph.nodes if node is self or node is other) is self

    # -- its arguments

    def _update(self, args: Any, kwargs: Any) -> None:
        for node in self._input_nodes:
            node.users.pop(self, None)
        self._input_nodes = {}

        def note(node: Node) -> Node:
            self._input_nodes[node] = None
            node.users[self] = None
            return node

        self._args: tuple = map_arg(tuple(args), note)
        self._kwargs: dict[str, Any] = map_arg(dict(kwargs), note)

    @property
    def args(self) -> tuple:
        """The positional arguments; assigning others changes the users of the nodes in them."""
        return self._args

    @args.setter
    def args(self, value: tuple) -> None:
        self._update(value, self._kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The arguments by name; assigning others changes the users of the nodes in them."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, value: dict[str, Any]) -> None:
        self._update(self._args, value)

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes in its arguments, each once."""
        return list(self._input_nodes)

    def update_arg(self, idx: int, arg: Any) -> None:
        """Replace a positional argument."""
        self.args = (*self.args[:idx], arg, *self.args[idx + 1 :])

    def insert_arg(self, idx: int, arg: Any) -> None:
        """Put a positional argument before that at ``idx``."""
        if not 0 <= idx <= len(self.args):
            raise AssertionError(f"insert_args index must be between 0 and len(self.args), got {idx}")
        self.args = (*self.args[:idx], arg, *self.args[idx:])

    def update_kwarg(self, key: str, arg: Any) -> None:
        """Replace or add an argument by name."""
        self.kwargs = {**self.kwargs, key: arg}

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Put one node in the place of another in the arguments."""
        for hook in getattr(self.graph.owning_module, "_replace_hooks", None) or ():
            hook(old=old_input, new=new_input.name, user=self)
        self._update(*map_arg((self._args, self._kwargs), lambda node: new_input if node is old_input else node))

    _replace_input_with = replace_input_with

    def replace_all_uses_with(
        self, replace_with: Node, delete_user_cb: Callable[[Node], bool] | None = None, *, propagate_meta: bool = False
    ) -> list[Node]:
        """Let all users use another node.

        Args:
          delete_user_cb: says of a user whether it is to be changed; by default all are.
          propagate_meta: also give the other node, which must have none, this one's ``meta``.

        Returns:
          the users that were changed.
        """
        if propagate_meta:
            if replace_with.meta:
                raise AssertionError(
                    "Called node.replace_all_uses_with(replace_with, propagate_meta=True), but replace_with already has .meta keys"
                )
            replace_with.meta.update(self.meta)
        changed = [user for user in self.users if delete_user_cb is None or delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    # -- what is known of it

    @property
    def stack_trace(self) -> str | None:
        """Where the program recorded it, if the tracer was to say that (``record_stack_traces``)."""
        return self.meta.get("stack_trace")

    @stack_trace.setter
    def stack_trace(self, trace: str | None) -> None:
        self.meta["stack_trace"] = trace

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether it must stay where nobody uses its value: inputs, the output, and functions that are called for what they do or draw random numbers."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_module":
            if self.graph.owning_module is None:
                raise AssertionError("self.graph.owning_module not set for purity check")
            return getattr(self.graph.owning_module.get_submodule(self.target), "_is_impure", False)
        if self.op != "call_function":
            return False
        return self.target in _side_effectful_functions or any(self.target is FUNCTIONS.get(name) for name in _RANDOM)

    # -- text

    def __repr__(self) -> str:
        return self._repr_fn(self) if self._repr_fn is not None else self.name

    @staticmethod
    def _pretty_print_target(target: Any) -> str:
        """A target as the text of a graph has it."""
        if isinstance(target, str):
            return target
        name = qualified_name(target)
        if getattr(target, "__module__", None) == "builtins":
            return f"builtins.{target.__name__}"
        return f"operator.{target.__name__}" if name.startswith("_operator.") else name

    def format_node(
        self,
        placeholder_names: list[str] | None = None,
        maybe_return_typename: list[str] | None = None,
        *,
        include_tensor_metadata: bool = False,
    ) -> str | None:
        """The node as a line of text.

        Args:
          placeholder_names: a list with names, to which the text of a placeholder is added instead; then None is returned.
          maybe_return_typename: a list of one item, which is replaced by the annotation of an output.
          include_tensor_metadata: write dtype and sizes where ``meta`` has a tensor.
        """
        kind = f"{type_text(self.type)} " if self.type else ""
        head = f"%{self.name} : {kind}[num_users={len(self.users)}] = {self.op}[target={self._pretty_print_target(self.target)}]"
        if self.op == "placeholder":
            if placeholder_names:
                placeholder_names.append(f"{self.target}: {kind}".strip() if kind else self.target)
                return None
            return f"{head}(default={self.args[0]})" if self.args else head
        if self.op == "get_attr":
            return head
        if self.op == "output":
            if self.type and maybe_return_typename:
                maybe_return_typename[0] = f" -> {type_text(self.type)}"
            return f"return {self.args[0]}"
        value = self.meta.get("val", self.meta.get("tensor_meta", self.meta.get("example_value")))
        if include_tensor_metadata and isinstance(value, Tensor):
            head = head.replace(f" : {kind}[", f' : Tensor "{short_tensor_text(value)}{list(value.stride())}{value.device}"[', 1)
        return f"{head}(args = {_text(self.args)}, kwargs = {_text(self.kwargs)})"

    def _rename(self, candidate: str) -> None:
        """Give it another name, or one like it that nobody has."""
        if candidate != self.name:
            self.name = self.graph._graph_namespace.create_name(candidate, None)
            self.graph._graph_namespace.rename(self, self.name)


def _check_target(op: str, target: Any, what: str) -> None:
    kind = f"{type(target).__module__}.{type(target).__name__}".removeprefix("builtins.")
    if op == "call_function":
        if not callable(target):
            raise ValueError(f"{what} target {target} has type {kind} but a Callable is expected")
    elif op not in (*OPS, "root"):
        raise AssertionError(f"op '{op}' is not in _legal_ops")
    elif not isinstance(target, str):
        raise ValueError(f"{what} target {target} has type {kind} but a str is expected")


_SHORT = {"bfloat16": "bf16", "bool": "b8", "complex64": "c64", "complex128": "c128", "uint8": "u8"}


def short_tensor_text(value: Any) -> str:
    """Type and sizes of a tensor, or of what is known of it, as ``f32[2, 3]``."""
    name = str(value.dtype).removeprefix("torch.")
    short = _SHORT.get(name) or name.replace("float", "f").replace("uint", "u").replace("int", "i")
    return f"{short}[{', '.join(map(str, value.shape))}]"
