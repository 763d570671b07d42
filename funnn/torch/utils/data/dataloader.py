"""The DataLoader: a dataset in batches."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from funnn.torch._random import Generator
from funnn.torch.utils.data._collate import default_collate, default_convert
from funnn.torch.utils.data.dataset import Dataset, IterableDataset, Subset, TensorDataset
from funnn.torch.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed

T_co = TypeVar("T_co", covariant=True)
_FIXED = frozenset(("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"))


def get_worker_info() -> None:
    """None: data are loaded in the training process."""
    return None


class _Endless(Sampler[None]):
    """The sampler of a stream, whose samples have no index."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


class DataLoader(Generic[T_co]):
    """Iterate over a dataset, batch by batch; each ``iter`` is an epoch.

    For the same seed the order of samples is torch's, and an epoch draws from the random generator what it draws in torch: one base seed at
    ``iter`` and, with ``shuffle`` and no ``generator``, the sampler's seed at the first batch.

    Args:
      dataset: a Dataset with ``__getitem__`` and ``__len__``, or an IterableDataset.
      batch_size: samples per batch; None yields single samples.
      shuffle: a new random order every epoch.
      sampler: an iterable of indices, instead of ``shuffle``.
      batch_sampler: an iterable of lists of indices, instead of ``batch_size``, ``shuffle``, ``sampler`` and ``drop_last``.
      num_workers: 0 only; JAX's threads do not survive the fork of worker processes.
      collate_fn: makes a batch of a list of samples; :func:`default_collate` by default.
      drop_last: leave out a last batch that is shorter.
      generator: the source of the order and of the base seed.
      pin_memory, pin_memory_device, worker_init_fn, in_order: accepted; they have no effect in a loader without workers.
      timeout, prefetch_factor, persistent_workers, multiprocessing_context: options of workers, refused without them as in torch.

    Raises:
      ValueError: options that exclude each other or are out of range, with torch's texts.
      NotImplementedError: ``num_workers`` above 0.
    """

    _initialized = False

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable | None = None,
        batch_sampler: Sampler[list] | Iterable[list] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        _check_worker_options(num_workers, timeout, prefetch_factor, persistent_workers, multiprocessing_context)
        self._streams = isinstance(dataset, IterableDataset)
        if self._streams:
            for name, value in (("shuffle", shuffle or None), ("sampler", sampler), ("batch_sampler", batch_sampler)):
                if value is not None:
                    raise ValueError(f"DataLoader with IterableDataset: expected unspecified {name} option, but got {name}={value}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            if self._streams:
                sampler = _Endless()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self.num_workers, self.timeout, self.prefetch_factor, self.persistent_workers = 0, timeout, None, False
        self.pin_memory, self.pin_memory_device, self.in_order = pin_memory, pin_memory_device, in_order
        self.worker_init_fn, self.multiprocessing_context = worker_init_fn, None
        self._announced: int | None = None
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized; make a new one")
        super().__setattr__(name, value)

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        if self.timeout:
            raise AssertionError(f"timeout={self.timeout} needs workers, and a loader without (num_workers=0) requires timeout == 0")
        return _Epoch(self)

    def __len__(self) -> int:
        if not self._streams:
            return len(self._index_sampler)
        length = self._announced = len(self.dataset)
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else math.ceil(length / self.batch_size)


class _Epoch:
    """One pass over a loader's dataset."""

    def __init__(self, loader: DataLoader):
        self._loader = loader
        self._indices = iter(loader._index_sampler)
        self._base_seed = draw_seed(loader.generator)  # torch's seed for workers; drawn so that later numbers are torch's
        self._stream = iter(loader.dataset) if loader._streams else None
        self._given = 0
        self._gathers = loader.collate_fn is default_collate and loader.batch_sampler is not None

    def __iter__(self) -> _Epoch:
        return self

    def __len__(self) -> int:
        return len(self._loader._index_sampler)

    def __next__(self) -> Any:
        index = next(self._indices)
        if self._stream is not None:
            data = self._from_stream(index)
        elif self._gathers and (batch := _gather(self._loader.dataset, index)) is not None:
            return batch
        else:
            data = _fetch(self._loader.dataset, index, self._loader.batch_sampler is not None)
        return self._loader.collate_fn(data)

    def _from_stream(self, index: list | None) -> Any:
        if index is None:
            data = next(self._stream)
        else:
            data = []
            for _, sample in zip(index, self._stream, strict=False):
                data.append(sample)
            if not data or (self._loader.drop_last and len(data) < len(index)):
                raise StopIteration
        self._given += 1
        announced = self._loader._announced
        if announced is not None and self._given > announced:
            warnings.warn(
                f"Length of IterableDataset {self._loader.dataset} was reported to be {announced} (when accessing len(dataloader)), but "
                f"{self._given} samples have been fetched. ",
                stacklevel=3,
            )
        return data


def _fetch(dataset: Any, index: Any, batched: bool) -> Any:
    if not batched:
        return dataset[index]
    several = getattr(dataset, "__getitems__", None)
    return several(index) if several else [dataset[i] for i in index]


def _gather(dataset: Any, indices: Any) -> list | None:
    """The batch of a TensorDataset, or of Subsets of one, by one index operation per tensor; None where only the general way will do."""
    while type(dataset) is Subset:
        dataset, indices = dataset.dataset, [dataset.indices[index] for index in indices]
    if type(dataset) is not TensorDataset or any(tensor.requires_grad for tensor in dataset.tensors):
        return None
    positions = np.asarray(indices)
    if positions.ndim != 1 or positions.dtype.kind not in "iu":
        return None
    return [tensor[positions] for tensor in dataset.tensors]


def _check_worker_options(num_workers: int, timeout: float, prefetch_factor: Any, persistent_workers: bool, context: Any) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers > 0:
        raise NotImplementedError(
            f"num_workers={num_workers}: loading in worker processes is not supported; use num_workers=0, which loads in the training "
            "process. Prepare slow datasets once, as a TensorDataset, whose batches are one index operation per tensor"
        )
    if prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if persistent_workers:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if context is not None:
        raise ValueError(
            f"multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got num_workers={num_workers}"
        )
