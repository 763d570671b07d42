"""What all tests share: how their programs are compiled, which is where most of their time goes."""

import importlib.metadata
import os

import pytest

# XLA's newer code generator for fusions takes twice the time of the older one on the small programs here. (Other versions may not have the switch.)
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"

import jax  # after the flags, which it reads once

#: Files whose programs are compiled as users' are; those of the others run once, without most of XLA's optimisations.
OPTIMISED = {"test_compile", "test_contract", "test_digits", "test_fused", "test_functional", "test_linear_cross_entropy", "test_seeds"}


@pytest.fixture(autouse=True, scope="module")
def compilation(request):
    """Sets ``jax_disable_most_optimizations`` for a file of tests."""
    jax.config.update("jax_disable_most_optimizations", request.module.__name__.rpartition(".")[2] not in OPTIMISED)
