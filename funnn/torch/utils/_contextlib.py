"""Contexts that decorate functions too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


class _DecoratorContextManager:
    """A context whose instances decorate functions, generators and classes: each call has a context of its own, made by ``clone``."""

    def __call__(self, orig_func: Callable[..., Any]) -> Callable[..., Any]:
        """The function within the context."""
        if inspect.isgeneratorfunction(orig_func):

            @functools.wraps(orig_func)
            def generate(*args: Any, **kwargs: Any) -> Any:
                generator = orig_func(*args, **kwargs)
                step: Callable[[], Any] = functools.partial(next, generator)
                while True:
                    with self.clone():
                        try:
                            item = step()
                        except StopIteration as end:
                            return end.value
                    try:
                        step = functools.partial(generator.send, (yield item))
                    except GeneratorExit:
                        generator.close()
                        raise
                    except BaseException as error:
                        step = functools.partial(generator.throw, error)

            return generate

        @functools.wraps(orig_func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return orig_func(*args, **kwargs)

        return run

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        raise NotImplementedError

    def clone(self) -> Any:
        """Another one of the kind."""
        return self.__class__()


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """One that is a decorator without being called: ``@context``."""

    def __new__(cls, orig_func: Callable[..., Any] | None = None) -> Any:
        """A context, or the function within one."""
        return super().__new__(cls) if orig_func is None else cls()(orig_func)
