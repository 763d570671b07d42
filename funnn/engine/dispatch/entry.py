"""What a call of an operation computes: the function for given static arguments, with its vjp where inputs need gradients, as a form traces it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.dispatch.arguments import Torchs, fill, named_arguments
from funnn.engine.dispatch.jax_errors import in_torchs_words, raised_by_jax
from funnn.engine.dispatch.note import Note
from funnn.engine.dispatch.op import Op
from funnn.engine.dispatch.refused_types import check_types, refused_types
from funnn.engine.dispatch.saved_names import saved_properties
from funnn.engine.dispatch.shown_nodes import sending_order
from funnn.engine.program.form import Form, strong
from funnn.engine.tape.node import node_type
from funnn.engine.types.dtype import Size
from funnn.engine.types.warning import say
from funnn.functional._warn import collected


class Entry:
    """A function for given static arguments and given inputs that need gradients.

    Args:
      op: the function; layout: its arguments, with slots for arrays; count: how many arrays; tracked: the numbers of those that need gradients.
      name: torch's name of the node, or those of the results' nodes; operands: the number of the edge of each of its inputs.
      kinds: the classes of nodes of one output, and of one of several.
    """

    def __init__(
        self,
        op: Op,
        layout: Any,
        count: int,
        tracked: tuple[int, ...],
        name: Any,
        operands: tuple[int | None, ...],
        kinds: tuple[type, type],
    ):
        self.op, self.layout, self.count, self.tracked = op, layout, count, tracked
        self.names: tuple[Any, ...] = name if isinstance(name, tuple) else ()  # of the results' nodes, where torch has several
        name = next(filter(None, self.names)) if self.names else name
        self.name: str = name
        self.type: Any = node_type(name, kinds[0], saved_properties(name)) if tracked else None
        self.several: Any = node_type(name, kinds[1], saved_properties(name)) if tracked else None
        self._second: Op | None = None
        self.again: Form | None = None  # see ``rewritten``
        torchs = _torchs_node(op, name, layout, tracked) if tracked else None
        self.torchs: Any = torchs
        inputs = None if torchs is None else torchs.inputs
        self.operands = operands if inputs is None else _edges(inputs, tracked)
        self.sends = sending_order(op.name, name, layout, op.pure, tracked) if tracked else None

    @property
    def function(self) -> Callable[..., tuple[tuple[Any, ...], Note]]:
        """What the form computes."""
        return self._with_vjp if self.tracked else self._alone

    def _forward(self, *arrays: Any) -> Any:
        """The function of the arrays alone; results never weakly typed, so that only their dtype counts later."""
        # NumPy arrays come here as they are only under jax.disable_jit
        remaining = iter([jnp.asarray(array) if type(array) is np.ndarray else array for array in arrays])
        args, kwargs = fill(self.layout, remaining)
        refused = refused_types(self.op.names)
        if refused:
            check_types(refused, args)
        try:
            return jax.tree.map(strong, self.op.pure(*args, **kwargs))
        except (TypeError, ValueError, IndexError, OverflowError) as error:
            if not raised_by_jax(error):
                raise
            raise in_torchs_words(error, self.op.name, arrays) from error

    def _alone(self, *arrays: Any) -> tuple[tuple[Any, ...], Note]:
        with _collecting(arrays) as warned:
            outputs = self._forward(*arrays)
        note = Note(type(outputs) if isinstance(outputs, tuple) else None, warned=tuple(dict.fromkeys(warned)))
        return (tuple(outputs) if isinstance(outputs, tuple) else (outputs,)), note

    def _with_vjp(self, *arrays: Any) -> tuple[tuple[Any, ...], Note]:
        with _collecting(arrays) as warned:
            outputs, vjp, note = self._record(*arrays)
        if warned:
            note = dataclasses.replace(note, warned=tuple(dict.fromkeys(warned)))
        flat = tuple(outputs) if isinstance(outputs, tuple) else (outputs,)
        return (flat if vjp is None else (*flat, vjp)), note

    def _record(self, *arrays: Any) -> tuple[Any, Any, Note]:
        """Outputs, their vjp (None if none has a gradient: a comparison, argmax), and what it keeps."""

        def function(*tracked: Any) -> tuple[Any, Any]:
            merged = list(arrays)
            for position, array in zip(self.tracked, tracked, strict=True):
                merged[position] = array
            outputs = self._forward(*merged)
            flat = outputs if isinstance(outputs, tuple) else (outputs,)
            return tuple(array for array, smooth in zip(flat, self._smooth(flat), strict=True) if smooth), outputs

        _, vjp, outputs = jax.vjp(function, *(arrays[position] for position in self.tracked), has_aux=True)
        flat = outputs if isinstance(outputs, tuple) else (outputs,)
        kind = type(outputs) if isinstance(outputs, tuple) else None
        smooth = self._smooth(flat)
        if not any(smooth):
            return outputs, None, Note(kind)
        kept = jax.tree.leaves(vjp)
        if any(map(jnp.iscomplexobj, (*arrays, *flat))):
            vjp = jax.tree_util.Partial(_pull_conjugates, vjp)
        saved = self.torchs.saved
        if saved is not None:  # where torch saves no tensor, as of a view, backward may come a second time, whatever is kept here
            saved = tuple([number for number in saved if ~number < len(flat)])
            return outputs, vjp, Note(kind, smooth, saved, bool(saved), self.tracked)
        inputs = [i for i, array in enumerate(arrays) if any(array is leaf for leaf in kept) or i in (self.op.saves or ())]
        saved = (*inputs, *[~i for i, array in enumerate(flat) if any(array is leaf for leaf in kept)])
        return outputs, vjp, Note(kind, smooth, saved, bool(kept or saved), self.tracked)

    def _smooth(self, outputs: tuple[Any, ...]) -> tuple[bool, ...]:
        """Of each output whether it has a gradient."""
        wanted = self.names or (self.name,) * len(outputs)
        return tuple(
            name is not None and bool(jnp.issubdtype(array.dtype, jnp.inexact)) for array, name in zip(outputs, wanted, strict=True)
        )

    def second(self, note: Note) -> Op:
        """The backward pass as a function of the inputs and the outputs' gradients, so that it can be recorded too; it saves what the operation did."""
        if self._second is None:

            def backward(*arrays: Any) -> Any:
                inputs, gradients = arrays[: self.count], arrays[self.count :]
                _, vjp, _ = self._record(*inputs)
                results = vjp(tuple(gradients))
                return results if len(results) > 1 else results[0]

            self._second = Op(backward, self.name, saves=tuple([number for number in note.saved if number >= 0]))
        return self._second


