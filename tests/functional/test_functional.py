"""What holds for every public kernel: its docstring, transformations, dtypes in both modes, and the dispatch protocol."""

import doctest
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn.functional as F

KERNELS = [name for name in F.__all__ if name != "public"]
INDEX = jnp.array([0, 1])

# name -> (shapes of its floating arguments, call)
CASES = {
    "log_softmax": ([(2, 3)], lambda x: F.log_softmax(x, 1)),
    "relu": ([(2, 3)], F.relu),
    "sigmoid": ([(2, 3)], F.sigmoid),
    "softmax": ([(2, 3)], lambda x: F.softmax(x, 1)),
    "tanh": ([(2, 3)], F.tanh),
    "conv1d": ([(1, 2, 5), (3, 2, 3), (3,)], F.conv1d),
    "conv2d": ([(1, 2, 5, 4), (3, 2, 3, 3), (3,)], F.conv2d),
    "conv3d": ([(1, 2, 3, 3, 3), (3, 2, 2, 2, 2), (3,)], F.conv3d),
    "apply_mask": ([(2, 3)], lambda x: F.apply_mask(x, jnp.array([True, False, True]), 0.3)),
    "dropout": ([(2, 3)], lambda x: F.dropout(x, 0.5, key=jax.random.key(0))),
    "linear": ([(2, 3), (4, 3), (4,)], F.linear),
    "cross_entropy": ([(2, 3), (3,)], lambda x, w: F.cross_entropy(x, INDEX, jnp.square(w), label_smoothing=0.1)),
    "l1_loss": ([(2, 3), (2, 3)], F.l1_loss),
    "mse_loss": ([(2, 3), (2, 3)], F.mse_loss),
    "nll_loss": ([(2, 3)], lambda x: F.nll_loss(x, INDEX)),
    "batch_norm": ([(4, 3), (3,), (3,)], lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)),
    "batch_norm_with_stats": ([(4, 3), (3,), (3,)], lambda x, m, v: F.batch_norm_with_stats(x, m, v)[0]),
    "layer_norm": ([(4, 3), (3,), (3,)], lambda x, w, b: F.layer_norm(x, (3,), w, b)),
    "avg_pool1d": ([(1, 2, 6)], lambda x: F.avg_pool1d(x, 2)),
    "avg_pool2d": ([(1, 2, 5, 4)], lambda x: F.avg_pool2d(x, 3, 2, 1)),
    "avg_pool3d": ([(1, 4, 4, 4)], lambda x: F.avg_pool3d(x, 2)),
    "max_pool1d": ([(1, 2, 6)], lambda x: F.max_pool1d(x, 2)),
    "max_pool2d": ([(1, 2, 5, 4)], lambda x: F.max_pool2d(x, 3, 2, 1)),
    "max_pool3d": ([(1, 4, 4, 4)], lambda x: F.max_pool3d(x, 2)),
    "flatten": ([(2, 3)], F.flatten),
    "unflatten": ([(2, 6)], lambda x: F.unflatten(x, 1, (2, 3))),
    "embedding": ([(4, 3)], lambda w: F.embedding(INDEX, w, 0)),
}
NOT_DIFFERENTIABLE = {"draw_mask", "one_hot"}


def _arguments(name: str, dtype=jnp.float32):
    shapes, call = CASES[name]
    numbers = np.random.default_rng(1)
    return call, [jnp.asarray(numbers.normal(size=s), dtype) for s in shapes]


def test_the_table_names_every_kernel():
    assert set(CASES) | NOT_DIFFERENTIABLE == set(KERNELS)


@pytest.mark.parametrize("name", F.__all__)
def test_docstring_examples(name):
    """Explicitly one by one: doctest's own search passes over decorated functions in silence."""
    function = inspect.unwrap(getattr(F, name))
    (test,) = [t for t in doctest.DocTestFinder(recurse=False).find(function, name, globs=dict(vars(F))) if t.examples]
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.failures == 0 and runner.tries > 0


@pytest.mark.parametrize("name", KERNELS)
def test_public_and_documented(name):
    function = getattr(F, name)
    assert function.pure.__name__ == name and function.__doc__.endswith("\n    ")
    hints = inspect.get_annotations(function.pure)
    assert set(hints) == {*inspect.signature(function).parameters, "return"}, "every argument and the result is annotated"
    if name != "draw_mask":
        assert next(iter(inspect.signature(function).parameters)) == "input"


@pytest.mark.parametrize("name", sorted(CASES))
def test_transformations(name):
    """jit, jvp, grad and vmap agree with each other."""
    call, args = _arguments(name)
    tangents = [jnp.asarray(np.cos(3 * np.asarray(a))) for a in args]

    def everything(args, tangents):
        y, along = jax.jvp(call, args, tangents)
        y2, vjp = jax.vjp(call, *args)
        cotangent = jnp.sin(1 + jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
        backward = sum(jnp.vdot(g, t) for g, t in zip(vjp(cotangent), tangents, strict=True))
        batched = jax.vmap(call)(*[jnp.stack([a, a]) for a in args])
        return (jnp.vdot(along, cotangent), backward), (y, y2, batched[0], batched[1])

    (forward, backward), results = jax.jit(everything, compiler_options={"xla_backend_optimization_level": 0})(args, tangents)
    np.testing.assert_allclose(forward, backward, rtol=1e-4, atol=1e-4)
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("x64", [False, True])
def test_dtype_is_kept_in_both_modes(name, x64):
    with jax.enable_x64(x64):
        for dtype in (jnp.bfloat16, jnp.float16, jnp.float32) + (jnp.float64,) * x64:
            call, args = _arguments(name, dtype)
            out, gradients = jax.eval_shape(lambda *a, call=call: (call(*a), jax.grad(lambda *a: call(*a).sum())(*a)), *args)
            assert out.dtype == gradients.dtype == dtype and not out.weak_type


def test_protocol():
    class Tensor:
        @classmethod
        def __funnn_function__(cls, function, args, kwargs):
            return function, args, kwargs

    t = Tensor()
    assert F.relu(t) == (F.relu, (t,), {})
    assert F.linear(jnp.ones(3), weight=t)[0] is F.linear
