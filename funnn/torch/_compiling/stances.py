"""torch.compiler.set_stance: what calls of compiled functions do, for all of them at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from funnn.engine.program.region import is_inside_region

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class DynamoStance:
    """A stance, as ``set_stance`` takes it."""

    stance: str = "default"
    skip_guard_eval_unsafe: bool = False
    backend: str | Callable[..., Any] | None = None


class Switches:
    """What holds for all compiled functions.

    Attributes:
      stance: the present stance.
      disable: whether all run as if they were not compiled (``torch._dynamo.config.disable``).
    """

    stance = DynamoStance()
    disable = False


switches = Switches()


def forbid_inside(function: Any) -> None:
    """Raise, as torch does, where a function is called that has no meaning inside a compiled one."""
    if is_inside_region():
        raise AssertionError(f"Attempt to trace forbidden callable {function}; call it outside of the compiled function")


class set_stance:
    """Say what calls of compiled functions do from now on; also a decorator, and a context manager that takes it back.

    Args:
      stance: "default"; "force_eager": run as if not compiled; "fail_on_recompile": raise, once the call is over, if it needed a program that was not
        there; "eager_on_recompile", "eager_then_compile", "aot_eager_then_compile": as the default, because what comes once is not compiled anyway.
      skip_guard_eval_unsafe: without effect, for there are no guards.
      force_backend: another backend, whose name is checked.
    """

    def __init__(
        self, stance: str = "default", *, skip_guard_eval_unsafe: bool = False, force_backend: str | Callable[..., Any] | None = None
    ):
        forbid_inside(set_stance)
        if force_backend is not None and stance != "default":
            raise RuntimeError("non-default stance cannot have force_backend set")
        self.stance = DynamoStance(stance, skip_guard_eval_unsafe, force_backend)
        self.prev, switches.stance = switches.stance, self.stance

    def __call__(self, fn: Function) -> Function:
        switches.stance = self.prev  # it was meant for the function's calls alone

        @functools.wraps(fn)
        def call_in_stance(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return fn(*args, **kwargs)

        wrapper: Any = call_in_stance
        wrapper._dynamo_forbidden = True
        return wrapper

    def __enter__(self) -> None:
        switches.stance = self.stance

    def __exit__(self, *error: object) -> None:
        switches.stance = self.prev

    def clone(self) -> set_stance:
        """The same stance, set now."""
        return type(self)(self.stance.stance, skip_guard_eval_unsafe=self.stance.skip_guard_eval_unsafe, force_backend=self.stance.backend)