@contextlib.contextmanager
def _collecting(arrays: tuple[Any, ...]) -> Iterator[list[Any]]:
    """Collect what a function warns of; where it fails then, the warnings are given before the error, as in torch."""
    with collected() as warned:
        try:
            yield warned
        except Exception:
            known = all(
                isinstance(size, int) for array in arrays for size in np.shape(array)
            )  # else it is traced again for the sizes that are there
            for text, category, once in dict.fromkeys(warned) if known else ():
                say(text.format(*[Size(array.shape) for array in arrays[:2]]) if "{0}" in text else text, category, once)
            raise


def _torchs_node(op: Op, name: str, layout: Any, tracked: tuple[int, ...]) -> Torchs:
    return Torchs(name, op.name, named_arguments(op.pure, layout) if op.saves is None else {}, tracked)


def _edges(inputs: tuple[int | None, ...], tracked: tuple[int, ...]) -> tuple[int | None, ...]:
    """The numbers of the edges of operands that have one."""
    return tuple([tracked.index(number) if number in tracked else None for number in inputs])


def _pull_conjugates(vjp: Callable, gradients: Any) -> Any:
    """torch's gradient of a complex number, ∂L/∂x + i·∂L/∂y, is the conjugate of JAX's."""
    return jax.tree.map(jnp.conj, vjp(jax.tree.map(jnp.conj, gradients)))
