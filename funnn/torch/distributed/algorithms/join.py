"""Join: processes that have more inputs than others go on, while the others take part in their collective operations."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.distributed._operands import tensor_of
from funnn.torch.distributed.collectives import all_reduce
from funnn.torch.distributed.group import get_rank
from funnn.torch.distributed.work import Work

__all__ = ["Join", "JoinHook", "Joinable"]

_MANY = 1000  # steps without inputs of this process's own, of which a warning tells


class JoinHook:
    """What a process does that has no inputs left."""

    def main_hook(self) -> None:
        """The collective operations of one step of the others."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """What comes when no process has inputs left; ``is_last_joiner`` is whether this one was among the last."""


class _JoinConfig(NamedTuple):
    """How an object takes part in a :class:`Join`."""

    enable: bool = False
    throw_on_early_termination: bool = False
    is_first_joinable: bool = False


class Joinable:
    """A base of what takes part in a :class:`Join`: it calls ``Join.notify_join_context(self)`` before the collective operations of each step."""

    def __init__(self) -> None:
        super().__init__()
        self._join_config = _JoinConfig()

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What processes without inputs do; ``kwargs`` are those of :class:`Join`."""
        raise NotImplementedError(f"{type(self).__name__}.join_hook: define it, to return a JoinHook")

    @property
    def join_device(self) -> Any:
        """The device of the context's own operations."""
        raise NotImplementedError(f"{type(self).__name__}.join_device: define it")

    @property
    def join_process_group(self) -> Any:
        """The processes."""
        raise NotImplementedError(f"{type(self).__name__}.join_process_group: define it")


def _sum(number: float, group: Any) -> float:
    total = tensor_of(np.array([number], np.float32))
    all_reduce(total, group=group)
    return float(total.item())


class Join:
    """A context in which processes may have different counts of inputs: who leaves it early takes part in the others' operations until all have.

    Args:
      joinables: what takes part, such as a DistributedDataParallel; of one process group.
      enable: whether inputs may be uneven; False saves the operations by which processes find out.
      throw_on_early_termination: whether all processes raise when the first has no inputs left.
      kwargs: for the ``join_hook`` of each.

    Raises:
      ValueError: there are no joinables, or they are of several process groups.
      RuntimeError: at the end, with ``throw_on_early_termination``.

    Source: torch.distributed.algorithms.join.Join.
    """

    def __init__(self, joinables: list[Any], enable: bool = True, throw_on_early_termination: bool = False, **kwargs: Any):
        if len(joinables) == 0:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables, self._enable, self._throws = joinables, enable, throw_on_early_termination
        self._join_hooks = [joinable.join_hook(**kwargs) for joinable in joinables]
        for number, joinable in enumerate(joinables):
            joinable._join_config = _JoinConfig(enable, throw_on_early_termination, number == 0)
        groups = [joinable.join_process_group for joinable in joinables]
        if any(group is not groups[0] for group in groups):
            raise ValueError("Using join context manager with multiple process groups")
        self._process_group = groups[0]

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None) -> None:
        """Take part in the others' operations until all are here."""
        if not self._enable or kind is not None:
            return
        steps = 0
        while _sum(0.0, self._process_group):
            if self._throws:
                _sum(1.0, self._process_group)
                raise RuntimeError(f"Rank {get_rank(self._process_group)} exhausted all inputs.")
            for hook in self._join_hooks:
                hook.main_hook()
            steps += 1
            if steps == _MANY:
                warnings.warn(
                    f"Detected uneven input skew of greater than {_MANY}. This means that rank {get_rank(self._process_group)} has at least {_MANY} fewer "
                    "inputs than other currently-active ranks. This level of skew could lead to performance degradation during training.",
                    stacklevel=2,
                )
        for hook in self._join_hooks:
            hook.post_hook(steps == 0)

    @staticmethod
    def notify_join_context(joinable: Any) -> Work | None:
        """Tell processes that have no inputs left that this one has; called before the collective operations of a step.

        Returns:
          A Work whose tensor is the count of processes with inputs, where the object is the first of a context; else None.

        Raises:
          RuntimeError: one has none left, and the context is to raise then.
        """
        if not hasattr(joinable, "_join_config"):
            raise AssertionError(f"Check that the {type(joinable)} constructor calls the ``Joinable`` constructor")
        config = joinable._join_config
        if not config.enable or not config.is_first_joinable:
            return None
        group = joinable.join_process_group
        work = all_reduce(_one(), group=group, async_op=True)
        if config.throw_on_early_termination and _sum(0.0, group):
            raise RuntimeError("Detected at least one rank that exhausted inputs. Throwing across all ranks.")
        return work


def _one() -> Tensor:
    return tensor_of(np.ones(1, np.float32))
