"""Lazy modules and uninitialized tensors against torch's."""

import copy
import pickle

import pytest
import torch
from twin import same, same_error

import funnn.torch as shim

#: Constructor's arguments and the shape of the input.
LAZY = {
    "LazyLinear": ((3,), {}, (2, 4)),
    "LazyLinear, no bias": ((3,), {"bias": False, "dtype": torch.float64}, (5,)),
    "LazyConv1d": ((4, 2), {}, (2, 3, 5)),
    "LazyConv2d": ((4, 2), {"groups": 2, "padding": 1}, (1, 2, 3, 3)),
    "LazyConv2d, unbatched": ((4, 2), {"bias": False}, (2, 3, 3)),
    "LazyConv3d": ((1, 2), {}, (1, 2, 3, 3, 3)),
    "LazyConvTranspose1d": ((4, 2), {"stride": 2}, (2, 3, 5)),
    "LazyConvTranspose2d": ((4, 2), {}, (1, 2, 3, 3)),
    "LazyConvTranspose3d": ((1, 2), {}, (1, 2, 3, 3, 3)),
    "LazyBatchNorm1d": ((), {}, (4, 3)),
    "LazyBatchNorm2d": ((), {"affine": False, "momentum": 0.3}, (2, 3, 4, 4)),
    "LazyBatchNorm3d": ((), {"track_running_stats": False}, (2, 3, 2, 2, 2)),
    "LazyInstanceNorm1d": ((), {}, (4, 3, 5)),
    "LazyInstanceNorm2d": ((), {"affine": True, "track_running_stats": True}, (2, 3, 4, 4)),
    "LazyInstanceNorm3d": ((), {"affine": True}, (1, 3, 2, 2, 2)),
}


def make(t, name):
    args, kwargs, shape = LAZY[name]
    kwargs = {key: getattr(t, str(value).removeprefix("torch.")) if key == "dtype" else value for key, value in kwargs.items()}
    net = getattr(t.nn, name.partition(",")[0])(*args, **kwargs)
    return net, t.arange(float(torch.Size(shape).numel()), dtype=kwargs.get("dtype")).reshape(shape).sin()


def show(net):
    for name, tensor in net.state_dict().items():
        lazy = type(tensor).__name__.startswith("Uninitialized")
        print(name, repr(tensor) if lazy else tuple(tensor.shape), tensor.dtype)
    print(net, type(net).__name__, [(name, p.requires_grad) for name, p in net.named_parameters()])


@pytest.mark.parametrize("name", LAZY)
def test_the_first_call_gives_the_sizes(name):
    def program(t):
        net, x = make(t, name)
        show(net)
        if hasattr(net, "reset_parameters"):
            net.reset_parameters()
        print(net.has_uninitialized_params(), len(net._forward_pre_hooks), net.cls_to_become.__name__)
        y = net(x)
        show(net)
        print(len(net._forward_pre_hooks), len(net._load_state_dict_pre_hooks), hasattr(net, "_load_hook"))
        y.sum().backward() if y.requires_grad else None
        return y, list(net.parameters()), net.state_dict(), net(x)

    same(program, (2e-5, 1e-5))


def test_every_lazy_class_is_here():
    theirs = {name for name in dir(torch.nn) if name.startswith("Lazy")}
    assert theirs == {name.partition(",")[0] for name in LAZY} and all(hasattr(shim.nn, name) for name in theirs)


def test_state_dicts():
    def program(t):
        lazy, done = t.nn.LazyLinear(3), t.nn.LazyLinear(3)
        done(t.ones(1, 2))
        state = lazy.state_dict()
        print({name: repr(value) for name, value in state.items()}, t.nn.LazyLinear(3).load_state_dict(state))
        print(lazy.load_state_dict(done.state_dict()), lazy.has_uninitialized_params())
        show(lazy)
        y = lazy(t.ones(1, 2))
        show(lazy)
        fresh = t.nn.Sequential(t.nn.LazyConv1d(2, 1), t.nn.LazyBatchNorm1d())
        full = t.nn.Sequential(t.nn.Conv1d(3, 2, 1), t.nn.BatchNorm1d(2))
        print(fresh.load_state_dict(full.state_dict()))
        return y, lazy.state_dict(), fresh(t.arange(12.0).sin().reshape(2, 3, 2)), fresh.state_dict()

    same(program)


def test_copies_before_the_first_call():
    def program(t):
        net = t.nn.Sequential(t.nn.LazyLinear(3), t.nn.ReLU())
        other = copy.deepcopy(net)
        t.manual_seed(3)
        y = other(t.ones(2, 4))
        print(net, other, net[0].has_uninitialized_params(), len(other[0]._forward_pre_hooks))
        t.manual_seed(3)
        return y, net(t.ones(2, 4)), other.state_dict()

    same(program)


