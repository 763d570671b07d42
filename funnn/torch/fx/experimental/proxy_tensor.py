"""torch.fx.experimental.proxy_tensor: tracing of operations below Python, which is JAX's work here; the questions whether it is going on say no."""

from __future__ import annotations

from typing import Any

__all__ = ["get_proxy_mode", "make_fx"]


def get_proxy_mode() -> None:
    """None: no such tracing is going on."""


def make_fx(f: Any, *args: Any, **kwargs: Any) -> Any:
    """Not supported: there are no operations of ATen below the functions."""
    raise NotImplementedError(
        "torch.fx.experimental.proxy_tensor.make_fx is not supported: use torch.fx.symbolic_trace, or jax.make_jaxpr of to_functional(module)"
    )
