"""Rotary positions against complex numbers, and against the formulas that papers and transformers give."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import funnn.functional as F
from funnn.errors import ArgumentError, DtypeError, ShapeError

RNG = np.random.default_rng(0)


def by_complex_numbers(x, positions, frequencies, interleaved):
    """The definition in float64: a pair as a complex number, times e^(ipθ)."""
    count = len(frequencies)
    turn = np.exp(1j * positions[..., None].astype(float) * frequencies)
    if positions.ndim > 1:
        turn = turn[..., None, :, :]
    part = x[..., : 2 * count].astype(float)
    pairs = part[..., ::2] + 1j * part[..., 1::2] if interleaved else part[..., :count] + 1j * part[..., count:]
    pairs = pairs * turn
    part = np.stack([pairs.real, pairs.imag], -1).reshape(part.shape) if interleaved else np.concatenate([pairs.real, pairs.imag], -1)
    return np.concatenate([part, x[..., 2 * count :]], -1)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(
    ("shape", "positions"),
    [
        ((3, 5, 6), np.arange(5)),
        ((2, 3, 5, 6), np.array([[3, 4, 5, 6, 7], [-1, -1, 0, 1, 2]])),
        ((2, 3, 1, 6), np.array([[9], [4]])),
        ((2, 3, 5, 9), np.arange(5) + 1000),
        ((1, 6), np.array([2])),
    ],
    ids=str,
)
def test_values(shape, positions, interleaved):
    x, frequencies = RNG.standard_normal(shape).astype(np.float32), F.rotary_frequencies(6)
    got = jax.jit(lambda x, p: F.rotary_embedding(x, p, frequencies, interleaved))(x, positions)
    np.testing.assert_allclose(got, by_complex_numbers(x, positions, np.asarray(frequencies), interleaved), rtol=2e-5, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(got, axis=-1), np.linalg.norm(x, axis=-1), rtol=1e-5)


def test_the_conventions_are_a_permutation_of_each_other():
    x, positions, frequencies = RNG.standard_normal((4, 6)).astype(np.float32), jnp.arange(4), F.rotary_frequencies(6)
    order = np.array([0, 2, 4, 1, 3, 5])
    halves = F.rotary_embedding(x[:, order], positions, frequencies)
    np.testing.assert_array_equal(halves, F.rotary_embedding(x, positions, frequencies, interleaved=True)[:, order])


def test_products_depend_on_the_difference_of_positions():
    q, k = RNG.standard_normal((2, 1, 64)).astype(np.float32)
    frequencies = F.rotary_frequencies(64)

    def product(i, j):
        return jnp.sum(F.rotary_embedding(q, jnp.array([i]), frequencies) * F.rotary_embedding(k, jnp.array([j]), frequencies)).item()

    assert product(7, 3) == pytest.approx(product(104, 100), abs=1e-4)
    assert abs(product(7, 3) - product(8, 3)) > 0.01


def test_the_derivative_is_torchs():
    x, positions = RNG.standard_normal((2, 5, 6)), np.arange(5)
    theirs = torch.tensor(x, requires_grad=True)
    angles = torch.tensor(positions[:, None] * 10000.0 ** -(np.arange(0, 6, 2) / 6))
    cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)
    turned = theirs * cos + torch.cat([-theirs[..., 3:], theirs[..., :3]], -1) * sin  # as transformers writes it
    torch.sin(turned).sum().backward()
    with jax.enable_x64(True):
        frequencies = F.rotary_frequencies(6)
        assert frequencies.dtype == jnp.float64
        value, gradient = jax.value_and_grad(lambda x: jnp.sum(jnp.sin(F.rotary_embedding(x, positions, frequencies))))(jnp.asarray(x))
    assert value.item() == pytest.approx(torch.sin(turned).sum().item(), abs=1e-12)
    np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-10, atol=1e-12)


def test_half_precision_is_rounded_once():
    x = jnp.asarray(RNG.standard_normal((4, 8)), jnp.bfloat16)
    positions, frequencies = jnp.array([0, 1, 5000, 100000]), F.rotary_frequencies(8)
    got = F.rotary_embedding(x, positions, frequencies)
    assert got.dtype == jnp.bfloat16
    exact = F.rotary_embedding(x.astype(jnp.float32), positions, frequencies).astype(jnp.bfloat16)
    np.testing.assert_array_equal(got.astype(jnp.float32), exact.astype(jnp.float32))


# -- frequencies


def test_frequencies():
    plain = 500.0 ** -(np.arange(0, 16, 2) / 16)
    np.testing.assert_allclose(F.rotary_frequencies(16, 500.0), plain, rtol=1e-6)
    np.testing.assert_allclose(F.rotary_frequencies(16, 500.0, "linear", 4.0), plain / 4, rtol=1e-6)
    ntk = np.asarray(F.rotary_frequencies(16, 500.0, "ntk", 4.0))
    np.testing.assert_allclose(ntk[[0, -1]], [plain[0], plain[-1] / 4], rtol=1e-6)
    np.testing.assert_allclose(ntk, (500.0 * 4 ** (16 / 14)) ** -(np.arange(0, 16, 2) / 16), rtol=1e-6)
    assert F.rotary_frequencies(2, scaling="ntk", factor=4.0).tolist() == [1.0]


def test_llama3s_scaling_is_that_of_its_code():
    plain = 500000.0 ** -(np.arange(0, 128, 2) / 128)
    expected = []
    for frequency in plain:  # as Llama 3.1's models/llama3/reference_impl/model.py
        wavelength = 2 * math.pi / frequency
        if wavelength < 8192 / 4:
            expected.append(frequency)
        elif wavelength > 8192 / 1:
            expected.append(frequency / 8)
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            expected.append((1 - smooth) * frequency / 8 + smooth * frequency)
    got = np.asarray(F.rotary_frequencies(128, 500000.0, "llama3", 8.0))
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    ratio = got / plain
    assert np.isclose(ratio, 1).any() and np.isclose(ratio, 1 / 8).any() and ((ratio > 0.13) & (ratio < 0.99)).any()


@pytest.mark.parametrize(
    ("error", "text", "call"),
    [
        (ArgumentError, "dim must be even and positive.*dim=3", lambda: F.rotary_frequencies(3)),
        (ArgumentError, "dim must be even and positive.*dim=0", lambda: F.rotary_frequencies(0)),
        (ArgumentError, "scaling must be one of .*'yarn'", lambda: F.rotary_frequencies(4, scaling="yarn")),
        (ShapeError, r"2F ≤ D, but got \[3, 4\] and \[3\]", lambda: F.rotary_embedding(jnp.ones((3, 4)), jnp.arange(3), jnp.ones(3))),
        (ShapeError, r"got \[2\] for \[3, 4\]", lambda: F.rotary_embedding(jnp.ones((3, 4)), jnp.arange(2), jnp.ones(2))),
        (ShapeError, r"got \[2, 3\] for \[3, 4\]", lambda: F.rotary_embedding(jnp.ones((3, 4)), jnp.ones((2, 3), int), jnp.ones(2))),
        (DtypeError, "input must be floating point", lambda: F.rotary_embedding(jnp.ones((3, 4), int), jnp.arange(3), jnp.ones(2))),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_errors(error, text, call):
    with pytest.raises(error, match=text):
        call()