def test_a_pickled_lazy_module():
    net = shim.nn.Sequential(shim.nn.LazyLinear(3), shim.nn.LazyBatchNorm1d())
    other = pickle.loads(pickle.dumps(net))
    assert repr(other) == repr(net) and other[1].has_uninitialized_params()
    assert other(shim.randn(2, 4)).shape == (2, 3) and repr(other[0]) == "Linear(in_features=4, out_features=3, bias=True)"
    assert not other[0]._forward_pre_hooks and net[0]._forward_pre_hooks


def test_conversions_before_the_first_call():
    def program(t):
        net = t.nn.Sequential(t.nn.LazyLinear(3), t.nn.LazyBatchNorm1d()).double()
        print(net[0].weight.dtype, net[1].running_mean.dtype, net.to("cpu") is net, [p.is_floating_point() for p in net.parameters()])
        return net(t.ones(2, 2, dtype=t.float64)), net.float().state_dict(), list(net.parameters())

    same(program)


def test_uninitialized_tensors():
    def program(t):
        parameter, buffer = t.nn.UninitializedParameter(dtype=t.float64), t.nn.UninitializedBuffer()
        print(parameter, buffer, parameter.requires_grad, buffer.requires_grad, parameter.dtype, buffer.device, parameter.is_leaf)
        print(t.nn.parameter.is_lazy(parameter), isinstance(parameter, t.nn.Parameter), parameter.grad)
        parameter.materialize((2, 3))
        buffer.materialize((4,), dtype=t.float64)
        print(type(parameter).__name__, type(buffer).__name__, parameter.shape, buffer.dtype, parameter.requires_grad)
        net = t.nn.Module()
        net.register_parameter("p", t.nn.UninitializedParameter(requires_grad=False))
        net.b = t.nn.UninitializedBuffer()
        print(net.p, dict(net.named_buffers()), dict(net.named_parameters()))

    same(program)


def shared(t):
    class Lazy(t.nn.modules.lazy.LazyModuleMixin, t.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = t.nn.UninitializedParameter()

        def initialize_parameters(self, x, *, power=1):
            if self.has_uninitialized_params():
                with t.no_grad():
                    self.scale.materialize(x.shape[-1:])
                    self.scale.fill_(power)

        def forward(self, x, *, power=1):
            return x**power * self.scale

    return Lazy


def test_a_lazy_module_of_ones_own():
    def program(t):
        net = shared(t)()
        y = net(t.arange(3.0), power=2)
        print(type(net).__name__, net.scale)
        return y, net(t.ones(3))

    same(program)
    same_error(
        lambda t: t.nn.modules.lazy.LazyModuleMixin.initialize_parameters(t.nn.LazyLinear(1)), NotImplementedError, "initialize_parameters"
    )


ERRORS = {
    "shape": (lambda t: t.nn.LazyLinear(2).weight.shape, RuntimeError, "Can't access the shape of an uninitialized parameter or buffer"),
    "arithmetic": (lambda t: t.nn.LazyLinear(2).weight + 1, ValueError, "Attempted to use an uninitialized parameter"),
    "function": (lambda t: t.sin(t.nn.LazyLinear(2).weight), ValueError, "Attempted to use an uninitialized parameter"),
    "count": (lambda t: t.nn.LazyLinear(2).weight.numel(), ValueError, "Attempted to use an uninitialized parameter"),
    "initialiser": (lambda t: t.nn.init.zeros_(t.nn.LazyLinear(2).weight), ValueError, "Attempted to use an uninitialized parameter"),
    "rank": (
        lambda t: t.nn.LazyConv1d(2, 1)(t.ones(3)),
        RuntimeError,
        r"Expected 2D \(unbatched\) or 3D \(batched\) input to LazyConv1d, but got input of size",
    ),
    "groups": (lambda t: t.nn.LazyConv1d(2, 1, groups=2)(t.ones(1, 3, 1)), ValueError, "in_channels must be divisible by groups"),
    "loading lazy into not lazy": (
        lambda t: t.nn.Linear(2, 3).load_state_dict(t.nn.LazyLinear(3).state_dict()),
        RuntimeError,
        "Can't access the shape of an uninitialized parameter",
    ),
    "another size later": (
        lambda t: (lambda net: [net(t.ones(1, 2)), net(t.ones(1, 3))])(t.nn.LazyLinear(2)),
        RuntimeError,
        "mat1 and mat2 shapes cannot be multiplied",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    same_error(*ERRORS[name])


def test_kernels_of_several_sizes_have_their_gradients():
    """A gradient that is computed for one size of kernel after the other, of which the sizes alone differ: XLA must know them."""

    def program(t):
        found = []
        for kernel, size in ((3, 32), (5, 32), (3, 28), (4, 20), (2, 15), (6, 30)):
            w, x = t.randn(6, 1, kernel, kernel, requires_grad=True), t.randn(1, 1, size, size)
            t.nn.functional.conv2d(x, w).relu().sum().backward()
            print(tuple(w.grad.shape))  # so that each step is computed by itself
            found.append(w.grad)
        return found

    same(program, tolerance=(1e-4, 1e-4))
