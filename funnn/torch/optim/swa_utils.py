"""torch.optim.swa_utils: averages of a model's parameters over training, and the learning rate for it."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from funnn.engine.ops.make.factories import tensor
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import int64
from funnn.optim import schedules
from funnn.torch import nn
from funnn.torch.nn.modules.module import Module
from funnn.torch.optim.lr_scheduler._base import LRScheduler, one_per_group
from funnn.torch.optim.optimizer import Optimizer


def _check_decay(decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """decay · average + (1 − decay) · current, for one tensor."""
    _check_decay(decay)
    return no_grad()(lambda average, current, count: decay * average + (1 - decay) * current)


def get_swa_avg_fn() -> Callable:
    """The mean of all values so far, for one tensor."""
    return no_grad()(lambda average, current, count: average + (current - average) / (count + 1))


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """As :func:`get_ema_avg_fn`, in place on lists of tensors."""
    _check_decay(decay)

    @no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], count: Any) -> None:
        for average, current in zip(averages, currents, strict=True):
            if average.is_floating_point() or average.is_complex():
                average.lerp_(current, 1 - decay)
            else:
                average.copy_(average * decay + current * (1 - decay))

    return update


def get_swa_multi_avg_fn() -> Callable:
    """As :func:`get_swa_avg_fn`, in place on lists of tensors."""

    @no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], count: Any) -> None:
        for average, current in zip(averages, currents, strict=True):
            if average.is_floating_point() or average.is_complex():
                average.lerp_(current, float(1 / (count + 1)))
            else:
                average.copy_(average + (current - average) / (count + 1))

    return update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's. Source: torch.optim.swa_utils.AveragedModel.

    Args:
      model: the model to average.
      device: where the copy is.
      avg_fn: ``avg_fn(average, current, number averaged) -> average`` for one tensor; None is the mean of all.
      multi_avg_fn: the same in place on lists of tensors of one dtype.
      use_buffers: average the buffers too, instead of copying them.
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's present parameters into the averages; the first time copies them."""
        own, given = ([*m.parameters(), *(m.buffers() if self.use_buffers else ())] for m in (self.module, model))
        pairs = [(average.detach(), current.detach().to(average.device)) for average, current in zip(own, given, strict=False)]
        if self.n_averaged == 0:
            for average, current in pairs:
                average.copy_(current)
        elif self.multi_avg_fn is None:
            average_of = self.avg_fn or get_swa_avg_fn()
            for average, current in pairs:
                average.copy_(average_of(average, current, self.n_averaged))
        else:
            groups = defaultdict(list)
            for pair in pairs:
                groups[pair[0].dtype].append(pair)
            for group in groups.values():
                averages, currents = map(list, zip(*group, strict=True))
                self.multi_avg_fn(averages, currents, self.n_averaged)
        if not self.use_buffers:
            for own_buffer, buffer in zip(self.module.buffers(), model.buffers(), strict=True):
                own_buffer.detach().copy_(buffer.detach().to(own_buffer.device))
        self.n_averaged += 1


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Recompute the running statistics of a model's BatchNorms from one pass over the data. Source: torch.optim.swa_utils.update_bn."""
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm))]
    if not norms:
        return
    momenta = [module.momentum for module in norms]
    was_training = model.training
    model.train()
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # a plain mean over the batches
    for batch in loader:
        batch = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(batch if device is None else batch.to(device))
    for module, momentum in zip(norms, momenta, strict=True):
        module.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """From the present learning rate to swa_lr in anneal_epochs, and constant then. Source: torch.optim.swa_utils.SWALR."""

    unsaved = ("optimizer", "anneal_func")

    def __init__(self, optimizer: Optimizer, swa_lr: float, anneal_epochs: int = 10, anneal_strategy: str = "cos", last_epoch: int = -1):
        for group, value in zip(optimizer.param_groups, one_per_group("swa_lr", optimizer, swa_lr), strict=True):
            group["swa_lr"] = value
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._anneal_strategy = anneal_strategy
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._check_asking()
        step = max(1, self._step_count - 1) if self.anneal_epochs == 0 else self._step_count - 1
        before, now = (self._share(max(0, min(1, at / max(1, self.anneal_epochs)))) for at in (step - 1, step))
        values = []
        for group in self.optimizer.param_groups:
            lr, end = group["lr"], group["swa_lr"]
            start = end if before == 1 else (lr - before * end) / (1 - before)  # what the present value is on the way from
            values.append(end * now + start * (1 - now))
        return values

    def _share(self, at: float) -> float:
        return schedules.swa_share(self._anneal_strategy, at)
