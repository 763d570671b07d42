"""How a pure function runs on Tensors: unwrap, look up its form, record it in the pending graph, wrap, and record on the tape.

The form is cached by the function, its static arguments and which inputs need gradients. One whose gradient is wanted is "run and return the vjp":
the vjp is a pytree of residual arrays, which one more record applies. Numbers that the function declares as ``scalars`` are operands, so a changing
number compiles nothing.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from funnn import _other_torch
from funnn.engine.dispatch.arguments import SLOT, named_arguments
from funnn.engine.dispatch.entry import Entry
from funnn.engine.dispatch.node_hooks import hook_as_shown, refuse_hooks_of_parts, torch_outputs
from funnn.engine.dispatch.note import Note
from funnn.engine.dispatch.op import Op
from funnn.engine.dispatch.rewritten import operands_now, rule_by_result, seen_at, vjp_now
from funnn.engine.dispatch.saved_names import without_what_is_not_saved
from funnn.engine.dispatch.shown_nodes import Shown, shown_next
from funnn.engine.dispatch.static_kinds import check_kinds
from funnn.engine.dispatch.torch_reading import check_call
from funnn.engine.memory.storage import Storage
from funnn.engine.program.form import LEAVES, PULL, Families, Form
from funnn.engine.program.graph import compute, record
from funnn.engine.program.value import Residuals, Value, copied
from funnn.engine.state import thread
from funnn.engine.tape.node import (
    INFERENCE_SAVED,
    SECOND_TIME,
    AccumulateGrad,
    Node,
    RemovableHandle,
    new_number,
    node_type,
    overwritten,
    zero_gradient,
)
from funnn.engine.tensor.overrides import PROTOCOL, Foreign
from funnn.engine.tensor.tensor import Tensor, as_tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.warning import say

_KEYWORD = object()  # stands before the name of a keyword argument
_TRACED_NUMBERS = (int, float, complex)


class Recording(Node):
    """A node made by :func:`call`, of one output."""

    __slots__ = ("entry", "inputs", "note", "saved", "shown", "view", "vjp")

    entry: Entry
    note: Note
    vjp: Any  # None once it is released
    inputs: Any  # operands; None once they are released. Where the node is linear, of an operand with an edge shape and dtype alone
    shown: Any  # its next functions, once somebody looked, where they are of ``shown_nodes``
    view: Any  # of a view, the function that gives its window, and the arguments; else it is not there
    saved: Any  # (storage, its writes, the number of the input that it is of, or ~ that of the output, its version, the window);
    # the version is ~ where torch did not save it itself, but something that was computed from it on the way
    outputs: tuple[Any, ...] | None = None  # of several, shape and dtype of each, None for one without gradient

    @property
    def next_functions(self) -> tuple[Any, ...]:
        """As of any node; where torch has several nodes for the operation, these."""
        shown = shown_next(self)
        return super().next_functions if shown is None else shown

    def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As of any node; where torch has several nodes for the operation, the hook gets the gradients of what leads to this one, if they are known."""
        return super().register_hook(hook_as_shown(self, hook))

    def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """As of any node, but for one that PyTorch has for several tensors."""
        refuse_hooks_of_parts(self)
        return super().register_prehook(hook)

    def torch_outputs(self) -> Sequence[int | None]:
        """As of any node; of those here only the ones with a gradient."""
        return torch_outputs(self)

    def __dir__(self) -> list[str]:
        return without_what_is_not_saved(self, list(super().__dir__()))

    @property
    def residuals(self) -> bool:
        """Whether it keeps anything."""
        return self.note.residuals

    def spread(self, values: Any, missing: Any) -> tuple:
        """One value for every input of torch's node, from one for every edge."""
        values = tuple(values)
        return tuple(missing if number is None else values[number] for number in self.entry.operands)

    def collect(self, values: Any) -> list:
        """The opposite of ``spread``."""
        numbers = self.entry.operands
        return [values[numbers.index(number)] for number in range(len(self.edges))]

    def pull(self, gradients: list, create_graph: bool) -> Any:
        entry = self.entry
        vjp = self.vjp
        if vjp is None:
            raise RuntimeError(SECOND_TIME)
        if type(vjp) is Packed:
            vjp = vjp.unpack()
        inputs = None
        for storage, writes, _, _, _ in self.saved:
            if storage.writes != writes:
                self._check_versions()
                if type(self.vjp) is Packed:
                    break
                by_result = rule_by_result(self)
                if by_result is not None:
                    return (call(_by_result(by_result[0], entry.name), (as_tensor(gradients[0]), by_result[1]), {}),)
                inputs = operands_now(self)
                vjp = vjp_now(self, self._without_shapes(inputs))
                break
        chosen = gradients
        if self.outputs is not None:
            pairs = zip(gradients, self.outputs, strict=True)
            chosen = [zero_gradient(*output) if gradient is None else gradient for gradient, output in pairs if output]
        if create_graph:
            inputs = self._without_shapes(inputs or self.inputs) if self.note.linear else self._input_tensors(inputs or self.inputs)
            results = call(entry.second(self.note), (*inputs, *map(as_tensor, chosen)), {})
            return results if isinstance(results, tuple) else (results,)
        form, *kept = (PULL, vjp) if isinstance(vjp, Residuals) else vjp
        operands = [*kept, *chosen]
        return record([form], operands, form)[0] if thread.tracing is None else compute(form, operands)[0]

    def _check_versions(self) -> None:
        """Raise torch's error where a saved tensor was written in a way that autograd has seen."""
        for storage, _, number, version, _ in self.saved:
            if storage.version != version and version >= 0:
                raise overwritten(self._describe(storage, number), storage.version, version)

    def _without_shapes(self, inputs: list[Any]) -> list[Any]:
        """The inputs with zeros for those that need a gradient, on which what was kept does not depend."""
        return [zero_gradient(*item) if type(item) is tuple else item for item in inputs]

    def _input_tensors(self, inputs: list[Any]) -> list[Any]:
        """The inputs with the history that they had, for a backward pass that is itself recorded."""
        tensors = list(inputs)
        for storage, writes, number, _, window in self.saved:
            if number >= 0 and storage.writes == writes:  # the memory itself, so that the new node finds later writes to it
                tensors[number] = seen_at(storage, window)
        for position, edge in zip(self.entry.tracked, self.edges, strict=True):
            tensor = tensors[position]
            if not isinstance(tensor, Tensor):
                tensor = tensors[position] = Tensor._wrap(tensor)
            tensor._grad_fn, tensor._output = edge
        return tensors

    def _describe(self, storage: Storage, number: int) -> str:
        """What an error says of a tensor that was saved."""
        shape, output = storage.shape, ~number
        node: Node | None = self
        if number >= 0:
            operand = self.inputs[number]
            shape = operand[0] if type(operand) is tuple else operand.shape
            tracked = self.entry.tracked
            node, output = self.edges[tracked.index(number)] if number in tracked else (None, 0)
        what = f"[torch.{_dtype.dtype.of(storage.dtype).legacy}Tensor {list(shape)}]"
        if node is None or type(node) is AccumulateGrad:
            return what
        return f"{what}, which is output {output} of {re.sub('Backward(0$|(?=[1-9]))', '', type(node).__name__)}"

    def release(self) -> None:
        if self.note.residuals:
            self.vjp = None
            self.saved = ()
            self.inputs = None


