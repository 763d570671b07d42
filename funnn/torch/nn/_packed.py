"""Batches of sequences of different lengths: padded, packed, and how a recurrent module takes them packed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from funnn import functional as F
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.ops.make import factories as _factories
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Fields):
    """Sequences without their padding: all first steps, then all second ones, …, each from the longest sequence to the shortest.

    Attributes:
      data: the steps, of shape (sum of lengths, *).
      batch_sizes: for each time the number of sequences that are that long; int64.
      sorted_indices: where in the batch the longest, second longest, … sequence was; None if it was sorted.
      unsorted_indices: the opposite.
    """

    def __new__(
        cls, data: Any, batch_sizes: Tensor | None = None, sorted_indices: Tensor | None = None, unsorted_indices: Tensor | None = None
    ) -> PackedSequence:
        if batch_sizes is None:
            if not (isinstance(data, (tuple, list)) and len(data) == 2):
                raise TypeError(f"PackedSequence needs batch_sizes, or a pair (data, batch_sizes) alone, but got {type(data).__name__}")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same sequences with data of another dtype, or on another device."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else type(self)(data, *self[1:])

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same sequences with data on the CPU."""
        return self.to("cpu", *args, **kwargs)

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same sequences with data on the accelerator; an error where JAX has none."""
        return type(self)(self.data.cuda(*args, **kwargs), *self[1:])

    def pin_memory(self) -> PackedSequence:
        """The sequences themselves: there is no pinned memory."""
        return self

    def is_pinned(self) -> bool:
        """False: there is no pinned memory."""
        return False

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on the accelerator."""
        return self.data.is_cuda


def _converted(name: str) -> Callable:
    def convert(self: PackedSequence) -> PackedSequence:
        return self.to(getattr(self.data, name)().dtype)

    convert.__name__ = convert.__qualname__ = name
    convert.__doc__ = f"The same sequences, with the data of ``data.{name}()``."
    return convert


for _name in ("double", "float", "half", "long", "int", "short", "char", "byte"):
    setattr(PackedSequence, _name, _converted(_name))


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes another; of None, None."""
    return None if permutation is None else _integers(np.argsort(permutation._host()))


# -- where the steps are


class _Steps(NamedTuple):
    """Where the steps of packed data are in a padded batch, in their order."""

    times: np.ndarray
    rows: np.ndarray

    def of(self, batch_first: bool) -> tuple[np.ndarray, np.ndarray]:
        """The indices of a padded batch's two first axes."""
        return (self.rows, self.times) if batch_first else (self.times, self.rows)


def _steps(batch_sizes: np.ndarray) -> _Steps:
    times, rows = np.nonzero(np.arange(batch_sizes.max(initial=0)) < batch_sizes[:, None])
    return _Steps(times, rows)


def _lengths(batch_sizes: np.ndarray) -> np.ndarray:
    """The sequences' lengths, from the longest to the shortest: where the sizes are no smaller than their place."""
    return (batch_sizes[:, None] > np.arange(batch_sizes.max(initial=0))).sum(0)


def _take(padded: jax.Array, first: jax.Array, second: jax.Array) -> jax.Array:
    return padded[first, second]


def _put(data: jax.Array, first: jax.Array, second: jax.Array, value: Any, *, shape: tuple[int, int]) -> jax.Array:
    return jax.numpy.full((*shape, *data.shape[1:]), value, data.dtype).at[first, second].set(data, unique_indices=True)


def _stack(sequences: tuple[jax.Array, ...], *, axis: int) -> jax.Array:
    return jax.numpy.stack(sequences, axis)


def _join(states: tuple[jax.Array, ...]) -> jax.Array:
    return jax.numpy.concatenate(states)


_states = Op(_join, "StackBackward0")
_packed, _stacked = Op(_take, "PackPaddedSequenceBackward0"), Op(_take, "CatBackward0")
_padded, _batched = Op(_put, "CopySlices", scalars=("value",)), Op(_stack, "CopySlices")


def _pad(packed: PackedSequence, batch_first: bool, value: float = 0.0, length: int | None = None) -> Tensor:
    """The padded batch in the packed order, (T, B, *) or (B, T, *)."""
    sizes = packed.batch_sizes._host()
    shape = (len(sizes) if length is None else length, int(sizes.max(initial=0)))
    return call(_padded, (packed.data, *_steps(sizes).of(batch_first), value), {"shape": shape[::-1] if batch_first else shape})


def _integers(values: Any) -> Tensor:
    return _factories.as_tensor(np.asarray(values, np.int64))


# -- packing and padding


