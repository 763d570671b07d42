"""Gradient clipping against torch's."""

import math

import pytest
import torch
from twin import same, same_error

import funnn.torch as shim
from funnn.engine.program.states import count_states


def parameters(t, dtypes=("float32",)):
    """Parameters with gradients, one of them without."""
    made = []
    for dtype in dtypes:
        for shape in ((3, 2), (5,), ()):
            p = t.nn.Parameter(t.randn(shape).to(getattr(t, dtype)))
            (p * p).sum().backward()
            made.append(p)
    return [*made, t.nn.Parameter(t.ones(2))]


@pytest.mark.parametrize("norm_type", [2, 2.0, 1, 3.5, 0, math.inf, "inf", -math.inf])
@pytest.mark.parametrize("max_norm", [0.1, 1000])
def test_norms(norm_type, max_norm):
    def program(t):
        made = parameters(t)
        return t.nn.utils.clip_grad_norm_(made, max_norm, norm_type), made

    same(program)


@pytest.mark.parametrize("dtypes", [("float64",), ("float32", "float64"), ("float16",), ("bfloat16",)], ids=str)
def test_dtypes(dtypes):
    def program(t):
        made = parameters(t, dtypes)
        return t.nn.utils.clip_grad_norm_(made, 0.5), made

    same(program, (2e-2, 1e-2) if "16" in dtypes[0] else (1e-6, 1e-7) if len(dtypes) > 1 else None)


@pytest.mark.parametrize("foreach", [None, True, False])
def test_arguments(foreach):
    def program(t):
        made = parameters(t)
        first = t.nn.utils.clip_grad_norm_(made[0], max_norm=0.1, foreach=foreach)
        net = t.nn.Linear(2, 2)
        net(t.ones(1, 2)).sum().backward()
        return [
            *(first, t.nn.utils.clip_grad_norm_((p for p in made), 0.2), t.nn.utils.clip_grad_norm_(net.parameters(), t.tensor(0.3))),
            *(made, list(net.parameters()), t.nn.utils.clip_grad_norm_([], 1.0), t.nn.utils.clip_grad_norm_([made[-1]], 1.0)),
            t.nn.utils.clip_grad_value_(made[1], 0.05, foreach=foreach),
            *(t.nn.utils.clip_grad_value_(iter(made[2:]), 0.01), made),
        ]

    same(program)


def test_in_parts():
    def program(t):
        made = parameters(t)
        total = t.nn.utils.get_total_norm([p.grad for p in made[:-1]])
        t.nn.utils.clip_grads_with_norm_(made, 0.5, total)
        return total, t.nn.utils.get_total_norm([]), made

    same(program)


def test_gradients_are_written_in_place():
    def program(t):
        p = t.nn.Parameter(t.ones(3))
        (p * 10).sum().backward()
        kept = p.grad
        t.nn.utils.clip_grad_norm_([p], 1.0)
        t.nn.utils.clip_grad_value_([p], 0.25)
        print(kept is p.grad, p.grad.requires_grad)
        return kept

    same(program)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_norm_that_is_not_finite(bad):
    def program(t, error=False):
        p = t.nn.Parameter(t.ones(2))
        p.grad = t.tensor([1.0, bad])
        return t.nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=error), p

    same(program)
    text = "The total norm of order 2.0 for gradients from `parameters` is non-finite, so it cannot be clipped"
    same_error(lambda t: program(t, True), RuntimeError, text)


def test_an_empty_generator_warns():
    def program(t):
        with pytest.warns(UserWarning, match="`parameters` is an empty generator, no gradient clipping will occur."):
            return t.nn.utils.clip_grad_norm_((p for p in ()), 1.0)

    same(program)


def test_the_deprecated_name_warns():
    def program(t):
        made = parameters(t)
        with pytest.warns(FutureWarning, match="`torch.nn.utils.clip_grad_norm` is now deprecated"):
            return t.nn.utils.clip_grad_norm(made, 0.1), made

    same(program)


def test_a_changed_limit_compiles_nothing():
    p = shim.nn.Parameter(shim.ones(7))
    for limit in (0.5, 1, 2.0):
        p.grad = shim.ones(7)
        shim.nn.utils.clip_grad_norm_([p], limit)
        p.grad.tolist()
        if limit == 0.5:
            states = count_states()
    assert count_states() == states
    assert torch.tensor(p.grad.numpy()).norm().item() == pytest.approx(2.0, rel=1e-5)
