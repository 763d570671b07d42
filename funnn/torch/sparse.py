"""torch.sparse: products, sums and softmax of sparse tensors, and whether their constructors check what they are given."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from funnn.engine.ops.kit.table import namespace as _namespace
from funnn.engine.ops.sparse import construct as _construct

__all__ = ["check_sparse_tensor_invariants", *sorted(_namespace("sparse"))]

globals().update(_namespace("sparse"))
globals().update(_construct.legacy_types())


class check_sparse_tensor_invariants:
    """Whether constructors of sparse tensors look at the indices that they are given: on within the block, or from ``enable()`` to ``disable()``.

    Unless on, an index out of range is not noticed. The argument ``check_invariants`` of a constructor goes before the setting. It is of one thread.

    Example:
      >>> import funnn.torch as torch
      >>> with torch.sparse.check_sparse_tensor_invariants():
      ...     torch.sparse_coo_tensor([[5]], [1.0], (3,))
      Traceback (most recent call last):
      ...
      RuntimeError: size is inconsistent with indices: for dim 0, size is 3 but found index 5
    """

    @staticmethod
    def is_enabled() -> bool:
        """Whether constructors check."""
        return bool(_construct.checks_enabled())

    @staticmethod
    def enable() -> None:
        """Check from now on."""
        _construct.enable_checks(True)

    @staticmethod
    def disable() -> None:
        """Do not check from now on."""
        _construct.enable_checks(False)

    def __init__(self, enable: bool = True):
        self.state = enable
        self.saved_state: bool | None = None

    def __enter__(self) -> None:
        if self.saved_state is not None:
            raise RuntimeError(
                "This context manager instance is already activated. Use a different context manager instance for context nesting."
            )
        self.saved_state = self.is_enabled()
        _construct.enable_checks(self.state)

    def __exit__(self, *exc: Any) -> None:
        _construct.enable_checks(self.saved_state)
        self.saved_state = None

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call_with_checks(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self.state):
                return function(*args, **kwargs)

        return call_with_checks
