"""The hooks around a Module's call and around its state_dict, against torch's."""

import copy
import warnings
from collections import OrderedDict

import numpy as np
import pytest
from twin import same, same_error

import funnn.torch as shim


def test_forward_hooks():
    def program(t):
        net = t.nn.Linear(2, 2)
        calls = []
        first = net.register_forward_hook(lambda m, args, output: calls.append(("first", type(m).__name__, len(args), tuple(output.shape))))
        net.register_forward_hook(lambda m, args, output: output * 2)
        net.register_forward_hook(lambda m, args, kwargs, output: calls.append(("with", sorted(kwargs))), with_kwargs=True)
        net.register_forward_hook(lambda m, args, output: calls.append("prepended"), prepend=True)
        net.register_forward_pre_hook(lambda m, args: calls.append("pre"))
        net.register_forward_pre_hook(lambda m, args: args[0] + 1)
        net.register_forward_pre_hook(lambda m, args, kwargs: ((args[0] * 3,), kwargs), with_kwargs=True)
        net.register_forward_pre_hook(lambda m, args: calls.append("pre first"), prepend=True)
        x = t.randn(3, 2)
        results = [net(x)]
        first.remove()
        first.remove()
        results.append(net(x))
        with net.register_forward_hook(lambda m, args, output: output - 100):
            results.append(net(x))
        results.append(net(x))
        print(calls)
        return results

    same(program)


def test_hooks_with_keywords():
    def program(t):
        class Net(t.nn.Module):
            def forward(self, x, *, scale=1.0):
                return x * scale

        net = Net()
        net.register_forward_pre_hook(lambda m, args, kwargs: (args, {"scale": kwargs["scale"] + 1}), with_kwargs=True)
        net.register_forward_hook(lambda m, args, kwargs, output: output + kwargs["scale"], with_kwargs=True)
        return net(t.ones(2), scale=2.0)

    same(program)

    def bad(t):
        net = t.nn.ReLU()
        net.register_forward_pre_hook(lambda m, args, kwargs: args, with_kwargs=True)
        return net(t.ones(1))

    same_error(bad, RuntimeError, r"forward pre-hook must return None or a tuple of \(new_args, new_kwargs\), but got")


def test_a_hook_that_is_always_called():
    def program(t):
        net = t.nn.Linear(2, 2)
        net.register_forward_hook(lambda m, args, output: print("always", output), always_call=True)
        net.register_forward_hook(lambda m, args, output: print("never"))
        try:
            net(t.ones(3))
        except RuntimeError:
            print("raised")

    same(program)


def test_always_called_hooks_and_their_own_errors():
    def program(t):
        net = t.nn.Linear(2, 2)
        calls = []

        def fails(m, args, output):
            calls.append("fails")
            raise KeyError("second")

        net.register_forward_hook(fails, always_call=True)
        net.register_forward_hook(lambda m, args, kwargs, output: calls.append(("last", output)), always_call=True, with_kwargs=True)
        with pytest.warns(UserWarning, match=r"always_call=True.* raised an exception that was silenced"), pytest.raises(RuntimeError):
            net(t.ones(3))
        with pytest.raises(KeyError, match="second"):  # a hook that was called is not called again, the others are
            net(t.ones(2))
        print([call[0] if isinstance(call, tuple) else call for call in calls], calls[1], calls[-1][1] is not None)

    same(program)


# -- backward


def two_layers(t):
    return t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2))


@pytest.mark.parametrize("needs_grad", [True, False])
def test_full_backward_hooks(needs_grad):
    def program(t):
        net, seen = two_layers(t), []

        def note(name, scale=None):
            def hook(m, grad_input, grad_output):
                seen.append((name, *(g if g is None else g.clone() for g in (*grad_input, *grad_output))))
                return None if scale is None else tuple(g if g is None else g * scale for g in grad_input)

            return hook

        net[1].register_full_backward_hook(note("tanh"))
        net[1].register_full_backward_hook(note("tanh, scaled", 2.0))
        net[1].register_full_backward_hook(note("tanh, first"), prepend=True)
        handle = net[2].register_full_backward_hook(note("removed"))
        net[2].register_full_backward_pre_hook(lambda m, grad_output: (grad_output[0] * 3,))
        net[2].register_full_backward_pre_hook(lambda m, grad_output: seen.append(("before", *grad_output)))
        net.register_full_backward_hook(note("whole"))
        handle.remove()
        x = t.randn(5, 3, requires_grad=needs_grad)
        y = net(x)
        print(y.grad_fn.name())
        if needs_grad:
            y.sin().sum().backward()
        else:
            with pytest.warns(UserWarning, match="Full backward hook is firing when gradients are computed"):
                y.sin().sum().backward()
        return seen, x, list(net.parameters())

    same(program)


