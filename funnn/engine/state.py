"""What the current thread is doing: the one state of the engine. Nothing that one thread sets here is seen by another."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any


class ThreadState(threading.local):
    """The state of a thread; every thread begins with these values.

    Attributes:
      grad: whether operations are recorded for backward.
      inference: whether inference mode is on; storages made in it count no versions.
      autocast: the Casting in force, or None.
      tracing: the listener of the compilation or transformation in progress, which is told of every storage that is made, read or written; or None.
      levels: torch.func's transformations that are in progress, the innermost last; level: the number of the innermost, which storages that are made
        in it remember, 0 outside.
      anomaly: what nodes tell where they were made, and what looks at the gradients that they pull back; None where nothing does.
      check_nan: whether it looks for NaN.
      after_walk: what is called at the end of the backward pass in progress.
      saved_hooks: (pack, unpack) of what nodes save for backward, the innermost last; saved_hooks_refused: the message of the error that entering
        more of them raises, or None.
      walk: of the backward pass in progress: the roots, the nodes that it needs, the leaves that accumulate.
      ask: a function of (torch's function, args, kwargs) that answers for classes and modes that override functions; None while there are none.
      duals: the level of forward mode that a program entered (torch.autograd.forward_ad), or None.
      lent: (generator, JAX key or None, count of draws) while a generator draws from a key that somebody lent to it; else None.
      graph: what was recorded and has not run yet, or None.
      immediate: whether every operation runs at its line.
      region: the function that torch.compile runs, or None.
      unsettled: what writes into memory that others see, once what it waits for has run; of torch.compile's regions.
      compiled: of each program that was compiled while a graph runs, the seconds and what it computes.
      reads_gradients: whether gradients were asked for after an optimizer had used them.
      default_device: where tensors are made, if somebody said so; devices: where they are instead, in with torch.device(…), the innermost last.
      function_modes: the modes that override functions, the innermost last; ask_classes: whether the classes of arguments are asked.
    """

    grad = True
    inference = False
    autocast: Any = None
    tracing: Any = None
    levels: tuple[Any, ...] = ()
    level = 0
    anomaly: Any = None
    check_nan = True
    saved_hooks: tuple[Any, ...] = ()
    saved_hooks_refused: str | None = None
    walk: tuple[Any, ...] | None = None
    duals: Any = None
    lent: tuple[Any, ...] | None = None
    ask: Callable[[Callable[..., Any], tuple[Any, ...], dict[Any, Any]], Any] | None = None
    reads_gradients = False
    default_device: Any = None
    devices: tuple[Any, ...] = ()
    function_modes: tuple[Any, ...] = ()
    ask_classes = True
    graph: Any = None
    immediate = os.environ.get("FUNNN_IMMEDIATE", "0") not in ("", "0")
    region: Any = None

    def __init__(self) -> None:
        self.compiled: list[tuple[float, Any]] = []
        self.after_walk: list[Callable[[], Any]] = []
        self.unsettled: list[Callable[[], Any]] = []


thread = ThreadState()

#: Called before a setting changes on which the computation depends: what was recorded before runs as it was meant.
before_settings_change: list[Callable[[], None]] = []
