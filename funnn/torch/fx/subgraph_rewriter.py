"""torch.fx.subgraph_rewriter: parts of a graph that look like a pattern are replaced."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from funnn.torch.fx._symbolic_trace import symbolic_trace
from funnn.torch.fx.graph import Graph
from funnn.torch.fx.graph_module import GraphModule
from funnn.torch.fx.node import Node
from funnn.torch.nn.modules.module import Module

__all__ = ["Match", "ReplacedPatterns", "replace_pattern", "replace_pattern_with_filters"]


class Match(NamedTuple):
    """A part that was replaced: the pattern's node where the search began, and which node stood for which of the pattern."""

    anchor: Node
    nodes_map: dict[Node, Node]


@dataclass
class ReplacedPatterns:
    """A part that was replaced, and the nodes that are there now."""

    anchor: Node
    nodes_map: dict[Node, Node]
    replacements: list[Node]


@dataclass
class InternalMatch:
    """A part that looks like the pattern, as filters get it."""

    anchors: list[Node]
    nodes_map: dict[Node, Any]
    placeholder_nodes: list[Any]
    returning_nodes: list[Node]


def replace_pattern(gm: GraphModule, pattern: Callable | GraphModule, replacement: Callable | GraphModule) -> list[Match]:
    """Replace all parts of a module's graph that look like ``pattern``, without overlaps; the code is written anew.

    A part looks like the pattern if it calls the same things on the same constants, its inner values are used nowhere else, and what stands for one input of
    the pattern is one value, another for each. Source: torch.fx.replace_pattern.

    Args:
      pattern, replacement: functions or modules with the same inputs, which are traced, or GraphModules.

    Returns:
      what was replaced.
    """
    return [Match(found.anchor, found.nodes_map) for found in replace_pattern_with_filters(gm, pattern, replacement)]


def replace_pattern_with_filters(
    gm: GraphModule,
    pattern: Any,
    replacement: Any = None,
    match_filters: list[Callable[[InternalMatch, Graph, Graph], bool]] | None = None,
    ignore_literals: bool = False,
    replacement_callback: Callable[[InternalMatch, Graph, Graph], Graph] | None = None,
) -> list[ReplacedPatterns]:
    """As :func:`replace_pattern`, where each of ``match_filters(match, graph, pattern)`` says yes.

    Args:
      ignore_literals: whether other constants count as the same.
      replacement_callback: gives the graph to put in the place of a match, instead of ``replacement``.
    """
    graph, pattern_graph = gm.graph, _graph_of(pattern)
    matches = _Matcher(pattern_graph, ignore_literals).find(graph)
    matches = [match for match in matches if all(accepts(match, graph, pattern_graph) for accepts in match_filters or ())]
    common = None if replacement_callback is not None else _graph_of(replacement)
    changed: dict[Node, Node] = {}
    done = []
    for match in matches:
        new = common if replacement_callback is None else replacement_callback(match, graph, pattern_graph)
        if new is None:
            raise AssertionError("Must provide either a replacement GraphModule or a replacement callback")
        done.append(_replace(graph, match, pattern_graph, new, changed))
    gm.recompile()
    if isinstance(replacement, Module):
        _add_members(gm, replacement)
    return done


def _graph_of(what: Any) -> Graph:
    return what if isinstance(what, Graph) else what.graph if isinstance(what, GraphModule) else symbolic_trace(what).graph