def test_backward_hooks_of_several_inputs_and_outputs():
    def program(t):
        class Two(t.nn.Module):
            def forward(self, x, y, flag, *, scale=None):
                return x * y, (x + y).detach(), "text", y * 2

        net, seen = Two(), []
        net.register_full_backward_hook(lambda m, grad_input, grad_output: seen.append((grad_input, grad_output)))
        x, y = t.ones(2, requires_grad=True), t.arange(2.0)
        outputs = net(x, y, 3, scale=t.ones(1))
        print([type(o).__name__ for o in outputs], [getattr(o, "requires_grad", None) for o in outputs])
        outputs[0].sum().backward()
        print(len(seen), [[g is None for g in gs] for gs in seen[0]])
        net(x, y, 3)[3].sum().backward() if net(x, y, 3)[3].requires_grad else None
        with t.no_grad():
            net(x, y, 3)
        return x, seen[0][0][0], seen[0][1][0]

    same(program)


def test_backward_hooks_see_a_second_backward():
    def program(t):
        net, seen = t.nn.Tanh(), []
        net.register_full_backward_hook(lambda m, grad_input, grad_output: seen.append(len(grad_input)))
        x = t.tensor([0.3, 0.7], requires_grad=True)
        (grad,) = t.autograd.grad(net(x).sum(), x, create_graph=True)
        (grad**2).sum().backward()
        print(seen)
        return x

    same(program)


def returning(register, value):
    def program(t):
        net = t.nn.Linear(2, 2)
        getattr(net, register)(lambda m, *gradients: value)
        net(t.ones(1, 2, requires_grad=True)).sum().backward()

    return program


def test_backward_errors():
    wrong = "hook returned an invalid number of grad_{}, got 2, but expected 1"
    same_error(returning("register_full_backward_hook", (None, None)), RuntimeError, "Backward " + wrong.format("input"))
    same_error(returning("register_full_backward_pre_hook", (None, None)), RuntimeError, "Backward pre " + wrong.format("output"))

    def both(t):
        net = t.nn.ReLU()
        net.register_full_backward_hook(lambda *a: None)
        net.register_backward_hook(lambda *a: None)

    same_error(both, RuntimeError, "Cannot use both regular backward hooks and full backward hooks on")

    def without_inputs(t):
        net = t.nn.Linear(2, 2)
        net.register_full_backward_hook(lambda m, grad_input, grad_output: grad_output)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net(t.ones(1, 2)).sum().backward()

    same_error(without_inputs, RuntimeError, "Backward hook for Modules where no input requires gradient should always return None")


def test_an_output_that_backward_hooks_cannot_see():
    def program(t):
        class Net(t.nn.Module):
            def forward(self, x):
                return {"y": x * 2}

        net = Net()
        net.register_full_backward_hook(lambda *a: print("never"))
        with pytest.warns(UserWarning, match="module output should be a Tensor or a tuple of Tensors but received"):
            return net(t.ones(2, requires_grad=True))

    same(program)


PARTIAL = {
    "one operation": (lambda t: t.nn.Tanh(), None),
    "several": (lambda t: t.nn.Sequential(t.nn.Tanh(), t.nn.Sigmoid()), "the forward contains multiple autograd Nodes"),
}


@pytest.mark.parametrize("make, warned", PARTIAL.values(), ids=PARTIAL)
def test_hooks_on_the_last_operation(make, warned):
    def program(t):
        net, seen = make(t), []
        net.register_backward_hook(lambda m, grad_input, grad_output: seen.append((*grad_input, *grad_output)))
        net.register_backward_hook(lambda m, grad_input, grad_output: tuple(g * 2 for g in grad_input))
        x = t.randn(3, requires_grad=True)
        h = x * 1
        if warned is None:
            y = net(h)
        else:
            with pytest.warns(FutureWarning, match=warned):
                y = net(h)
        y.sum().backward()
        return seen, x

    same(program)


# -- hooks of all modules


def test_hooks_of_all_modules():
    def program(t):
        module, calls = t.nn.modules.module, []
        net = two_layers(t)
        net[1].register_forward_hook(lambda m, args, output: calls.append("own"))
        net[1].register_forward_pre_hook(lambda m, args: calls.append("own, before"))
        handles = [
            module.register_module_forward_pre_hook(lambda m, args: calls.append(("before", type(m).__name__))),
            module.register_module_forward_hook(lambda m, args, output: output * 2 if isinstance(m, t.nn.Linear) else None),
            module.register_module_forward_hook(lambda m, args, kwargs, output: calls.append(("after", len(kwargs))), with_kwargs=True),
            module.register_module_full_backward_pre_hook(lambda m, grad_output: calls.append(("grad", len(grad_output)))),
            module.register_module_full_backward_hook(lambda m, grad_input, grad_output: calls.append(("back", type(m).__name__))),
        ]
        try:
            x = t.ones(2, 3, requires_grad=True)
            y = net(x)
            y.sum().backward()
        finally:
            for handle in handles:
                handle.remove()
        z = net(x)
        print(calls)
        return y, z, x

    same(program)


