"""Products of bfloat16 arrays: values, every derivative, and what XLA makes of them on each platform."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import funnn.functional as F
from funnn.functional import _half_product as kernel
from tests.quick import quick

#: shapes of both operands, and the axes summed over and those of the batch
CASES = {
    "rows": ((4, 3), (5, 3), (((1,), (1,)), ((), ()))),
    "columns": ((3, 4), (3, 5), (((0,), (0,)), ((), ()))),
    "two axes in another order": ((2, 3, 4), (4, 5, 2), (((0, 2), (2, 0)), ((), ()))),
    "two axes": ((2, 4, 3), (5, 4, 2), (((1, 0), (1, 2)), ((), ()))),
    "batch": ((6, 4, 3), (6, 3, 5), (((2,), (1,)), ((0,), (0,)))),
    "batches behind": ((4, 3, 6, 2), (2, 3, 5, 6), (((1,), (1,)), ((2, 3), (3, 0)))),
    "vectors": ((3,), (3,), (((0,), (0,)), ((), ()))),
    "nothing to sum": ((4, 0), (5, 0), (((1,), (1,)), ((), ()))),
}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def derivatives(function, a, b):
    def scalar(a, b):
        return jnp.sum(jnp.sin(function(a, b)))

    gradient, tangents = jax.grad(scalar, (0, 1)), (jnp.cos(3 * a), jnp.cos(2 * b))
    return (
        function(a, b),
        gradient(a, b),
        [jax.grad(scalar, i)(a, b) for i in (0, 1)],
        jax.jvp(function, (a, b), tangents)[1],
        jax.jvp(gradient, (a, b), tangents)[1],
        jax.grad(lambda a, b: sum(jnp.vdot(g, t) for g, t in zip(gradient(a, b), tangents, strict=True)), (0, 1))(a, b),
        jax.vmap(gradient, (0, None))(jnp.stack([a, a + 1]), b),
    )


@pytest.mark.parametrize("name", CASES)
def test_every_derivative_is_that_of_the_plain_product(name):
    """In float64, which this form has for tests only."""
    *shapes, dimensions = CASES[name]
    with jax.enable_x64(True):
        arrays = [jnp.asarray(numbers(*shape, seed=i)) for i, shape in enumerate(shapes)]
        got, expected = (
            quick(partial(derivatives, function))(*arrays)
            for function in (lambda a, b: kernel._product(a, b, dimensions), lambda a, b: lax.dot_general(a, b, dimensions))
        )
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(40,), (2, 30)], ids=str)
def test_values_and_gradients_are_sums_in_float32_rounded_once(shape):
    """Within half a step of bfloat16 (2⁻⁸ of the number) of the exact ones, and float32's error of the sums."""
    x, w, g = (jnp.asarray(numbers(*s), jnp.bfloat16) for s in ((*shape, 300), (50, 300), (*shape, 50)))
    y, vjp = jax.vjp(jax.jit(F.linear), x, w)
    exact = [np.asarray(a, np.float64) for a in (x, w, g)]
    flat = [a.reshape(-1, a.shape[-1]) for a in exact]
    wanted = exact[0] @ exact[1].T, exact[2] @ exact[1], flat[2].T @ flat[0]
    for got, expected in zip((y, *vjp(g)), wanted, strict=True):
        assert got.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(got, np.float64), expected, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize(
    "shapes", [((4, 3), (3, 5)), ((2, 4, 3), (3, 5)), ((2, 4, 3), (2, 3, 5)), ((2, 4, 3), (1, 3, 5)), ((3,), (3, 5))], ids=str
)
def test_matmul_is_that_of_jax(shapes):
    a, b = (jnp.asarray(numbers(*shape), jnp.bfloat16) for shape in shapes)
    got, expected = kernel.matmul(a, b), jnp.matmul(a, b)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    np.testing.assert_allclose(np.asarray(got, np.float32), np.asarray(expected, np.float32), rtol=2**-7, atol=1e-3)


def test_what_xla_is_asked_for():
    """On a CPU sums in float32 of numbers in bfloat16, in both passes; elsewhere one product of bfloat16 each."""
    x, w = (jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in ((32, 16), (8, 16)))
    traced = jax.jit(lambda x, w: jax.vjp(F.linear, x, w)[1](F.linear(x, w))).trace(x, w)
    for platform, result in (("cpu", "f32"), ("cuda", "bf16"), ("tpu", "bf16")):
        lines = [line for line in traced.lower(lowering_platforms=(platform,)).as_text().splitlines() if "dot_general" in line]
        assert len(lines) == 3, (platform, lines)
        for line in lines:
            operands, made = line.rsplit(" : ", 1)[1].split(" -> ")
            assert operands.count("xbf16>") == 2 and made.endswith(f"x{result}>"), (platform, line)


def test_other_types_are_left_alone():
    for dtype in (jnp.float32, jnp.float16, jnp.int32):
        x, w = (jax.ShapeDtypeStruct(shape, dtype) for shape in ((4, 3), (5, 3)))
        jaxpr = jax.make_jaxpr(F.linear)(x, w)
        assert [equation.primitive.name for equation in jaxpr.eqns] == ["dot_general"], jaxpr
