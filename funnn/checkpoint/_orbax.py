"""Reading checkpoints of training by Orbax, onto any devices, and what of Orbax is needed to write them."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import jax
import numpy as np

from funnn.checkpoint._arrays import Entry, Spec, check_fit, entries_of, finish, place, targets_of

Folder = str | os.PathLike[str]

#: The parts of a checkpoint: Orbax's folder of arrays, and a JSON file of what else is known.
ARRAYS, CONTENTS = "train_state", "contents"


class Restored(NamedTuple):
    """What a checkpoint held.

    Attributes:
      train_state: a pytree with the structure of ``like``.
      step: the step under which it was saved.
      extra: what was given as ``extra``, such as the position of a data loader.
      metrics: the metrics that were given, as floats.
    """

    train_state: Any
    step: int
    extra: Any
    metrics: dict[str, float]


def restore(folder: Folder, like: Any, step: int | None = None, *, sharding: Any = None, partial: bool = False) -> Restored:
    """Read a checkpoint that :func:`save` or a :class:`Checkpointer` wrote, onto any devices. The folder is not changed.

    Args:
      folder: the folder of all checkpoints of a run.
      like: a pytree as it was saved, such as ``init(key)``, or ``jax.eval_shape(init, key)``, which draws nothing. Each leaf becomes what it is in ``like``.
      step: which checkpoint; None for the latest.
      sharding: where JAX arrays go: a ``jax.sharding.Sharding`` for all, or a pytree of them with the structure of ``like``
        (``funnn.sharding.named_shardings(like, mesh, rules)``). None: where those of ``like`` are, if ``like`` says it, else the default device.
        How the arrays were spread when they were saved does not matter.
      partial: if True, the checkpoint may hold more than ``like`` asks for, which is not read: ``like={"params": params}``.

    Raises:
      ImportError: Orbax is not installed.
      FileNotFoundError: there is no checkpoint, or none of this step.
      ValueError: lists every leaf that is missing, unexpected, or of another shape, dtype or implementation of keys. Nothing is cast.

    Example:
      >>> import jax.numpy as jnp, tempfile
      >>> from funnn.checkpoint import save
      >>> folder = tempfile.mkdtemp()
      >>> save(folder, {"w": jnp.ones(2), "key": jax.random.key(5)}, step=5, extra={"epoch": 1})
      >>> train_state, step, extra, metrics = restore(folder, {"w": jnp.zeros(2), "key": jax.random.key(0)})
      >>> bool(train_state["key"] == jax.random.key(5)), step, extra
      (True, 5, {'epoch': 1})
      >>> restore(folder, {"w": jnp.zeros(3)}, partial=True)  # doctest: +ELLIPSIS
      Traceback (most recent call last):
        ...
      ValueError: The checkpoint of step 5 in ... does not fit `like`:
        'w': found float32 of shape (2,), but like has float32 of shape (3,)
      Make like with the sizes that were saved.
    """
    manager = open_manager(folder, create=False)
    try:
        return read(manager, like, step, sharding, partial)
    finally:
        manager.close()


# -- for the writer too


def load_orbax() -> Any:
    """The package ``orbax.checkpoint``, or an ImportError that says how to get it."""
    try:
        import orbax.checkpoint
    except ImportError as error:
        if not (error.name or "").startswith("orbax"):
            raise
        text = "saving and restoring a training state needs Orbax; install it with: pip install 'funnn[checkpoints]'"
        raise ImportError(text, name=error.name) from None
    return orbax.checkpoint


def open_manager(folder: Folder, **options: Any) -> Any:
    """Orbax's manager of a folder, which wants an absolute path (or the address of a bucket)."""
    orbax = load_orbax()
    path = os.fspath(folder)
    return orbax.CheckpointManager(path if "://" in path else os.path.abspath(path), options=orbax.CheckpointManagerOptions(**options))


def check_step(manager: Any, step: int) -> None:
    """Raise a FileNotFoundError for a step that a folder does not have."""
    steps = sorted(manager.all_steps())
    if step not in steps:
        there = f"it has {steps}" if steps else "it has none"
        raise FileNotFoundError(f"{manager.directory} has no checkpoint of step {step}; {there}")


def read(manager: Any, like: Any, step: int | None, sharding: Any, partial: bool) -> Restored:
    """What :func:`restore` does, by a manager of the folder."""
    entries = entries_of(like)
    targets = targets_of(entries, like, sharding)
    if step is None:
        step = max(manager.all_steps(), default=None)
        if step is None:
            raise FileNotFoundError(f"{manager.directory} has no checkpoint; funnn.checkpoint.save makes one")
    check_step(manager, step)
    if not (manager.directory / str(step) / CONTENTS).exists():
        raise ValueError(f"the checkpoint of step {step} in {manager.directory} was not written by funnn.checkpoint; read it with Orbax")
    args = load_orbax().args
    contents = manager.restore(step, args=args.Composite(**{CONTENTS: args.JsonRestore()}))[CONTENTS]
    specs: dict[str, Spec] = {name: (tuple(shape), dtype) for name, (shape, dtype) in contents["arrays"].items()}
    check_fit(specs, entries, f"The checkpoint of step {step} in {manager.directory} does not fit `like`", partial)
    wanted = {name: entry for name, entry in entries.items() if 0 not in entry.shape}
    restored = {name: np.zeros(entry.shape, entry.dtype) for name, entry in entries.items() if name not in wanted}
    if wanted:
        how = {name: _restore_args(targets[name]) for name in wanted}
        with jax.enable_x64(True):  # 64 bits stay so in every mode
            tree = args.PyTreeRestore(item=dict.fromkeys(wanted, 0), restore_args=how, partial_restore=True)
            restored |= manager.restore(step, args=args.Composite(**{ARRAYS: tree}))[ARRAYS]
    leaves = [finish(entry, _placed(entry, restored[name], targets[name])) for name, entry in entries.items()]
    return Restored(jax.tree.unflatten(jax.tree.structure(like), leaves), step, contents["extra"], contents["metrics"])


def _restore_args(target: jax.sharding.Sharding | None) -> Any:
    """How Orbax reads an array: each device its part, or the whole as NumPy's, from which an uncommitted one can be made."""
    orbax = load_orbax()
    return orbax.RestoreArgs(restore_type=np.ndarray) if target is None else orbax.ArrayRestoreArgs(sharding=target)


def _placed(entry: Entry, array: Any, target: jax.sharding.Sharding | None) -> Any:
    return array if isinstance(array, jax.Array) else place(entry, array, target)
