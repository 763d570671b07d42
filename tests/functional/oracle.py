"""PyTorch as the oracle: the same call in both libraries, outputs and gradients compared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from tests.quick import quick

# Relative and absolute tolerance of outputs and gradients. Gradients sum many terms, so float32 is not compared to the last bit.
TOLERANCE = {"float64": (1e-9, 1e-10), "float32": (2e-5, 2e-5), "bfloat16": (2e-2, 2e-2), "float16": (4e-3, 4e-3)}


def mode(dtype: str):
    """The JAX mode in which ``dtype`` exists."""
    return jax.enable_x64(True) if dtype in ("float64", "complex128") else contextlib.nullcontext()


def mode_for(*values: Any):
    """The JAX mode in which all dtypes of torch tensors in ``values`` exist; integers may be narrower."""
    double = any(dtype_name(x) in ("float64", "complex128") for x in jax.tree.leaves(values) if isinstance(x, torch.Tensor))
    return mode("float64" if double else "float32")


def to_jax(x: Any) -> Any:
    """Torch tensors (in tuples, lists and dicts too) as JAX arrays, torch's dtypes as JAX's; other values as they are."""
    if isinstance(x, torch.Tensor):
        x = x.detach()
        return jnp.asarray(x.float().numpy()).astype(jnp.bfloat16) if x.dtype == torch.bfloat16 else jnp.asarray(x.numpy())
    if isinstance(x, torch.dtype):
        return jnp.dtype(str(x).removeprefix("torch."))
    if isinstance(x, dict):
        return {name: to_jax(v) for name, v in x.items()}
    if isinstance(x, torch.Size):
        return tuple(x)
    return type(x)(to_jax(v) for v in x) if type(x) in (tuple, list) else x


def to_numpy(x: Any) -> np.ndarray:
    if isinstance(x, torch.Tensor):
        x = x.detach()
        return (x.double() if x.is_floating_point() else x).numpy()
    x = jnp.asarray(x)
    return np.asarray(x).astype(np.float64) if jnp.issubdtype(x.dtype, jnp.floating) else np.asarray(x)


def dtype_name(x: Any) -> str:
    return str(x.dtype).removeprefix("torch.")


def assert_same(got: Any, expected: torch.Tensor, what: str, tolerance: tuple[float, float] | None = None, wide: bool = True) -> None:
    """Equal shape, dtype and values, NaN included. With ``wide`` False, integers may be narrower (JAX's 32-bit mode)."""
    assert tuple(got.shape) == tuple(expected.shape), f"{what}: shape {got.shape}, torch has {tuple(expected.shape)}"
    if expected.is_floating_point() or wide:
        assert dtype_name(got) == dtype_name(expected), f"{what}: dtype {got.dtype}, torch has {expected.dtype}"
    rtol, atol = tolerance or TOLERANCE.get(dtype_name(expected), (0, 0))
    np.testing.assert_allclose(to_numpy(got), to_numpy(expected), rtol=rtol, atol=atol, err_msg=what)


def compare(
    function: Callable,
    oracle: Callable,
    args: tuple,
    kwargs: dict | None = None,
    *,
    jit: bool = True,
    tolerance: tuple[float, float] | None = None,
    second: bool = False,
) -> None:
    """Compare the outputs of one call, and the gradients of all its tensors that require them, under a random cotangent.

    ``args`` and ``kwargs`` are torch's, tensors in tuples and lists included; the JAX call gets the same values, and runs compiled: one program
    a case is faster than one an operation. ``second`` compares the gradients of a function of the gradients instead.
    """
    kwargs = kwargs or {}
    expected = oracle(*args, **kwargs)
    with mode_for(args, kwargs, expected):
        leaves, tree = jax.tree.flatten((args, kwargs))
        if second:
            _compare_second(*_of_live(function, leaves, tree), _tensors(expected), _live(leaves))
            return
        smooth = [x for x in _tensors(expected) if x.is_floating_point() or x.is_complex()]
        generator = torch.Generator().manual_seed(7)
        cotangents = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in smooth]
        got = _call(*_of_live(function, leaves, tree), cotangents, jit)
        try:
            _assert_all_same(*got, expected, leaves, cotangents, tolerance)
        except AssertionError:
            if not any(x.dtype in HALVES for x in _tensors(leaves)):
                raise
            args, kwargs = widened((args, kwargs))
            exact = oracle(*args, **kwargs)
            _assert_all_same(*got, exact, jax.tree.leaves((args, kwargs)), cotangents, tolerance, like=(_tensors(expected), leaves))


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [x for x in jax.tree.leaves(tree) if isinstance(x, torch.Tensor)]


def _live(leaves: list) -> list[torch.Tensor]:
    return [x for x in leaves if isinstance(x, torch.Tensor) and x.requires_grad]


