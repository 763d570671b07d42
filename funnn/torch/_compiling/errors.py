"""The errors of torch.compile, which torch has in torch._dynamo.exc; those that nothing here raises are there to be caught."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from funnn.engine.program.region import TorchDynamoException as TorchDynamoException
from funnn.engine.program.region import Unsupported as Unsupported


class InvalidBackend(TorchDynamoException):
    """``torch.compile(backend=…)`` names a backend that nobody registered."""

    def __init__(self, name: str):
        super().__init__(f"Invalid backend: {name!r}, see `torch._dynamo.list_backends()` for available backends.")


class ShortenTraceback(TorchDynamoException):
    """An error whose traceback begins in the user's code."""

    def __init__(self, *args: Any, first_useful_frame: Any = None):
        super().__init__(*args)
        self.first_useful_frame = first_useful_frame


class BackendCompilerFailed(ShortenTraceback):
    """A backend raised; XLA's errors stay as they are."""

    def __init__(self, backend_fn: Any, inner_exception: Exception, first_useful_frame: Any = None):
        self.backend_name = getattr(backend_fn, "__name__", "?")
        self.inner_exception = inner_exception
        text = f"backend={self.backend_name!r} raised:\n{type(inner_exception).__name__}: {inner_exception}"
        super().__init__(text, first_useful_frame=first_useful_frame)


class _Told(TorchDynamoException):
    """An error that keeps its message and the stack of the user's code."""

    def __init__(self, msg: str, real_stack: Any = None):
        super().__init__(msg)
        self.msg, self.real_stack = msg, real_stack


class TorchRuntimeError(_Told):
    """An operation failed while torch's compiler traced it; here the operation's own error is raised, at its line."""


class UncapturedHigherOrderOpError(_Told):
    """A control-flow operator could not be traced."""


class StepUnsupported(_Told):
    """A line could not be traced."""


class ResetRequired(TorchDynamoException):
    """Two backends for one function."""

    def __init__(self) -> None:
        super().__init__("Must call `torch._dynamo.reset()` before changing backends.")


class InternalTorchDynamoError(TorchDynamoException):
    """A fault of torch's compiler."""


class RestartAnalysis(TorchDynamoException):
    """torch's compiler begins again."""

    def __init__(self, *args: Any, restart_reason: str | None = None):
        super().__init__(*args)
        self.restart_reason = restart_reason


class SkipFrame(TorchDynamoException):
    """torch's compiler passes over a function."""


class RecompileError(TorchDynamoException):
    """A function was compiled again, which ``config.error_on_recompile`` forbids."""


class InfiniteGeneratorError(TorchDynamoException):
    """A generator that does not end."""


class CondOpArgsMismatchError(TorchDynamoException):
    """The branches of a condition do not fit."""


class PackageError(TorchDynamoException):
    """A saved compilation does not fit."""


class ObservedException(TorchDynamoException):
    """An exception of the user's code, while torch's compiler traces it."""


class FailOnRecompileLimitHit(Exception):
    """More programs of one function than ``config.recompile_limit``; there is no such limit here."""


class UserErrorType(Enum):
    """What kind of thing torch's compiler cannot do."""

    DYNAMIC_CONTROL_FLOW = auto()
    ANTI_PATTERN = auto()
    STANDARD_LIBRARY = auto()
    CONSTRAINT_VIOLATION = auto()
    DYNAMIC_DIM = auto()
    INVALID_INPUT = auto()
    INVALID_OUTPUT = auto()
    UNSUPPORTED_ALIASED_MUTATED_DYNAMIC_INPUTS = auto()


class UserError(TorchDynamoException):
    """What works eagerly and not when compiled."""

    def __init__(self, error_type: UserErrorType, msg: str, case_name: str | None = None):
        super().__init__(msg)
        self.error_type, self.message, self.msg = error_type, msg, msg
