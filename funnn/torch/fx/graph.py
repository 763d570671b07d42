"""torch.fx.Graph: a list of nodes, which is a function as data."""

from __future__ import annotations

import contextlib
import copy
import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from funnn.torch.fx._codegen import CodeGen as CodeGen
from funnn.torch.fx._codegen import PythonCode as PythonCode
from funnn.torch.fx._codegen import PyTreeCodeGen as _PyTreeCodeGen  # noqa: F401 (torch's name)
from funnn.torch.fx._codegen import PyTreeInfo as _PyTreeInfo  # noqa: F401 (torch's name)
from funnn.torch.fx._codegen import inplace_methods as inplace_methods
from funnn.torch.fx._codegen import magic_methods as magic_methods
from funnn.torch.fx._codegen import reflectable_magic_methods as reflectable_magic_methods
from funnn.torch.fx._names import Namespace, name_of_target, resolve, torch_name
from funnn.torch.fx.immutable_collections import immutable_dict
from funnn.torch.fx.node import OPS, Node, _check_target, map_aggregate, map_arg
from funnn.torch.nn.modules.module import Module

if TYPE_CHECKING:
    from funnn.torch.fx.graph_module import GraphModule

__all__ = ["CodeGen", "Graph", "PythonCode"]

_Namespace = Namespace  # torch's name of it


class _NodeList:
    """The nodes of a graph in order; those that are added or erased meanwhile are seen."""

    def __init__(self, graph: Graph):
        self.graph = graph

    def __len__(self) -> int:
        return self.graph._len

    def __iter__(self) -> Iterator[Node]:
        return self._walk("_next")

    def __reversed__(self) -> Iterator[Node]:
        return self._walk("_prev")

    def _walk(self, direction: str) -> Iterator[Node]:
        root = self.graph._root
        node = getattr(root, direction)
        while node is not root:
            if not node._erased:
                yield node
            node = getattr(node, direction)


