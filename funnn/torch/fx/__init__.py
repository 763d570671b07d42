"""torch.fx: functions and modules as graphs, which can be read, changed and run; for one XLA program of a function, use ``torch.compile``."""

from funnn.torch.fx import _pytree as _pytree
from funnn.torch.fx import _symbolic_trace as _symbolic_trace
from funnn.torch.fx import experimental as experimental
from funnn.torch.fx import graph as graph
from funnn.torch.fx import graph_module as graph_module
from funnn.torch.fx import immutable_collections as immutable_collections
from funnn.torch.fx import interpreter as interpreter
from funnn.torch.fx import node as node
from funnn.torch.fx import passes as passes
from funnn.torch.fx import proxy as proxy
from funnn.torch.fx import subgraph_rewriter as subgraph_rewriter
from funnn.torch.fx._symbolic_trace import PH as PH
from funnn.torch.fx._symbolic_trace import ProxyableClassMeta as ProxyableClassMeta
from funnn.torch.fx._symbolic_trace import Tracer as Tracer
from funnn.torch.fx._symbolic_trace import symbolic_trace as symbolic_trace
from funnn.torch.fx._symbolic_trace import wrap as wrap
from funnn.torch.fx.graph import CodeGen as CodeGen
from funnn.torch.fx.graph import Graph as Graph
from funnn.torch.fx.graph_module import GraphModule as GraphModule
from funnn.torch.fx.interpreter import Interpreter as Interpreter
from funnn.torch.fx.interpreter import Transformer as Transformer
from funnn.torch.fx.node import Node as Node
from funnn.torch.fx.node import has_side_effect as has_side_effect
from funnn.torch.fx.node import map_arg as map_arg
from funnn.torch.fx.proxy import Proxy as Proxy
from funnn.torch.fx.subgraph_rewriter import replace_pattern as replace_pattern

__all__ = [
    "PH",
    "CodeGen",
    "Graph",
    "GraphModule",
    "Interpreter",
    "Node",
    "Proxy",
    "ProxyableClassMeta",
    "Tracer",
    "Transformer",
    "has_side_effect",
    "map_arg",
    "replace_pattern",
    "symbolic_trace",
    "wrap",
]