def test_hooks_on_registration():
    def program(t):
        module, calls = t.nn.modules.module, []
        handles = [
            getattr(module, f"register_module_{kind}_registration_hook")(lambda m, name, value, kind=kind: calls.append((kind, name)))
            for kind in ("parameter", "buffer", "module")
        ]
        handles.append(module.register_module_buffer_registration_hook(lambda m, name, value: value + 1 if name == "b" else None))
        try:
            net = t.nn.Module()
            net.register_parameter("p", t.nn.Parameter(t.zeros(1)))
            net.q = t.nn.Parameter(t.zeros(1))
            net.register_buffer("b", t.zeros(2))
            net.b = t.zeros(3)
            net.child = t.nn.Module()
            net.add_module("other", None)
        finally:
            for handle in handles:
                handle.remove()
        net.later = t.nn.Module()
        print(calls)
        return net.b

    same(program)


# -- hooks inside derived modules, copies, compiling


def test_hooks_fire_inside_a_transformer():
    def program(t):
        layer = t.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
        net, calls = t.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), []
        for name, m in net.named_modules():
            m.register_forward_hook(lambda m, args, output, name=name: calls.append(name))
        net.layers[0].linear1.register_forward_hook(lambda m, args, output: output * 2)
        x = t.randn(2, 3, 4)
        y, again = net(x), net.eval()(x)
        print([name for name in calls if not name.endswith("out_proj")])
        return y, again

    same(program, (2e-5, 1e-5))


def test_a_copy_has_the_hooks():
    def program(t):
        net, calls = t.nn.Linear(2, 2), []
        net.register_forward_hook(lambda m, args, output: calls.append(m is net))
        net.register_forward_pre_hook(lambda m, args, kwargs: calls.append(len(kwargs)), with_kwargs=True)
        twin = copy.deepcopy(net)
        twin.register_forward_hook(lambda m, args, output: calls.append("twin's"))
        net(t.ones(2)), twin(t.ones(2))
        print(calls, len(net._forward_hooks), len(twin._forward_hooks), list(net._forward_pre_hooks_with_kwargs.values()))

    same(program)


def test_hooks_in_a_compiled_module():
    def make():
        shim.manual_seed(1)
        net = shim.nn.Sequential(shim.nn.Linear(2, 3), shim.nn.Tanh())
        net[0].register_forward_hook(lambda m, args, output: output * 2)
        net.register_forward_pre_hook(lambda m, args: args[0] + 1)
        return net

    plain, compiled = make(), make()
    compiled.compile()
    step = shim.compile(lambda net, x: net(x))
    for x in (shim.ones(4, 2), shim.full((4, 2), 0.5)):
        x.requires_grad_()
        expected = plain(x)
        compare_shim(compiled(x), expected)
        compare_shim(step(plain, x), expected)
    expected.sum().backward()
    compiled(x).sum().backward()
    compare_shim(compiled[0].weight.grad, plain[0].weight.grad)
    assert "_compiled_call_impl" not in copy.deepcopy(compiled).__dict__
    calls = []
    compiled.register_full_backward_hook(lambda m, grad_input, grad_output: calls.append(grad_output[0].sum().item()))
    compiled(x).sum().backward()
    assert calls == [expected.numel()]


def compare_shim(got, expected):
    np.testing.assert_allclose(got.detach().numpy(), expected.detach().numpy(), rtol=1e-6, atol=1e-7)


# -- hooks of state_dict


def test_hooks_of_state_dict():
    def program(t):
        net, calls = t.nn.Sequential(t.nn.Linear(1, 1), t.nn.BatchNorm1d(1)), []
        net[0].register_state_dict_pre_hook(lambda m, prefix, keep_vars: calls.append(("pre", prefix, keep_vars)))
        net[0].register_state_dict_post_hook(lambda m, state, prefix, metadata: state.pop(f"{prefix}bias") and None)
        net._register_state_dict_hook(lambda m, state, prefix, metadata: OrderedDict(state, more=t.ones(1)))
        net[0].register_load_state_dict_pre_hook(lambda m, state, prefix, *rest: state.update({f"{prefix}bias": t.ones(1)}))
        net[1]._register_load_state_dict_pre_hook(lambda state, prefix, metadata, *rest: calls.append((prefix, dict(metadata), len(rest))))
        net[1].register_load_state_dict_post_hook(lambda m, keys: calls.append(tuple(map(list, keys))))
        net.register_load_state_dict_post_hook(lambda m, keys: keys.unexpected_keys.clear())
        state = net.state_dict()
        print(list(state), net.load_state_dict(state), calls)
        twin = copy.deepcopy(net)
        twin.load_state_dict(state)
        print(calls)
        return state, twin.state_dict()

    same(program)


