"""``funnn.summary``: the table of a network's layers, from a trace; nothing is computed."""

from __future__ import annotations

import dataclasses
import functools
import html
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from funnn import _flops
from funnn.layers import Layer
from funnn.layers._watching import watching


@dataclasses.dataclass(frozen=True)
class Row:
    """A layer of a :class:`Summary`.

    Attributes:
      path: where it is, as in the state_dict; "" for the whole network.
      type: its name.
      output: the shape of what it returns at its first call, in the structure in which it returns it; None if it was not called.
      parameters: how many numbers are trained, in it and in all that is inside.
      flops: the operations of all its calls, as :func:`summary` counts them.
      calls: how often it runs; a call in the body of a loop is one.
    """

    path: str
    type: str
    output: Any
    parameters: int
    flops: int
    calls: int


@dataclasses.dataclass(frozen=True, repr=False)
class Summary:
    """What :func:`summary` returns; it prints as a table, and a notebook shows it as one in HTML.

    Attributes:
      rows: the network itself and the layers inside, in the order of their description.
      buffers: how many numbers its state has.
      bytes: of parameters and buffers.
      depth: how many levels are printed; None for all.
    """

    rows: tuple[Row, ...]
    buffers: int
    bytes: int
    depth: int | None = None

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return self.rows[0].parameters

    @property
    def flops(self) -> int:
        """Of one call of the network."""
        return self.rows[0].flops

    def __str__(self) -> str:
        lines: list[tuple[str, ...]] = [_HEADINGS]
        for level, row, cells in self._lines():
            lines.append(("  " * (level - 1) + row.path.rpartition(".")[2], *cells))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = ["  ".join(f"{cell:{'<' if i < 3 else '>'}{widths[i]}}" for i, cell in enumerate(line)).rstrip() for line in lines]
        rule = "-" * max(map(len, texts))
        return "\n".join([texts[0], rule, *texts[1:], rule, self._totals()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The table for a notebook; its colours are those of the page. A name's tooltip is its whole path."""
        body = []
        for level, row, cells in self._lines():
            name = "&emsp;" * (level - 1) + html.escape(row.path.rpartition(".")[2])
            body.append(_html_row("td", (name, *map(html.escape, cells)), f' title="{html.escape(row.path)}"' if row.path else ""))
        total = f'<td colspan="{len(_HEADINGS)}" style="text-align:left;border-top:1px solid">{html.escape(self._totals())}</td>'
        return "\n".join(
            [
                '<table style="border-collapse:collapse">',
                f"<thead>{_html_row('th', _HEADINGS)}</thead>",
                "<tbody>",
                *body,
                "</tbody>",
                f"<tfoot><tr>{total}</tr></tfoot>",
                "</table>",
            ]
        )

    def _lines(self) -> Iterator[tuple[int, Row, tuple[str, ...]]]:
        """Of each row that is shown: its level, itself, and the cells after its name."""
        for row in self.rows:
            level = row.path.count(".") + 1 if row.path else 0
            if self.depth is None or level <= self.depth:
                output = "-" if row.output is None else _shape_text(row.output)
                flops = f"{row.flops:,}" if row.calls or row.flops else "-"
                yield level, row, (row.type, output, f"{row.parameters:,}", flops)

    def _totals(self) -> str:
        return f"{self.parameters:,} parameters, {self.buffers:,} in buffers, {self.bytes:,} bytes"


_HEADINGS = ("name", "type", "output", "parameters", "FLOPs")


def _html_row(tag: str, cells: Sequence[str], attributes: str = "") -> str:
    """A row of a table; text stands at the left, numbers at the right."""
    columns = (f'<{tag} style="text-align:{"left" if i < 3 else "right"}">{cell}</{tag}>' for i, cell in enumerate(cells))
    return f"<tr{attributes}>{''.join(columns)}</tr>"


def _shape_text(output: Any) -> str:
    if isinstance(output, dict):
        return "{" + ", ".join(f"{name}: {_shape_text(item)}" for name, item in output.items()) + "}"
    if isinstance(output, list):
        return "[" + ", ".join(map(_shape_text, output)) + "]"
    return str(output)


@functools.singledispatch
def summary(layer: Any, *inputs: Any, train: bool = False, depth: int | None = None, **kwargs: Any) -> Summary:
    """The layers of a network with their types, output shapes, parameters and FLOPs: ``print(funnn.summary(net, x))``.

    Args:
      layer: a Layer, or a Module of funnn.torch, which keeps its parameters, buffers, mode and random state as they are.
      *inputs, **kwargs: what it is called with; of arrays only shape and dtype count, so ``jax.ShapeDtypeStruct`` will do. Without any, outputs
        and FLOPs are left out.
      train: whether it is called in training.
      depth: how many levels the table prints; default all.

    The network is traced, not run. FLOPs are those of a forward call's matrix products and convolutions, a multiply-add being two; what else there
    is (activations, normalisation, softmax) is bound by memory and not counted, and the kernels that cuDNN has for attention and LSTM on a GPU are not
    seen. The body of a ``while`` loop counts once. A layer's row includes those inside.

    Raises:
      TypeError: ``layer`` is neither.

    Example:
      >>> from funnn.layers import Linear, ReLU, Sequential
      >>> print(summary(Sequential(Linear(784, 100), ReLU(), Linear(100, 10)), jax.ShapeDtypeStruct((32, 784), "float32")))
      name  type        output     parameters      FLOPs
      --------------------------------------------------
            Sequential  (32, 10)       79,510  5,081,600
      0     Linear      (32, 100)      78,500  5,017,600
      1     ReLU        (32, 100)           0          0
      2     Linear      (32, 10)        1,010     64,000
      --------------------------------------------------
      79,510 parameters, 0 in buffers, 318,040 bytes
    """
    raise TypeError(f"summary takes a funnn Layer or a funnn.torch Module, got {type(layer).__name__}")


@summary.register
def _of_layer(layer: Layer, *inputs: Any, train: bool = False, depth: int | None = None, **kwargs: Any) -> Summary:
    params, state = jax.eval_shape(layer.init, jax.random.key(0))
    nodes = dict(layer.named_layers())
    recorder = Recorder()
    if inputs or kwargs:

        def apply_layer(params: Any, state: Any, key: Any, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return layer.apply(params, state, *inputs, key=key, train=train, **kwargs)[0]

        token = watching.set(_Watch(recorder, nodes))
        try:
            recorder.trace(apply_layer, params, state, jax.random.key(0), inputs, kwargs)
        finally:
            watching.reset(token)
    parts = [(path, node._get_name(), jax.tree.leaves(_below(params, path))) for path, node in nodes.items()]
    return recorder.summary(parts, jax.tree.leaves(state), depth)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _below(tree: Any, path: str) -> Any:
    for name in path.split(".") if path else ():
        tree = tree.get(name, {})
    return tree


class _Watch:
    """Told of every layer that runs, it knows its path in the whole network: a layer may run another one by ``apply``."""

    def __init__(self, recorder: Recorder, nodes: dict[str, Layer]):
        self.recorder, self.nodes, self.bases = recorder, nodes, [""]

    def __call__(self, view: Layer, run: Callable[..., Any], inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        run = functools.partial(run, *inputs, **named)
        assert view._scope is not None
        inner = view._scope.path
        if inner or not self.recorder.open:
            return self._record(_join(self.bases[-1], inner), run)
        caller = self.recorder.open[-1][0]
        name = next((name for name, child in self.nodes[caller].children().items() if type(child) is type(view)), None)
        if name is None:  # a layer from outside is part of the one that runs it
            return run()
        self.bases.append(_join(caller, name))
        try:
            return self._record(self.bases[-1], run)
        finally:
            self.bases.pop()

    def _record(self, path: str, run: Callable[[], Any]) -> Any:
        self.recorder.enter(path)
        output = run()
        self.recorder.leave(output)
        return output


class Recorder:
    """What happens in a network while it is traced: which part ran, what it returned, and which operations are whose."""

    def __init__(self) -> None:
        self.open: list[tuple[str, Any]] = []  # the parts that are running: paths, and the scopes around them
        self.paths = [""]  # by number of a call, from 1
        self.outputs: dict[str, Any] = {}
        self.calls: Counter[str] = Counter()
        self.flops: Counter[str] = Counter()

    def enter(self, path: str) -> None:
        """The part at ``path`` starts."""
        scope = jax.named_scope(_flops.label(len(self.paths)))
        self.paths.append(path)
        self.open.append((path, scope))
        scope.__enter__()

    def leave(self, output: Any) -> None:
        """The part that started last is done."""
        path, scope = self.open.pop()
        scope.__exit__(None, None, None)
        self.calls[path] += 1
        self.outputs.setdefault(path, _shapes(output))

    def trace(self, function: Callable[..., Any], *trees: Any) -> None:
        """Trace ``function(*trees)``: what has a shape and a dtype stands for an array, the rest is as it is."""
        structure: Any
        leaves, structure = jax.tree.flatten(trees)
        places = [place for place, leaf in enumerate(leaves) if hasattr(leaf, "shape") and hasattr(leaf, "dtype")]

        def trace_on_arrays(*arrays: Any) -> Any:
            filled = dict(zip(places, arrays, strict=True))
            return function(*structure.unflatten([filled.get(place, leaf) for place, leaf in enumerate(leaves)]))

        try:
            traced = jax.make_jaxpr(trace_on_arrays)(*(jax.ShapeDtypeStruct(leaves[place].shape, leaves[place].dtype) for place in places))
        finally:
            while self.open:
                self.open.pop()[1].__exit__(None, None, None)
        for number, flops in _flops.count(traced.jaxpr).items():
            self.flops[self.paths[number]] += flops

    def summary(self, parts: Sequence[tuple[str, str, Sequence[Any]]], buffers: Sequence[Any], depth: int | None) -> Summary:
        """The table of the parts: path, type and parameters of each, those inside included."""
        rows = []
        for path, kind, parameters in parts:
            flops = sum(number for below, number in self.flops.items() if not path or below == path or below.startswith(f"{path}."))
            rows.append(Row(path, kind, self.outputs.get(path), _numbers(parameters), flops, self.calls[path]))
        size = sum(_numbers([array]) * jnp.dtype(array.dtype).itemsize for array in (*parts[0][2], *buffers))
        return Summary(tuple(rows), _numbers(buffers), size, depth)


def _shapes(output: Any) -> Any:
    """The shapes of the arrays in what a layer returns; of other things, their types."""
    if isinstance(output, dict):
        return {name: _shapes(item) for name, item in output.items()}
    if isinstance(output, (list, tuple)):
        return [_shapes(item) for item in output]
    return tuple(output.shape) if hasattr(output, "shape") else None if output is None else type(output).__name__


def _numbers(arrays: Sequence[Any]) -> int:
    return sum(math.prod(array.shape) for array in arrays)
