"""The average of parameters and the loss scale of train_step, against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn
from funnn import functional as F
from funnn import optim
from funnn.layers import Linear

X = np.random.default_rng(0).normal(size=(6, 4, 3)).astype(np.float32)
KEY = jax.random.key(0)


def twin(params):
    module = torch.nn.Linear(3, 2)
    module.load_state_dict({name: torch.tensor(np.asarray(value)) for name, value in params.items()})
    return module


def close(params, module):
    for name, value in module.state_dict().items():
        np.testing.assert_allclose(params[name], value.numpy(), rtol=1e-5, atol=1e-6)


def test_the_average_is_that_of_swa_utils():
    init, step, _ = funnn.train_step(Linear(3, 2), F.mse_loss, optim.sgd(0.1), ema=0.8)
    train_state = init(KEY)
    module = twin(train_state.params)
    averaged = torch.optim.swa_utils.AveragedModel(module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.8))
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for x in X:
        train_state, _ = step(train_state, (jnp.asarray(x), jnp.ones((4, 2))))
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(torch.tensor(x)), torch.ones(4, 2)).backward()
        optimizer.step()
        averaged.update_parameters(module)
        close(train_state.ema.params, averaged.module)
    assert train_state.ema.updates.item() == averaged.n_averaged.item()


@pytest.mark.parametrize("init_scale", [16.0, 2.0**126])  # the second would grow to infinity
def test_the_loss_scale_is_that_of_grad_scaler(init_scale):
    options = {"init_scale": init_scale, "growth_factor": 4.0, "backoff_factor": 0.25, "growth_interval": 2}
    init, step, _ = funnn.train_step(Linear(3, 2), F.mse_loss, optim.sgd(0.1, momentum=0.9), loss_scale=funnn.LossScale(**options))
    train_state = init(KEY)
    module, scaler = twin(train_state.params), torch.amp.GradScaler("cpu", **options)
    optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
    scales = []
    for n, x in enumerate([*X, *X]):
        if n in (5, 8):
            x = x * np.float32("inf")
        scales.append(scaler.get_scale())
        train_state, metrics = step(train_state, (jnp.asarray(x), jnp.ones((4, 2))))
        optimizer.zero_grad()
        scaler.scale(torch.nn.functional.mse_loss(module(torch.tensor(x)), torch.ones(4, 2))).backward()
        scaler.step(optimizer)
        scaler.update()
        assert metrics["loss_scale"] == scales[-1] and metrics["skipped"] == (scaler.get_scale() < scales[-1])
        assert (train_state.loss_scale.scale, train_state.loss_scale.good_steps) == (scaler.get_scale(), scaler._get_growth_tracker())
        close(train_state.params, module)
    assert len(set(scales)) == (3 if init_scale == 16 else 2)
