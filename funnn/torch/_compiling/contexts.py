"""torch.compile and torch.compiler.disable of functions and classes: the objects that wrap them."""

from __future__ import annotations

import functools
import inspect
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from funnn.engine.program.region import OutsideRegion, Region
from funnn.torch import _inductor
from funnn.torch._compiling.backends import check_backend, get_default_backend
from funnn.torch._compiling.replay import Replayer
from funnn.torch._compiling.stances import switches

#: What has happened, by kind and then by name, as torch._dynamo.utils.counters: graph breaks by their reason, programs and calls that met new ones.
counters: defaultdict[str, Counter[str]] = defaultdict(Counter)
_STANCES = ("default", "force_eager", "fail_on_recompile", "eager_on_recompile", "eager_then_compile", "aot_eager_then_compile")


def innermost_fn(fn: Any) -> Any:
    """What the wrappers of torch.compile and torch.compiler.disable are around."""
    while hasattr(fn, "_torchdynamo_orig_callable") and getattr(fn, "_torchdynamo_wrapper_id", None) == id(fn):
        fn = fn._torchdynamo_orig_callable
        if not callable(fn):
            raise AssertionError(f"A callable function is expected, but {type(fn)} is provided.")
    return fn


def inductor_options(mode: str | None, options: dict[str, Any] | None) -> dict[str, Any]:
    """The options that a mode stands for, or those given, checked."""
    if mode is not None and mode != "default":
        options = _inductor.list_mode_options(mode)
    known = _inductor.config.get_config_copy() if options else {}
    chosen = {}
    for key, value in (options or {}).items():
        name = key.replace("-", "_")
        if name not in known:
            raise RuntimeError(f"Unexpected optimization option {key}, known options are {list(known)}")
        kind = _inductor.config.get_type(name)
        if kind in (bool, int, float, str) and not isinstance(value, kind):
            raise RuntimeError(f"Unexpected type of attr {key}, got {type(value).__name__} should be {type(known[name]).__name__}")
        chosen[name] = value
    return chosen


class Context:
    """Wraps functions, methods and callable classes, as the contexts of torch._dynamo do."""

    def __call__(self, fn: Any) -> Any:
        fn = innermost_fn(fn)
        if inspect.isclass(fn):
            return self._wrap_class(fn)
        if not callable(fn):
            raise AssertionError(f"A callable function is expected, but {type(fn)} is provided.")
        return self.wrap_function(fn, getattr(fn, "__name__", type(fn).__name__))

    def wrap_function(self, fn: Callable[..., Any], name: str) -> Any:
        """The wrapper of a function; errors and warnings call it by ``name``."""
        raise NotImplementedError

    def _wrap_class(self, cls: Any) -> Any:
        """The class itself, whose instances' calls are wrapped from now on."""
        cls.__call__ = self(cls.__call__)
        if hasattr(cls, "_call_impl"):
            cls._call_impl = self(cls._call_impl)
        return cls

    def __enter__(self) -> None:
        raise RuntimeError(
            "torch._dynamo.optimize(...) is used with a context manager. Use it as a decorator, or call it on the function: "
            "torch.compile(function)"
        )

    def __exit__(self, *error: object) -> None:
        """Nothing, as ``__enter__`` raises."""


