"""torch._dynamo.eval_frame: what torch.compile makes of a Module."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sized
from typing import Any, ClassVar

from funnn.engine.program.region import Region
from funnn.torch._compiling.contexts import Context, FunctionContext, FunctionDisabled, Undecorated, count, innermost_fn
from funnn.torch._compiling.stances import DynamoStance as DynamoStance
from funnn.torch._dynamo.backends.debugging import ExplainOutput, GraphCompileReason, frame_of
from funnn.torch.nn.modules.module import Module, _has_any_global_hook


class OptimizedModule(Module):
    """A Module whose calls are compiled: what it is asked for is the original's, and its state's names begin with ``_orig_mod.``

    Args:
      mod: the original. Parameters, buffers, mode and hooks stay there; hooks that are registered here run as well, around the compiled call.
      dynamo_ctx: what wraps the original's call.
    """

    _opt_mod_attributes: ClassVar[set[str]] = {
        *("_orig_mod", "dynamo_ctx", "_torchdynamo_orig_callable", "_torchdynamo_wrapper_id", "get_compiler_config", "forward", "_forward"),
        *("__dict__", "named_children_walk", "_super_module_initialized"),
    }

    def __init__(self, mod: Module, dynamo_ctx: Context):
        object.__setattr__(self, "_orig_mod", mod)  # first, because what is read and written below asks it
        self._super_module_initialized = False
        super().__init__()
        del self.__dict__["training"]
        self._super_module_initialized = True
        self._orig_mod = mod
        self.dynamo_ctx = dynamo_ctx
        self._initialize()

    def _initialize(self) -> None:
        self.forward = self.dynamo_ctx.wrap_function(self._orig_mod.__call__, type(self._orig_mod).__name__)
        if hasattr(self._orig_mod, "_initialize_hook"):
            self._forward = self.forward
            self.forward = self._call_lazy_check

    def _call_lazy_check(self, *args: Any, **kwargs: Any) -> Any:
        if hasattr(self._orig_mod, "_initialize_hook") and callable(getattr(self._orig_mod, "_infer_parameters", None)):
            self._orig_mod._infer_parameters(self._orig_mod, args, kwargs)
        return self._forward(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _has_any_global_hook():
            warnings.warn(
                "Using `torch.compile(module)` when there are global hooks on modules (e.g., from `register_module_forward_hook`); this will "
                "cause the hooks to fire an extra time for the `OptimizedModule` created by `torch.compile(module)`. If this causes undesired "
                "behavior, please try using `module.compile()`, or use the per-module hooks instead",
                stacklevel=2,
            )
        return super().__call__(*args, **kwargs)

    def __len__(self) -> int:
        if isinstance(self._orig_mod, Sized):
            return len(self._orig_mod)
        raise TypeError(f"{type(self._orig_mod).__name__} does not support len()")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._orig_mod, self.dynamo_ctx)

    @property
    def training(self) -> bool:  # type: ignore[override]
        """The original's mode."""
        return self._orig_mod.training

    @training.setter
    def training(self, value: bool) -> None:
        if self._super_module_initialized:
            self._orig_mod.training = value

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return self._modules["_orig_mod"]
        return getattr(self._orig_mod, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name) or name in OptimizedModule._opt_mod_attributes:
            super().__setattr__(name, value)
        else:
            setattr(self._orig_mod, name, value)

    def __delattr__(self, name: str) -> None:
        if hasattr(type(self), name) or name in OptimizedModule._opt_mod_attributes:
            super().__delattr__(name)
        else:
            delattr(self._orig_mod, name)

    def __dir__(self) -> list[str]:
        names = list(self._orig_mod.__dir__())
        return names + [name for name in super().__dir__() if name not in names]


def _optimized(mod: Module, context: Context) -> OptimizedModule:
    optimized = OptimizedModule(mod, context)
    optimized._torchdynamo_orig_callable = mod.forward
    optimized._torchdynamo_wrapper_id = id(optimized)
    return optimized


class OptimizeContext(FunctionContext):
    """What ``torch.compile`` was asked for; a call of it compiles a function or a Module."""

    def __call__(self, fn: Any) -> Any:
        fn = innermost_fn(fn)
        if not isinstance(fn, Module):
            return super().__call__(fn)
        optimized = _optimized(fn, self)
        optimized.get_compiler_config = self.get_compiler_config
        return optimized


class DisableContext(FunctionDisabled):
    """What ``torch.compiler.disable`` was asked for; a call of it wraps a function or a Module."""

    def __call__(self, fn: Any) -> Any:
        fn = innermost_fn(fn)
        return _optimized(fn, self) if isinstance(fn, Module) else super().__call__(fn)


def optimize(
    backend: str | Callable[..., Any] | None = "inductor",
    *,
    nopython: bool = False,
    disable: bool = False,
    dynamic: bool | None = None,
    **kwargs: Any,
) -> Context:
    """``torch.compile`` as it was first called: gives what compiles a function; ``nopython`` is ``fullgraph``."""
    return Undecorated() if disable else OptimizeContext(backend, fullgraph=nopython, dynamic=dynamic)


def optimize_assert(backend: str | Callable[..., Any] | None = "inductor", *, dynamic: bool | None = None, **kwargs: Any) -> Context:
    """``optimize(nopython=True)``."""
    return optimize(backend, nopython=True, dynamic=dynamic)


def explain(f: Callable[..., Any], *extra_args: Any, **extra_kwargs: Any) -> Any:
    """``explain(f)(*args)``: call ``f`` as if compiled, and say into how many programs it falls, and where and why.

    An operation of the backward pass and of an optimizer counts as any other.
    """

    def explain_call(*args: Any, **kwargs: Any) -> ExplainOutput:
        function = innermost_fn(f)
        region = Region(getattr(function, "__name__", type(function).__name__), fullgraph=False, watched=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            region.run(function, args, kwargs)
        count(region)
        reasons = [GraphCompileReason(found.reason, [frame_of(found.file, found.line)]) for found in region.breaks]
        return ExplainOutput(
            graphs=region.programs,
            graph_count=len(region.programs),
            graph_break_count=len(region.programs) - 1,
            break_reasons=reasons,
            op_count=sum(map(len, region.programs)),
            ops_per_graph=region.programs,
            out_guards=[],
        )

    if not extra_args and not extra_kwargs:
        return functools.wraps(explain)(explain_call)
    warnings.warn(
        "explain(f, *args, **kwargs) is deprecated, use explain(f)(*args, **kwargs) instead. If you don't migrate, we may break your explain "
        "call in the future if your user defined kwargs conflict with future kwargs added to explain(f).",
        FutureWarning,
        stacklevel=2,
    )
    return explain_call(*extra_args, **extra_kwargs)


def export(*args: Any, **kwargs: Any) -> None:
    """Not supported: there is no graph of torch's operations."""
    raise NotImplementedError(
        "torch._dynamo.export is not supported: there is no torch.fx graph; use jax.export on funnn.torch.to_functional(module)"
    )


def is_dynamo_supported() -> bool:
    """True: torch.compile works."""
    return True


is_inductor_supported = is_dynamo_supported
