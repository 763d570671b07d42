"""``torch.autograd.graph.allow_mutation_on_saved_tensors``: what was saved may be written, and backward uses what was saved."""

import pytest
import torch
from twin import same

import funnn.torch as ft


def allowed(t):
    return t.autograd.graph.allow_mutation_on_saved_tensors()


def test_what_was_saved_may_be_written():
    def program(t):
        found = []
        with allowed(t):
            a = t.ones(2, requires_grad=True)
            b = a.clone()
            out = (b**2).sum()
            b.sin_()
            out.backward()
            found.append((a.grad, b.detach()))
            a = t.ones(2, requires_grad=True)
            b = a.exp()
            b.mul_(2)
            b.sum().backward()
            found.append(a.grad)
            net = t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Sigmoid(), t.nn.Linear(4, 1)).double()
            for parameter in net.parameters():
                t.nn.init.constant_(parameter, 0.3)
            loss = net(t.ones(2, 3).double()).sum()
            with t.no_grad():
                for parameter in net.parameters():
                    parameter.zero_()
            loss.backward()
            found += [parameter.grad for parameter in net.parameters()]
        return found

    same(program)


@pytest.mark.parametrize("t", [torch, ft], ids=["torch", "funnn"])
def test_where_what_was_saved_may_be_written(t):
    def root():
        b = t.ones(2, requires_grad=True).clone()
        return b, (b**2).sum()

    with allowed(t):
        _, out = root()
    with pytest.raises(AssertionError, match="Trying to backward outside"):
        out.backward()
    b, out = root()
    with allowed(t), pytest.raises(RuntimeError, match="modified by an inplace operation"):
        b.sin_()
        out.backward()
    with allowed(t) as context:
        with pytest.raises(RuntimeError, match="cannot be nested"), allowed(t):
            pass
        _, out = root()
        context.clear()
        with pytest.raises(AssertionError, match="Trying to backward outside"):
            out.backward()
    b, out = root()
    b.sin_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.backward()
