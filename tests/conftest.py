"""What all tests share."""

import jax
import pytest

#: Files whose programs are compiled as users' are; those of the others run once, and compiling them well would take most of the suite's time.
OPTIMISED = {"test_compile", "test_contract", "test_digits", "test_fused", "test_functional", "test_linear_cross_entropy", "test_seeds"}


@pytest.fixture(autouse=True, scope="module")
def compilation(request):
    """Without most of XLA's optimisations, but for the files named above."""
    jax.config.update("jax_disable_most_optimizations", request.module.__name__.rpartition(".")[2] not in OPTIMISED)
