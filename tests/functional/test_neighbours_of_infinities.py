"""An infinity or NaN counts in those outputs alone that read it, as in torch: nothing else becomes NaN, whatever computes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.functional as F

VALUES = (np.inf, -np.inf, np.nan)
SHAPES = {3: (1, 2, 5), 4: (1, 2, 5, 6), 5: (1, 1, 3, 4, 5)}
RESIZED = [
    *((mode, 4, size, align) for mode in ("bilinear", "bicubic") for size in (7, 3, 5) for align in (False, True)),
    *((mode, 4, size, None) for mode in ("nearest", "nearest-exact", "area") for size in (7, 3)),
    *(("linear", 3, 9, align) for align in (False, True)),
    *(("trilinear", 5, size, None) for size in (6, 3)),
]


def poisoned(shape: tuple[int, ...], value: float) -> np.ndarray:
    array = np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)
    array.reshape(-1)[array.size // 2] = value
    return array


def same_as_torch(ours, theirs, shape: tuple[int, ...]) -> None:
    """Values where an element is not finite, and gradients where one of the output's is not."""
    for value in VALUES:
        array = poisoned(shape, value)
        expected = theirs(torch.tensor(array))
        np.testing.assert_allclose(jax.jit(ours)(array), expected.numpy(), rtol=1e-4, atol=1e-5, err_msg=f"of {value}")
        finite, given = poisoned(shape, 1.0), poisoned(tuple(expected.shape), value)
        leaf = torch.tensor(finite, requires_grad=True)
        theirs(leaf).backward(torch.tensor(given))
        [gradient] = jax.jit(lambda x, g: jax.vjp(ours, x)[1](g))(finite, given)
        np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-4, atol=1e-5, err_msg=f"gradient of {value}")


@pytest.mark.parametrize("mode, rank, size, align", RESIZED)
def test_interpolate(mode, rank, size, align):
    options = {"size": (size,) * (rank - 2), "mode": mode, "align_corners": align}
    if mode == "bicubic" and size == 5:
        options["size"] = (5, 7)  # of both sizes kept, torch's derivative is a copy
    same_as_torch(lambda x: F.interpolate(x, **options), lambda x: torch.nn.functional.interpolate(x, **options), SHAPES[rank])


@pytest.mark.parametrize("name", ["adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d"])
def test_pools(name):
    same_as_torch(lambda x: getattr(F, name)(x, 3), lambda x: getattr(torch.nn.functional, name)(x, 3), SHAPES[4])


def test_adaptive_pools_of_no_window():
    x = np.ones((1, 2, 5, 6), np.float32)
    assert F.adaptive_avg_pool2d(x, (0, 4)).shape == torch.nn.functional.adaptive_avg_pool2d(torch.tensor(x), (0, 4)).shape


def test_half_precision_is_rounded_once():
    x = poisoned((1, 2, 5, 6), np.inf)
    theirs = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(x, dtype=torch.bfloat16), (3, 4)).float().numpy()
    ours = F.adaptive_avg_pool2d(jnp.asarray(x, jnp.bfloat16), (3, 4))
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(ours.astype(jnp.float32), theirs, rtol=1e-2)


def test_one_item_of_several_under_vmap():
    x = np.stack([poisoned((1, 2, 5, 6), 1.0), poisoned((1, 2, 5, 6), np.inf)])

    def resized(x):
        return F.interpolate(x, size=(7, 3), mode="bilinear")

    together, one_by_one = jax.vmap(resized)(x), [resized(each) for each in x]
    np.testing.assert_allclose(together, np.stack(one_by_one), rtol=1e-5)
    assert np.isfinite(together[0]).all()
    assert 0 < np.isfinite(together[1]).sum() < together[1].size


def test_sums_that_overflow_are_no_infinities():
    x = np.full((1, 1, 4, 4), 3e38, np.float32)  # the test for infinities adds them up
    np.testing.assert_allclose(F.interpolate(x, size=(6, 6), mode="bilinear"), 3e38, rtol=1e-5)


def test_margin_losses_leave_out_terms_of_nan_as_torch_does():
    scores = np.array([[np.nan, 1.0, 2.0], [1.0, np.nan, 2.0], [0.5, 0.2, 0.3]], np.float32)
    target = np.array([1, 1, 1])
    for name, y in (("multi_margin_loss", target), ("multilabel_margin_loss", np.array([[1, -1, 0]] * 3))):
        theirs = getattr(torch.nn.functional, name)(torch.tensor(scores), torch.tensor(y), reduction="none")
        np.testing.assert_allclose(getattr(F, name)(scores, y, reduction="none"), theirs.numpy(), rtol=1e-6)


@pytest.mark.parametrize("name, target", [("multi_margin_loss", [3]), ("multilabel_margin_loss", [[3, -1, 0]])])
def test_a_class_out_of_range_makes_the_loss_nan(name, target):
    scores, target = jnp.array([[1.0, 2.0, 0.0]]), jnp.array(target)
    assert jnp.isnan(getattr(F, name)(scores, target))


def test_the_largest_of_a_bag_is_nan_where_nan_comes_first():
    weight = np.array([[np.nan, 1, 3], [2, np.nan, -np.inf], [0, 5, -np.inf]], np.float32)
    bags = np.array([[0, 1, 2], [1, 2, 2], [2, 0, 1]])
    leaf = torch.tensor(weight, requires_grad=True)
    theirs = torch.nn.functional.embedding_bag(torch.tensor(bags), leaf, mode="max")
    theirs.nan_to_num().sum().backward()
    np.testing.assert_array_equal(F.embedding_bag(bags, weight, mode="max"), theirs.detach().numpy())
    gradient = jax.grad(lambda weight: jnp.nan_to_num(F.embedding_bag(bags, weight, mode="max")).sum())(weight)
    np.testing.assert_array_equal(gradient, leaf.grad.numpy())


def test_a_row_out_of_range_is_nan_wherever_it_stands_in_a_bag():
    largest = F.embedding_bag(jnp.array([[0, 7], [7, 0], [0, 0]]), jnp.ones((2, 2)), mode="max")
    assert jnp.isnan(largest).tolist() == [[True, True], [True, True], [False, False]]
