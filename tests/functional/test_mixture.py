"""Mixtures of experts against loops over tokens and experts, in PyTorch where derivatives are compared."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.functional as F
from funnn.errors import ArgumentError, DtypeError, ShapeError

BATCH, LENGTH, WIDTH, HIDDEN, COUNT, K = 2, 6, 3, 4, 5, 2
RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((BATCH, LENGTH, COUNT))
ARRAYS = {
    "x": RNG.standard_normal((BATCH, LENGTH, WIDTH)),
    "gate": RNG.standard_normal((COUNT, HIDDEN, WIDTH)),
    "up": RNG.standard_normal((COUNT, HIDDEN, WIDTH)),
    "down": RNG.standard_normal((COUNT, WIDTH, HIDDEN)),
}
MASK = np.array([[True] * 6, [True] * 4 + [False] * 2])


def by_loops(logits, x, gate, up, down, capacity=None, mask=None):
    """The definition in PyTorch: each expert takes first choices before second ones, and earlier tokens before later ones."""
    probabilities = torch.softmax(logits, -1)
    output = []
    for b in range(BATCH):
        rows, taken = [torch.zeros(WIDTH, dtype=x.dtype) for _ in range(LENGTH)], [0] * COUNT
        weights, experts = torch.topk(probabilities[b], K, -1)
        weights = weights / weights.sum(-1, keepdim=True)
        for choice in range(K):
            for t in range(LENGTH):
                e = experts[t, choice].item()
                if mask is not None and not mask[b, t]:
                    continue
                taken[e] += 1
                if capacity is None or taken[e] <= capacity:
                    inner = torch.nn.functional.silu(gate[e] @ x[b, t]) * (up[e] @ x[b, t])
                    rows[t] = rows[t] + weights[t, choice] * (down[e] @ inner)
        output.append(torch.stack(rows))
    return torch.stack(output)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "mask"])
@pytest.mark.parametrize("capacity", [None, 1, 2, LENGTH])
def test_values_and_derivatives_equal_those_of_loops(capacity, mask):
    theirs = [torch.tensor(a, requires_grad=True) for a in (LOGITS, *ARRAYS.values())]
    expected = by_loops(*theirs, capacity, mask)
    torch.sin(expected).sum().backward()

    def ours(logits, x, gate, up, down):
        weights, experts = F.top_k_routing(logits, K)
        return F.mixture_of_experts(x, weights, experts, gate, up, down, capacity, mask)

    with jax.enable_x64(True):
        arrays = [jnp.asarray(a) for a in (LOGITS, *ARRAYS.values())]
        got = jax.jit(ours)(*arrays)
        gradients = jax.jit(jax.grad(lambda *a: jnp.sum(jnp.sin(ours(*a))), range(5)))(*arrays)
    np.testing.assert_allclose(got, expected.detach(), rtol=1e-10, atol=1e-12)
    for gradient, their in zip(gradients, theirs, strict=True):
        np.testing.assert_allclose(gradient, their.grad, rtol=1e-9, atol=1e-11)


def test_places():
    experts = jnp.array([[0, 1], [0, 1], [1, 0], [0, 2]])
    slots = np.asarray(F.expert_slots(experts, 3, 2))
    assert slots.shape == (4, 2, 3, 2)
    found = {(t, c): (e, s) for t, c, e, s in np.argwhere(slots).tolist()}
    assert found == {(0, 0): (0, 0), (1, 0): (0, 1), (2, 0): (1, 0), (0, 1): (1, 1), (3, 1): (2, 0)}
    masked = np.asarray(F.expert_slots(experts, 3, 2, jnp.array([False, True, True, True])))
    assert not masked[0].any() and masked[3, 0, 0, 1] == 1


@pytest.mark.parametrize("normalize", [True, False])
def test_routing(normalize):
    weights, experts = F.top_k_routing(jnp.asarray(LOGITS, jnp.float32), 3, normalize)
    expected, chosen = torch.topk(torch.softmax(torch.tensor(LOGITS), -1), 3, -1)
    expected = expected / expected.sum(-1, keepdim=True) if normalize else expected
    np.testing.assert_array_equal(experts, chosen)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_losses():
    logits, experts = jnp.asarray(LOGITS, jnp.float32), F.top_k_routing(jnp.asarray(LOGITS, jnp.float32), K)[1]
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    for mask in (None, MASK):
        rows = np.ones((BATCH, LENGTH), bool) if mask is None else mask
        share = np.stack([(np.asarray(experts)[rows] == e).sum(-1).mean() for e in range(COUNT)])
        balance = COUNT * (share * probabilities[rows].mean(0)).sum()
        assert F.load_balancing_loss(logits, experts, mask).item() == pytest.approx(balance, rel=1e-5)
        z = (np.log(np.exp(LOGITS[rows]).sum(-1)) ** 2).mean()
        assert F.router_z_loss(logits, mask).item() == pytest.approx(z, rel=1e-5)
    even = jnp.array([[0, 1], [2, 3], [4, 0], [1, 2], [3, 4]])
    assert F.load_balancing_loss(jnp.zeros((5, 5)), even).item() == pytest.approx(K)
    one = jnp.zeros((4, 5)).at[:, 2].set(30.0)
    assert F.load_balancing_loss(one, jnp.full((4, 1), 2)).item() == pytest.approx(COUNT)
    assert F.router_z_loss(logits.astype(jnp.bfloat16)).dtype == jnp.float32
    assert F.load_balancing_loss(logits, experts, np.zeros((BATCH, LENGTH), bool)).item() == 0


def test_swiglu_is_torchs_composition():
    gate, up = (torch.tensor(RNG.standard_normal((3, 4)).astype(np.float32)) for _ in range(2))
    np.testing.assert_allclose(F.swiglu(gate.numpy(), up.numpy()), torch.nn.functional.silu(gate) * up, rtol=1e-6)


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (ArgumentError, "k must be between 1 and the number of experts, 5, but got k=6", lambda: F.top_k_routing(jnp.ones(5), 6)),
        (ArgumentError, "capacity must be at least 1, but got capacity=0", lambda: F.expert_slots(jnp.zeros((2, 1), int), 2, 0)),
        (
            ShapeError,
            r"expected gate and up \(E, H, D\).*got \[5, 4, 2\]",
            lambda: F.mixture_of_experts(jnp.ones((6, 3)), jnp.ones((6, 1)), jnp.zeros((6, 1), int), *[jnp.ones((5, 4, 2))] * 3),
        ),
        (DtypeError, "expected input and up to have the same dtype", lambda: F.swiglu(jnp.ones(2), jnp.ones(2, jnp.bfloat16))),
    ],
)
def test_errors(error, text, call):
    with pytest.raises(error, match=text):
        call()
