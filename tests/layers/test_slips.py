"""Torch's spelling on the arrays that a pure layer's forward gets: the error names JAX's."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from funnn.layers import Layer, Linear, Sequential

#: What somebody writes in forward -> what the error has to say.
SLIPS = {
    "view": (lambda x: x.view(-1, 2), r"x\.reshape\(shape\)"),
    "view of two sizes": (lambda x: x.view(3, 2), r"x\.reshape\(shape\)"),
    "size": (lambda x: x.size(), r"x\.shape\[dim\]"),
    "size of one": (lambda x: x.size(0), r"x\.shape\[dim\]"),
    "unsqueeze": (lambda x: x.unsqueeze(0), r"jnp\.expand_dims\(x, dim\)"),
    "permute": (lambda x: x.permute(1, 0), r"x\.transpose\(dims\)"),
    "flatten": (lambda x: x.flatten(1), r"funnn\.functional\.flatten"),
    "contiguous": (lambda x: x.contiguous(), r"nothing: leave it out"),
    "expand": (lambda x: x.expand(2, 2, 3), r"jnp\.broadcast_to\(x, shape\)"),
    "float": (lambda x: x.float(), r"x\.astype\(jnp\.float32\)"),
    "long": (lambda x: x.long(), r"x\.astype\(jnp\.int32\)"),
    "to": (lambda x: x.to("cuda"), r"x\.astype\(dtype\)"),
    "dim": (lambda x: x.dim(), r"x\.ndim"),
    "detach": (lambda x: x.detach(), r"jax\.lax\.stop_gradient\(x\)"),
    "t": (lambda x: x.t(), r"x\.T"),
    "matmul": (lambda x: x.matmul(x.T), r"x @ y"),
    "exp": (lambda x: x.exp(), r"jnp\.exp\(x\)"),
    "softmax": (lambda x: x.softmax(-1), r"funnn\.functional\.softmax\(x\)"),
    "relu": (lambda x: x.relu(), r"funnn\.functional\.relu\(x\)"),
    "in place": (lambda x: x.add_(1), r"arrays are never written"),
    "masked_fill": (lambda x: x.masked_fill(x > 0, 0), r"jnp\.where\(mask, value, x\)"),
    "dim of a sum": (lambda x: x.sum(dim=1), r"axis="),
    "keepdim of a mean": (lambda x: x.mean(1, keepdim=True), r"keepdims="),
    "chunk": (lambda x: x.chunk(2), r"jnp\.split"),
    "numel": (lambda x: x.numel(), r"x\.size"),
    "gather": (lambda x: x.gather(0, x), r"jnp\.take_along_axis"),
}


class Slip(Layer):
    """A layer that runs a function."""

    function: object

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize("name", SLIPS)
def test_the_error_names_jaxs_spelling(name, traced):
    function, spelt = SLIPS[name]
    layer = Sequential(Slip(function))
    run = jax.jit(lambda x: layer.apply({}, {}, x)) if traced else lambda x: layer.apply({}, {}, x)
    with pytest.raises((AttributeError, TypeError, ValueError, NotImplementedError), match=f"JAX's spelling is .*{spelt}") as error:
        run(jnp.ones((2, 3)))
    assert str(error.value).count("JAX's spelling") == 1


def test_other_errors_stay_as_they_are():
    layer = Slip(lambda x: x.no_such_thing())
    with pytest.raises(AttributeError) as error:
        layer.apply({}, {}, jnp.ones(2))
    assert "JAX's spelling" not in str(error.value)
    linear = Linear(3, 2)
    params, state = linear.init(jax.random.key(0))
    with pytest.raises(Exception, match="3") as error:
        linear.apply(params, state, jnp.ones((2, 4)))
    assert "JAX's spelling" not in str(error.value)