class Several(Recording):
    """One of several outputs."""

    __slots__ = ("count", "outputs", "shown_outputs")

    count: int
    shown_outputs: Any  # the nodes of the outputs, once somebody looked, where torch has several

    def of_output(self, index: int) -> Node:
        names = self.entry.names
        if not names or names[index] is ... or index == names.index(self.entry.name):
            return self
        if not hasattr(self, "shown_outputs"):
            self.shown_outputs = {}
        if index not in self.shown_outputs:
            self.shown_outputs[index] = node_type(str(names[index]), Shown)(((self, index),))
        shown: Node = self.shown_outputs[index]
        return shown


@functools.lru_cache
def _by_result(rule: Callable, name: str) -> Op:
    return Op(rule, name)


@functools.lru_cache(maxsize=4096)
def _pull_unpacked(structure: Any) -> Form:
    """As ``PULL``, of a vjp that is given by its leaves."""
    count = structure.num_leaves
    return Form(lambda *operands: PULL.function(jax.tree.unflatten(structure, operands[:count]), *operands[count:]))


class Unchecked(tuple[Callable[..., Any], Callable[..., Any]]):
    """Hooks under which nobody minds that what was saved is written: the arrays that were saved stay what they were."""

    __slots__ = ()


class Packed:
    """What a vjp keeps, as the hooks of ``saved_tensors_hooks`` packed it."""

    def __init__(self, vjp: Residuals, pack: Callable, unpack: Callable):
        values = record([LEAVES], [vjp], LEAVES)[0] if thread.tracing is None else compute(LEAVES, [vjp])[0]
        self.form = _pull_unpacked(jax.tree.structure(vjp.outline))
        self.packed, self.hook = [pack(Tensor._wrap(value)) for value in values], unpack

    def unpack(self) -> list[Any]:
        """The form that pulls, and its first operands."""
        return [self.form, *[self.hook(item)._operand() for item in self.packed]]


