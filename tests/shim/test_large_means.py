"""Spreads and normalisations of numbers far from 0 are as near to the exact result as PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import funnn.torch as shim
from funnn.engine.program import programs
from tests import exhaustive

STATISTICS = {
    "var": lambda t, x: x.var(-1),
    "std over rows": lambda t, x: x.t().std(0),
    "var of all": lambda t, x: x.var(),
    "var_mean": lambda t, x: t.var_mean(x, -1),
    "std_mean": lambda t, x: t.std_mean(x, -1, keepdim=True),
    "cov": lambda t, x: t.cov(x),
    "corrcoef": lambda t, x: t.corrcoef(x),
    "layer_norm": lambda t, x: t.nn.functional.layer_norm(x, x.shape[-1:]),
    "group_norm": lambda t, x: t.nn.functional.group_norm(x.reshape(1, 4, -1), 2),
    "batch_norm": lambda t, x: t.nn.functional.batch_norm(x.t(), None, None, training=True),
    "instance_norm": lambda t, x: t.nn.functional.instance_norm(x.reshape(2, 2, -1)),
    "native_layer_norm": lambda t, x: t.native_layer_norm(x, x.shape[-1:], None, None, 1e-5),
    "cumsum": lambda t, x: x.cumsum(-1),
    "mean": lambda t, x: [x.mean(), x.mean(0), x.mean(1)],
}


def numbers(t, function, array):
    found = function(t, t.tensor(array))
    return [part.double().numpy() for part in (found if isinstance(found, (tuple, list)) else (found,))]


@pytest.mark.parametrize("by_numpy", [True, pytest.param(False, marks=exhaustive.mark)], ids=["by NumPy", "compiled"])
@pytest.mark.parametrize("mean", [1e3, 1e4, 1e6])
@pytest.mark.parametrize("name", STATISTICS)
def test_as_exact_as_torch(name, mean, by_numpy, monkeypatch):
    monkeypatch.setattr(programs, "is_on_cpu", lambda: by_numpy)
    x = (np.random.default_rng(0).standard_normal((4, 2000)) + mean).astype(np.float32)
    exact, theirs, ours = (numbers(t, STATISTICS[name], a) for t, a in ((torch, x.astype(np.float64)), (torch, x), (shim, x)))
    for e, p, q in zip(exact, theirs, ours, strict=True):
        largest = np.max(np.abs(e))
        assert np.max(np.abs(q - e)) <= 3 * np.max(np.abs(p - e)) + 2e-6 * largest
