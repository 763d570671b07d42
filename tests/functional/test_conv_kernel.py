"""The convolution's three functions against XLA's own convolution and its transposes, on every path, in float64."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from funnn.functional import _conv_kernel as kernel
from funnn.functional._conv_xla import Geometry
from tests.quick import quick

# x, w, then what differs from stride 1, dilation 1, padding 0; what each is there for
CASES = {
    "one product over all shifts": ((3, 1, 9, 8), (4, 1, 5, 5), {"padding": (2, 1)}),
    "pointwise": ((3, 5, 6, 6), (4, 5, 1, 1), {"stride": (2, 1)}),
    "pointwise, many places": ((2, 3, 17, 16), (4, 3, 1, 1), {"padding": (1, 0)}),
    "pointwise, few places": ((3, 5, 2, 2), (4, 5, 1, 1), {}),
    "odd sizes": ((7, 6, 17, 12), (5, 6, 3, 3), {"padding": (1, 1)}),
    "rows, strided": ((4, 6, 26, 19), (5, 6, 3, 2), {"padding": (1, 0), "stride": (2, 2)}),
    "rows, dilated": ((2, 6, 20, 19), (5, 6, 3, 3), {"dilation": (2, 3)}),
    "small images": ((2, 8, 5, 5), (3, 8, 3, 3), {"padding": (1, 1)}),
    "a large kernel": ((2, 3, 16, 16), (2, 3, 7, 7), {"padding": (3, 3), "stride": (2, 2)}),
    "one axis": ((2, 12, 90), (4, 12, 3), {"stride": (2,)}),
    "three axes": ((2, 5, 6, 7, 8), (4, 5, 2, 3, 2), {"padding": (0, 1, 1), "stride": (1, 2, 1)}),
    "one axis, a large kernel": ((2, 3, 40), (4, 3, 12), {"dilation": (2,), "padding": (5,)}),
    "groups": ((2, 4, 6, 6), (6, 2, 3, 3), {"groups": 2}),
    "groups, strided": ((2, 4, 9, 8), (6, 2, 3, 2), {"groups": 2, "stride": (2, 3), "padding": (1, 0)}),
    "depthwise": ((2, 3, 7, 8), (3, 1, 3, 3), {"groups": 3, "padding": (1, 1)}),
    "depthwise, strided, two results each": ((2, 3, 9, 8), (6, 1, 3, 2), {"groups": 3, "stride": (2, 3), "dilation": (2, 1)}),
    "depthwise along one axis": ((2, 3, 9), (3, 1, 4), {"groups": 3, "padding": (2,)}),
    "groups along three axes": ((2, 4, 5, 4, 6), (6, 2, 2, 3, 2), {"groups": 2, "stride": (2, 1, 1), "padding": (1, 1, 0)}),
}


def geometry_of(x, w, stride=None, dilation=None, padding=None, groups=1):
    n = len(x) - 2
    stride, dilation, padding = stride or (1,) * n, dilation or (1,) * n, padding or (0,) * n
    axes = zip(x[2:], w[2:], stride, dilation, padding, strict=True)
    out = tuple((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, d, p in axes)
    return Geometry(x[2:], out, w[2:], stride, dilation, padding, groups)


def textbook(x, w, geometry):
    return lax.conv_general_dilated(
        x, w, geometry.stride, geometry.pads, rhs_dilation=geometry.dilation, feature_group_count=geometry.groups
    )


@pytest.mark.parametrize("name", CASES)
def test_every_derivative_equals_xlas(name):
    """Each function's value, gradients and forward mode; the convolution's second derivatives and vmap too."""
    x_shape, w_shape, options = CASES[name]
    geometry = geometry_of(x_shape, w_shape, **options)
    with jax.enable_x64(True):
        numbers = np.random.default_rng(0).standard_normal
        arrays = {"x": x_shape, "w": w_shape, "g": (x_shape[0], w_shape[0], *geometry.out)}
        arrays = {name: jnp.asarray(numbers(shape)) for name, shape in arrays.items()}

        def form(x, w, g):
            return jnp.vdot(textbook(x, w, geometry), g)

        ours = {"x": lambda x, w, g: kernel.spread(g, w, geometry), "w": lambda x, w, g: kernel.contract(x, g, geometry)}
        ours["g"] = lambda x, w, g: kernel.correlate(x, w, geometry)

        def derivatives(function, second, x, w, g):
            def scalar(*args):
                return jnp.sum(jnp.sin(function(*args)))

            args, every = (x, w, g), (0, 1, 2)
            tangents = tuple(jnp.cos(a) for a in args)
            gradient = jax.grad(scalar, every)
            first = function(*args), gradient(*args), jax.jvp(function, args, tangents)[1]
            if not second:
                return first
            return first + (
                jax.jvp(gradient, args, tangents)[1],
                jax.grad(lambda *args: sum(jnp.vdot(a, t) for a, t in zip(gradient(*args), tangents, strict=True)), every)(*args),
                jax.vmap(gradient, (0, None, 0))(jnp.stack([x, 2 * x]), w, jnp.stack([g, g + 1])),
            )

        for number, result in enumerate("xwg"):
            second = result == "g"  # those of the others are sums of the same terms
            got, expected = (quick(partial(derivatives, function, second))(**arrays) for function in (ours[result], jax.grad(form, number)))
            for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-8, err_msg=result)


@pytest.mark.parametrize("images", [2, 9])
@pytest.mark.parametrize("stride", [1, 2])
def test_float32_numbers_put_apart_give_the_same_sums(images, stride):
    """Enough channels and images that a CPU's ways for float32 are taken, which float64 does not have."""
    x_shape, w_shape = (images, 12, 7, 6), (20, 12, 3, 3)
    geometry = geometry_of(x_shape, w_shape, stride=(stride, stride), padding=(1, 1))
    numbers = np.random.default_rng(0).standard_normal
    x, w, g = (numbers(shape) for shape in (x_shape, w_shape, (images, 20, *geometry.out)))

    def values(x, w, g):
        return kernel.correlate(x, w, geometry), kernel.spread(g, w, geometry), kernel.contract(x, g, geometry)

    def expected(x, w, g):
        value, back = jax.vjp(lambda x, w: textbook(x, w, geometry), x, w)
        return value, *back(g)

    with jax.enable_x64(True):
        right = jax.jit(expected)(x, w, g)
    found = jax.jit(values)(*(a.astype(np.float32) for a in (x, w, g)))
    for a, b in zip(found, right, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-5)


