"""Schedulers that change the present learning rate by a factor, so that several may act on one optimizer.

``get_lr`` is the step from one value to the next, with torch's operations, so that the digits are torch's; ``closed_form`` is the schedule
of :mod:`funnn.optim.schedules`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from funnn.optim import schedules
from funnn.torch.optim.lr_scheduler._base import LRScheduler, kept_attributes
from funnn.torch.optim.optimizer import Optimizer


class _WithLambdas(LRScheduler):
    """A scheduler of one function per group. state_dict keeps the attributes of callable objects, and of functions nothing."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Callable | list[Callable], last_epoch: int = -1):
        self.optimizer = optimizer
        groups = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"Expected {groups} lr_lambdas, but got {len(self.lr_lambdas)}")
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function, but got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        state = {name: value for name, value in super().state_dict().items() if name != "lr_lambdas"}
        return {**state, "lr_lambdas": [kept_attributes(function) for function in self.lr_lambdas]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state_dict.items() if name != "lr_lambdas"})
        for function, attributes in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if attributes is not None:
                function.__dict__.update(attributes)


class LambdaLR(_WithLambdas):
    """The initial value times lr_lambda(epoch). Source: torch.optim.lr_scheduler.LambdaLR."""

    def get_lr(self) -> list[Any]:
        self._check_asking()
        return [base * function(self.last_epoch) for function, base in zip(self.lr_lambdas, self.base_lrs, strict=True)]


class MultiplicativeLR(_WithLambdas):
    """The present value times lr_lambda(epoch). Source: torch.optim.lr_scheduler.MultiplicativeLR."""

    def get_lr(self) -> list[Any]:
        self._check_asking()
        if self._is_initial:
            return self._now()
        pairs = zip(self.lr_lambdas, self.optimizer.param_groups, strict=True)
        return [group["lr"] * function(self.last_epoch) for function, group in pairs]


class StepLR(LRScheduler):
    """Times gamma every step_size epochs. Source: torch.optim.lr_scheduler.StepLR."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._check_asking()
        return self._now() if self.last_epoch == 0 or self.last_epoch % self.step_size else self._times(self.gamma)

    def closed_form(self, base: Any) -> Callable:
        """base · gamma^⌊epoch / step_size⌋, as a function of the epoch."""
        return schedules.step_lr(base, self.step_size, self.gamma)


class MultiStepLR(LRScheduler):
    """Times gamma at each milestone. Source: torch.optim.lr_scheduler.MultiStepLR."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._check_asking()
        count = self.milestones.get(self.last_epoch, 0)
        return self._times(self.gamma**count) if count else self._now()

    def closed_form(self, base: Any) -> Callable:
        """base · gamma^(the number of milestones ≤ epoch), as a function of the epoch."""
        return schedules.multi_step_lr(base, self.milestones.elements(), self.gamma)


class ConstantLR(LRScheduler):
    """Times factor until total_iters epochs are over. Source: torch.optim.lr_scheduler.ConstantLR."""

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1):
        if factor > 1.0 or factor < 0:
            raise ValueError(f"Constant multiplicative factor expected to be between 0 and 1. Got {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._check_asking()
        if self.last_epoch == 0:
            return self._times(self.factor)
        return self._times(1.0 / self.factor) if self.last_epoch == self.total_iters else self._now()

    def closed_form(self, base: Any) -> Callable:
        """base · factor before ``total_iters``, then base, as a function of the epoch."""
        return schedules.constant_lr(base, self.factor, self.total_iters)


class LinearLR(LRScheduler):
    """From start_factor to end_factor of the value on a line of total_iters epochs. Source: torch.optim.lr_scheduler.LinearLR."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        if start_factor > 1.0 or start_factor <= 0:
            text = "Starting multiplicative factor expected to be greater than 0 and less or equal to 1."
            raise ValueError(f"{text} Got {start_factor}")
        if end_factor > 1.0 or end_factor < 0:
            raise ValueError(f"Ending multiplicative factor expected to be between 0 and 1. Got {end_factor}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._check_asking()
        if self.last_epoch == 0:
            return self._times(self.start_factor)
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._now()
        rise = self.end_factor - self.start_factor
        return self._times(1.0 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))

    def closed_form(self, base: Any) -> Callable:
        """base times a factor on the line from start_factor to end_factor, which ends at ``total_iters``, as a function of the epoch."""
        return schedules.linear_lr(base, self.start_factor, self.end_factor, self.total_iters)


class ExponentialLR(LRScheduler):
    """Times gamma every epoch. Source: torch.optim.lr_scheduler.ExponentialLR."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._check_asking()
        return self._now() if self._is_initial else self._times(self.gamma)

    def closed_form(self, base: Any) -> Callable:
        """base · gamma^epoch, as a function of the epoch."""
        return schedules.exponential_lr(base, self.gamma)


class PolynomialLR(LRScheduler):
    """To 0 in total_iters epochs along (1 − epoch / total_iters)^power. Source: torch.optim.lr_scheduler.PolynomialLR."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._check_asking()
        if self._is_initial or self.last_epoch > self.total_iters:
            return self._now()
        left, before = (1.0 - epoch / self.total_iters for epoch in (self.last_epoch, self.last_epoch - 1))
        return self._times((left / before) ** self.power)

    def closed_form(self, base: Any) -> Callable:
        """base · (1 − min(epoch, total_iters) / total_iters)^power, as a function of the epoch."""
        return schedules.polynomial_lr(base, self.total_iters, self.power)


class CosineAnnealingLR(LRScheduler):
    """Along half a cosine to eta_min in T_max epochs, and back. Source: torch.optim.lr_scheduler.CosineAnnealingLR."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._check_asking()
        if self._is_initial:
            return self._now()
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        groups = self.optimizer.param_groups
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # the value is eta_min: no factor leads away from it
            share = 1 - math.cos(math.pi / self.T_max)
            return [group["lr"] + (base - self.eta_min) * share / 2 for base, group in zip(self.base_lrs, groups, strict=True)]
        now, before = (1 + math.cos(math.pi * epoch / self.T_max) for epoch in (self.last_epoch, self.last_epoch - 1))
        return [now / before * (group["lr"] - self.eta_min) + self.eta_min for group in groups]

    def closed_form(self, base: Any) -> Callable:
        """eta_min + (base − eta_min) · (1 + cos(π · epoch / T_max)) / 2, as a function of the epoch."""
        return schedules.cosine_annealing_lr(base, self.T_max, self.eta_min)