class _Matcher:
    """Finds the parts of a graph that look like a pattern."""

    def __init__(self, pattern: Graph, ignore_literals: bool):
        self.pattern, self.ignore_literals = pattern, ignore_literals
        self.inputs = pattern.find_nodes(op="placeholder")
        self.results = list(pattern.output_node().all_input_nodes)
        self.last = self.results[-1]

    def find(self, graph: Graph) -> list[InternalMatch]:
        taken: set[Node] = set()
        found = []
        for node in reversed(graph.nodes):
            self.map: dict[Node, Any] = {}
            if not self._fits(self.last, node) or any(result not in self.map for result in self.results):
                continue
            inner = {value for key, value in self.map.items() if key.op != "placeholder"}
            if inner & taken or not self._is_closed(inner):
                continue
            taken |= inner
            returning = [self.map[result] for result in self.results]
            found.append(InternalMatch([self.last], self.map, [self.map.get(node) for node in self.inputs], returning))
        return found[::-1]

    def _fits(self, pattern: Any, value: Any) -> bool:
        """Whether a value may stand for one of the pattern; what stands for which is noted."""
        if not isinstance(pattern, Node):
            return self._same_constant(pattern, value)
        if pattern in self.map:
            return self.map[pattern] is value if isinstance(value, Node) else self.map[pattern] == value
        if isinstance(value, Node) and any(value is other for other in self.map.values()):
            return False  # what stands for one value of the pattern stands for no other
        if pattern.op == "placeholder":
            self.map[pattern] = value
            return True
        if not isinstance(value, Node) or pattern.op != value.op or not self._same_target(pattern, value):
            return False
        self.map[pattern] = value
        return len(pattern.args) == len(value.args) and self._fit_all((pattern.args, pattern.kwargs), (value.args, value.kwargs))

    def _same_target(self, pattern: Node, value: Node) -> bool:
        if pattern.op not in ("get_attr", "call_module"):
            return pattern.target == value.target
        ours, theirs = (_member(node) for node in (pattern, value))
        return type(ours) is type(theirs) if pattern.op == "call_module" and ours is not None else pattern.target == value.target

    def _fit_all(self, pattern: Any, value: Any) -> bool:
        if isinstance(pattern, (tuple, list)):
            return isinstance(value, (tuple, list)) and len(pattern) == len(value) and all(map(self._fit_all, pattern, value))
        if isinstance(pattern, dict):
            return (
                isinstance(value, dict)
                and pattern.keys() == value.keys()
                and all(self._fit_all(pattern[name], value[name]) for name in pattern)
            )
        if isinstance(pattern, slice):
            return isinstance(value, slice) and self._fit_all(
                (pattern.start, pattern.stop, pattern.step), (value.start, value.stop, value.step)
            )
        return self._fits(pattern, value)

    def _same_constant(self, pattern: Any, value: Any) -> bool:
        return not isinstance(value, Node) and (self.ignore_literals or (type(pattern) is type(value) and pattern == value))

    def _is_closed(self, inner: set[Node]) -> bool:
        """Whether nobody outside uses a value that the pattern does not give."""
        returned = {self.map[result] for result in self.results}
        return all(node in returned or inner.issuperset(node.users) for node in inner)


def _member(node: Node) -> Any:
    owner = node.graph.owning_module
    try:
        return None if owner is None else owner.get_submodule(node.target)
    except AttributeError:
        return None


def _replace(graph: Graph, match: InternalMatch, pattern: Graph, new: Graph, changed: dict[Node, Node]) -> ReplacedPatterns:
    """Put a graph in the place of a match; ``changed`` says what earlier ones became."""
    inputs = new.find_nodes(op="placeholder")
    if len(match.placeholder_nodes) != len(inputs):
        raise AssertionError(f"Placeholder count mismatch: {len(match.placeholder_nodes)} vs {len(inputs)}")
    match.placeholder_nodes = [changed.get(value, value) if isinstance(value, Node) else value for value in match.placeholder_nodes]
    for node in pattern.find_nodes(op="placeholder"):
        if isinstance(value := match.nodes_map.get(node), Node):
            match.nodes_map[node] = changed.get(value, value)
    values: dict[Node, Any] = dict(zip(inputs, match.placeholder_nodes, strict=True))
    users = {user for node in match.returning_nodes for user in node.users}
    place = next((node for node in graph.nodes if node in users), None) or match.returning_nodes[-1].next
    with graph.inserting_before(place):
        results = graph.graph_copy(new, values)
    results = (results,) if isinstance(results, Node) else results
    if len(match.returning_nodes) != len(results):
        raise AssertionError(f"Returning nodes count mismatch: {len(match.returning_nodes)} vs {len(results)}")
    for old, result in zip(match.returning_nodes, results, strict=True):
        old.replace_all_uses_with(result)
        changed[old] = result
    for node in reversed(pattern.nodes):
        if node.op not in ("placeholder", "output"):
            graph.erase_node(match.nodes_map[node])
    return ReplacedPatterns(match.anchors[0], match.nodes_map, [node for node in values.values() if node not in match.placeholder_nodes])


def _add_members(gm: GraphModule, replacement: Module) -> None:
    """Give the module what new nodes name and it has not."""
    gm.delete_all_unused_submodules()
    for node in gm.graph.nodes:
        if node.op not in ("call_module", "get_attr"):
            continue
        owner, _, name = node.target.rpartition(".")
        ours, theirs = (_attribute(module, owner, name) for module in (gm, replacement))
        if ours is None and theirs is None:
            raise RuntimeError(
                f'Attempted to create a "{node.op}" node during subgraph rewriting with target {node.target}, but the referenced attribute does not '
                "exist in the replacement GraphModule"
            )
        if ours is None and isinstance(theirs, Module):
            gm.add_submodule(node.target, copy.deepcopy(theirs))
        elif ours is None:
            setattr(gm, node.target, copy.deepcopy(theirs))
    gm.graph.lint()


def _attribute(module: Module, owner: str, name: str) -> Any:
    try:
        return getattr(module.get_submodule(owner), name, None)
    except AttributeError:
        return None