def _of_live(function: Callable, leaves: list, tree: Any) -> tuple[Callable, list]:
    """The call as a function of the tensors that require gradients, giving its smooth and all outputs; and their values."""
    places = [i for i, x in enumerate(leaves) if isinstance(x, torch.Tensor) and x.requires_grad]
    values = [to_jax(x) for x in leaves]

    def forward(chosen: list) -> tuple[list, list]:
        filled = list(values)
        for i, x in zip(places, chosen, strict=True):
            filled[i] = x
        args, kwargs = jax.tree.unflatten(tree, filled)
        outputs = jax.tree.leaves(function(*args, **kwargs))
        return [x for x in outputs if jnp.issubdtype(x.dtype, jnp.inexact)], outputs

    return forward, [values[i] for i in places]


def _call(forward: Callable, chosen: list, cotangents: list, jit: bool) -> tuple[list, list]:
    """Outputs, and the gradients of what was chosen."""

    def call(chosen: list, cotangents: list) -> tuple[list, list]:
        _, vjp, output = jax.vjp(forward, chosen, has_aux=True)
        return output, vjp(cotangents)[0] if chosen else []

    return (quick(call) if jit else call)(chosen, to_jax(cotangents))


def _assert_all_same(
    got: list, found: list, expected: Any, leaves: list, cotangents: list, tolerance: Any, like: tuple[list, list] | None = None
) -> None:
    """Outputs and gradients against torch's; with ``like``, against its numbers in the dtypes of other outputs and leaves."""
    outputs, inputs = _tensors(expected), _live(leaves)
    originals, original_inputs = (outputs, inputs) if like is None else (like[0], _live(like[1]))
    assert len(got) == len(outputs), f"{len(got)} outputs, torch has {len(outputs)}"
    for number, (a, b, original) in enumerate(zip(got, outputs, originals, strict=True)):
        assert_same(a, b.to(original.dtype), f"output {number}", tolerance, wide=False)
    smooth = [x for x in outputs if x.is_floating_point() or x.is_complex()]
    pairs = [(x, c.to(x.dtype)) for x, c in zip(smooth, cotangents, strict=True) if x.requires_grad]
    if inputs and pairs:
        gradients = torch.autograd.grad([x for x, _ in pairs], inputs, [c for _, c in pairs], allow_unused=True)
        for number, (original, a, b) in enumerate(zip(original_inputs, found, gradients, strict=True)):
            wanted = torch.zeros_like(original) if b is None else b.to(original.dtype)
            assert_same(a, wanted, f"gradient of differentiable argument {number}", tolerance)


def _compare_second(forward: Callable, chosen: list, results: list, inputs: list) -> None:
    """The gradient of Σ sin(∂ Σ sin(y)): reverse over reverse against torch, forward over reverse against reverse over reverse."""

    def scalar(chosen):
        return sum(jnp.sum(jnp.sin(y)) for y in forward(chosen)[0])

    def of_gradients(chosen):
        return sum(jnp.sum(jnp.sin(g)) for g in jax.grad(scalar)(chosen))

    def both(chosen):
        tangents = [jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape) for x in chosen]
        reverse = jax.grad(of_gradients)(chosen)
        _, forward = jax.jvp(of_gradients, (chosen,), (tangents,))
        return reverse, forward, sum(jnp.vdot(a, t) for a, t in zip(reverse, tangents, strict=True))

    with jax.enable_x64(True):
        reverse, along, expected_along = quick(both)(chosen)
    np.testing.assert_allclose(along, expected_along, rtol=1e-8, atol=1e-8, err_msg="forward over reverse")
    outputs = [y for y in results if y.requires_grad]
    first = torch.autograd.grad(sum(y.sin().sum() for y in outputs), inputs, create_graph=True, allow_unused=True)
    total = sum(g.sin().sum() for g in first if g is not None)
    found = torch.autograd.grad(total, inputs, allow_unused=True) if total.requires_grad else [None] * len(inputs)
    for number, (a, b) in enumerate(zip(reverse, found, strict=True)):
        assert_same(a, torch.zeros_like(inputs[number]) if b is None else b, f"second gradient {number}", (1e-7, 1e-8))


HALVES = (torch.float16, torch.bfloat16)


def widened(x: Any) -> Any:
    """The same numbers in float64 where they are floats of 16 bits; containers item by item."""
    if isinstance(x, torch.Tensor):
        return x.detach().double().requires_grad_(x.requires_grad) if x.dtype in HALVES else x
    if isinstance(x, dict):
        return {name: widened(value) for name, value in x.items()}
    return type(x)(map(widened, x)) if type(x) in (tuple, list) else x


def in_float64(oracle: Callable, args: tuple, kwargs: dict, expected: Any) -> Any:
    """What a call on floats of 16 bits should give: torch's result in float64, rounded once.

    Where torch rounds on the way differs by processor, and two results that were rounded on the way may be two roundings apart.
    """
    exact = oracle(*widened(args), **widened(kwargs))
    return jax.tree.map(lambda a, b: a.to(b.dtype) if isinstance(b, torch.Tensor) else a, exact, expected)


def tensor(*shape: int, dtype: str = "float32", seed: int = 0, grad: bool = True, ties: bool = False) -> torch.Tensor:
    """Normal numbers; with ``ties`` small integers, so that many are equal."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (x.mul(1.5).round() if ties else x).to(getattr(torch, dtype)).requires_grad_(grad)


def indices(high: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))