class Graph:
    """A function as a list of :class:`Node`: its inputs, what is called with them, and the output.

    New nodes go to the end, or to the place that :meth:`inserting_before` and :meth:`inserting_after` say.

    Args:
      owning_module: the module that the graph is of.
      tracer_cls: the class of the tracer that made it.
      tracer_extras: kept beside it.
    """

    def __init__(self, owning_module: Any = None, tracer_cls: type | None = None, tracer_extras: dict[str, Any] | None = None):
        self._root = Node(self, "", "root", "", (), {})
        self._insert = self._root.prepend
        self._len = 0
        self._graph_namespace = Namespace()
        self.owning_module: GraphModule | None = owning_module
        self._tracer_cls, self._tracer_extras = tracer_cls, tracer_extras
        self._codegen = CodeGen()
        self._co_fields: dict[str, Any] = {}

    # -- reading

    @property
    def nodes(self) -> _NodeList:
        """The nodes in order; ``reversed`` and ``len`` work too."""
        return _NodeList(self)

    def output_node(self) -> Node:
        """The last node, which is the output."""
        node = self._root.prev
        if node.op != "output":
            raise AssertionError(f"Expected output node, got op={node.op}")
        return node

    def find_nodes(self, *, op: str, target: Any = None, sort: bool = True) -> list[Node]:
        """The nodes of a kind, in order; of ``call_function`` those of a target, of others all where no target is given."""
        if op == "call_function" and target is None:
            raise AssertionError("target must not be None for call_function op")
        return [node for node in self.nodes if node.op == op and (target is None or node.target == target)]

    # -- making nodes

    def create_node(
        self,
        op: str,
        target: Any,
        args: tuple | None = None,
        kwargs: dict[str, Any] | None = None,
        name: str | None = None,
        type_expr: Any = None,
    ) -> Node:
        """A new node.

        Args:
          op: one of ``placeholder``, ``get_attr``, ``call_function``, ``call_module``, ``call_method``, ``output``.
          name: what to name the value after; by default the target.
          type_expr: the annotation of the value.
        """
        args, kwargs = args or (), kwargs or immutable_dict()
        if not isinstance(args, tuple):
            raise AssertionError(f"args must be a tuple, got {type(args)}")
        if not isinstance(kwargs, dict):
            raise AssertionError(f"kwargs must be a dict, got {type(kwargs)}")
        if name is None:
            name = name_of_target(target)
        node = Node(self, self._graph_namespace.create_name(name, None), op, target, args, kwargs, type_expr)
        for hook in getattr(self.owning_module, "_create_node_hooks", None) or ():
            hook(node)
        self._graph_namespace.associate(node.name, node)
        self._insert(node)
        self._len += 1
        return node

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = inspect.Signature.empty) -> Node:
        """An input; ``*args`` and ``**kwargs`` are names too."""
        return self.create_node(
            "placeholder", name, () if default_value is inspect.Signature.empty else (default_value,), type_expr=type_expr
        )

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """A parameter, buffer or module of the owning module, by its path."""
        if self.owning_module is not None and not _has_member(self.owning_module, qualified_name):
            warnings.warn(
                "Attempted to insert a get_attr Node with no underlying reference in the owning GraphModule! Call GraphModule.add_submodule to add the "
                "necessary submodule, GraphModule.add_parameter to add the necessary Parameter, or nn.Module.register_buffer to add the necessary buffer",
                stacklevel=2,
            )
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(self, module_name: str, args: tuple | None = None, kwargs: dict[str, Any] | None = None, type_expr: Any = None) -> Node:
        """A call of a module within the owning module, by its path."""
        if self.owning_module is not None:
            self.owning_module.get_submodule(module_name)
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(self, method_name: str, args: tuple | None = None, kwargs: dict[str, Any] | None = None, type_expr: Any = None) -> Node:
        """A call of a method of ``args[0]``."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(
        self,
        the_function: Callable,
        args: tuple | None = None,
        kwargs: dict[str, Any] | None = None,
        type_expr: Any = None,
        name: str | None = None,
    ) -> Node:
        """A call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name=name, type_expr=type_expr)

    def output(self, result: Any, type_expr: Any = None) -> Node:
        """What the graph gives: a node, or nodes in tuples, lists and dicts."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def _target_to_str(self, target: Any) -> str:
        return name_of_target(target)

    # -- copying

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Any] = lambda node: node) -> Node:
        """A copy of a node, perhaps of another graph; ``arg_transform`` gives what its arguments are here."""
        args, kwargs = map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform)
        result = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        result.meta = copy.copy(node.meta)
        return result

    def graph_copy(self, g: Graph, val_map: dict[Node, Node], return_output_node: bool = False) -> Any:
        """Copy all nodes of another graph but those that ``val_map`` has already, and add what they became to it.

        Returns:
          what the other graph's output became, as an argument (and with ``return_output_node`` that node too); None where it has no output.
        """
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                result = map_arg(node.args[0], val_map.__getitem__)
                return (result, node) if return_output_node else result
            val_map[node] = self.node_copy(node, val_map.__getitem__)
        return None

    def __deepcopy__(self, memo: dict | None = None) -> Graph:
        made = Graph(tracer_cls=self._tracer_cls)
        values: dict[Node, Node] = {}
        found = made.graph_copy(self, values, return_output_node=True)
        if memo is not None:
            memo.update({id(node): new for node, new in values.items()})
        made._codegen = copy.deepcopy(self._codegen)
        made._co_fields = dict(self._co_fields)
        if found is not None:
            result, node = found
            made.output(result, type_expr=node.type).meta = copy.copy(node.meta)
        return made

    def __reduce__(self) -> tuple:
        numbers = {node: number for number, node in enumerate(self.nodes)}

        def encode(value: Any) -> Any:
            if isinstance(value, Node):
                return _Reference(numbers[value])
            name = torch_name(value) if callable(value) else None
            return _Reference(name) if name is not None and resolve(name) is value else value

        records = [
            (
                node.op,
                encode(node.target),
                map_aggregate(node.args, encode),
                map_aggregate(node.kwargs, encode),
                node.name,
                node.type,
                node.stack_trace,
            )
            for node in self.nodes
        ]
        tracer = self._tracer_cls if "<locals>" not in getattr(self._tracer_cls, "__qualname__", "") else None
        return _rebuild, (records, self._codegen, tracer, self._co_fields)

    # -- changing

    def inserting_before(self, n: Node | None = None) -> Any:
        """A context in which new nodes go before a node; by default before all."""
        return self._insert_point(n, before=True) if n is not None else self._insert_point(self._root, before=False)

    def inserting_after(self, n: Node | None = None) -> Any:
        """A context in which new nodes go behind a node; by default behind all."""
        return self._insert_point(n, before=False) if n is not None else self._insert_point(self._root, before=True)

    def _insert_point(self, node: Node, before: bool) -> Any:
        if node.graph is not self:
            raise AssertionError(f"Node to insert {'before' if before else 'after'} is not in graph.")
        return _InsertPoint(self, node.prepend if before else node.append)

    def erase_node(self, to_erase: Node) -> None:
        """Remove a node that nobody uses.

        Raises:
          RuntimeError: it is used, or is of another graph.
        """
        if to_erase.users:
            raise RuntimeError(
                f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: {to_erase.users}!"
            )
        if to_erase.graph is not self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            warnings.warn(f"erase_node({to_erase}) on an already erased node", stacklevel=2)
            return
        for hook in getattr(self.owning_module, "_erase_node_hooks", None) or ():
            hook(to_erase)
        to_erase._unlink()  # which itself keeps its neighbours, for walks that are there
        to_erase._erased = True
        self._len -= 1
        to_erase._update(*map_arg((to_erase.args, to_erase.kwargs), lambda node: None))

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Remove all nodes whose values nobody uses; whether there were any.

        Args:
          is_impure_node: says which nodes stay; by default inputs, the output, and calls for their effect (see ``Node.is_impure``).
        """
        self.lint()
        is_impure = is_impure_node or Node.is_impure
        changed = False
        for node in reversed(self.nodes):
            if not node.users and not is_impure(node):
                self.erase_node(node)
                changed = True
        return changed

    # -- checking

    def lint(self) -> None:
        """Check that the graph is well formed.

        Raises:
          RuntimeError: a value is used before it is made or is of another graph, a name comes twice, or a path leads nowhere.
        """
        names: set[str] = set()
        seen: set[Node] = set()
        for node in self.nodes:
            if node.op not in OPS:
                raise RuntimeError(f"Node {node} had unknown opcode {node.op}!")
            if node.graph is not self:
                raise RuntimeError(f"Node '{node}' does not belong to this Graph!")
            for argument in node._input_nodes:
                if argument.graph is not self:
                    raise RuntimeError(
                        f"Argument '{argument}' of Node '{node}' does not belong to this Graph, but was used as an argument! If you are copying nodes "
                        f"from another graph, make sure to use ``arg_transform`` on node_copy() to remap values\n{self}"
                    )
                if argument not in seen:
                    raise RuntimeError(
                        f"Argument '{argument}' of Node '{node}' was used before it has been defined! Please check that Nodes in the graph are "
                        f"topologically ordered\n{self}"
                    )
            seen.add(node)
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            names.add(node.name)
        if self.owning_module is not None:
            for node in self.nodes:
                _check_target(node.op, node.target, f"Node {node}")
                if node.op in ("get_attr", "call_module"):
                    _check_path(self.owning_module, node)

    # -- text

    def __str__(self) -> str:
        return "\n    ".join(["graph():", *(text for node in self.nodes if (text := node.format_node()))])

    def print_tabular(self) -> None:
        """Print the nodes as a table, which needs the package tabulate."""
        try:
            from tabulate import tabulate
        except ImportError:
            print(
                "`print_tabular` relies on the library `tabulate`, which could not be found on this machine. Run `pip install tabulate` to install the "
                "library."
            )
            raise
        rows = [[node.op, node.name, node.target, node.args, node.kwargs] for node in self.nodes]
        print(tabulate(rows, headers=["opcode", "name", "target", "args", "kwargs"]))

    def python_code(self, root_module: str, *, verbose: bool = False, **options: Any) -> PythonCode:
        """The graph as source.

        Args:
          root_module: what the code calls the module whose members it uses, usually ``"self"``.
          verbose: also write the line of the program that each node is from, and the sizes that are known.
        """
        return self._codegen._gen_python_code(self.nodes, root_module, Namespace(), verbose=verbose)

    def set_codegen(self, codegen: CodeGen) -> None:
        """Let another object write the code."""
        self._codegen = codegen

    def on_generate_code(self, make_transformer: Callable[[Any], Callable[[list[str]], list[str]]]) -> Any:
        """Let a function change the lines of code; ``make_transformer`` gets the one that did so before, or None.

        Returns:
          a context, at whose end the one before is back.
        """
        before = self._codegen._body_transformer
        self._codegen._body_transformer = make_transformer(before)
        stack = contextlib.ExitStack()
        stack.callback(setattr, self._codegen, "_body_transformer", before)
        return stack

    def process_inputs(self, *args: Any) -> Any:
        """The inputs of the graph, from those of the function."""
        return self._codegen.process_inputs(*args)

    def process_outputs(self, out: Any) -> Any:
        """What the function returns, from what the graph does."""
        return self._codegen.process_outputs(out)


