"""Checkpoints of training on Orbax: saved in the background, sharded, whole or not there at all. ``pip install 'funnn[checkpoints]'``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import jax
import numpy as np

from funnn.checkpoint._arrays import to_arrays
from funnn.checkpoint._orbax import ARRAYS, CONTENTS, Folder, Restored, check_step, load_orbax, open_manager, read

Metrics = Mapping[str, Any]


def save(folder: Folder, train_state: Any, step: int | None = None, *, extra: Any = None, metrics: Metrics | None = None) -> None:
    """Save a training state as one checkpoint and wait until it is there; :class:`Checkpointer` saves while training goes on.

    Args:
      folder: the folder of all checkpoints of a run; this one is ``folder/<step>``. A checkpoint appears under that name when it is whole, so
        an interrupted save leaves those before as they were.
      train_state: a TrainState, or any pytree that :func:`to_arrays` takes.
      step: its number, greater than those in the folder; None for ``train_state.step``.
      extra: what JSON can hold: None, booleans, numbers, strings, and lists and dicts of them. Arrays belong into the pytree.
      metrics: scalars by name.

    Raises:
      ImportError: Orbax is not installed.
      TypeError: a leaf, ``extra`` or a metric cannot be stored, or there is no step.
      ValueError: the folder has this step, or a later one.

    Example:
      >>> import jax.numpy as jnp, tempfile
      >>> from funnn.checkpoint import restore
      >>> folder = tempfile.mkdtemp()
      >>> save(folder, {"w": jnp.ones(2)}, step=5, extra={"epoch": 1})
      >>> restore(folder, {"w": jnp.zeros(2)})
      Restored(train_state={'w': Array([1., 1.], dtype=float32)}, step=5, extra={'epoch': 1}, metrics={})
    """
    with Checkpointer(folder, asynchronous=False) as checkpointer:
        checkpointer.save(train_state, step, extra=extra, metrics=metrics, force=True)


class Checkpointer:
    """Saves checkpoints into a folder while training goes on, and keeps the latest and the best of them.

    Use it in a ``with`` statement, or call ``close``: what is still being written when the program ends without is lost, and the checkpoints before
    stay.

    Args:
      folder: the folder of all checkpoints of a run, made if it is not there. One program at a time may have a Checkpointer for it, which removes
        what an interrupted one left half done; others read by :func:`restore`. All processes of a program of ``jax.distributed`` have one, and save
        together: each writes its parts of arrays that are spread over them, and the first one what each holds for itself.
      every: ``save`` does something when a multiple of so many steps is reached or was passed since the latest checkpoint.
      keep_last: how many of the latest checkpoints stay, None for all.
      metric: the name of the metric, among those given to ``save``, that says which checkpoints are the best.
      mode: "min" if the best is the smallest, "max" if it is the greatest. NaN is never the best; of equal ones the later is.
      keep_best: how many of the best stay beside the latest.
      asynchronous: whether ``save`` returns when the arrays are copied to the host, and a thread writes them. An error in it is raised by the next
        ``save``, ``wait`` or ``close``.

    Raises:
      ImportError: Orbax is not installed.
      ValueError: an argument out of its range.

    Example:
      >>> import jax.numpy as jnp, tempfile
      >>> from funnn.checkpoint import restore
      >>> folder = tempfile.mkdtemp()
      >>> with Checkpointer(folder, every=2, keep_last=1, metric="loss") as checkpointer:
      ...     for step, loss in enumerate([3.0, 2.0, 4.0, 5.0, 6.0, 7.0], start=1):
      ...         saved = checkpointer.save({"w": jnp.ones(3) * step}, step, metrics={"loss": loss}, extra={"batch": step})
      ...     checkpointer.wait()
      ...     checkpointer.steps(), checkpointer.latest_step(), checkpointer.best_step()
      ([2, 6], 6, 2)
      >>> restore(folder, {"w": jnp.zeros(3)}).extra
      {'batch': 6}
    """

    def __init__(
        self,
        folder: Folder,
        *,
        every: int = 1,
        keep_last: int | None = None,
        metric: str | None = None,
        mode: Literal["min", "max"] = "min",
        keep_best: int = 1,
        asynchronous: bool = True,
    ):
        for name, value, least in (("every", every, 1), ("keep_last", keep_last, 1), ("keep_best", keep_best, 0)):
            if value is not None and value < least:
                raise ValueError(f"Checkpointer: {name} must be at least {least}, got {value}")
        if mode not in ("min", "max"):
            raise ValueError(f"Checkpointer: mode must be 'min' or 'max', got {mode!r}")
        self.every, self.metric, self.mode = every, metric, mode
        policies = load_orbax().checkpoint_managers
        kept = [policies.LatestN(keep_last)]
        if metric is not None:
            kept.append(policies.BestN(get_metric_fn=self._score, n=keep_best, keep_checkpoints_without_metrics=False))
        self._manager = open_manager(
            folder,
            cleanup_tmp_directories=True,
            enable_async_checkpointing=asynchronous,
            preservation_policy=policies.AnyPreservationPolicy(kept),
            best_fn=self._score,  # so that Orbax stores the metrics and reads those of earlier runs
        )
        self._saved: int | None = None

    def save(
        self, train_state: Any, step: int | None = None, *, extra: Any = None, metrics: Metrics | None = None, force: bool = False
    ) -> bool:
        """Start to save a checkpoint, if it is due. The next one waits until this one is written.

        The arrays may be donated and overwritten as soon as this returns, so ``train_state, metrics = step(train_state, batch)`` can follow.

        Args:
          train_state: a TrainState, or any pytree that :func:`to_arrays` takes.
          step: its number; None for ``train_state.step``, which waits until the step is computed. A loop that calls this at every step and saves at
            few should give the number.
          extra: what JSON can hold, such as the position of a data loader. Arrays belong into the pytree.
          metrics: scalars by name, such as those that the step returned.
          force: save even if ``every`` says that it is not due, as at the end of training.

        Returns:
          Whether a checkpoint is being saved: False if none is due, or if this object has just saved this step.

        Raises:
          TypeError: a leaf, ``extra`` or a metric cannot be stored, or there is no step.
          ValueError: ``metrics`` lacks the metric of the Checkpointer; or the folder has this step already, or a later one, which would be taken
            for the latest.
        """
        step = _step_of(train_state) if step is None else int(step)
        latest = self.latest_step()
        if step == self._saved and step == latest:
            return False
        if latest is not None and step <= latest:
            raise ValueError(
                f"step {step} cannot be saved, because {self._manager.directory} has a checkpoint of step {latest}; restore that one, "
                "remove those from here on by Checkpointer.delete, or save into another folder"
            )
        if not force and step % self.every and step // self.every == (latest or 0) // self.every:
            return False
        numbers = _numbers_of(metrics or {})
        if self.metric is not None and self.metric not in numbers:
            raise ValueError(f"metrics must have {self.metric!r}, which says which checkpoint is the best, got {sorted(numbers)}")
        _check_extra(extra, "extra")
        arrays = to_arrays(train_state)
        if not any(array.size for array in arrays.values()):
            raise TypeError(f"there is nothing to save: {type(train_state).__name__} has no arrays")
        specs = {name: (tuple(array.shape), str(array.dtype)) for name, array in arrays.items()}
        args = load_orbax().args
        self._manager.save(
            step,
            args=args.Composite(
                **{
                    ARRAYS: args.PyTreeSave(
                        {name: _global(array) for name, array in arrays.items() if array.size}
                    ),  # Orbax takes no empty array
                    CONTENTS: args.JsonSave({"arrays": specs, "extra": extra, "metrics": numbers}),
                }
            ),
            metrics=numbers,
            force=True,
        )
        self._saved = step
        return True

    def restore(self, like: Any, step: int | None = None, *, sharding: Any = None, partial: bool = False) -> Restored:
        """Read a checkpoint, the latest if no step is given, as :func:`restore` does; one that is being saved is waited for."""
        self.wait()
        return read(self._manager, like, step, sharding, partial)

    def steps(self) -> list[int]:
        """The steps of all checkpoints, from the earliest to the latest, with the one that is being saved."""
        return sorted(self._manager.all_steps())

    def latest_step(self) -> int | None:
        """The step of the latest checkpoint; None if there is none."""
        return max(self._manager.all_steps(), default=None)

    def best_step(self) -> int | None:
        """The step of the checkpoint with the best metric; None if there is none.

        Raises:
          ValueError: the Checkpointer was made without ``metric``.
        """
        if self.metric is None:
            raise ValueError("best_step needs a metric: Checkpointer(folder, metric='loss')")
        return max(self.steps(), key=lambda step: (self._score(self._manager.metrics(step) or {}), step), default=None)

    def delete(self, step: int) -> None:
        """Remove a checkpoint.

        Raises:
          FileNotFoundError: there is none of this step.
        """
        self.wait()
        check_step(self._manager, step)
        self._manager.delete(step)

    def wait(self) -> None:
        """Wait until what is being saved is written; an error of the thread that writes is raised here."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, and end the threads. A ``with`` statement does it."""
        self._manager.close()

    def __enter__(self) -> Checkpointer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _score(self, metrics: Metrics) -> float:
        """How good a checkpoint is, the greatest being the best."""
        value = float(metrics.get(self.metric or "", math.nan))
        return -math.inf if math.isnan(value) else value if self.mode == "max" else -value


