"""The DataLoader: a dataset in batches."""

from __future__ import annotations

import math
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import jax

from funnn.engine.tensor.generator import Generator
from funnn.torch.utils.data._collate import default_collate, default_convert
from funnn.torch.utils.data._fetch import fetcher_of
from funnn.torch.utils.data._worker import get_worker_info as get_worker_info
from funnn.torch.utils.data._workers import WorkersEpoch
from funnn.torch.utils.data.dataset import Dataset, IterableDataset
from funnn.torch.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed

T_co = TypeVar("T_co", covariant=True)
_FIXED = frozenset(("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"))


class _InfiniteConstantSampler(Sampler[None]):
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
      num_workers: how many processes make batches; 0 for none. As in torch they are forked on Linux, so that all that the program has at the first
        batch is there too. What tensors compute in them is computed by NumPy, and by a JAX of their own, on the CPU, where NumPy has no rule. Batches
        come back through shared memory.
      collate_fn: makes a batch of a list of samples; :func:`default_collate` by default.
      drop_last: leave out a last batch that is shorter.
      generator: the source of the order and of the base seed.
      timeout: how many seconds to wait for a batch of a worker; 0 waits on.
      worker_init_fn: called with 0 … num_workers − 1 in each worker, after seeding.
      multiprocessing_context: "fork", "spawn" or "forkserver", or such a context; by default what ``torch.multiprocessing.set_start_method`` set, else
        "fork" on Linux, "spawn" elsewhere. By "spawn" and "forkserver" processes import the main module, so that a script needs its main part under
        ``if __name__ == "__main__":``, and get the dataset, ``collate_fn`` and ``worker_init_fn`` by pickle.
      prefetch_factor: batches under way per worker; 2 by default.
      persistent_workers: keep the processes, and the state of their datasets and generators, from epoch to epoch.
      in_order: False gives batches as they are ready.
      pin_memory, pin_memory_device: accepted; they have no effect.

    Raises:
      ValueError: options that exclude each other or are out of range, with torch's texts.
      RuntimeError: while iterating, a worker died or the timeout went by; an exception in a worker is raised here with its traceback.
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
        _check_worker_options(num_workers, timeout, prefetch_factor, persistent_workers)
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
                sampler = _InfiniteConstantSampler()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.sampler, self.batch_sampler, self.generator = sampler, batch_sampler, generator
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self.num_workers, self.timeout, self.persistent_workers = num_workers, timeout, persistent_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory, self.pin_memory_device, self.in_order = pin_memory, pin_memory_device, in_order
        self.worker_init_fn, self.multiprocessing_context = worker_init_fn, multiprocessing_context
        self._announced: int | None = None
        self._iterator: _Epoch | None = None
        self._initialized = True
        self.check_worker_number_rationality()

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in _FIXED:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized; make a new one")
        super().__setattr__(name, _checked_context(value, self.num_workers) if name == "multiprocessing_context" else value)

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        if self.timeout and not self.num_workers:
            raise AssertionError(f"timeout={self.timeout} needs workers, and a loader without (num_workers=0) requires timeout == 0")
        if self._iterator is None:
            self.check_worker_number_rationality()
        if not self.persistent_workers:
            return _Epoch(self)
        if self._iterator is None:
            self._iterator = _Epoch(self)
        else:
            self._iterator.restart()
        return self._iterator

    def check_worker_number_rationality(self) -> None:
        """Warn of more workers than there are CPUs for this process; called when the loader is made, and before workers start."""
        known = hasattr(os, "sched_getaffinity")
        processors = len(os.sched_getaffinity(0)) if known else os.cpu_count()
        if self.num_workers and (processors is None or self.num_workers > processors):
            advice = (
                "DataLoader is not able to compute a suggested max number of worker in current system."
                if processors is None
                else f"Our suggested max number of worker in current system is {processors}{'' if known else ' (`cpuset` is not taken into account)'}, "
                "which is smaller than what this DataLoader is going to create."
            )
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. {advice} Please be aware that "
                "excessive worker creation might get DataLoader running slow or even freeze, lower the worker number to avoid potential "
                "slowness/freeze if necessary.",
                stacklevel=3,
            )

    def __len__(self) -> int:
        if not self._streams:
            return len(self._index_sampler)
        length = self._announced = len(self.dataset)
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else math.ceil(length / self.batch_size)


class _Epoch:
    """One pass over a loader's dataset, here or by workers."""

    def __init__(self, loader: DataLoader):
        self._loader, self._given, self._workers, self._announced = loader, 0, None, loader._announced
        if loader.pin_memory:
            _warn_of_pinning(loader.pin_memory_device)
        if loader.num_workers:
            self._workers = WorkersEpoch(loader)
        else:
            self._indices = iter(loader._index_sampler)
            draw_seed(loader.generator)  # torch's seed for workers; drawn so that later numbers are torch's
            self._fetch = fetcher_of(loader)

    def restart(self) -> None:
        """Another pass with the same workers."""
        self._announced = self._loader._announced
        self._given = 0
        self._workers.restart()

    def __iter__(self) -> _Epoch:
        return self

    def __len__(self) -> int:
        return len(self._loader._index_sampler)

    def __next__(self) -> Any:
        data = self._fetch(next(self._indices)) if self._workers is None else next(self._workers)
        self._given += 1
        announced = self._announced
        if announced is not None and self._given > announced:
            warnings.warn(
                f"Length of IterableDataset {self._loader.dataset} was reported to be {announced}(when accessing len(dataloader)), but "
                f"{self._given} samples have been fetched. "
                + ("Give each worker its part of the stream, by get_worker_info()" if self._workers else ""),
                stacklevel=2,
            )
        return data


def _warn_of_pinning(device: str) -> None:
    if device:
        warnings.warn(f"pin_memory_device is deprecated, and ignored: {device!r}", stacklevel=4)
    if jax.default_backend() == "cpu":
        warnings.warn(
            "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.", stacklevel=4
        )


def _check_worker_options(num_workers: int, timeout: float, prefetch_factor: Any, persistent_workers: bool) -> None:
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers > 0:
        if prefetch_factor is not None and prefetch_factor < 0:
            raise ValueError("prefetch_factor option should be non-negative")
        return
    if prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if persistent_workers:
        raise ValueError("persistent_workers option needs num_workers > 0")


def _checked_context(context: Any, num_workers: int) -> Any:
    if context is None:
        return None
    if num_workers == 0:
        raise ValueError(
            f"multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got num_workers={num_workers}"
        )
    if isinstance(context, str):
        methods = multiprocessing.get_all_start_methods()
        if context not in methods:
            raise ValueError(
                f"multiprocessing_context option should specify a valid start method in {methods!r}, but got "
                f"multiprocessing_context={context!r}"
            )
        context = multiprocessing.get_context(context)
    if not isinstance(context, multiprocessing.context.BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, but got "
            f"multiprocessing_context={context}"
        )
    return context


class _DatasetKind:
    """How samples are got, as libraries ask."""

    Map, Iterable = 0, 1


_BaseDataLoaderIter, _MultiProcessingDataLoaderIter = _Epoch, WorkersEpoch