@dataclass(frozen=True)
class _Reference:
    """Stands in a pickle for a node, by its number, or for a function of torch, by its name."""

    of: int | str


def _rebuild(records: list[tuple], codegen: CodeGen, tracer: type | None, co_fields: dict[str, Any]) -> Graph:
    """A graph from its pickle."""
    graph = Graph(tracer_cls=tracer)
    nodes: list[Node] = []

    def decode(value: Any) -> Any:
        if not isinstance(value, _Reference):
            return value
        return resolve(value.of) if isinstance(value.of, str) else nodes[value.of]

    for op, target, args, kwargs, name, kind, trace in records:
        nodes.append(graph.create_node(op, decode(target), map_aggregate(args, decode), map_aggregate(kwargs, decode), name, kind))
        if trace is not None:
            nodes[-1].stack_trace = trace
    graph._codegen, graph._co_fields = codegen, co_fields
    return graph


class _InsertPoint:
    """Where new nodes go, from now on until the block ends."""

    def __init__(self, graph: Graph, insert: Callable[[Node], None]):
        self.graph = graph
        self.before, graph._insert = graph._insert, insert

    def __enter__(self) -> None: ...

    def __exit__(self, *exc: Any) -> None:
        self.graph._insert = self.before


def _has_member(root: Module, path: str) -> bool:
    owner, _, name = path.rpartition(".")
    try:
        module = root.get_submodule(owner)
    except AttributeError:
        warnings.warn(f"Failed to fetch module {owner}!", stacklevel=4)
        return False
    return any(name in vars(module)[entries] for entries in ("_modules", "_parameters", "_buffers"))


def _check_path(root: Any, node: Node) -> None:
    value, parts = root, node.target.split(".")
    for position, name in enumerate(parts):
        owner, value = ".".join(parts[:position]), getattr(value, name, None)
        if value is None:
            raise RuntimeError(f"Node {node} target {node.target} references nonexistent attribute {name} of {owner}")
        if node.op == "call_module" and not isinstance(value, Module):
            raise RuntimeError(f"Node {node} target {node.target} {name} of {owner} does not reference an nn.Module")
