"""Contexts that decorate: functions, generators at each turn, classes; those of torch and of users."""

import importlib
import warnings

import pytest
import torch

import funnn.torch as shim


def context(t, log):
    """A context of a user's."""
    base = importlib.import_module(f"{t.__name__}.utils._contextlib")._DecoratorContextManager

    class Logged(base):
        def __enter__(self):
            log.append("in")

        def __exit__(self, *exc):
            log.append("out")

    return Logged()


def generator(t):
    def numbers():
        seen = t.is_grad_enabled()
        while True:
            try:
                seen = yield seen, t.is_grad_enabled()
            except ValueError as error:
                seen = str(error), t.is_grad_enabled()
            except GeneratorExit:
                stopped.append(t.is_grad_enabled())
                return

    stopped = []
    return numbers, stopped


def turns(t, decorate):
    """What a generator sees at each turn, and outside."""
    numbers, stopped = generator(t)
    made = decorate(numbers)()
    found = [next(made), t.is_grad_enabled(), made.send(3), made.throw(ValueError("thrown")), made.send(4), t.is_grad_enabled()]
    made.close()
    return found, stopped, t.is_grad_enabled()


def returned(t):
    @t.no_grad()
    def numbers():
        yield 1
        return t.is_grad_enabled()

    def outer():
        value = yield from numbers()
        yield value, t.is_grad_enabled()

    return list(outer())


def of_a_class(t):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        @t.no_grad()
        class Made:
            def __init__(self):
                self.inside = t.is_grad_enabled()

    return Made().inside, isinstance(Made, type), [(str(item.message), item.category) for item in caught]


def of_a_user(t):
    log = []
    decorate = context(t, log)

    @decorate
    def function(value):
        log.append(value)
        return value

    numbers, _ = generator(t)
    made = decorate(numbers)()
    next(made)
    made.send(1)
    return function(5), log, function.__name__, isinstance(t.no_grad(), type(decorate).__mro__[1]), type(t.no_grad().clone()).__name__


def without_parentheses(t):
    base = importlib.import_module(f"{t.__name__}.utils._contextlib")._NoParamDecoratorContextManager
    log = []

    class Logged(base):
        def __enter__(self):
            log.append("in")

        def __exit__(self, *exc):
            log.append("out")

    @Logged
    def function():
        log.append("run")

    function()
    with Logged():
        log.append("block")
    return log


PROGRAMS = {
    **{
        f"turns of {name}": lambda t, make=make: turns(t, make(t))
        for name, make in {
            "no_grad": lambda t: t.no_grad(),
            "inference_mode": lambda t: t.inference_mode(),
            "enable_grad": lambda t: t.enable_grad(),
            "set_grad_enabled": lambda t: t.set_grad_enabled(False),
        }.items()
    },
    "a generator's result": returned,
    "a class": of_a_class,
    "a user's": of_a_user,
    "without parentheses": without_parentheses,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_in_torch(name):
    assert PROGRAMS[name](shim) == PROGRAMS[name](torch)