class FunctionContext(Context):
    """What ``torch.compile`` was asked for; a call of it compiles a function.

    Args:
      fullgraph, dynamic, backend, mode, options, name: as in :func:`funnn.torch.compile`.

    Attributes:
      compiler_config: the options of torch's default backend as they would be, or None for another one.
    """

    def __init__(
        self,
        backend: str | Callable[..., Any] | None = None,
        *,
        fullgraph: bool = False,
        dynamic: bool | None = None,
        mode: str | None = None,
        options: dict[str, Any] | None = None,
        name: str | None = None,
    ):
        if mode is not None and options is not None:
            raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
        self.backend = get_default_backend() if backend is None else backend
        check_backend(self.backend)
        self.fullgraph, self.dynamic, self.mode, self.options, self.name = fullgraph, dynamic, mode, options, name
        self.chosen: dict[str, Any] | None = None
        if self.backend == "inductor":
            options = {key: value for key, value in options.items() if key not in ("guard_filter_fn", "use_aoti")} if options else options
            self.chosen = inductor_options(mode, options)

    @property
    def compiler_config(self) -> dict[str, Any] | None:
        """The options of torch's default backend as they would be, or None for another one."""
        return None if self.chosen is None else _inductor.config.get_config_copy() | self.chosen

    def wrap_function(self, fn: Callable[..., Any], name: str) -> Any:
        name = self.name or name
        warned: set[tuple[str, int]] = set()
        replayer = Replayer(fn, name, self.fullgraph) if self.mode == "reduce-overhead" else None

        @functools.wraps(fn)
        def compile_wrapper(*args: Any, **kwargs: Any) -> Any:
            stance = switches.stance
            if stance.stance != "default" or switches.disable or stance.backend is not None:
                check_backend(stance.backend)
                if stance.stance not in _STANCES:
                    raise RuntimeError(f"invalid torch.compile stance '{stance}'")
                if stance.stance == "force_eager" or switches.disable:
                    return fn(*args, **kwargs)
            if replayer is None or stance.stance != "default":
                return run(Region(name, self.fullgraph), args, kwargs)
            return replayer.call(args, kwargs, run)

        def run(region: Region, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            region.warned = warned
            try:
                result = region.run(fn, args, kwargs)
            finally:
                if region.new_programs or region.breaks:
                    count(region)
            if region.new_programs and switches.stance.stance == "fail_on_recompile":
                raise RuntimeError(
                    f"Detected recompile when torch.compile stance is 'fail_on_recompile'. function name: '{name}'; the call is over, and "
                    f"{region.new_programs} of its programs had not been seen before"
                )
            return result

        wrapper: Any = compile_wrapper
        wrapper._torchdynamo_orig_callable = fn
        wrapper._torchdynamo_wrapper_id = id(wrapper)
        wrapper._is_torch_compile = True
        wrapper.get_compiler_config = self.get_compiler_config
        return wrapper

    def get_compiler_config(self) -> dict[str, Any] | None:
        """The options of torch's default backend as they would be, or None for another one."""
        return self.compiler_config


def count(region: Region) -> None:
    """Take note of a call in ``counters``."""
    for found in region.breaks:
        counters["graph_break"][found.reason] += 1
    if region.new_programs:
        counters["stats"]["unique_graphs"] += region.new_programs
        counters["frames"]["total"] += 1
        counters["frames"]["ok"] += 1


class FunctionDisabled(Context):
    """What ``torch.compiler.disable`` was asked for; a call of it wraps a function so that it runs outside of compiled ones."""

    def __init__(self, msg: str | None = None, wrapping: bool = True, recursive: bool = True):
        self.msg, self.wrapping, self.recursive = msg, wrapping, recursive

    def wrap_function(self, fn: Callable[..., Any], name: str) -> Any:
        outside = (
            f"Skip calling function `{name}` since it was wrapped with `torch.compiler.disable` (reason: {self.msg})",
            "Skip calling `torch.compiler.disable()`d function",
        )

        def call_outside(*args: Any, **kwargs: Any) -> Any:
            with OutsideRegion(*outside):
                return fn(*args, **kwargs)

        wrapper: Any = functools.wraps(fn)(call_outside) if self.wrapping else call_outside
        wrapper._torchdynamo_disable = True
        wrapper._torchdynamo_disable_msg = self.msg
        wrapper._torchdynamo_orig_callable = fn
        wrapper._torchdynamo_wrapper_id = id(wrapper)
        wrapper._torchdynamo_disable_recursive = self.recursive
        return wrapper

    def _wrap_class(self, cls: Any) -> Any:
        cls.__init__ = self(cls.__init__)
        return super()._wrap_class(cls)


class Undecorated(Context):
    """A context that leaves what it is called on as it is, or runs it as if it were not compiled (``torch._dynamo.run``)."""

    def __call__(self, fn: Any) -> Any:
        if not callable(fn):
            raise AssertionError(f"A callable function is expected, but {type(fn)} is provided.")
        return fn

    def __enter__(self) -> None:
        """Nothing."""
