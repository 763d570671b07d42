"""torch.fx.Interpreter: runs a graph node by node; Transformer makes another graph so."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from funnn.engine.tensor.overrides import asking
from funnn.torch.fx._codegen import _last_uses
from funnn.torch.fx._symbolic_trace import Tracer
from funnn.torch.fx.graph import Graph
from funnn.torch.fx.graph_module import GraphModule
from funnn.torch.fx.node import Node, map_aggregate, map_arg
from funnn.torch.fx.proxy import Proxy
from funnn.torch.nn.modules.module import Module

__all__ = ["Interpreter", "Transformer"]


class Interpreter:
    """Runs the graph of a module node by node. A subclass overrides what is to be done in another way: :meth:`run_node`, or the method of a kind of node.

    Args:
      module: has the graph, and what the graph names by paths.
      garbage_collect_values: forget a value when nobody needs it any more.
      graph: the graph, where it is not the module's.

    Attributes:
      env: the values of the nodes that have run.
    """

    def __init__(self, module: Module, garbage_collect_values: bool = True, graph: Graph | None = None):
        self.module: Any = module
        self.submodules = dict(module.named_modules())
        self.graph: Graph = self.module.graph if graph is None else graph
        self.env: dict[Node, Any] = {}
        self.name = "Interpreter"
        self.garbage_collect_values, self.extra_traceback = garbage_collect_values, True
        self.user_to_last_uses = _last_uses(list(self.graph.nodes)) if garbage_collect_values else {}

    def run(self, *args: Any, initial_env: dict[Node, Any] | None = None, enable_io_processing: bool = True) -> Any:
        """What the graph gives.

        Args:
          args: the inputs in order, those by keyword too.
          initial_env: values that are known; their nodes do not run.
          enable_io_processing: whether inputs and outputs are as those of the traced function, where its containers are flat in the graph.
        """
        self.env = {} if initial_env is None else initial_env
        self.args_iter: Iterator[Any] = iter(self.graph.process_inputs(*args) if enable_io_processing else args)
        for node in self.graph.nodes:
            if node in self.env:
                continue
            try:
                self.env[node] = self.run_node(node)
            except Exception as error:
                if self.extra_traceback:
                    _add_node(error, node)
                    if isinstance(error, KeyError):
                        raise RuntimeError(*error.args) from error
                raise
            for unused in self.user_to_last_uses.get(node, ()):
                self.env.pop(unused, None)
            if node.op == "output":
                return self.graph.process_outputs(self.env[node]) if enable_io_processing else self.env[node]
        return None

    def boxed_run(self, args_list: list[Any]) -> Any:
        """As :meth:`run`, of a list that is emptied, so that nobody else holds the inputs."""
        inputs = self.graph.find_nodes(op="placeholder")
        if len(args_list) != len(inputs):
            what = "extra" if len(args_list) > len(inputs) else "missing"
            raise RuntimeError(
                f"Interpreter.boxed_run expected {len(inputs)} arguments for placeholders but received {len(args_list)} ({what} arguments)"
            )
        env = dict(zip(inputs, args_list, strict=True))
        args_list.clear()
        return self.run(initial_env=env)

    def run_node(self, n: Node) -> Any:
        """The value of a node: what the method of its kind gives for the values of its arguments."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        return getattr(self, n.op)(n.target, args, kwargs)

    def placeholder(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The next input, or the default.

        Raises:
          RuntimeError: there is neither.
        """
        if target.startswith("*"):
            return list(self.args_iter)
        try:
            return next(self.args_iter)
        except StopIteration as end:
            if args:
                return args[0]
            raise RuntimeError(f"Expected positional argument for parameter {target}, but one was not passed in!") from end

    def get_attr(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """What the module has at a path."""
        return self.fetch_attr(target)

    def call_function(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A call of a function."""
        return target(*args, **kwargs)

    def call_method(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A call of a method of ``args[0]``."""
        return getattr(args[0], target)(*args[1:], **kwargs)

    def call_module(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """A call of the module at a path."""
        return self.fetch_attr(target)(*args, **kwargs)

    def output(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """What is returned."""
        return args[0]

    def fetch_attr(self, target: str) -> Any:
        """What the module has at a path.

        Raises:
          RuntimeError: there is nothing.
        """
        value, parts = self.module, target.split(".")
        for position, name in enumerate(parts):
            if not hasattr(value, name):
                raise RuntimeError(f"Node referenced nonexistent target {'.'.join(parts[: position + 1])}")
            value = getattr(value, name)
        return value

    def fetch_args_kwargs_from_env(self, n: Node) -> tuple[Any, Any]:
        """The arguments of a node, with the values of the nodes in them."""
        return self.map_nodes_to_values(n.args, n), self.map_nodes_to_values(n.kwargs, n)

    def map_nodes_to_values(self, args: Any, n: Node) -> Any:
        """Arguments of ``n`` with the values of the nodes in them."""

        def value_of(node: Node) -> Any:
            if node not in self.env:
                raise RuntimeError(f"Node {n} referenced nonexistent value {node}! Run Graph.lint() to diagnose such issues")
            return self.env[node]

        return map_arg(args, value_of)


def _add_node(error: Exception, node: Node) -> None:
    """Let an error say at which node it came."""
    text = "\n".join(
        [
            *([f"{error.args[0]}\n"] if error.args else []),
            f"While executing {node.format_node()}",
            f"Original traceback:\n{node.stack_trace}",
            "Use tlparse to see full graph. (https://github.com/pytorch/tlparse?tab=readme-ov-file#tlparse-parse-structured-pt2-logs)",
        ]
    )
    error.args = (text, *error.args[1:])


class Transformer(Interpreter):
    """Runs a graph with proxies, which makes a new graph. A subclass overrides the method of a kind of node, and there calls other functions.

    Args:
      module: the module whose graph is run.
    """

    def __init__(self, module: GraphModule):
        super().__init__(module)
        self.new_graph = Graph()
        self.new_graph.set_codegen(module.graph._codegen)
        self.tracer = _TransformerTracer(self.new_graph, module)

    def placeholder(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Proxy:
        """The proxy of the same input."""
        return Proxy(self.new_graph.placeholder(target, default_value=args[0] if args else inspect.Signature.empty), self.tracer)

    def get_attr(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Proxy:
        """The proxy of the same member of the module."""
        return self.tracer.create_proxy("get_attr", target, args, kwargs)

    def call_module(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The proxy of the same call."""
        module = self.fetch_attr(target)
        return self.tracer.call_module(module, module.forward, args, kwargs)

    def call_function(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        """The proxy of the same call."""
        return self.tracer.create_proxy("call_function", target, args, kwargs)

    def transform(self) -> GraphModule:
        """The module with the new graph."""
        with asking():
            result = self.run(enable_io_processing=False)
        if result is not None:
            output = self.new_graph.output(map_aggregate(result, lambda value: value.node if isinstance(value, Proxy) else value))
            output.meta.update(self.graph.output_node().meta)
        return GraphModule(self.module, self.new_graph)


class _TransformerTracer(Tracer):
    """Adds to a graph, and goes into no module."""

    def __init__(self, graph: Graph, root: Module):
        super().__init__()
        self.graph, self.root = graph, root

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """True."""
        return True
