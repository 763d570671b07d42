"""What holds for every public kernel: its docstring, transformations, dtypes in both modes, and the dispatch protocol."""

import doctest
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from oracle import to_jax

import funnn.functional as F
import funnn.torch as ft
from tests.cases import CONSTANT, FUNCTIONS
from tests.quick import quick

KERNELS = [name for name in F.__all__ if name != "public"]


def _arguments(name: str, dtype=jnp.float32):
    shapes, call = FUNCTIONS[name]
    numbers = np.random.default_rng(1)
    return call, [jnp.asarray(numbers.normal(size=s), dtype) for s in shapes]


def test_the_table_names_every_kernel():
    assert set(FUNCTIONS) | CONSTANT == set(KERNELS)


#: Names of torch.nn.functional that are no functions of a network: what torch itself dispatches and checks with.
TOOLS = {
    "Optional", "assert_int_or_pair", "boolean_dispatch", "handle_torch_function", "has_torch_function", "has_torch_function_unary",
    "has_torch_function_variadic",
}  # fmt: skip
#: Functions that the core does not have: name -> the reason.
ABSENT: dict[str, str] = {
    "scaled_grouped_mm": "torch has no CPU kernel of it to compare with; grouped_mm takes operands that were multiplied by their scales",
}


def test_every_function_of_torch_is_there():
    """Those that end in "_" write into their argument, which only a Tensor of funnn.torch lets them."""
    public = {name for name, value in vars(torch.nn.functional).items() if callable(value) and not name.startswith("_")}
    functions = {name for name in public - TOOLS if not inspect.isclass(getattr(torch.nn.functional, name))}
    in_place = {name for name in functions if name.endswith("_")}
    assert functions - in_place - set(F.__all__) == set(ABSENT)
    assert functions - set(ABSENT) - set(dir(ft.nn.functional)) == set()


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


def torch_signature(name: str) -> dict[str, object] | None:
    """Names and defaults of torch's arguments; those of its compiled functions are in the first line of their docstrings."""
    # where the result's type depends on return_indices, torch dispatches to a function of the same name behind an underscore
    function = getattr(torch.nn.functional, f"_{name}", getattr(torch.nn.functional, name))
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        text = function.__doc__.strip().split("->")[0].strip()
        if not text.startswith(f"{name}("):  # conv_tbc's text has no signature, but the operator has
            arguments = getattr(torch.ops.aten, name).default._schema.arguments
            return {
                "input" if a.name == "self" else a.name: a.default_value if a.has_default_value() else inspect.Parameter.empty
                for a in arguments
            }
        names = " ".join(text[text.index("(") + 1 : text.rindex(")")].split()).replace(
            "tensor,", "input,"
        )  # one_hot's text has the wrong name
        signature = inspect.signature(eval(f"lambda {names}: None", {}))  # torch's own text
        parameters = signature.parameters.values()
    return {p.name: p.default for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


@pytest.mark.parametrize("name", [name for name in KERNELS if hasattr(torch.nn.functional, name)])
def test_arguments_and_defaults_are_torchs(name):
    """In torch's order; what torch lacks (key) is keyword-only, and ``out`` has no meaning for immutable arrays."""
    expected = {argument: to_jax(default) for argument, default in torch_signature(name).items()}  # torch.bfloat16 as JAX's
    expected.pop("out", None)
    parameters = inspect.signature(getattr(F, name)).parameters.values()
    ours = {p.name: p.default for p in parameters if p.kind is not p.KEYWORD_ONLY or p.name in expected}
    assert list(ours) == list(expected)
    assert ours == expected


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
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

    (forward, backward), results = quick(everything)(args, tangents)
    np.testing.assert_allclose(forward, backward, rtol=1e-4, atol=1e-4)
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
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
