"""PyTorch as the oracle: the same call in both libraries, outputs and gradients compared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

# Relative and absolute tolerance of outputs and gradients. Gradients sum many terms, so float32 is not compared to the last bit.
TOLERANCE = {"float64": (1e-9, 1e-10), "float32": (2e-5, 2e-5), "bfloat16": (2e-2, 2e-2), "float16": (4e-3, 4e-3)}


def mode(dtype: str):
    """The JAX mode in which ``dtype`` exists."""
    return jax.enable_x64(True) if dtype == "float64" else contextlib.nullcontext()


def to_jax(x: Any) -> Any:
    """Torch tensors (in tuples, lists and dicts too) as JAX arrays; other values as they are."""
    if isinstance(x, torch.Tensor):
        x = x.detach()
        return jnp.asarray(x.float().numpy()).astype(jnp.bfloat16) if x.dtype == torch.bfloat16 else jnp.asarray(x.numpy())
    if isinstance(x, dict):
        return {name: to_jax(v) for name, v in x.items()}
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
) -> None:
    """Compare the output of one call, and the gradients of all its tensors that require them, under a random cotangent.

    ``args`` and ``kwargs`` are torch's; the JAX call gets the same values, and runs
    compiled: one program a case is faster than one an operation.
    """
    kwargs = kwargs or {}
    expected = oracle(*args, **kwargs)
    named = {**dict(enumerate(args)), **kwargs}
    leaves = {name: x for name, x in named.items() if isinstance(x, torch.Tensor) and x.requires_grad}
    values = to_jax(named)

    def call(live, cotangent):
        def forward(live):
            filled = {**values, **live}
            return function(*[filled.pop(i) for i in range(len(args))], **filled)

        output, vjp = jax.vjp(forward, live)
        return output, vjp(cotangent)[0] if live else {}

    cotangent = torch.randn(expected.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64).to(expected.dtype)
    # The least optimisation: the time goes into compiling, not into running
    call = jax.jit(call, compiler_options={"xla_backend_optimization_level": 0}) if jit else call
    got, found = call({name: values[name] for name in leaves}, to_jax(cotangent))
    assert_same(got, expected, "output", tolerance, wide=False)
    if leaves:
        gradients = torch.autograd.grad(expected, list(leaves.values()), cotangent, allow_unused=True)
        for (name, leaf), e in zip(leaves.items(), gradients, strict=True):
            assert_same(found[name], torch.zeros_like(leaf) if e is None else e, f"gradient of argument {name}", tolerance)


def tensor(*shape: int, dtype: str = "float32", seed: int = 0, grad: bool = True, ties: bool = False) -> torch.Tensor:
    """Normal numbers; with ``ties`` small integers, so that many are equal."""
    generator = torch.Generator().manual_seed(seed + sum(shape))
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (x.mul(1.5).round() if ties else x).to(getattr(torch, dtype)).requires_grad_(grad)


def indices(high: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, high, shape, generator=torch.Generator().manual_seed(seed))
