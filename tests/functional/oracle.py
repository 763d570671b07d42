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
    expected = oracle(*args, **(kwargs or {}))
    with mode_for(args, kwargs, expected):
        _compare(function, expected, *jax.tree.flatten((args, kwargs or {})), jit, tolerance, second)


def _compare(function: Callable, expected: Any, leaves: list, tree: Any, jit: bool, tolerance: Any, second: bool) -> None:
    outputs = [x for x in jax.tree.leaves(expected) if isinstance(x, torch.Tensor)]
    live = [i for i, x in enumerate(leaves) if isinstance(x, torch.Tensor) and x.requires_grad]
    values = [to_jax(x) for x in leaves]

    def forward(chosen):
        filled = list(values)
        for i, x in zip(live, chosen, strict=True):
            filled[i] = x
        args, kwargs = jax.tree.unflatten(tree, filled)
        output = function(*args, **kwargs)
        return [x for x in jax.tree.leaves(output) if jnp.issubdtype(x.dtype, jnp.inexact)], jax.tree.leaves(output)

    chosen = [values[i] for i in live]
    inputs = [leaves[i] for i in live]
    if second:
        _compare_second(forward, chosen, [x for x in outputs if x.requires_grad], inputs)
        return
    smooth = [x for x in outputs if x.is_floating_point() or x.is_complex()]
    generator = torch.Generator().manual_seed(7)
    cotangents = [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in smooth]

    def call(chosen, cotangents):
        _, vjp, output = jax.vjp(forward, chosen, has_aux=True)
        return output, vjp(cotangents)[0] if chosen else []

    got, found = (quick(call) if jit else call)(chosen, to_jax(cotangents))
    assert len(got) == len(outputs), f"{len(got)} outputs, torch has {len(outputs)}"
    for number, (a, b) in enumerate(zip(got, outputs, strict=True)):
        assert_same(a, b, f"output {number}", tolerance, wide=False)
    pairs = [(x, c) for x, c in zip(smooth, cotangents, strict=True) if x.requires_grad]
    if live and pairs:
        gradients = torch.autograd.grad([x for x, _ in pairs], inputs, [c for _, c in pairs], allow_unused=True)
        for i, a, b in zip(live, found, gradients, strict=True):
            assert_same(a, torch.zeros_like(leaves[i]) if b is None else b, f"gradient of argument {i}", tolerance)


def _compare_second(forward: Callable, chosen: list, outputs: list, inputs: list) -> None:
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
    first = torch.autograd.grad(sum(y.sin().sum() for y in outputs), inputs, create_graph=True, allow_unused=True)
    total = sum(g.sin().sum() for g in first if g is not None)
    found = torch.autograd.grad(total, inputs, allow_unused=True) if total.requires_grad else [None] * len(inputs)
    for number, (a, b) in enumerate(zip(reverse, found, strict=True)):
        assert_same(a, torch.zeros_like(inputs[number]) if b is None else b, f"second gradient {number}", (1e-7, 1e-8))


def tensor(*shape: int, dtype: str = "float32", seed: int = 0, grad: bool = True, ties: bool = False) -> torch.Tensor:
    """Normal numbers; with ``ties`` small integers, so that many are equal."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (x.mul(1.5).round() if ties else x).to(getattr(torch, dtype)).requires_grad_(grad)


def indices(high: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))
