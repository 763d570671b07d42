"""Losses of margins and of distances: kinks, targets out of range, a distance of one's own in both worlds, refused input."""

import jax.numpy as jnp
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, tensor

import funnn.functional as F
import funnn.torch as ft
from funnn.errors import DtypeError, ShapeError


def test_derivatives_at_the_kink():
    x = torch.tensor([1.0, 0.5, 2.0], requires_grad=True)
    compare(F.hinge_embedding_loss, T.hinge_embedding_loss, (x, torch.tensor([-1.0, -1.0, 1.0])))
    compare(F.margin_ranking_loss, T.margin_ranking_loss, (x, torch.tensor([0.0, 0.5, 1.0]), torch.ones(3)), {"margin": 1.0})
    for p in (1, 2):
        compare(F.multi_margin_loss, T.multi_margin_loss, (torch.tensor([1.0, 0.0, 0.5], requires_grad=True), torch.tensor(0)), {"p": p})
    compare(
        F.multilabel_margin_loss, T.multilabel_margin_loss, (torch.tensor([1.0, 0.0, 0.5], requires_grad=True), torch.tensor([0, -1, -1]))
    )


def test_other_targets_count_twice_or_not_at_all():
    x, y = tensor(4), torch.tensor([1, -1, 0, 2])
    compare(F.hinge_embedding_loss, T.hinge_embedding_loss, (x, y), {"reduction": "none"})
    compare(F.cosine_embedding_loss, T.cosine_embedding_loss, (tensor(4, 3), tensor(4, 3, seed=1), y), {"reduction": "none", "margin": 0.1})


def test_targets_out_of_range_are_nan():
    x = jnp.ones((3, 4))
    for bad in (4, -1, 100):
        assert jnp.isnan(F.multi_margin_loss(x, jnp.array([0, bad, 1]), reduction="none")).tolist() == [False, True, False]
    target = jnp.array([[0, 1, -1, 9], [0, 4, -1, 0], [-1, 9, 9, 9]])
    assert jnp.isnan(F.multilabel_margin_loss(x, target, reduction="none")).tolist() == [False, True, False]


def test_multilabel_duplicates_count_again():
    compare(F.multilabel_margin_loss, T.multilabel_margin_loss, (tensor(2, 4), torch.tensor([[1, 1, 2, -1], [3, -1, 0, 0]])))


def test_vectors_of_length_zero():
    x = torch.zeros(2, 3, requires_grad=True)
    compare(F.cosine_embedding_loss, T.cosine_embedding_loss, (x, tensor(2, 3), torch.tensor([1, -1])))
    compare(F.triplet_margin_loss, T.triplet_margin_loss, [torch.zeros(2, 3, requires_grad=True) for _ in range(3)], {"swap": True})


def test_a_distance_of_ones_own_sees_what_the_caller_gave():
    seen = []

    def distance(x, y):
        seen.append(type(x))
        return (x - y).pow(2).sum(dim=1)

    results = []
    for t in (ft, torch):
        a, b, c = (t.arange(6.0).reshape(2, 3) * k for k in (1.0, 2.0, 0.5))
        a.requires_grad_()
        loss = t.nn.functional.triplet_margin_with_distance_loss(a, b, c, distance_function=distance, margin=3.0, swap=True)
        loss.backward()
        results.append((loss.item(), a.grad.tolist(), loss.grad_fn.name()))
    assert results[0] == results[1] and seen[0] is ft.Tensor


def call(name, *args, **kwargs):
    return lambda: getattr(F, name)(*[jnp.ones(a) if isinstance(a, tuple) else a for a in args], **kwargs)


INDEX = jnp.zeros(3, int)
ERRORS = [
    (call("multi_margin_loss", (3, 4), INDEX, p=3), ValueError, "only p == 1 and p == 2 supported, but got p=3"),
    (call("multi_margin_loss", (3, 4), INDEX, weight=jnp.ones((1, 4))), ShapeError, "weight must be one-dimensional"),
    (call("multi_margin_loss", (3, 4), INDEX, weight=jnp.ones(3)), ShapeError, "inconsistent weight size, expected 4 but got"),
    (call("multi_margin_loss", (2, 4), INDEX), ShapeError, r"Expected target size \[2\] for input \[2, 4\], but got \[3\]"),
    (call("multi_margin_loss", (3, 4), (3,)), DtypeError, "expected scalar type Long .* for target but found float32"),
    (call("multilabel_margin_loss", (3, 4), INDEX), ShapeError, r"inconsistent target size: \[3\] for input of size: \[3, 4\]"),
    (call("multilabel_margin_loss", (3, 0), INDEX), ShapeError, "Expected non-empty vector or matrix"),
    (call("margin_ranking_loss", (3,), (3, 1), (3,)), ShapeError, "All input tensors should have same dimension but got sizes: input1"),
    (call("cosine_embedding_loss", (3, 4), (3, 4), (3, 1)), ShapeError, "0D or 1D target tensor expected, multi-target not supported"),
    (call("cosine_embedding_loss", (3, 4), (3, 4), ()), ShapeError, "0D target tensor expects 1D input tensors, but found inputs"),
    (call("triplet_margin_loss", (3,), (3,), (1, 3)), ShapeError, "anchor 1D, positive 1D, and negative 2D inputs"),
    (call("triplet_margin_loss", (3,), (3,), (3,), 0), ValueError, "margin must be greater than 0, got 0"),
    (call("triplet_margin_with_distance_loss", (3, 2), (3, 3), (3, 2)), ShapeError, r"must match the size of tensor b .*positive"),
]


@pytest.mark.parametrize(("function", "error", "text"), ERRORS)
def test_errors(function, error, text):
    with pytest.raises(error, match=text):
        function()
