"""torch.jit: what scripts write for TorchScript. Nothing needs compiling to another language here, so functions and modules stay as they are.

For one XLA program of a whole function, use ``torch.compile``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import Final as Final


def script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """``obj`` itself: a function, class or module."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    """``func`` itself; unlike torch's, it keeps its control flow."""
    return func


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """Decorator without effect, with or without arguments."""
    return drop if callable(drop) else lambda function: function


def _same(function: Callable) -> Callable:
    """Decorator without effect."""
    return function


export = unused = interface = script_method = _same


def is_scripting() -> bool:
    """False: nothing is TorchScript."""
    return False


def is_tracing() -> bool:
    """False: nothing is traced to TorchScript."""
    return False


def save(*args: Any, **kwargs: Any) -> None:
    """Not supported: TorchScript archives hold code of another language."""
    raise NotImplementedError("torch.jit.save is not supported; save model.state_dict(), or export a jitted function with jax.export")


def load(*args: Any, **kwargs: Any) -> None:
    """Not supported: TorchScript archives hold code of another language."""
    raise NotImplementedError("torch.jit.load is not supported: build the model in Python and load its state_dict")
