"""The rows of the benchmark are the same program in each library: from the same weights the losses of two steps are equal.

The second loss says that the gradients are too. A third one of ResNet-18 would differ by 1 %: its first steps enlarge differences in rounding a hundredfold.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch

from tests.benchmarks import _dcgan_funnn, _models_funnn, _models_textbook, _models_torch, inference, memory, training


def in_order(params: Any) -> list[Any]:
    """The leaves of nested dicts as they were filled, which is the order in which layers are made."""
    return [leaf for value in params.values() for leaf in in_order(value)] if isinstance(params, dict) else [params]


def losses(run: Any) -> list[float]:
    return [float(run()) for _ in range(2)]


@pytest.mark.parametrize("row", training.ROWS)
def test_torch_textbook_and_funnn_have_the_same_losses(row):
    found = {library: losses(training.step(row, library)[0]) for library in ("funnn", "textbook")}
    np.testing.assert_allclose(found["textbook"], found["funnn"], rtol=1e-3)
    assert len(set(found["funnn"])) == 2, "the steps change nothing"

    models = training.module(row, "torch")
    if row == "dcgan":
        params = {name: params for name, (params, _) in _dcgan_funnn.init().items()}
    else:
        params, _ = training.module(row, "funnn").model(row).init(jax.random.key(0))
    net = models.model(row)
    pairs = list(zip(net.named_parameters(), in_order(params), strict=True))
    with torch.no_grad():
        for (name, theirs), ours in pairs:
            assert tuple(theirs.shape) == ours.shape, name
            theirs.copy_(torch.from_numpy(np.array(ours)))
    run, count = models.step_of(net, *training.data(row))
    assert count == sum(ours.size for _, ours in pairs)
    np.testing.assert_allclose(losses(run), found["funnn"], rtol=1e-3)


@pytest.mark.parametrize("row", inference.ROWS)
def test_inference_is_the_same_function(row):
    """Textbook and funnn start from the same weights; the outputs of PyTorch's model, with other weights, have the same shape."""
    x, modules = inference.inputs(row, 2), {library: training.module(row, library) for library in ("torch", "textbook", "funnn")}
    layer = modules["funnn"].model(row)
    ours = _models_funnn.predict_of(layer, x)()
    theirs = _models_textbook.predict_of(modules["textbook"].MODELS[row], layer, x)()
    np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)
    assert tuple(_models_torch.predict_of(modules["torch"].model(row), x)().shape) == ours.shape


def test_a_library_that_is_not_there_is_left_out(monkeypatch):
    monkeypatch.setitem(training.FAMILIES, "models", ("nothing", "funnn"))
    with pytest.raises(ModuleNotFoundError, match="_models_nothing"):
        training.steps("mlp", ("nothing",))
    assert list(training.steps("mlp", ("torch", "funnn"))) == ["funnn"]


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="what a process takes at most is read from Linux's /proc")
def test_memory_counts_a_process_and_a_step():
    found = memory.in_process("mlp", "funnn")
    assert set(found) == {"process", "step"} and min(found.values()) > 0
