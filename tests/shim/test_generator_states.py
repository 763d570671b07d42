"""torch.random and Generators: states that travel between PyTorch and the shim."""

import copy
import pickle

import numpy as np
import pytest
import torch
from twin import same, same_error

import funnn.torch as shim


def draws(t, generator=None):
    return t.rand(3, generator=generator), t.randn(5, generator=generator), t.randint(9, (4,), generator=generator)


@pytest.mark.parametrize("before", [0, 1, 5, 700])
def test_states_travel(before):
    """A state that PyTorch saved continues here and there alike, also between the two values of a normal pair."""
    theirs, ours = torch.Generator().manual_seed(3), shim.Generator().manual_seed(3)
    for t, generator in ((torch, theirs), (shim, ours)):
        t.randn(before, generator=generator) if before < 16 else t.rand(before, generator=generator)
    state = theirs.get_state()
    assert state.shape == ours.get_state().shape == (5056,) and state.tolist() == ours.get_state().tolist()
    there = torch.Generator().set_state(torch.tensor(ours.get_state().tolist(), dtype=torch.uint8))
    here = shim.Generator().set_state(shim.tensor(state.numpy()))
    for a, b in zip(draws(torch, there), draws(shim, here), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    assert here.get_state().tolist() == there.get_state().tolist()


def test_fork_rng():
    def program(t):
        t.manual_seed(1)
        with t.random.fork_rng():
            inside = t.rand(2)
            t.manual_seed(5)
        after = t.rand(2)
        with t.random.fork_rng(enabled=False):
            t.rand(2)
        with t.random.fork_rng(devices=[]):
            t.randn(1)
        try:
            with t.random.fork_rng(devices=[]):
                t.rand(1)
                raise KeyError
        except KeyError:
            pass
        return inside, after, t.rand(2), t.randn(3), t.random.initial_seed(), t.initial_seed()

    same(program)


def test_the_module():
    def program(t):
        t.random.manual_seed(7)
        state = t.random.get_rng_state()
        first = t.rand(2)
        t.random.set_rng_state(state)
        print(t.random.default_generator is t.default_generator, t.random.initial_seed(), isinstance(t.random.seed(), int))
        t.manual_seed(2.7)
        return first, t.initial_seed(), t.manual_seed(-1).initial_seed(), t.random.thread_safe_generator()

    same(program)


def test_copies_of_a_generator():
    def program(t):
        a = t.Generator().manual_seed(7)
        t.randn(1, generator=a)
        others = [a.clone_state(), copy.deepcopy(a), pickle.loads(pickle.dumps(a))]
        results = [t.randn(3, generator=g) for g in (a, *others)]
        print([g.initial_seed() for g in others], a.device, [g.device for g in others])
        return results, t.rand(1, generator=a)

    same(program)


ERRORS = {
    "offset": (lambda t, g: g.get_offset(), RuntimeError, "CPU Generator does not use offset"),
    "set offset": (lambda t, g: g.set_offset(4), RuntimeError, "CPU Generator does not use offset"),
    "graphsafe": (lambda t, g: g.graphsafe_get_state(), NotImplementedError, "graphsafe_get_state is not supported"),
    "set graphsafe": (lambda t, g: g.graphsafe_set_state(g), NotImplementedError, "graphsafe_set_state is not supported"),
    "floats": (lambda t, g: g.set_state(t.ones(3)), TypeError, "RNG state must be a torch.ByteTensor"),
    "no tensor": (lambda t, g: g.set_state(3), TypeError, "expected a torch.ByteTensor, but got int"),
    "size": (lambda t, g: g.set_state(t.ones(3, dtype=t.uint8)), RuntimeError, "Expected a CPUGeneratorImplState of size 5056"),
    "content": (lambda t, g: g.set_state(t.zeros(5056, dtype=t.uint8)), RuntimeError, "Invalid mt19937 state"),
    "text": (lambda t, g: g.manual_seed("a"), RuntimeError, "manual_seed expected a long, but got str"),
    "overflow": (lambda t, g: t.manual_seed(2**64), ValueError, "Overflow when unpacking long long"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    program, error, text = ERRORS[name]
    same_error(lambda t: program(t, t.Generator()), error, text)


@pytest.mark.parametrize("view", ["transposed", "part", "reversed part"])
def test_draws_into_a_view_follow_its_memory(view):
    def program(t):
        base = t.zeros(3, 4, 6)
        x = {"transposed": base.permute(1, 2, 0), "part": base[:, ::2, 1:4], "reversed part": base.transpose(0, 2)[1:]}[view]
        t.manual_seed(3)
        results = [getattr(x, name)(*args).clone() for name, args in DRAWS.items()]
        return results, x.bernoulli_(t.linspace(0, 1, x.shape[-1])).clone(), base, t.rand(3)

    same(program)


DRAWS = {
    "normal_": (),
    "uniform_": (),
    "bernoulli_": (0.3,),
    "exponential_": (),
    "random_": (9,),
    "cauchy_": (),
    "log_normal_": (),
    "geometric_": (0.4,),
}
