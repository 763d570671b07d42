"""Training programs give PyTorch's numbers, as a plain loop and compiled."""

import functools

import pytest
import torch

import funnn.torch as shim
from tests.programs._program import difference, outcome, plain
from tests.programs.catalog import all_programs

PROGRAMS = all_programs()
#: Programs are free to do what warns, and torch.compile warns where a value cuts a program.
pytestmark = pytest.mark.filterwarnings("ignore")


@functools.cache
def expected(name: str) -> tuple:
    """What PyTorch does, as a plain loop."""
    torch.set_num_threads(1)  # more only get in each other's way
    return outcome(PROGRAMS[name], torch)


@pytest.mark.parametrize("way", ["plain", "compiled"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_same_numbers_as_torch(name, way):
    wanted = expected(name)
    got = outcome(PROGRAMS[name], shim, plain if way == "plain" else shim.compile)
    assert not (text := difference(PROGRAMS[name], got, wanted)), text


def test_there_are_many_and_each_returns_something():
    assert len(PROGRAMS) >= 130
    for name in list(PROGRAMS)[::25]:
        leaves, raised = expected(name)
        assert leaves or raised, name


def test_a_difference_is_seen():
    """A stale number, a missing result, another dtype and an exception are all told apart."""
    from tests.programs._program import Program

    def counting(step):
        def function(torch, nn, F, compiled):
            return [torch.ones(2) * step(n) for n in range(3)]

        return Program(function)

    right, stale = counting(lambda n: n), counting(lambda n: 0)
    assert not difference(right, outcome(right, shim), outcome(right, torch))
    assert "2 of 2 differ" in difference(right, outcome(stale, shim), outcome(right, torch))
    short = Program(lambda torch, *_: [torch.zeros(2)])
    assert "1 results" in difference(right, outcome(short, shim), outcome(right, torch))
    whole = Program(lambda torch, *_: [torch.zeros(2, dtype=torch.int64)])
    assert "int64" in difference(right, outcome(whole, shim), outcome(right, torch))

    def fail(error):
        def function(*_):
            raise error("on purpose")

        return Program(function, raises="ValueError")

    assert not difference(fail(ValueError), outcome(fail(ValueError), shim), outcome(fail(ValueError), torch))
    assert "TypeError" in difference(fail(ValueError), outcome(fail(TypeError), shim), outcome(fail(ValueError), torch))
