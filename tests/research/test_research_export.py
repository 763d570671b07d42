"""A trained network goes into files: weights, a whole training, and a program that another process runs without its code."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn
from funnn import Layer, checkpoint, optim
from funnn import functional as F
from funnn.layers import BatchNorm1d, Dropout, Linear, Sequential, Tanh


class Gate(Layer):
    """A layer that the process which loads the program does not know."""

    body: Linear

    def forward(self, x):
        return x * jax.nn.sigmoid(self.body(x))


NET = Sequential(Linear(3, 8), BatchNorm1d(8), Gate(Linear(8, 8)), Dropout(0.1), Tanh(), Linear(8, 2))
X = jax.random.normal(jax.random.key(1), (16, 3))


def trained():
    init, step, _ = funnn.train_step(NET, F.mse_loss, optim.adam(lr=1e-2))
    train_state = init(jax.random.key(0))
    for _ in range(3):
        train_state, _ = step(train_state, (X, X[:, :2]))
    return train_state


def test_an_exported_program_without_its_code(tmp_path):
    pytest.importorskip("flatbuffers", reason="JAX writes programs to files with it: the extra export")
    train_state = trained()
    exported = funnn.export(NET, train_state.params, train_state.state, X, shapes="batch, ...")
    exported.save(tmp_path / "net.zip")
    np.save(tmp_path / "x.npy", X[:5])
    program = (
        "import sys, numpy as np, funnn\n"
        "net = funnn.load_exported(sys.argv[1] + '/net.zip')\n"
        "np.save(sys.argv[1] + '/y.npy', net(np.load(sys.argv[1] + '/x.npy')))\n"
        "assert not any('research' in name for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
    expected, _ = NET.apply(train_state.params, train_state.state, X[:5])
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-5, atol=1e-6)


def test_weights_in_a_file_of_pytorch(tmp_path):
    import torch

    train_state = trained()
    checkpoint.save_pt(checkpoint.to_state_dict(train_state.params, train_state.state), tmp_path / "net.pt")
    names = torch.load(tmp_path / "net.pt")
    assert names["1.running_mean"].shape == (8,) and names["2.body.weight"].shape == (8, 8)
    like = jax.eval_shape(NET.init, jax.random.key(0))
    params, state = checkpoint.from_state_dict(checkpoint.load_pt(tmp_path / "net.pt"), *like)
    jax.tree.map(np.testing.assert_array_equal, (params, state), (train_state.params, train_state.state))


def test_a_training_goes_on_where_it_was(tmp_path):
    pytest.importorskip("orbax.checkpoint", reason="it writes checkpoints: the extra checkpoints")
    init, step, _ = funnn.train_step(NET, F.mse_loss, optim.adam(lr=1e-2))
    train_state = trained()
    checkpoint.save(tmp_path / "run", train_state)
    again = checkpoint.restore(tmp_path / "run", jax.eval_shape(init, jax.random.key(0))).train_state
    batch = X, jnp.zeros((16, 2))
    results = [step(state, batch) for state in (train_state, again)]
    for ours, theirs in zip(jax.tree.leaves(results[0]), jax.tree.leaves(results[1]), strict=True):
        assert bool((ours == theirs).all())