#: The operations on numbers of 8 bits: what moves them, compares them, and converts them.
_KEEPING = frozenset(
    ("to_dtype", "copy", "clone", "filled", "cat", "stack", "repeat", "pad", "where", "index", "index_put", "_index_select", "_gather")
    + ("_masked_fill", "abs", "eq", "ne", "isnan", "isinf", "isfinite", "backward", "scaled_mm")
)
_forms: dict[tuple, Form] = {}
_FORMS = 20_000
_families = Families()
_new: Any = object.__new__


def _flatten(value: Any, traced: bool, operands: list, tensors: list, key: list) -> None:
    """Split an argument into operands (with the Tensors they came from) and a hashable key for the rest."""
    kind = type(value)
    if isinstance(value, Tensor):
        operands.append(value._operand())
        tensors.append(value)
        key.append(SLOT)
    elif kind in _TRACED_NUMBERS and traced:
        operands.append(value)
        tensors.append(None)
        key.append(kind)
    elif value is None or kind is str:
        key.append(value)
    elif kind in (tuple, list):
        key.append((kind, len(value)))
        for item in value:
            _flatten(item, traced, operands, tensors, key)
    elif kind is float:
        key.append((kind, value, str(value)))  # −0.0 == 0.0, but not as text
    elif kind is int or kind is bool:
        key.append((kind, value))
    elif isinstance(value, (Value, jax.Array, np.ndarray)):
        operands.append(value if isinstance(value, Value) else Value(copied(value)))  # whose array it is may write into it before this runs
        tensors.append(None)
        key.append(SLOT)
    elif isinstance(value, np.generic):
        _flatten(_dtype.plain_number(value) if traced else value.item(), traced, operands, tensors, key)
    elif hasattr(kind, PROTOCOL):
        _other_torch.refuse_object(value)
        raise Foreign(f"expected Tensor as an operand, but got {kind.__name__}")
    else:
        key.append((kind, value))


def _layout(value: Any, traced: bool) -> Any:
    """The arguments with a slot for each array; built once for an entry."""
    if isinstance(value, np.generic):
        value = _dtype.plain_number(value) if traced else value.item()
    if isinstance(value, (Tensor, Value, jax.Array, np.ndarray)) or (traced and type(value) in _TRACED_NUMBERS):
        return SLOT
    return type(value)(_layout(item, traced) for item in value) if type(value) in (tuple, list) else value


