"""Losses of complex numbers, which are real."""

import jax
import jax.numpy as jnp
import numpy as np
import torch

from funnn import functional as F


def test_l1_loss_of_complex_numbers():
    """Mean of |x − y|, with the gradient of torch, which has the conjugate of JAX's; 0 where they are equal."""
    x, y = np.array([1 + 2j, 3j, -1], np.complex64), np.array([0, 3j, 1j], np.complex64)
    given = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.l1_loss(given, torch.tensor(y))
    expected.backward()
    value, gradient = jax.value_and_grad(F.l1_loss)(jnp.asarray(x), jnp.asarray(y))
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected.item(), rtol=1e-6)
    np.testing.assert_allclose(gradient.conj(), given.grad.numpy(), rtol=1e-6)
