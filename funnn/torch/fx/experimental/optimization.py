"""torch.fx.experimental.optimization: networks for inference, with fewer layers."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from funnn.torch import nn
from funnn.torch.fx._symbolic_trace import symbolic_trace
from funnn.torch.fx.graph_module import GraphModule
from funnn.torch.fx.interpreter import Transformer
from funnn.torch.fx.node import Node
from funnn.torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

__all__ = ["fuse", "matches_module_pattern", "remove_dropout", "replace_node_module"]


def matches_module_pattern(pattern: Iterable[type], node: Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node and the node that makes its first argument call modules of two classes: ``(nn.Conv2d, nn.BatchNorm2d)``."""
    if not node.args:
        return False
    return all(
        isinstance(call, Node) and call.op == "call_module" and call.target in modules and type(modules[call.target]) is kind
        for kind, call in zip(pattern, (node.args[0], node), strict=False)
    )


def replace_node_module(node: Node, modules: dict[str, nn.Module], new_module: nn.Module) -> None:
    """Put another module in the place of the one that a node calls."""
    owner, _, name = node.target.rpartition(".")
    modules[node.target] = new_module
    setattr(modules[owner], name, new_module)


def fuse(model: nn.Module, inplace: bool = False, no_trace: bool = False) -> GraphModule:
    """A network in evaluation mode, with each batch normalisation in the convolution or linear map before it.

    Args:
      inplace: change the modules of ``model``, not of a copy.
      no_trace: ``model`` is a GraphModule, whose graph is used as it is.
    """
    if not inplace:
        model = copy.deepcopy(model)
    traced: Any = model if no_trace and isinstance(model, GraphModule) else symbolic_trace(model)
    modules, graph = dict(traced.named_modules()), copy.deepcopy(traced.graph)
    for first, second, fuse_pair in (
        *((getattr(nn, f"Conv{n}d"), getattr(nn, f"BatchNorm{n}d"), fuse_conv_bn_eval) for n in (1, 2, 3)),
        (nn.Linear, nn.BatchNorm1d, fuse_linear_bn_eval),
    ):
        for node in graph.nodes:
            if not matches_module_pattern((first, second), node, modules) or len(node.args[0].users) > 1:
                continue
            if modules[node.target].track_running_stats:
                replace_node_module(node.args[0], modules, fuse_pair(modules[node.args[0].target], modules[node.target]))
                node.replace_all_uses_with(node.args[0])
                graph.erase_node(node)
    return GraphModule(traced, graph)


def remove_dropout(model: nn.Module) -> GraphModule:
    """A network without its Dropout modules."""
    return _DropoutRemover(symbolic_trace(model)).transform()


class _DropoutRemover(Transformer):
    def call_module(self, target: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        return args[0] if isinstance(self.submodules[target], nn.Dropout) else super().call_module(target, args, kwargs)
