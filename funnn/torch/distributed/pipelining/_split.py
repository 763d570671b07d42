"""A module's graph cut into the stages of a pipeline.

A stage gets all values that it or a later one reads, and gives on those that later ones read, so that a value may skip stages.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from typing import Any

from funnn.torch.distributed.pipelining.stage import PipelineStage
from funnn.torch.fx import Graph, GraphModule, Tracer
from funnn.torch.nn.modules.module import Module

__all__ = ["Pipe", "SplitPoint", "pipe_split", "pipeline"]


class SplitPoint(enum.Enum):
    """Where a new stage begins: before a module is called, or after."""

    BEGINNING, END = 1, 2


class _Recording(threading.local):
    """What :func:`pipeline` records with on this thread."""

    tracer: Tracer | None = None


_recording = _Recording()


def pipe_split() -> None:
    """In a module's forward: a new stage begins here. It does nothing where the module is called by itself."""
    if _recording.tracer is not None:
        _recording.tracer.create_node("call_function", pipe_split, (), {})


class Pipe:
    """A module as the stages of a pipeline; made by :func:`pipeline`.

    Args:
      module: the module.
      graph: of its forward.
      cuts: before which nodes new stages begin.
    """

    def __init__(self, module: Module, graph: Graph, cuts: set[Any]):
        nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output")]
        stages: list[list[Any]] = [[]]
        for node in graph.nodes:
            if node in cuts and stages[-1]:
                stages.append([])
            if node in nodes:
                stages[-1].append(node)
        stages = [stage for stage in stages if stage]
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        output = graph.output_node()
        self._modules, live = [], inputs
        for number, stage in enumerate(stages):
            later = [node for rest in stages[number + 1 :] for node in rest]
            read = {one for node in [*later, output] for one in node.all_input_nodes}
            out = [node for node in [*live, *stage] if node in read]
            is_last = number == len(stages) - 1
            self._modules.append(_module_of(module, live, stage, output if is_last else out))
            live = out

    @property
    def num_stages(self) -> int:
        """How many stages there are."""
        return len(self._modules)

    def get_stage_module(self, stage_idx: int) -> GraphModule:
        """The module of a stage; its parameters have the names that they have in the whole.

        Raises:
          ValueError: there is no such stage.
        """
        if not 0 <= stage_idx < self.num_stages:
            raise ValueError(f"Invalid stage index {stage_idx}!")
        return self._modules[stage_idx]

    def build_stage(self, stage_index: int, device: Any, group: Any = None) -> PipelineStage:
        """A stage for this process; see PipelineStage."""
        return PipelineStage(self.get_stage_module(stage_index), stage_index, self.num_stages, device, group=group)

    def __repr__(self) -> str:
        return "\n".join(f"stage {number}: {module}" for number, module in enumerate(self._modules))


def _module_of(root: Module, inputs: list[Any], nodes: list[Any], result: Any) -> GraphModule:
    """A stage: its inputs, its nodes, and what it gives (a list of nodes, or the node of the whole's output)."""
    graph = Graph()
    made: dict[Any, Any] = {}
    for node in inputs:
        is_argument = node.op == "placeholder"
        made[node] = graph.node_copy(node, made.__getitem__) if is_argument else graph.placeholder(node.name)
    for node in nodes:
        made[node] = graph.node_copy(node, made.__getitem__)
    if isinstance(result, list):
        graph.output(made[result[0]] if len(result) == 1 else tuple(made[node] for node in result))
    else:
        graph.node_copy(result, made.__getitem__)
    return GraphModule(root, graph)


def _cuts_of(graph: Graph, split_spec: dict[str, SplitPoint]) -> set[Any]:
    """The nodes before which new stages begin; calls of pipe_split are taken out.

    Raises:
      ValueError: the module of a name is not called.
    """
    splits = [node for node in graph.nodes if node.target is pipe_split]
    cuts = {node.next for node in splits if node.next.target is not pipe_split}
    for node in splits:
        graph.erase_node(node)
    nodes = list(graph.nodes)
    for name, point in split_spec.items():
        places = [i for i, node in enumerate(nodes) if node.op == "call_module" and f"{node.target}.".startswith(f"{name}.")]
        if not places:
            called = [node.target for node in nodes if node.op == "call_module"]
            raise ValueError(f"split_spec: expected names of modules that forward calls, got {name!r}; it calls {called}")
        cuts.add(nodes[places[0]] if point is SplitPoint.BEGINNING else nodes[places[-1] + 1])
    return cuts


def pipeline(
    module: Module,
    mb_args: tuple[Any, ...],
    mb_kwargs: dict[str, Any] | None = None,
    split_spec: dict[str, SplitPoint] | None = None,
    split_policy: Callable[[Any], Any] | None = None,
) -> Pipe:
    """A module as the stages of a pipeline.

    Its forward is recorded by torch.fx, which sees calls and no numbers: Python conditions must not depend on tensors.

    Args:
      module: the whole, of the same parameters in all processes.
      mb_args, mb_kwargs: the arguments of one part of a batch, with which it is called once, so that an error shows here.
      split_spec: names of modules, and whether a new stage begins before or after them; where there is none, ``pipe_split()`` in forward says it.
      split_policy: takes the GraphModule that was recorded, and gives one in whose graph ``pipe_split`` is called where stages begin.

    Raises:
      ValueError: a name is not that of a module that is called.

    Source: torch.distributed.pipelining.pipeline, which records by torch.export.
    """
    module(*mb_args, **(mb_kwargs or {}))
    _recording.tracer = Tracer()
    try:
        graph = _recording.tracer.trace(module)
    finally:
        _recording.tracer = None
    if split_policy is not None:
        module = split_policy(GraphModule(module, graph))
        graph = module.graph
    return Pipe(module, graph, _cuts_of(graph, split_spec or {}))