def pack_padded_sequence(input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Leave out the padding of a batch.

    Args:
      input: of shape (T, B, *), or (B, T, *) with ``batch_first``.
      lengths: B integers in 1 … T, as a tensor or a list; known when the step is compiled, for the result's shape depends on them.
      enforce_sorted: whether ``lengths`` must be in decreasing order; if not, the batch is sorted.

    Raises:
      RuntimeError: lengths that are not sorted, not positive, more than T, or not B.
    """
    sizes = np.asarray(lengths._host() if isinstance(lengths, Tensor) else lengths, np.int64)
    order = None
    if not enforce_sorted:
        order = np.argsort(-sizes, kind="stable")
        sizes, input = sizes[order], input.index_select(0 if batch_first else 1, _integers(order))
    time, batch = (1, 0) if batch_first else (0, 1)
    if sizes.ndim != 1 or len(sizes) != input.shape[batch]:
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {sizes.size} (batch_size={input.shape[batch]})")
    if (np.diff(sizes) > 0).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass `enforce_sorted=False` to "
            f"pack_padded_sequence and/or pack_sequence to sidestep this requirement; got {sizes.tolist()}"
        )
    if not sizes.size or sizes[-1] <= 0:
        raise RuntimeError(
            f"Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0: {sizes.tolist()}"
        )
    if sizes[0] > input.shape[time]:
        raise RuntimeError(f"Expected lengths of at most the padded length {input.shape[time]}, but got {sizes.tolist()}")
    batch_sizes = (np.arange(sizes[0])[:, None] < sizes).sum(1)
    data = call(_packed, (input, *_steps(batch_sizes).of(batch_first)), {})
    return PackedSequence(data, _integers(batch_sizes), None if order is None else _integers(order))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The opposite of :func:`pack_padded_sequence`: the padded batch, of the original order, and the lengths.

    Args:
      padding_value: what stands behind the end of a sequence.
      total_length: the length to pad to; default that of the longest sequence.

    Raises:
      ValueError: total_length is less than that.
    """
    sizes = sequence.batch_sizes._host()
    if total_length is not None and total_length < len(sizes):
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {len(sizes)}"
        )
    padded, lengths = _pad(sequence, False, padding_value, total_length), _integers(_lengths(sizes))
    if batch_first:
        padded = padded.transpose(0, 1)
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(0 if batch_first else 1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices]
    return padded, lengths


def pad_sequence(
    sequences: Tensor | Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """A batch (T, B, *), or (B, T, *) with ``batch_first``, of sequences (L_i, *), padded to the longest, T, on one side."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}")
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    first = sequences[0].shape[1:]
    if other := next((x.shape[1:] for x in sequences if x.shape[1:] != first), None):
        raise RuntimeError(
            f"The size of tensor a {list(first)} must match the size of tensor b {list(other)} behind the sequences' lengths"
        )
    longest, axis = max(x.shape[0] for x in sequences), 0 if batch_first else 1
    if thread.tracing is None and not any(x.requires_grad for x in sequences):
        return _padded_on_host(sequences, longest, axis, padding_value, padding_side)

    def extended(x: Tensor) -> Tensor:
        padding = x.new_full((longest - x.shape[0], *x.shape[1:]), padding_value)
        return ops["cat"]([x, padding] if padding_side == "right" else [padding, x])

    return call(_batched, (tuple(map(extended, sequences)),), {"axis": axis})


def _padded_on_host(sequences: tuple[Tensor, ...], longest: int, axis: int, value: float, side: str) -> Tensor:
    """What a loader asks for, with other lengths every time: nothing is compiled."""
    first = sequences[0]._host()
    batch = np.full((len(sequences), longest, *first.shape[1:]), value, first.dtype)
    for row, x in zip(batch, sequences, strict=True):
        row[slice(x.shape[0]) if side == "right" else slice(longest - x.shape[0], None)] = x._host()
    return _factories.tensor(np.ascontiguousarray(batch if axis == 0 else batch.swapaxes(0, 1)), dtype=sequences[0].dtype)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, each of its length."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [row[: int(length)] for row, length in zip(rows, lengths, strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of sequences (L_i, *)."""
    return pack_padded_sequence(pad_sequence(sequences), [x.shape[0] for x in sequences], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed batch, in the original order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


# -- recurrent modules


class _OneLayer:
    """One layer of a recurrent module, for its ``forward``."""

    def __init__(self, module: Any, layer: int):
        weights = module._flat_weights
        each = len(weights) // module.num_layers
        self._module, self._weights = module, weights[layer * each : (layer + 1) * each]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def _arguments(self) -> tuple:
        module = self._module
        return self._weights, module.bias, 1, 0.0, module.training, module.bidirectional, module.batch_first

    def _draws(self) -> bool:
        return False


def takes_packed(forward: Callable) -> Callable:
    """The ``forward`` of a recurrent layer, for packed input too: it then runs on the padded batch and its output is packed again."""

    @functools.wraps(forward)
    def forward_packed(self: Any, input: Any, hx: Any = None, **kwargs: Any) -> Any:
        if not isinstance(input, PackedSequence):
            return forward(self, input, hx, **kwargs)
        sizes = input.batch_sizes._host()
        steps, lengths = _steps(sizes), _integers(_lengths(sizes))

        def packed(padded: Tensor) -> PackedSequence:
            return PackedSequence(call(_stacked, (padded, *steps.of(self.batch_first)), {}), *input[1:])

        hx = _permuted(hx, input.sorted_indices)
        if self._draws() and self.training:  # torch drops elements of packed data
            output, states, directions = input, [], 2 if self.bidirectional else 1
            for layer in range(self.num_layers):
                if layer:
                    output = output._replace(data=F.dropout(output.data, self.dropout))
                own = _each(hx, lambda x, layer=layer: x[layer * directions : (layer + 1) * directions])
                padded, state = forward(_OneLayer(self, layer), _pad(output, self.batch_first), own, lengths=lengths)
                output = packed(padded)
                states.append(state)
            last = tuple(map(_joined, zip(*states, strict=True))) if isinstance(states[0], tuple) else _joined(states)
        else:
            padded, last = forward(self, _pad(input, self.batch_first), hx, lengths=lengths)
            output = packed(padded)
        return output, _permuted(last, input.unsorted_indices)

    return forward_packed


def _joined(states: Sequence[Tensor]) -> Tensor:
    """The final states of all layers."""
    return call(_states, (tuple(states),), {})


def _each(hx: Any, change: Callable) -> Any:
    """A state, or each of a tuple of states, changed."""
    return None if hx is None else tuple(map(change, hx)) if isinstance(hx, (tuple, list)) else change(hx)


def _permuted(hx: Any, order: Tensor | None) -> Any:
    return hx if order is None else _each(hx, lambda x: x.index_select(1, order))
