"""Batches on their way to devices, for training by pure functions; any iterable will do, such as a list, a generator or a DataLoader."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np


def stack(samples: Sequence[Any]) -> Any:
    """Samples of one structure as one batch of NumPy arrays with a new first dimension; a DataLoader's ``collate_fn`` that makes no Tensors.

    Raises:
      ValueError: samples of different structures or shapes.

    Example:
      >>> stack([{"x": 1.0, "y": 2}, {"x": 3.0, "y": 4}])
      {'x': array([1., 3.]), 'y': array([2, 4])}
    """
    return jax.tree.map(lambda *leaves: np.stack(leaves), *samples)


def process_indices(
    length: int,
    *,
    shuffle: bool = True,
    seed: int = 0,
    epoch: int = 0,
    drop_last: bool = False,
    process: int | None = None,
    processes: int | None = None,
) -> np.ndarray:
    """Which examples of a dataset belong to this process in an epoch: every P-th one, equally many for each of P processes.

    Args:
      length: of the dataset.
      shuffle: whether the order is drawn, from ``seed`` and ``epoch``, the same in all processes; default True.
      seed, epoch: of the order.
      drop_last: whether examples that do not make a full round are left out; else the first ones come again to fill it, as often as it takes. Default False.
      process, processes: default ``jax.process_index()`` and ``jax.process_count()``.

    Returns:
      int64 indices of shape (⌈length/P⌉,), or (⌊length/P⌋,) with drop_last. Together with those of the other processes they are all examples.

    Raises:
      ValueError: length is negative, or there is no such process.

    Source: torch.utils.data.DistributedSampler, but for the numbers of the order, which are NumPy's.

    Example:
      >>> [process_indices(5, shuffle=False, process=process, processes=2).tolist() for process in range(2)]
      [[0, 2, 4], [1, 3, 0]]
    """
    process = jax.process_index() if process is None else process
    processes = jax.process_count() if processes is None else processes
    if length < 0:
        raise ValueError(f"process_indices needs a length that is not negative, got {length}")
    if not 0 <= process < processes:
        raise ValueError(f"process_indices: there is no process {process} of {processes}; they count from 0")
    order = np.random.default_rng((seed, epoch)).permutation(length) if shuffle else np.arange(length)
    share = length // processes if drop_last else -(-length // processes)
    return np.resize(order, share * processes if length else 0)[process::processes]


def prefetch(batches: Iterable[Any], sharding: jax.sharding.Sharding | None = None, size: int = 2) -> Iterator[Any]:
    """The same batches as jax Arrays, copied to the devices while the program works on those before.

    Args:
      batches: pytrees of arrays (NumPy, jax, or what NumPy can read, as the Tensors of a DataLoader); other leaves, such as strings, stay as
        they are. Types of 64 bits become those of 32 unless ``jax_enable_x64`` is set.
      sharding: where each array goes: a ``Sharding``, as ``NamedSharding(mesh, PartitionSpec("data"))``, which splits dimension 0. With several
        processes each gives its own part of the batch. None is the default device.
      size: how many batches are under way or waiting on the devices, at least 1.

    Raises:
      ValueError: ``size`` below 1; a batch that the sharding does not divide (leave it out, by ``drop_last=True``, or pad it).

    Example:
      >>> import numpy as np
      >>> for batch in prefetch([{"x": np.ones((4, 2))}, {"x": np.zeros((4, 2))}]):
      ...     print(batch["x"].sum())
      8.0
      0.0
    """
    if size < 1:
        raise ValueError(f"prefetch needs size >= 1, got size={size}")
    return _prefetched(iter(batches), sharding, size)


def _prefetched(batches: Iterator[Any], sharding: jax.sharding.Sharding | None, size: int) -> Iterator[Any]:
    waiting = collections.deque(_put(batch, sharding) for batch in itertools.islice(batches, size))
    while waiting:
        yield waiting.popleft()
        waiting.extend(_put(batch, sharding) for batch in itertools.islice(batches, 1))


def _put(batch: Any, sharding: jax.sharding.Sharding | None) -> Any:
    def put(leaf: Any) -> Any:
        if not hasattr(leaf, "__array__") and not isinstance(leaf, (bool, int, float, complex)):
            return leaf
        if isinstance(leaf, jax.Array):
            array: Any = leaf
        else:  # a tensor's array for JAX is a copy, while that for NumPy is its memory, which may be written later
            array = np.asarray(leaf.__jax_array__() if hasattr(leaf, "__jax_array__") else leaf)
        if sharding is None:
            return jax.device_put(array)
        try:
            return (
                jax.device_put(array, sharding) if isinstance(leaf, jax.Array) else jax.make_array_from_process_local_data(sharding, array)
            )
        except ValueError as error:
            raise ValueError(
                f"prefetch: an array of shape {array.shape} can't be put on the devices as {sharding}; leave out a last batch that they do not divide, by "
                f"drop_last=True, or pad it ({error})"
            ) from error

    return jax.tree.map(put, batch)
