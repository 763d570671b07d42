"""Backward passes that come again: what one recorded is taken over as a whole by the next that starts where it did.

Where a pass starts is a state of the pending graph, which says what was computed, of what, and what was kept for the gradients. What it does not say,
the history that each tensor has, is compared node by node; then the walk would record what it recorded the last time, and that is recorded at one go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from funnn.engine.dispatch.call import Recording
from funnn.engine.program.graph import Graph, record_known
from funnn.engine.program.value import Residuals, Value
from funnn.engine.state import thread
from funnn.engine.tape.node import AccumulateGrad, Node

_KINDS, _PASSES = 64, 8  # of roots that are known of a state, and passes that are from roots of a kind


class Pass:
    """What a backward pass records.

    Args:
      graph: the pending graph, as the pass begins.
      roots: ((node, output), gradient) of each.
      passes: where to remember it; None stands for one from which no other can be told.

    Attributes:
      roots: (number of the node, output, source of its gradient) of each; see ``_source``.
      nodes: (number, source of the vjp, edges) of each operation, in the order of the walk; an edge is (number of the node, output), or None.
      outside: the numbers of the nodes, and ~ those of the roots, whose vjps and gradients become leaves of the graph; size: the bytes of these.
      leaves: the numbers of the leaves' nodes, in the order in which their gradients became whole; given: (place, shape, dtype) of these.
      last: the last step.
    """

    def __init__(self, graph: Graph, roots: list[Any], passes: list[Pass | None]):
        self._graph, self._count, self._size, self._passes = graph, len(graph.records), graph.size, passes
        self._first = graph.last.results
        self._numbers: dict[Node, int] = {}
        self._outside = {id(gradient): ~number for number, (_, gradient) in enumerate(roots)}
        self.roots = [(*self._edge(edge), _source(gradient, graph)) for edge, gradient in roots]
        self.nodes: list[tuple[int, Any, tuple[Any, ...]]] = []
        self.leaves: list[int] = []
        self._plain = all(source is not None for _, _, source in self.roots)

    def _edge(self, edge: Any) -> tuple[int, int]:
        return self._numbers.setdefault(edge[0], len(self._numbers)), edge[1]

    def visit(self, node: Any) -> None:
        """The walk comes to an operation."""
        vjp = node.vjp if isinstance(node, Recording) and not node.__dict__ else None
        source = _source(vjp, self._graph) if type(vjp) is Residuals else None
        if source is None:
            self._plain = False
            return
        number, _ = self._edge((node, 0))
        self._outside[id(vjp)] = number
        self.nodes.append((number, source, tuple([None if edge is None else self._edge(edge) for edge in node.edges])))

    def arrive(self, leaves: Iterable[Node], pending: dict[Node, list[Any]]) -> None:
        """The walk has come to the leaves: remember the pass if another can be told from it."""
        graph = self._graph
        with graph.lock:
            values = [pending[leaf][0] for leaf in leaves]
            new = [id(leaf) for _, found, _ in graph.records[self._count :] for leaf in found]
            plain = (
                self._plain
                and not graph.closed
                and all(leaf in self._outside for leaf in new)
                and len(graph.records) > self._count
                and all(value.graph is graph and value.place >= self._first for value in values)
            )
            if plain:
                self.outside, self.size = [self._outside[leaf] for leaf in new], graph.size - self._size
                self.leaves = [self._numbers[leaf] for leaf in leaves]
                self.given = [(value.place, value.shape, value.dtype) for value in values]
                self.last = graph.records[-1][0]
            self._passes.append(self if plain else None)
            del self._passes[:-_PASSES]
        del self._graph, self._passes, self._numbers, self._outside

    def forget(self) -> None:
        """Somebody looks at what is on the way, so that it can't be taken over as a whole."""
        self._plain = False
        self.arrive((), {})

    def take_over(self, graph: Graph, roots: list[Any], retain_graph: bool) -> dict[Node, list[Value]] | None:
        """Record it again, if the tape from these roots is the same: the leaves' nodes, each with its gradient alone; else None."""
        found = self._match(graph, roots)
        if found is None:
            return None
        outside = [found[number].vjp if number >= 0 else roots[~number][1] for number in self.outside]
        if len(set(map(id, outside))) != len(outside):
            return None
        values = record_known(graph, self.last, self.given, outside, self.size)
        if not retain_graph:
            for number, _, _ in self.nodes:
                found[number].release()
        return {found[number]: [value] for number, value in zip(self.leaves, values, strict=True)}

    def _match(self, graph: Graph, roots: list[Any]) -> list[Any] | None:
        """The nodes of a tape by their numbers, where the walk would record what it recorded for this one; else None."""
        found: list[Any] = [None] * (len(self.nodes) + len(self.leaves))
        places = graph.places
        if len(roots) != len(self.roots):
            return None
        for (edge, gradient), (number, output, source) in zip(roots, self.roots, strict=True):
            if _source(gradient, graph) != source or edge[1] != output:
                return None
            if found[number] is None:
                found[number] = edge[0]
            elif found[number] is not edge[0]:
                return None
        for number, source, edges in self.nodes:
            node = found[number]
            if not isinstance(node, Recording):
                return None
            vjp = node.vjp
            if type(vjp) is not Residuals or node.__dict__:
                return None
            # _source, written out
            if vjp.array is not None:
                if places.get(id(vjp), vjp.kind) != source:
                    return None
            elif vjp.graph is not graph or vjp.place != source:
                return None
            for storage, writes, _, _, _ in node.saved:
                if storage.writes != writes:
                    return None
            for edge, known in zip(node.edges, edges, strict=True):
                if edge is None or known is None:
                    if edge is not known:
                        return None
                    continue
                target, output = edge
                place = known[0]
                if output != known[1]:
                    return None
                if found[place] is None:
                    found[place] = target
                elif found[place] is not target:
                    return None
        leaves = [found[number] for number in self.leaves]
        if any([type(leaf) is not AccumulateGrad for leaf in leaves]) or len(set(leaves)) != len(leaves):
            return None
        return found


def _source(operand: Value | Residuals, graph: Graph) -> Any:
    """What a graph knows an operand by: its place, or its kind where it would be a new leaf; None where another graph will give it."""
    if operand.array is None:
        return operand.place if operand.graph is graph else None
    return graph.places.get(id(operand), operand.kind)


def begin(roots: list[Any], retain_graph: bool) -> tuple[dict[Node, list[Value]] | None, Pass | None]:
    """Begin a backward pass, which is recorded as a whole if one like it is known.

    Returns:
      The leaves' nodes, each with its gradient alone, in the order of the walk, or None where it has to walk; and what then remembers the pass, if it
      comes for the second time or later.
    """
    graph = thread.graph
    if graph is None or thread.immediate or not all(type(gradient) is Value for _, gradient in roots):
        return None, None
    with graph.lock:
        if graph.closed:
            return None, None
        known = graph.last.passes
        key = tuple([(getattr(node, "entry", None), output, _source(gradient, graph)) for (node, output), gradient in roots])
        passes = known.get(key)
        if passes is None:
            if len(known) >= _KINDS:
                known.clear()
            known[key] = []
            return None, None
        for each in passes:
            values = None if each is None else each.take_over(graph, roots, retain_graph)
            if values is not None:
                return values, None
        return None, (Pass(graph, roots, passes) if len(passes) < _PASSES or any(passes) else None)
