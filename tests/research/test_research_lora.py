"""LoRA beside frozen weights: a change of low rank is found exactly, nothing else moves, and it can be merged."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import funnn
from funnn import checkpoint, optim
from funnn import functional as F
from funnn.layers import Linear, Repeat, Residual, Sequential, Tanh, adapter_mask, combine, lora, merge, partition
from tests.quick import quick

RNG = np.random.default_rng(0)


def test_a_change_of_rank_two_is_found():
    net = Linear(6, 5)
    params, _ = net.init(jax.random.key(0))
    change = (RNG.standard_normal((5, 2)) @ RNG.standard_normal((2, 6))).astype(np.float32)
    x = jnp.asarray(RNG.standard_normal((64, 6)), jnp.float32)
    y = net.apply(params, {}, x)[0] + x @ change.T
    tuned, tuned_params = lora(net, params, rank=2, alpha=2, key=jax.random.key(1))
    added, base = partition(tuned_params, adapter_mask(tuned, tuned_params))
    optimizer = optim.adam(lr=optim.schedules.exponential_lr(5e-2, gamma=0.995))

    def step(carry, _):
        added, opt_state = carry
        value, grads = jax.value_and_grad(lambda added: F.mse_loss(tuned.apply(combine(added, base), {}, x)[0], y))(added)
        updates, opt_state = optimizer.update(grads, opt_state, added)
        return (optax.apply_updates(added, updates), opt_state), value

    (added, _), losses = quick(lambda start: jax.lax.scan(step, start, None, 1000))((added, optimizer.init(added)))
    assert losses[-1] < 1e-6
    product = added["lora_B"]["weight"] @ added["lora_A"]["weight"]  # alpha / rank is 1
    np.testing.assert_allclose(product, change, atol=5e-3)
    merged, merged_params = merge(tuned, combine(added, base))
    assert merged == net
    np.testing.assert_allclose(merged_params["weight"], params["weight"] + product, atol=1e-5)


def test_only_what_was_added_is_trained_in_a_network_with_repeated_blocks():
    net = Sequential(Linear(3, 8), Repeat(Residual(Sequential(Linear(8, 8), Tanh())), 3), Linear(8, 2))
    params, state = net.init(jax.random.key(0))
    tuned, tuned_params = lora(net, params, rank=2, path="1.**", key=jax.random.key(1))
    mask = adapter_mask(tuned, tuned_params)
    frozen = optim.param_groups([(r"lora_[AB]", optim.adam(lr=1e-2)), ("", None)], tuned)
    init, step, _ = funnn.train_step(tuned, F.mse_loss, frozen)
    train_state = init(jax.random.key(0), tuned_params, state)
    before = jax.device_get(train_state.params)
    batch = jnp.ones((4, 3)), jnp.zeros((4, 2))
    for _ in range(2):
        train_state, _ = step(train_state, batch)
    moved = jax.tree.map(lambda new, old: bool((np.asarray(new) != old).any()), train_state.params, before)
    assert moved == mask
    assert {name for name, trained in checkpoint.flatten(mask).items() if trained} == {
        f"1.layer.body.0.lora_{half}.weight" for half in "AB"
    }
    grads = jax.grad(lambda p: F.mse_loss(tuned.apply(p, state, batch[0])[0], batch[1]))(combine(*partition(tuned_params, mask)))
    chosen, _ = partition(grads, mask)
    start = init(jax.random.key(0), tuned_params, state)
    assert step(start, batch)[1]["grad_norm"].item() == pytest.approx(optax.tree.norm(chosen).item(), rel=1e-5)
