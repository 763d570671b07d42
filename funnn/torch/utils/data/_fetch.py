"""From an index, or a list of them, to a batch: what the training process and the workers do alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.torch.utils.data._collate import default_collate
from funnn.torch.utils.data.dataset import IterableDataset, Subset, TensorDataset


class Fetcher:
    """One pass over a dataset: call it with what the loader's sampler gives.

    Args:
      dataset: with samples by index, or a stream, whose samples come in turn.
      collate: makes a batch of a list of samples (or converts one sample).
      batched: whether an index is a list.
      drop_last: whether a stream's last short batch is left out.
      gathers: whether TensorDatasets are indexed once per batch.

    Raises:
      StopIteration: the stream has ended.
    """

    def __init__(self, dataset: Any, collate: Callable, batched: bool, drop_last: bool, gathers: bool):
        self._dataset, self._collate, self._batched, self._drop_last, self._gathers = dataset, collate, batched, drop_last, gathers
        self._stream = iter(dataset) if isinstance(dataset, IterableDataset) else None
        self.streams = self._stream is not None

    def __call__(self, index: Any) -> Any:
        if self._stream is not None:
            return self._collate(self._from_stream(index))
        if not self._batched:
            return self._collate(self._dataset[index])
        if self._gathers and (batch := gather(self._dataset, index)) is not None:
            return batch
        several = getattr(self._dataset, "__getitems__", None)
        return self._collate(several(index) if several else [self._dataset[i] for i in index])

    def _from_stream(self, index: list | None) -> Any:
        if not self._batched:
            return next(self._stream)
        samples = [sample for _, sample in zip(index, self._stream, strict=False)]
        if not samples or (self._drop_last and len(samples) < len(index)):
            raise StopIteration
        return samples


def fetcher_of(loader: Any) -> Fetcher:
    """The Fetcher of a DataLoader that has no workers."""
    batched = loader.batch_sampler is not None
    return Fetcher(loader.dataset, loader.collate_fn, batched, loader.drop_last, loader.collate_fn is default_collate)


def gather(dataset: Any, indices: Any) -> list | None:
    """The batch of a TensorDataset, or of Subsets of one, by one index operation per tensor; None where only the general way will do."""
    while type(dataset) is Subset:
        dataset, indices = dataset.dataset, [dataset.indices[index] for index in indices]
    if type(dataset) is not TensorDataset or any(tensor.requires_grad for tensor in dataset.tensors):
        return None
    positions = np.asarray(indices)
    if positions.ndim != 1 or positions.dtype.kind not in "iu":
        return None
    return [tensor[positions] for tensor in dataset.tensors]
