"""Whether an option is in its range, with torch's texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

Check = Callable[[Any], None]


def known(value: Any) -> Any:
    """The value that a check can look at: a NumPy scalar, or None for what has no value yet (a traced array, a schedule)."""
    return None if callable(value) or isinstance(value, jax.core.Tracer) else np.asarray(value)


def check(test: Callable[[Any], bool], text: str) -> Check:
    """A check that raises ValueError(text) where the test of a known value fails; ``{}`` in the text is the value."""

    def check_value(value: Any) -> None:
        number = known(value)
        if number is not None and not test(number):
            raise ValueError(text.format(value))

    return check_value


def nonnegative(label: str, fix: str) -> Check:
    """torch's ``Invalid {label}: {value}`` for a number below 0 (or NaN)."""
    return check(lambda number: number >= 0, f"Invalid {label}: {{}}; expected a number >= 0, {fix}")


def check_betas(betas: tuple[Any, ...]) -> None:
    """Decay rates of running means: each in [0, 1)."""
    for index, beta in enumerate(betas):
        fix = f"expected 0 <= beta < 1, usually {(0.9, 0.999)[index]}"
        check(lambda number: 0 <= number < 1, f"Invalid beta parameter at index {index}: {{}}; {fix}")(beta)


#: The checks of options by name, where a rule does not have its own.
CHECKS: dict[str, Check] = {
    "lr": nonnegative("learning rate", "use maximize=True to ascend"),
    "eps": nonnegative("epsilon value", "usually 1e-8"),
    "eps_root": nonnegative("eps_root value", "0 switches it off"),
    "betas": check_betas,
    "momentum": nonnegative("momentum value", "usually 0 or 0.9"),
    "weight_decay": nonnegative("weight_decay value", "0 switches it off"),
    "momentum_decay": nonnegative("momentum_decay value", "usually 4e-3"),
    "lr_decay": nonnegative("lr_decay value", "0 switches it off"),
    "initial_accumulator_value": nonnegative("initial_accumulator_value value", "usually 0"),
    "rho": check(lambda number: 0 <= number <= 1, "Invalid rho value: {}; expected 0 <= rho <= 1, usually 0.9"),
}
