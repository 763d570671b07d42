"""What programs do with a DataLoader besides iterating: a progress bar around it, more workers than there are processors."""

import io
import os
import warnings

import pytest
import torch
from tqdm import tqdm

import funnn.torch as shim


@pytest.mark.parametrize("library", [torch, shim], ids=["torch", "funnn"])
def test_tqdm(library):
    data = library.utils.data
    loader, text = data.DataLoader(data.TensorDataset(library.arange(5.0)), 2), io.StringIO()
    with tqdm(loader, desc="epoch", file=text, ncols=80) as bar:
        assert len(bar) == bar.total == 3
        batches = []
        for (batch,) in bar:
            batches.append(batch.tolist())
            bar.set_postfix(loss=library.tensor(0.5).item())
    assert batches == [[0, 1], [2, 3], [4]]
    assert all(part in text.getvalue() for part in ("epoch: 100%", "3/3", "loss=0.5"))
    assert [i for i, _ in enumerate(tqdm(loader, file=text))] == [0, 1, 2]


def test_more_workers_than_processors(monkeypatch):
    def texts(library):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            library.utils.data.DataLoader([1, 2], num_workers=4)
            library.utils.data.DataLoader([1, 2])
        return [(warning.category, str(warning.message)) for warning in caught]

    for processors in ({0, 1}, None, {0, 1, 2, 3}):
        if processors is None:
            monkeypatch.delattr(os, "sched_getaffinity")
            monkeypatch.setattr(os, "cpu_count", lambda: 3)
        else:
            monkeypatch.setattr(os, "sched_getaffinity", lambda pid, processors=processors: processors, raising=False)
        theirs, ours = texts(torch), texts(shim)
        assert [kind for kind, _ in ours] == [kind for kind, _ in theirs]
        for (_, text), (_, expected) in zip(ours, theirs, strict=True):
            assert text.split(". ")[:2] == expected.split(". ")[:2]
            assert text.rpartition("lower the worker number")[2] == expected.rpartition("lower the worker number")[2]
    assert ours == []
