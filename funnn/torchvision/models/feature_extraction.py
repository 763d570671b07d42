"""torchvision.models.feature_extraction: what a network computes on its way, as the outputs of another."""

from __future__ import annotations

import inspect
import math
import re
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from funnn.torch import fx
from funnn.torch.fx.graph_module import _copy_attr
from funnn.torch.nn import Module
from funnn.torchvision import ops

__all__ = ["create_feature_extractor", "get_graph_node_names"]


class LeafModuleAwareTracer(fx.Tracer):
    """A tracer that goes into no module of some classes.

    Args:
      leaf_modules: the classes, beside those of torch.nn.
    """

    def __init__(self, *args: Any, leaf_modules: Any = (), **kwargs: Any):
        self.leaf_modules = leaf_modules
        super().__init__(*args, **kwargs)

    def is_leaf_module(self, m: Module, module_qualname: str) -> bool:
        """Whether a call of a module is one node."""
        return isinstance(m, tuple(self.leaf_modules)) or super().is_leaf_module(m, module_qualname)


class NodePathTracer(LeafModuleAwareTracer):
    """A tracer that names each node by the module that it is of: ``layer1.0.conv1`` for a module, ``layer1.0.add`` for an operation in one; the second of a
    name is ``layer1.0.add_1``.

    Attributes:
      node_to_qualname: the names.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.current_module_qualname = ""
        self.node_to_qualname: dict[fx.Node, str] = {}
        self._counts: dict[str, int] = {}

    def call_module(self, m: Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a call of a module gives, meanwhile nodes are named after it."""
        before = self.current_module_qualname
        path = self.current_module_qualname = self.path_of_module(m)
        try:
            return self.create_proxy("call_module", path, args, kwargs) if self.is_leaf_module(m, path) else forward(*args, **kwargs)
        finally:
            self.current_module_qualname = before

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        *rest: Any,
    ) -> fx.Proxy:
        """The proxy of a new node, which gets a name."""
        proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr)
        self.node_to_qualname[proxy.node] = self._name(proxy.node)
        return proxy

    def _name(self, node: fx.Node) -> str:
        owner = self.current_module_qualname
        name = owner if node.op == "call_module" else f"{owner}.{node}" if owner else str(node)
        name = re.sub(r"(?<=.)_[0-9]+$", "", name)
        count = self._counts[name] = self._counts.get(name, -1) + 1
        return f"{name}_{count}" if count else name


def _tracer(options: dict[str, Any] | None) -> NodePathTracer:
    options = dict(options or {})
    modules: tuple[ModuleType, ...] = (*options.pop("autowrap_modules", ()), math, ops)
    kinds = [kind for _, kind in inspect.getmembers(ops, inspect.isclass) if issubclass(kind, Module)]
    return NodePathTracer(
        autowrap_modules=tuple(dict.fromkeys(modules)), leaf_modules=[*options.pop("leaf_modules", ()), *kinds], **options
    )


def _traced(model: Module, training: bool, options: dict[str, Any] | None, concrete_args: Any) -> NodePathTracer:
    tracer = _tracer(options)
    tracer.trace(model.train(training), concrete_args=concrete_args)
    return tracer


def _is_part(whole: list[str], part: list[str]) -> bool:
    """Whether ``part`` is a subsequence."""
    rest = iter(whole)
    return all(name in rest for name in part)


def _warn_of_differences(train: NodePathTracer, evaluation: NodePathTracer) -> None:
    in_training, in_evaluation = list(train.node_to_qualname.values()), list(evaluation.node_to_qualname.values())
    if in_training == in_evaluation:
        return
    if _is_part(in_training, in_evaluation):
        what = "NOTE: The nodes obtained by tracing the model in eval mode are a subsequence of those obtained in train mode. "
    elif _is_part(in_evaluation, in_training):
        what = "NOTE: The nodes obtained by tracing the model in train mode are a subsequence of those obtained in eval mode. "
    else:
        what = "The nodes obtained by tracing the model in train mode are different to those obtained in eval mode. "
    warnings.warn(
        f"{what}When choosing nodes for feature extraction, you may need to specify output nodes for train and eval mode separately.",
        stacklevel=3,
    )


