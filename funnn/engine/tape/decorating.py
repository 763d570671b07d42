"""Contexts that decorate functions too."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from funnn.engine.types.warning import say

F = TypeVar("F", bound=Callable[..., Any])
_OF_CLASSES = (
    "Decorating classes is deprecated and will be disabled in future versions. You should only decorate functions or methods. To preserve the current "
    "behavior of class decoration, you can directly decorate the `__init__` method and nothing else."
)


class DecoratingContext:
    """A context whose instances decorate functions and generators: each call, and each turn of a generator, has a context of its own, a :meth:`clone`.

    A class that is decorated becomes a function that makes its objects, as in torch, with a FutureWarning.
    """

    def __call__(self, orig_func: F) -> F:
        """The function within the context."""
        function: Any = orig_func
        if inspect.isclass(orig_func):
            say(_OF_CLASSES, FutureWarning)
            function = lambda *args, **kwargs: orig_func(*args, **kwargs)  # noqa: E731 (it goes by this name, as in torch)
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def generate(*args: Any, **kwargs: Any) -> Any:
                generator = function(*args, **kwargs)
                turn: Callable[[], Any] = functools.partial(next, generator)
                while True:
                    with self.clone():
                        try:
                            item = turn()
                        except StopIteration as end:
                            return end.value
                    try:
                        turn = functools.partial(generator.send, (yield item))
                    except GeneratorExit:
                        with self.clone():
                            generator.close()
                        raise
                    except BaseException as error:
                        turn = functools.partial(generator.throw, error)

            return cast(F, generate)

        @functools.wraps(function)
        def call_in_context(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return function(*args, **kwargs)

        return cast(F, call_in_context)

    def __enter__(self) -> Any:
        raise NotImplementedError

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        raise NotImplementedError

    def clone(self) -> Any:
        """Another one of the kind."""
        return type(self)()
