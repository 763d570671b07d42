"""Weights of a PyTorch network go into layers by their names; numbers, gradients and further training are PyTorch's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

from funnn import Layer, checkpoint, optim
from funnn import functional as F
from funnn.layers import GRU, BatchNorm1d, Embedding, LayerNorm, Linear
from tests.quick import quick


class TorchNet(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(11, 6, padding_idx=0)
        self.rnn = torch.nn.GRU(6, 5, batch_first=True, bidirectional=True)
        self.norm = torch.nn.LayerNorm(10)
        self.stats = torch.nn.BatchNorm1d(10)
        self.out = torch.nn.Linear(10, 3)

    def forward(self, index):
        y, _ = self.rnn(self.words(index))
        return self.out(self.stats(self.norm(y).mean(1)))


class Net(Layer):
    """The same names, so the same keys."""

    def __post_init__(self):
        self.words = Embedding(11, 6, padding_idx=0)
        self.rnn = GRU(6, 5, batch_first=True, bidirectional=True)
        self.norm = LayerNorm(10)
        self.stats = BatchNorm1d(10)
        self.out = Linear(10, 3)

    def forward(self, index):
        y, _ = self.rnn(self.words(index))
        return self.out(self.stats(self.norm(y).mean(1)))


RNG = np.random.default_rng(0)
INDEX, LABELS = RNG.integers(0, 11, (8, 7)), RNG.integers(0, 3, 8)


def theirs():
    torch.manual_seed(0)
    return TorchNet()


def test_the_names_are_pytorchs():
    assert list(checkpoint.to_state_dict(*Net().init(jax.random.key(0)))) == list(theirs().state_dict())


@pytest.mark.parametrize("way", ["tensors", "a .pt file", "safetensors"])
def test_fine_tuning_is_pytorchs(way, tmp_path):
    module, net = theirs(), Net()
    if way == "tensors":
        found = module.state_dict()
    elif way == "a .pt file":
        torch.save(module.state_dict(), tmp_path / "net.pt")
        found = checkpoint.load_pt(tmp_path / "net.pt")
    else:
        save = pytest.importorskip("safetensors.torch", reason="it writes the file").save_file
        save(module.state_dict(), tmp_path / "net.safetensors")
        found = checkpoint.load_safetensors(tmp_path / "net.safetensors")
    params, state = checkpoint.from_state_dict(found, *jax.eval_shape(net.init, jax.random.key(0)))
    optimizer, torch_optimizer = optim.sgd(lr=0.1, momentum=0.9), torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    opt_state = optimizer.init(params)

    @quick
    def step(params, state, opt_state):
        def loss(params):
            logits, new = net.apply(params, state, jnp.asarray(INDEX), train=True)
            return F.cross_entropy(logits, jnp.asarray(LABELS)), new

        (value, state), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), state, opt_state, value

    for _ in range(3):
        params, state, opt_state, value = step(params, state, opt_state)
        torch_optimizer.zero_grad()
        expected = torch.nn.functional.cross_entropy(module(torch.tensor(INDEX)), torch.tensor(LABELS))
        expected.backward()
        torch_optimizer.step()
        np.testing.assert_allclose(value, expected.item(), rtol=1e-4)
    for name, array in checkpoint.to_state_dict(params, state).items():
        np.testing.assert_allclose(array, module.state_dict()[name], rtol=5e-3, atol=5e-4, err_msg=name)


def test_a_part_of_another_model():
    """A body with a new head: the parts are chosen by their names."""
    module, net = theirs(), Net()
    body = {name: array for name, array in module.state_dict().items() if not name.startswith("out.")}
    params, state = net.init(jax.random.key(0))
    other, other_state = checkpoint.from_state_dict(body, params, state, strict=False)
    np.testing.assert_array_equal(other["out"]["weight"], params["out"]["weight"])
    np.testing.assert_array_equal(other["rnn"]["weight_ih_l0"], module.rnn.weight_ih_l0.detach())
    assert other_state.keys() == state.keys()
    with pytest.raises(ValueError, match=r'Missing key\(s\) in state_dict: "out.weight", "out.bias"'):
        checkpoint.from_state_dict(body, params, state)
