"""ctc_loss: forms of its arguments, impossible alignments, what is ignored, derivatives, refused input."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as T
from oracle import compare, mode, tensor

import funnn.functional as F
from funnn.errors import ArgumentError, DtypeError, ShapeError

LABELS = torch.tensor([[1, 2, 2], [3, 3, 1], [2, 1, 3]])
STEPS, LENGTHS = torch.tensor([6, 4, 5]), torch.tensor([3, 2, 0])


def log_probs(*shape: int) -> torch.Tensor:
    return tensor(*shape, dtype="float64", grad=False).log_softmax(-1).requires_grad_()


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("lengths", ["arrays", "tuples"])
def test_forms(reduction, lengths):
    x, steps, sizes = log_probs(6, 3, 4), STEPS, LENGTHS
    if lengths == "tuples":
        steps, sizes = tuple(steps.tolist()), tuple(sizes.tolist())
    concatenated = torch.cat([row[:n] for row, n in zip(LABELS, LENGTHS, strict=True)])
    with mode("float64"):
        for targets in (LABELS, concatenated, LABELS.int()):
            compare(F.ctc_loss, T.ctc_loss, (x, targets, steps, sizes), {"reduction": reduction})


def test_single_items():
    x = log_probs(6, 4)
    with mode("float64"):
        for targets, steps, sizes in ((LABELS[0], STEPS[0], LENGTHS[0]), (LABELS[:1], STEPS[:1], LENGTHS[:1]), (LABELS[0], (6,), (3,))):
            compare(F.ctc_loss, T.ctc_loss, (x, targets, steps, sizes), {"reduction": "none", "blank": 0})


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_impossible_alignments(zero_infinity):
    """Two equal labels need a blank between them: three steps."""
    x = log_probs(3, 4, 4)
    labels, steps, sizes = torch.tensor([[1, 1]] * 4), torch.tensor([2, 3, 0, 0]), torch.tensor([2, 2, 2, 0])
    with mode("float64"):
        compare(F.ctc_loss, T.ctc_loss, (x, labels, steps, sizes), {"reduction": "none", "zero_infinity": zero_infinity})


def test_what_stands_behind_the_ends_does_not_matter():
    x = jax.nn.log_softmax(jnp.sin(jnp.arange(72.0).reshape(6, 3, 4)))
    steps, sizes = jnp.array([6, 4, 5]), jnp.array([2, 2, 1])
    loss = jax.value_and_grad(lambda x, y: F.ctc_loss(x, y, steps, sizes))
    clean, dirty = jnp.array([[1, 2, 0], [3, 3, 0], [2, 0, 0]]), jnp.array([[1, 2, -7], [3, 3, 99], [2, 2, 2]])
    np.testing.assert_array_equal(loss(x, clean)[0], loss(x, dirty)[0])
    np.testing.assert_array_equal(loss(x, clean)[1], loss(x.at[5, 1].set(jnp.nan).at[5, 2].set(jnp.inf), dirty)[1])


def test_values_out_of_range_are_nan():
    x = jax.nn.log_softmax(jnp.ones((6, 3, 4)))
    labels, steps, sizes = jnp.ones((3, 2), int), jnp.array([6, 6, 6]), jnp.array([1, 1, 1])
    for arguments in (
        (labels.at[1, 0].set(4), steps, sizes),
        (labels.at[1, 0].set(-1), steps, sizes),
        (labels, steps.at[1].set(7), sizes),
        (labels, steps, sizes.at[1].set(3)),
    ):
        assert jnp.isnan(F.ctc_loss(x, *arguments, reduction="none")).tolist() == [False, True, False]


def test_sum_over_all_alignments():
    """By enumeration: every sequence of steps that spells the labels."""
    x = np.asarray(jax.nn.log_softmax(jnp.sin(jnp.arange(15.0).reshape(5, 3))), np.float64)
    total = 0.0
    for path in itertools.product(range(3), repeat=5):
        merged = [label for label, _ in itertools.groupby(path)]
        if [label for label in merged if label] == [1, 1, 2]:
            total += np.exp(sum(x[t, label] for t, label in enumerate(path)))
    with jax.enable_x64(True):
        found = F.ctc_loss(jnp.asarray(x), jnp.array([1, 1, 2]), (5,), (3,), reduction="sum")
    np.testing.assert_allclose(found, -np.log(total), rtol=1e-12)


def test_derivatives_of_log_softmax_and_ctc():
    """Through log_softmax the derivative is the true one: forward mode, reverse mode, and finite differences agree; second ones exist."""
    with jax.enable_x64(True):
        logits = jnp.sin(jnp.arange(72.0).reshape(6, 3, 4))
        labels = jnp.asarray(LABELS.numpy())

        @jax.jit
        def loss(logits):
            return F.ctc_loss(F.log_softmax(logits, -1), labels, (6, 4, 5), (3, 2, 0))

        gradient = jax.jit(jax.grad(loss))

        t = jnp.cos(jnp.arange(72.0).reshape(6, 3, 4))
        numeric = (loss(logits + 1e-5 * t) - loss(logits - 1e-5 * t)) / 2e-5
        _, forward = jax.jvp(loss, (logits,), (t,))
        np.testing.assert_allclose(forward, jnp.vdot(gradient(logits), t), rtol=1e-10)
        np.testing.assert_allclose(forward, numeric, rtol=1e-7)
        curvature = jax.jvp(gradient, (logits,), (t,))[1]
        numeric = (gradient(logits + 1e-5 * t) - gradient(logits - 1e-5 * t)) / 2e-5
        np.testing.assert_allclose(curvature, numeric, rtol=1e-6, atol=1e-8)
        reverse = jax.jit(jax.grad(lambda x: jnp.vdot(gradient(x), t)))(logits)
        assert jnp.all(jnp.isfinite(reverse))


def call(size, targets, steps, sizes, **kwargs):
    return lambda: F.ctc_loss(jnp.ones(size), jnp.ones(targets, int), steps, sizes, **kwargs)


OK = jnp.ones(3, int)
ERRORS = [
    (call((6, 3, 4), (3, 2), (6, 6, 7), (1, 1, 1)), ArgumentError, "Expected input_lengths to have value at most 6, but got value 7"),
    (call((6, 3, 4), (3, 2), (6, 6, 6), (1, 3, 1)), ArgumentError, "Expected target_lengths to have value at most 2, but got value 3"),
    (call((6, 3, 4), (3, 2), (6, 6, 6), (1, -1, 1)), ArgumentError, "Expected target_lengths to have value at least 0, but got value -1"),
    (call((6, 3, 4), (3, 2), (6, 6), OK), ShapeError, "input_lengths must be of size batch_size"),
    (call((6, 3, 4), (3, 2), OK, jnp.ones(3)), DtypeError, "target_lengths must be integral, but got float32"),
    (call((6, 3, 4), (2, 2), OK, OK), ShapeError, "Expected tensor to have size 3 at dimension 0, but got size 2 for argument #2"),
    (call((6, 3, 4), (5,), (6, 6, 6), (2, 2, 2)), ShapeError, "Expected tensor to have size 6 at dimension 0, but got size 5"),
    (call((6, 3, 4), (3, 2, 1), OK, OK), ShapeError, r"targets must be \(N, S\)"),
    (call((6, 3, 4), (3, 2), OK, OK, blank=4), ArgumentError, "blank must be in label range"),
    (call((4,), (2,), OK, OK), ShapeError, r"Expected 3-dimensional log_probs \(T, N, C\)"),
    (call((6, 3, 4), (3, 2), OK, OK, reduction="batchmean"), ValueError, "batchmean is not a valid value for reduction"),
]


@pytest.mark.parametrize(("function", "error", "text"), ERRORS)
def test_errors(function, error, text):
    with pytest.raises(error, match=text):
        function()