def call(op: Op, args: tuple, kwargs: dict) -> Any:
    """Run ``op`` on Tensors (and arrays and static values): Tensors come back, recorded if gradients are on and an input needs one.

    This is the hot path of eager execution, which a user's line enters for every operation: what is common (Tensors by position that are no views,
    one result) is written out here, and the rest is called.
    """
    if thread.autocast is not None:
        args, kwargs = thread.autocast.operands(op, args, kwargs)
    tracing = thread.tracing
    operands: list[Any] = []
    tensors: list[Any] = []
    key: list[Any] = [op, _dtype._default]
    positions = op.scalar_positions
    for position, value in enumerate(args):
        if not isinstance(value, Tensor):
            _flatten(value, position in positions, operands, tensors, key)
            continue
        operands.append(value._storage.value if value._window is None and tracing is None else value._operand())
        tensors.append(value)
        key.append(SLOT)
    for name, value in kwargs.items():
        key.append(_KEYWORD)
        key.append(name)
        _flatten(value, name in op.scalar_names, operands, tensors, key)
    tracked: tuple[int, ...] = ()
    if thread.grad:
        for number, tensor in enumerate(tensors):
            if tensor is not None and (
                tensor._grad_fn is not None or tensor._leaf_requires_grad if tensor._base is None else tensor.requires_grad
            ):
                tracked += (number,)
    key.append(tracked)
    key.append(op.grad(*args, **kwargs) if tracked and op.named_by_call else None)
    if tracing is None:
        results, step = record(key, operands, _form, op, args, kwargs, tensors, tracked)
        note, form = step.shaped.note, step.shaped.form
    else:
        form = _form(tuple(key), op, args, kwargs, tensors, tracked)
        results, note = compute(form, tracing.cut(operands, tracked))
    if note.warned:
        shapes = [_dtype.Size(operand.shape) for operand in operands[:2] if isinstance(operand, Value)]
        for text, category, once in note.warned:
            say(text.format(*shapes) if "{0}" in text else text, category, once)
    if note.smooth is not None:
        return _record_call(results, note, form.owner, operands, tensors, tracing)
    if note.kind is None:
        result = _new(Tensor)
        if tracing is None:  # Storage(results[0]), written out
            result._storage = storage = _new(Storage)
            storage.value, storage.version, storage.writes = results[0], 0, 0
            storage.inference, storage.level = thread.inference, thread.level
        else:
            result._storage = Storage(results[0])
        return result
    wrapped = [Tensor._wrap(value) for value in results]
    return note.kind(*wrapped) if hasattr(note.kind, "_fields") else tuple(wrapped)


def call_key(op: Op, args: tuple, kwargs: dict) -> tuple[list, list, tuple, tuple]:
    """The operands and Tensors of a call, the layout that ``fill`` puts arrays into, and the hashable rest."""
    operands: list[Any] = []
    tensors: list[Any] = []
    key: list[Any] = [_dtype._default]
    for position, value in enumerate(args):
        _flatten(value, position in op.scalar_positions, operands, tensors, key)
    for name, value in kwargs.items():
        key.append((_KEYWORD, name))
        _flatten(value, name in op.scalar_names, operands, tensors, key)
    return operands, tensors, _layout_of(op, args, kwargs), tuple(key)