def get_graph_node_names(
    model: Module,
    tracer_kwargs: dict[str, Any] | None = None,
    suppress_diff_warning: bool = False,
    concrete_args: dict[str, Any] | None = None,
) -> tuple[list[str], list[str]]:
    """The names of what a network computes on its way, in the order of computation: in training mode, and in evaluation mode.

    Args:
      tracer_kwargs: options of the tracer, such as ``leaf_modules``, the classes of modules that are one name.
      suppress_diff_warning: do not warn where the two lists differ.
      concrete_args: arguments that are known, as of ``torch.fx.symbolic_trace``.
    """
    before = model.training
    train, evaluation = (_traced(model, training, tracer_kwargs, concrete_args) for training in (True, False))
    model.train(before)
    if not suppress_diff_warning:
        _warn_of_differences(train, evaluation)
    return list(train.node_to_qualname.values()), list(evaluation.node_to_qualname.values())


class DualGraphModule(fx.GraphModule):
    """A GraphModule with a graph for training and one for evaluation; ``train()`` and ``eval()`` choose.

    Args:
      root: the module whose parts both use.
      train_graph, eval_graph: the graphs.
      class_name: the name of the class, which is printed.
    """

    def __init__(self, root: Module, train_graph: fx.Graph, eval_graph: fx.Graph, class_name: str = "GraphModule"):
        super().__init__(root, train_graph, class_name)
        for node in eval_graph.nodes:
            if node.op in ("get_attr", "call_module"):
                _copy_attr(root, self, node.target)
        self.train_graph, self.eval_graph = train_graph, eval_graph
        self.training = True

    def train(self, mode: bool = True) -> DualGraphModule:
        """Choose a mode and its graph."""
        if mode != self.training:
            self.graph = self.train_graph if mode else self.eval_graph
        return super().train(mode)


def create_feature_extractor(
    model: Module,
    return_nodes: list[str] | dict[str, str] | None = None,
    train_return_nodes: list[str] | dict[str, str] | None = None,
    eval_return_nodes: list[str] | dict[str, str] | None = None,
    tracer_kwargs: dict[str, Any] | None = None,
    suppress_diff_warning: bool = False,
    concrete_args: dict[str, Any] | None = None,
) -> DualGraphModule:
    """A module that gives what a network computes on its way, as a dict; its parts are the network's own.

    Args:
      return_nodes: names of :func:`get_graph_node_names`, and what the dict calls them. The name of a module stands for the last that it computes.
      train_return_nodes, eval_return_nodes: the same, where they differ by the mode.
      tracer_kwargs, suppress_diff_warning, concrete_args: as of :func:`get_graph_node_names`.

    Raises:
      ValueError: a name is not there, or not both modes have names.
    """
    if return_nodes is None and train_return_nodes is None and eval_return_nodes is None:
        raise ValueError("Either `return_nodes` or `train_return_nodes` and `eval_return_nodes` together, should be specified")
    if (train_return_nodes is None) != (eval_return_nodes is None):
        raise ValueError("If any of `train_return_nodes` and `eval_return_nodes` are specified, then both should be specified")
    if (return_nodes is None) == (train_return_nodes is None):
        raise ValueError("If `train_return_nodes` and `eval_return_nodes` are specified, then both should be specified")
    before = model.training
    tracers = {}
    for training, names in ((True, train_return_nodes or return_nodes), (False, eval_return_nodes or return_nodes)):
        tracers[training] = tracer = _traced(model, training, tracer_kwargs, concrete_args)
        _return_nodes(
            fx.GraphModule(tracer.root, tracer.graph), tracer, names if isinstance(names, dict) else {name: name for name in names or ()}
        )
    model.train(before)
    if not suppress_diff_warning:
        _warn_of_differences(tracers[True], tracers[False])
    made = DualGraphModule(model, tracers[True].graph, tracers[False].graph, class_name=type(model).__name__)
    return made.train(before)


def _return_nodes(traced: fx.GraphModule, tracer: NodePathTracer, names: dict[str, str]) -> None:
    """Let a graph give the nodes of some names."""
    wanted = {str(name): str(key) for name, key in names.items()}
    for name in wanted:
        if not any(re.match(rf"^{name}(\.|$)", known) for known in tracer.node_to_qualname.values()):
            raise ValueError(
                f"node: '{name}' is not present in model. Hint: use `get_graph_node_names` to make sure the `return_nodes` you specified are present. "
                "It may even be that you need to specify `train_return_nodes` and `eval_return_nodes` separately."
            )
    graph = traced.graph
    graph.erase_node(graph.output_node())
    found: dict[str, fx.Node] = {}
    for node in reversed(graph.nodes):
        path = tracer.node_to_qualname.get(node, "").split(".")
        ending = next((name for name in wanted if ".".join(path[: name.count(".") + 1]) == name), None)
        if ending is not None:
            found[wanted.pop(ending)] = node
    graph.output(dict(reversed(found.items())))
    graph.eliminate_dead_code()