def test_errors_of_state_dict_hooks():
    def post(t):
        net = t.nn.Linear(1, 1)
        net.register_state_dict_post_hook(lambda m, state, prefix, metadata: state)
        net.state_dict()

    same_error(post, RuntimeError, "state_dict post-hook must return None")

    def private(t):
        net = t.nn.Linear(1, 1)

        def hook(*args):
            pass

        net.register_state_dict_post_hook(hook)
        net._register_state_dict_hook(hook)

    same_error(private, RuntimeError, "register_state_dict_post_hook")

    def load(t):
        net = t.nn.Linear(1, 1)
        net.register_load_state_dict_post_hook(lambda m, keys: keys)
        net.load_state_dict(net.state_dict())

    same_error(load, AssertionError, "are not expected to return new values")


#: (modules, shape of the input) whose parameters' hooks are called in the order in which torch's engine comes to the leaves.
ORDERED = {
    "linear layers": (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2)), (4, 3)),
    "a batch of sequences": (lambda nn: nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 1)), (4, 5, 3)),
    "convolutions": (lambda nn: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 2, 3)), (4, 1, 7, 7)),
    "instance norm": (lambda nn: nn.InstanceNorm1d(3, affine=True), (4, 3, 5)),
    "transformer": (lambda nn: nn.TransformerEncoderLayer(4, 2, 8), (4, 3, 4)),
}


@pytest.mark.parametrize("name", ORDERED)
def test_order_of_parameters_hooks(name):
    """Also where nothing but the parameters is watched, and where an equal pass is known before the hooks are registered."""
    make, shape = ORDERED[name]

    def program(t):
        net = make(t.nn).eval()
        calls = []
        for _ in range(4):
            net(t.ones(shape)).sum().backward()
        for key, parameter in net.named_parameters():
            parameter.register_hook(lambda grad, key=key: calls.append(key))
            parameter.register_post_accumulate_grad_hook(lambda parameter, key=key: calls.append(f"after {key}"))
        for _ in range(3):
            net(t.ones(shape)).sum().backward()
        return calls

    same(program)


def test_order_of_hooks_around_an_operation_of_several_outputs():
    """Each output of a recurrent layer has a node of its own in torch; here these are shown, and lead back to the one that is there."""

    def program(t):
        first, recurrent, last = t.nn.Linear(3, 3), t.nn.LSTM(3, 2, 2, bidirectional=True), t.nn.Linear(2, 2)
        calls = []
        for layer in (first, last):
            for key, parameter in layer.named_parameters():
                parameter.register_hook(lambda grad, key=key: calls.append(key))
        for _ in range(4):
            _, (h, c) = recurrent(first(t.ones(5, 3)))
            last(h * c).sum().backward()
        return calls

    same(program)


@pytest.mark.parametrize("watch", ["modules", "tensors", "functions", "nodes"])
def test_order_of_parameters_hooks_among_others(watch):
    """A parameter's hook is called as soon as its gradient is whole, which others can tell."""

    def program(t):
        class Told(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, grad):
                calls.append("function")
                return grad

        shared = t.nn.Linear(2, 2)
        net = t.nn.Sequential(t.nn.Linear(3, 2), shared, t.nn.Tanh(), shared)
        calls = []
        for key, parameter in net.named_parameters():
            parameter.register_hook(lambda grad, key=key: calls.append(key))
            parameter.register_post_accumulate_grad_hook(lambda parameter, key=key: calls.append(f"after {key}"))
        x = t.ones(4, 3, requires_grad=True)
        x.register_hook(lambda grad: calls.append("x"))
        if watch == "modules":
            for number, module in enumerate(net):
                module.register_full_backward_hook(lambda module, *grads, number=number: calls.append(f"module {number}"))
        for _ in range(3):
            y = x
            for number, module in enumerate(net):
                y = module(y)
                if watch == "tensors":
                    y.register_hook(lambda grad, number=number: calls.append(f"tensor {number}"))
                if watch == "functions":
                    y = Told.apply(y)
                if watch == "nodes":
                    y.grad_fn.register_prehook(lambda grads, number=number: calls.append(f"node {number}"))
            y.sum().backward()
        return [calls, t.autograd.grad(net(x).sum(), [x, *net.parameters()]), calls]

    same(program)