def test_what_is_not_finite_stays_in_its_group():
    for weight in ((4, 1, 3, 3), (4, 2, 3, 3)):
        groups = 4 // weight[1]
        geometry = geometry_of((1, 4, 5, 5), weight, padding=(1, 1), groups=groups)
        x = jnp.ones((1, 4, 5, 5)).at[0, 0, 2, 2].set(jnp.inf)
        y = np.asarray(jax.jit(kernel.correlate, static_argnums=2)(x, jnp.ones(weight), geometry))
        assert np.isinf(y[0, : weight[1], 1:4, 1:4]).all() and np.isfinite(y[0, weight[1] :]).all()


def test_other_platforms_get_one_convolution_each():
    geometry = geometry_of((2, 6, 20, 20), (5, 6, 3, 3))
    shapes = {"x": (2, 6, 20, 20), "w": (5, 6, 3, 3), "g": (2, 5, 18, 18)}
    shapes = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    functions = {"x": kernel.spread, "w": kernel.contract, "g": kernel.correlate}
    for result, platform in itertools.product(functions, ("cuda", "tpu")):
        given = [shapes[name] for name in "xgw" if name != result]
        traced = jax.jit(functions[result], static_argnums=2).trace(*given, geometry)
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.convolution") == 1 and "dot_general" not in text