# -- what goes into the JSON file


def _global(array: Any) -> Any:
    """An array as Orbax takes it on several processes: what each holds for itself as NumPy's, of which the first process writes its own."""
    alone = jax.process_count() == 1 or not isinstance(array, jax.Array) or not array.is_fully_addressable
    return array if alone else np.asarray(array)


def _step_of(train_state: Any) -> int:
    step = getattr(train_state, "step", None)
    if step is None:
        raise TypeError(f"a {type(train_state).__name__} has no attribute step; give the number of the checkpoint as step=")
    return int(step)


def _numbers_of(metrics: Metrics) -> dict[str, float]:
    for name, value in metrics.items():
        if np.size(value) != 1:
            raise TypeError(f"the metric {name!r} has the shape {np.shape(value)}; give scalars")
    return {name: float(np.reshape(value, ())) for name, value in metrics.items()}


def _check_extra(value: Any, path: str) -> None:
    """Raise a TypeError for what JSON would not give back as it was."""
    if isinstance(value, dict):
        for name, child in value.items():
            if type(name) is not str:
                raise TypeError(f"{path} has the key {name!r}; JSON has strings only, so make it one")
            _check_extra(child, f"{path}[{name!r}]")
    elif isinstance(value, list):
        for index, child in enumerate(value):
            _check_extra(child, f"{path}[{index}]")
    elif value is not None and type(value) not in (bool, int, float, str):
        raise TypeError(
            f"{path} is a {type(value).__name__}; JSON holds None, booleans, numbers, strings, lists and dicts. Make it one of them, or put arrays into "
            'the pytree that is saved: {"train_state": train_state, "loader": arrays}'
        )