def _layout_of(op: Op, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    return (
        tuple(_layout(value, position in op.scalar_positions) for position, value in enumerate(args)),
        {name: _layout(value, name in op.scalar_names) for name, value in kwargs.items()},
    )


def _form(kind: tuple, op: Op, args: tuple, kwargs: dict, tensors: list, tracked: tuple) -> Form:
    """The form of a call, whose last item of ``kind`` is the name that the call chose for its node, or None."""
    for tensor in tensors:
        if tensor is not None and tensor.dtype in _dtype.FLOAT8 and op.name not in _KEEPING:
            raise NotImplementedError(
                f'"{op.name}" not implemented for {tensor.dtype.legacy!r}; convert with .float(), compute, and convert back'
            )
    form = _forms.get(kind)
    if form is None:
        check_call(op.names, args, kwargs)
        check_kinds(op, named_arguments(op.pure, _layout_of(op, args, kwargs)))
        rest = len(tensors), tracked, kind[-1] or op.grad, _operands(op, tensors, tracked)
        if len(_forms) >= _FORMS:  # as many as anybody uses in turns; the others come anew
            _forms.clear()
        form = _forms[kind] = _families.form(
            _layout_of(op, args, kwargs),
            lambda layout: Entry(op, layout, *rest, (Recording, Several)).function,
            op,
            kind[1],
            tracked,
            kind[-1],
        )
    return form


def _operands(op: Op, tensors: list, tracked: tuple) -> tuple[int | None, ...]:
    """The inputs of torch's node, in its order: the number of the edge, or None for an operand that needs no gradient.

    A number counts where torch turns it into a tensor: in operations whose node has one name for tensors and numbers.
    """
    numbers = not op.named_by_call and {0, 1} <= op.scalar_positions
    found = [
        tracked.index(i) if i in tracked else None
        for i, tensor in enumerate(tensors)
        if i in tracked or (numbers and i < 2) or (tensor is not None and tensor.dtype.category >= 2)
    ]
    return tuple(found[i] for i in op.order) if len(found) == len(op.order) else tuple(found)


def _record_call(results: list, note: Note, entry: Any, operands: list, tensors: list, tracing: Any) -> Any:
    """The results as Tensors with a node that holds their vjp, the last; written out for the common case, as ``call`` is."""
    edges = []
    for position in entry.tracked:
        tensor = tensors[position]
        if tensor._base is not None:
            edges.append(tensor._edge())
        elif tensor._grad_fn is not None:
            edges.append((tensor._grad_fn, tensor._output))
        else:
            accumulator = tensor._accumulator
            leaf = None if accumulator is None else accumulator()
            edges.append(tensor._edge() if leaf is None else (leaf, 0))
    node: Any = _new(entry.type if note.kind is None else entry.several)
    node.edges = tuple(edges)
    node.number = new_number()
    if thread.anomaly is not None:
        thread.anomaly.remember(node)
    node.entry = entry
    node.note = note
    node.vjp = vjp = results.pop()
    node.inputs = operands
    if note.linear:
        for position in entry.tracked:
            operand = operands[position]
            operands[position] = operand.shape, operand.dtype
    if tracing is not None:
        tracing.recorded(node)
    inference = thread.inference
    if note.kind is not None:
        pairs = list(zip(results, note.smooth or (), strict=True))
        node.count, node.outputs = len(results), tuple([(value.shape, value.dtype) if smooth else None for value, smooth in pairs])
        wrapped: Any = [Tensor._wrap(value, node, index) if smooth else Tensor._wrap(value) for index, (value, smooth) in enumerate(pairs)]
        result: Any = note.kind(*wrapped) if hasattr(note.kind, "_fields") else tuple(wrapped)
    else:
        result = _new(Tensor)
        if tracing is None:
            result._storage = storage = _new(Storage)
            storage.value = results[0]
            storage.version = storage.writes = 0
            storage.inference = inference
            storage.level = thread.level
        else:
            result._storage = Storage(results[0])
        result._grad_fn = node
        result._output = 0
        wrapped = (result,)
    checked = True
    if note.residuals and thread.saved_hooks:
        hooks = thread.saved_hooks[-1]
        node.vjp = Packed(vjp, *hooks)
        checked = type(hooks) is not Unchecked
    saved: list[Any] = []
    for number in note.saved:
        tensor = tensors[number] if number >= 0 else wrapped[~number]
        if tensor is not None:
            storage = tensor._storage
            if storage.inference and not inference:
                raise RuntimeError(INFERENCE_SAVED)
            saved.append((storage, storage.writes, number, storage.version, tensor._window))  # not the tensor: it may hold the node
    if entry.torchs.saved is None:
        for number, tensor in (*enumerate(tensors), *[(~number, tensor) for number, tensor in enumerate(wrapped)]):
            if tensor is not None and number not in note.saved:
                storage = tensor._storage
                saved.append((storage, storage.writes, number, ~storage.version, tensor._window))
    node.saved = saved if checked else []
    return result
