"""What all schedulers do: count, ask for new learning rates and write them into the optimizer's groups."""

from __future__ import annotations

import contextlib
import functools
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer

_EPOCH = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. Please use `scheduler.step()` to "
    "step the scheduler. During the deprecation, if epoch is different from None, the closed form is used instead of the new chainable "
    "form, where available. Please open an issue if you are unable to replicate your use case: "
    "https://github.com/pytorch/pytorch/issues/new/choose."
)
_ORDER = (
    "In PyTorch 1.1.0 and later, you should call them in the opposite order: `optimizer.step()` before `lr_scheduler.step()`.  "
    "Failure to do this will result in PyTorch skipping the first value of the learning rate schedule. See more details at "
    "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate"
)


def warn_epoch() -> None:
    """Warn that ``epoch`` was given to a scheduler's step."""
    warnings.warn(_EPOCH, UserWarning, stacklevel=3)


def values_of(optimizer: Optimizer, name: str) -> list[Any]:
    """An option of all groups; Tensors are copied."""
    return [group[name].clone() if isinstance(group[name], Tensor) else group[name] for group in optimizer.param_groups]


def set_value(group: dict[str, Any], name: str, value: Any) -> None:
    """Write an option of a group; a Tensor keeps its identity and gets the value."""
    if isinstance(group[name], Tensor):
        group[name].fill_(value.reshape(()) if isinstance(value, Tensor) else value)
    else:
        group[name] = value


def one_per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """One value for each group, from a list of them or from one for all."""
    groups = len(optimizer.param_groups)
    if isinstance(value, (list, tuple)):
        if len(value) != groups:
            raise ValueError(
                f"{name} must have the same length as optimizer.param_groups. {name} has {len(value)} values, param_groups has {groups}."
            )
    else:
        value = [value] * groups
    return [item.clone() if isinstance(item, Tensor) else item for item in value]


def require_optimizer(optimizer: Any) -> None:
    """Raise torch's TypeError for what is no optimizer."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def kept_attributes(function: Callable) -> dict[str, Any] | None:
    """What state_dict keeps of a function: the attributes of a callable object, None for a plain function."""
    return None if isinstance(function, types.FunctionType) else function.__dict__.copy()


class LRScheduler:
    """Base of the schedulers: ``step()`` after each epoch or optimizer step writes ``get_lr()`` into the groups.

    A subclass defines ``get_lr``, from the groups' present values (chainable), and may define ``closed_form(base_lr)``, the schedule of the
    step count alone, which ``step(epoch)`` uses.
    """

    _get_lr_called_within_step = False
    _is_initial = False
    closed_form: Callable | None = None
    unsaved: tuple[str, ...] = ("optimizer",)

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        require_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                lr = group["lr"]
                group.setdefault("initial_lr", lr.clone() if isinstance(lr, Tensor) else lr)
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming scheduler with last_epoch >= 0. Load the "
                    "optimizer's state first, or start with last_epoch=-1"
                )
        self.base_lrs = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _note_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def state_dict(self) -> dict[str, Any]:
        """All that the scheduler remembers, but not the optimizer."""
        return {name: value for name, value in self.__dict__.items() if name not in self.unsaved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` gave, here or in PyTorch."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The learning rates that the last step wrote."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The learning rates of the present step, from the groups' values; called by ``step``."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next learning rate."""
        if self._step_count == 1:
            if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
                warnings.warn(
                    "Seems like `optimizer.step()` has been overridden after learning rate scheduler initialization. Please, make sure to "
                    "call `optimizer.step()` before `lr_scheduler.step()`. See more details at "
                    "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate",
                    UserWarning,
                    stacklevel=2,
                )
            elif not getattr(self.optimizer, "_opt_called", False):
                warnings.warn(
                    f"Detected call of `lr_scheduler.step()` before `optimizer.step()`. {_ORDER}",
                    UserWarning,
                    stacklevel=2,
                )
        self._step_count += 1
        if epoch is not None:
            warn_epoch()
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        with self._asking():
            if epoch is None:
                self.last_epoch += 1
                values = self.get_lr()
            else:
                self.last_epoch = epoch
                own = type(self)._get_closed_form_lr is not LRScheduler._get_closed_form_lr  # a user's subclass
                values = self._get_closed_form_lr() if own or self.closed_form is not None else self.get_lr()
        self._write(values)

    def _get_closed_form_lr(self) -> list[Any]:
        return [self.closed_form(base)(self.last_epoch) for base in self.base_lrs]

    def _write(self, values: list[Any]) -> None:
        for group, value in zip(self.optimizer.param_groups, values, strict=True):
            set_value(group, "lr", value)
        self._last_lr = values_of(self.optimizer, "lr")

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        self._get_lr_called_within_step = True
        try:
            yield
        finally:
            self._get_lr_called_within_step = False

    def _check_asking(self) -> None:
        """Warn a user who calls ``get_lr`` to see the learning rate."""
        if not self._get_lr_called_within_step:
            warnings.warn("To get the last learning rate computed by the scheduler, please use `get_last_lr()`.", UserWarning, stacklevel=3)

    def _now(self) -> list[Any]:
        """The groups' present learning rates."""
        return values_of(self.optimizer, "lr")

    def _times(self, factor: float) -> list[Any]:
        """The groups' present learning rates times a factor."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def __repr__(self) -> str:
        return object.__repr__(self).replace("<funnn.torch.", "<torch.")


class _LRScheduler(LRScheduler):
    """The old name of :class:`LRScheduler`, for subclasses of it."""


def _note_steps(optimizer: Optimizer) -> None:
    """Let the optimizer remember that its ``step`` was called."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    reference, step = weakref.ref(optimizer), optimizer.step.__func__

    @functools.wraps(step)
    def noting(*args: Any, **kwargs: Any) -> Any:
        own = reference()
        own._opt_called = True
        return step(own, *args, **kwargs)

    noting._wrapped_by_lr_sched = True
    optimizer.step = noting
