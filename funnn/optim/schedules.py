r"""torch.optim.lr_scheduler's schedules as functions ``step -> value``: for optax, for any number of an optimizer, under jit.

Each takes the base value first and then torch's arguments, and returns a function of the number of steps done, an integer or a traced one:

    >>> from funnn.optim import adam, schedules
    >>> schedule = schedules.cosine_annealing_lr(0.1, T_max=100)
    >>> schedule(50)
    0.05
    >>> optimizer = adam(lr=schedule)

A Python step gives torch's closed form digit by digit, in Python's floats; a traced one the same formula in arrays. What has no closed form
as a function of the step (ReduceLROnPlateau) is ``optax.contrib.reduce_on_plateau``.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp

Schedule = Callable[[Any], Any]

_PYTHON = SimpleNamespace(cos=math.cos, floor=math.floor, minimum=min, maximum=max, where=lambda test, yes, no: yes if test else no)


def _numbers_of(step: Any) -> Any:
    """cos, floor, minimum, maximum and where for this kind of step."""
    return _PYTHON if isinstance(step, (int, float)) else jnp


def lambda_lr(lr: Any, lr_lambda: Callable[..., Any]) -> Schedule:
    """lr · lr_lambda(step)."""
    return lambda step: lr * lr_lambda(step)


def multiplicative_lr(lr: Any, lr_lambda: Callable[..., Any]) -> Schedule:
    """lr · lr_lambda(1) · … · lr_lambda(step)."""

    def schedule(step: Any) -> Any:
        if _numbers_of(step) is jnp:
            start = jnp.asarray(lr, float)
            return jax.lax.fori_loop(1, step + 1, lambda i, value: jnp.asarray(value * lr_lambda(i), start.dtype), start)
        value = lr
        for i in range(1, step + 1):
            value = value * lr_lambda(i)
        return value

    return schedule


def step_lr(lr: Any, step_size: int, gamma: float = 0.1) -> Schedule:
    """lr · gamma^⌊step / step_size⌋."""
    return lambda step: lr * gamma ** (step // step_size)


def multi_step_lr(lr: Any, milestones: Iterable[int], gamma: float = 0.1) -> Schedule:
    """lr · gamma^(the number of milestones up to the step)."""
    sorted_milestones = sorted(milestones)
    return lambda step: lr * gamma ** _count_up_to(sorted_milestones, step)


def _count_up_to(milestones: Sequence[int], step: Any) -> Any:
    if _numbers_of(step) is _PYTHON:
        return bisect.bisect_right(milestones, step)
    return jnp.searchsorted(jnp.asarray(milestones, jnp.result_type(step)), step, side="right")


def constant_lr(lr: Any, factor: float = 1.0 / 3, total_iters: int = 5) -> Schedule:
    """lr · factor before step total_iters, lr from there."""
    return lambda step: lr * (factor + (step >= total_iters) * (1 - factor))


def linear_lr(lr: Any, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5) -> Schedule:
    """lr times a factor that goes from start_factor to end_factor on a straight line, and stays."""

    def schedule(step: Any) -> Any:
        return lr * (start_factor + (end_factor - start_factor) * _numbers_of(step).minimum(total_iters, step) / total_iters)

    return schedule


def exponential_lr(lr: Any, gamma: float) -> Schedule:
    """lr · gamma^step."""
    return lambda step: lr * gamma**step


def polynomial_lr(lr: Any, total_iters: int = 5, power: float = 1.0) -> Schedule:
    """lr · (1 − min(step, total_iters) / total_iters)^power."""
    return lambda step: lr * (1.0 - _numbers_of(step).minimum(total_iters, step) / total_iters) ** power


def cosine_annealing_lr(lr: Any, T_max: int, eta_min: float = 0.0) -> Schedule:
    """eta_min + (lr − eta_min) · (1 + cos(π · step / T_max)) / 2."""
    return lambda step: eta_min + (lr - eta_min) * (1 + _numbers_of(step).cos(math.pi * step / T_max)) / 2


def cosine_annealing_warm_restarts(lr: Any, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> Schedule:
    """Half a cosine from lr to eta_min in T_0 steps, then again in T_0 · T_mult, T_0 · T_mult², … steps."""
    starts = [0]
    while T_mult > 1 and starts[-1] < 2**31 // (T_mult + 1):
        starts.append(starts[-1] * T_mult + T_0)

    def schedule(step: Any) -> Any:
        length: Any
        if T_mult == 1:
            position, length = step % T_0, T_0
        else:
            place = _count_up_to(starts, step) - 1
            start = starts[place] if _numbers_of(step) is _PYTHON else jnp.asarray(starts)[place]
            position, length = step - start, T_0 + start * (T_mult - 1)
        return cosine_annealing_lr(lr, length, eta_min)(position)

    return schedule


def cyclic_lr(
    base_lr: Any,
    max_lr: Any,
    step_size_up: int = 2000,
    step_size_down: int | None = None,
    mode: str = "triangular",
    gamma: float = 1.0,
    scale_fn: Callable[..., Any] | None = None,
    scale_mode: str = "cycle",
) -> Schedule:
    """A saw between base_lr and max_lr, its height scaled by ``mode``: not, by ½ each cycle ('triangular2'), by gamma^step ('exp_range').

    ``scale_fn`` replaces the mode: a function of the cycle, counted from 1, or of the step (scale_mode 'iterations').
    """
    if scale_fn is None:
        if mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError("mode is invalid and scale_fn is None")
        scale_mode = "iterations" if mode == "exp_range" else "cycle"
        scales: dict[str, Callable[[Any], Any]] = {
            "triangular": lambda x: 1.0,
            "triangular2": lambda x: 1 / 2.0 ** (x - 1),
            "exp_range": lambda x: gamma**x,
        }
        scale_fn = scales[mode]
    up = float(step_size_up)
    total = up + (up if step_size_down is None else float(step_size_down))

    def schedule(step: Any) -> Any:
        share, cycle = cycle_share(step, total, up / total)
        return base_lr + (max_lr - base_lr) * share * scale_fn(cycle if scale_mode == "cycle" else step)

    return schedule


def cycle_share(step: Any, total: float, ratio: float) -> tuple[Any, Any]:
    """The height of the saw in [0, 1] and the number of the cycle, from 1, where a cycle has total steps and goes up for ratio of them."""
    xp = _numbers_of(step)
    cycle = xp.floor(1 + step / total)
    x = 1.0 + step / total - cycle
    return xp.where(x <= ratio, x / ratio, (x - 1) / (ratio - 1) if ratio != 1 else 0.0), cycle


def one_cycle_lr(
    max_lr: Any,
    total_steps: int,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Schedule:
    """From max_lr / div_factor up to max_lr and down to the start / final_div_factor; with three_phase by way of the start."""
    start = max_lr / div_factor
    levels = [(start, max_lr), (max_lr, start), (start, start / final_div_factor)]
    if not three_phase:
        levels = [levels[0], (max_lr, start / final_div_factor)]
    ends = one_cycle_ends(total_steps, pct_start, three_phase)
    phases = list(zip([0.0, *ends], ends, levels, strict=False))

    def schedule(step: Any) -> Any:
        xp = _numbers_of(step)
        begin, end, (low, high) = phases[-1]
        value = anneal(anneal_strategy, low, high, (step - begin) / (end - begin))
        for begin, end, (low, high) in reversed(phases[:-1]):
            value = xp.where(step <= end, anneal(anneal_strategy, low, high, (step - begin) / (end - begin)), value)
        return value

    return schedule


def one_cycle_ends(total_steps: int, pct_start: float, three_phase: bool) -> list[float]:
    """The steps at which the phases of one cycle end."""
    middle = [float(2 * pct_start * total_steps) - 2] if three_phase else []
    return [float(pct_start * total_steps) - 1, *middle, total_steps - 1]


def anneal(strategy: str, start: Any, end: Any, share: Any) -> Any:
    """The value at a share of the way from start to end, along half a cosine ('cos') or a line ('linear')."""
    if strategy == "linear":
        return (end - start) * share + start
    return end + (start - end) / 2.0 * (_numbers_of(share).cos(math.pi * share) + 1)


def swa_lr(lr: Any, swa_lr: Any, anneal_epochs: int = 10, anneal_strategy: str = "cos") -> Schedule:
    """From lr to swa_lr in anneal_epochs steps, along a cosine or a line, and constant from there."""

    def schedule(step: Any) -> Any:
        xp = _numbers_of(step)
        share = swa_share(anneal_strategy, xp.minimum(1.0, step / anneal_epochs) if anneal_epochs else 1.0)
        return swa_lr * share + lr * (1 - share)

    return schedule


def swa_share(strategy: str, share: Any) -> Any:
    """How far along the way from lr to swa_lr at a share of the time."""
    return (1 - _numbers_of(share).cos(math.pi * share)) / 2 if strategy == "cos" else share


def chained(lr: Any, factors: Sequence[Schedule]) -> Schedule:
    """lr times the product of schedules that were made for a base of 1: torch's ChainedScheduler of multiplying schedulers."""
    return lambda step: math.prod((factor(step) for factor in factors), start=lr)


def sequential_lr(schedules: Sequence[Schedule], milestones: Sequence[int]) -> Schedule:
    """The first schedule, from milestones[0] on the second, …; each counts its steps from its own milestone."""
    if len(milestones) != len(schedules) - 1:
        raise ValueError(f"expected one milestone less than schedules, got {len(schedules)} schedules and {len(milestones)} milestones")
    starts = [0, *milestones]

    def schedule(step: Any) -> Any:
        place = _count_up_to(list(milestones), step)
        if _numbers_of(step) is _PYTHON:
            return schedules[place](step - starts[place])
        values = [one(step - start) for one, start in zip(schedules, starts, strict=True)]
        return jnp.stack([jnp.asarray(value, float) for value in values])[place]

    return schedule
