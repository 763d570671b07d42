"""``jax.jit`` for tests, whose time goes into compiling and not into running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from tests import exhaustive


def quick(function: Callable, **options: Any) -> Callable:
    """``jax.jit`` without XLA's optimisations; with them under ``--exhaustive``."""
    if exhaustive.chosen() is None:
        options["compiler_options"] = {"xla_backend_optimization_level": 0}
    return jax.jit(function, **options)
