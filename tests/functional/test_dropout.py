"""dropout: its mask, its scale, its key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import assert_same, compare, mode, tensor, to_jax

import funnn.functional as F
from funnn.errors import DtypeError, KeyRequiredError
from funnn.functional.dropout import apply_mask

KEY = jax.random.key(0)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.99])
def test_mask_applies_bit_for_bit(dtype, p):
    """With the mask that torch drew, the result is torch's to the last bit."""
    with mode(dtype):
        x = tensor(40, 5, dtype=dtype, grad=False)
        torch.manual_seed(3)
        expected = T.dropout(x, p)
        torch.manual_seed(3)
        keep = torch.empty_like(x).bernoulli_(1 - p)
        assert_same(apply_mask(to_jax(x), to_jax(keep), p), expected, "dropout", (0, 0))
        gradient = jax.grad(lambda x: apply_mask(x, to_jax(keep.bool()), p).sum())(to_jax(x))
        assert ((gradient != 0) == (to_jax(keep) != 0)).all()


def test_rate_and_scale():
    y = F.dropout(jnp.ones(40_000), 0.25, key=KEY)
    assert set(y.tolist()) == {0.0, (1 / jnp.float32(0.75)).item()}
    assert abs((y == 0).mean() - 0.25) < 0.01
    assert (F.dropout(jnp.ones(9), 0.5, key=KEY) == F.dropout(jnp.ones(9), 0.5, key=KEY)).all()


def test_a_key_draws_the_same_mask_in_both_modes():
    x = np.ones(50, np.float32)
    narrow = F.dropout(jnp.asarray(x), 0.4, key=KEY).tolist()
    with jax.enable_x64(True):
        assert F.dropout(jnp.asarray(x), 0.4, key=KEY).tolist() == narrow


def test_identity_and_zero():
    x = jnp.array([1.0, jnp.nan, jnp.inf])
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x
    compare(lambda x: F.dropout(x, 1.0), lambda x: T.dropout(x, 1.0), (torch.tensor([1.0, float("nan")], requires_grad=True),))


def test_errors():
    with pytest.raises(KeyRequiredError, match=r"training=True and p=0.5 .*needs a key: pass key=jax.random.key\(seed\)"):
        F.dropout(jnp.ones(3))
    for p in (1.5, -0.1, float("nan")):
        with pytest.raises(ValueError, match=f"dropout probability has to be between 0 and 1, but got {p}"):
            F.dropout(jnp.ones(3), p, key=KEY)
    with pytest.raises(DtypeError, match="input must be floating point"):
        F.dropout(jnp.ones(3, jnp.int32), key=KEY)
