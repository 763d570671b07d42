"""PyTorch's database of modules: a few samples of each entry, and one number out of any output to differentiate."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.testing._internal.common_modules import ModuleErrorEnum as ModuleErrorEnum
    from torch.testing._internal.common_modules import module_db as module_db


def name_of(info: Any) -> str:
    """The name of the entry's class in torch.nn."""
    return info.name.removeprefix("nn.")


def samples(info: Any, train: bool, most: int, without: Callable[[Any], bool] = lambda sample: False) -> list:
    """At most ``most`` of the entry's samples, a fixed random choice where there are more."""
    torch.manual_seed(0)
    found = [s for s in info.module_inputs_func(info, "cpu", torch.float32, True, train) if not without(s)]
    for (
        sample
    ) in found:  # the database makes the numbers of fractional pools in float64 whatever the dtype asked for, which torch then refuses
        constructor = sample.constructor_input
        constructor.kwargs = {n: v.float() if n == "_random_samples" else v for n, v in constructor.kwargs.items()}
    return found if len(found) <= most else random.Random(0).sample(found, most)


def total(y: Any) -> Any:
    """One number that depends on every floating output; asinh, because a sine of the database's large losses would amplify their rounding."""
    leaves = [a for a in jax.tree.leaves(y) if "float" in str(a.dtype)]
    return sum(jnp.arcsinh(a).astype(jnp.float32).sum() if isinstance(a, jax.Array) else a.asinh().sum() for a in leaves)
