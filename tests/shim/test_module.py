"""Module, its containers and Parameter against torch's: the same program in both namespaces does the same."""

import copy
import pickle
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from twin import compare, same, same_error

import funnn.torch as shim

LIBRARIES = {"torch": torch, "shim": shim}


# -- the networks of tutorials, each a function of the library


def xor_mlp(t):
    class MyModel(t.nn.Module):
        def __init__(self):
            super(MyModel, self).__init__()  # noqa: UP008
            self.in_to_hid = t.nn.Linear(2, 2)
            self.hid_to_out = t.nn.Linear(2, 1)

        def forward(self, input):
            hidden = t.tanh(self.in_to_hid(input))
            return t.sigmoid(self.hid_to_out(hidden))

    return MyModel(), t.Tensor([[0, 0], [0, 1], [1, 0], [1, 1]])


def lenet(t):
    nn, F = t.nn, t.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super(Net, self).__init__()  # noqa: UP008
            self.conv1 = nn.Conv2d(1, 6, 3)
            self.conv2 = nn.Conv2d(6, 16, 3)
            self.fc1 = nn.Linear(16 * 6 * 6, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.view(-1, self.num_flat_features(x))
            x = F.relu(self.fc1(x))
            x = F.relu(self.fc2(x))
            return self.fc3(x)

        def num_flat_features(self, x):
            num_features = 1
            for s in x.size()[1:]:
                num_features *= s
            return num_features

    return Net(), t.randn(2, 1, 32, 32)


def tiny_model(t):
    class TinyModel(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear1 = t.nn.Linear(100, 200)
            self.activation = t.nn.ReLU()
            self.linear2 = t.nn.Linear(200, 10)
            self.softmax = t.nn.Softmax(dim=1)

        def forward(self, x):
            x = self.linear1(x)
            x = self.activation(x)
            x = self.linear2(x)
            x = self.softmax(x)
            return x

    return TinyModel(), t.rand(3, 100)


def sequential_inside(t):
    nn = t.nn

    class MyModel(nn.Module):
        def __init__(self, num_input, num_hidden, num_out):
            super().__init__()
            self.main = nn.Sequential(nn.Linear(num_input, num_hidden), nn.Tanh(), nn.Linear(num_hidden, num_out), nn.Sigmoid())

        def forward(self, input):
            return self.main(input)

    return MyModel(3, 5, 2), t.randn(4, 3)


def custom_parameters(t):
    nn = t.nn

    class MyModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.A = nn.Parameter(t.randn((1), requires_grad=True))
            self.B = nn.Parameter(t.randn((1), requires_grad=True))

        def forward(self, input):
            return self.A * input[:, 0] * t.log(input[:, 1]) + self.B * input[:, 1] * input[:, 1]

    return MyModel(), t.rand(5, 2) + 0.1


def normalised(t):
    nn = t.nn

    class Block(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.norm = nn.BatchNorm1d(width)
            self.fc = nn.Linear(width, width, bias=False)
            self.register_buffer("scale", t.full((width,), 0.5))
            self.drop = nn.Dropout(0.4)

        def forward(self, x):
            return x + self.drop(self.fc(self.norm(x))) * self.scale

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([Block(4) for _ in range(2)])
            self.heads = nn.ModuleDict({"a": nn.Linear(4, 1), "b": nn.Linear(4, 2)})

        def forward(self, x, head="b"):
            for block in self.blocks:
                x = block(x)
            return self.heads[head](x)

    return Net(), t.randn(6, 4)


NETWORKS = {f.__name__: f for f in (xor_mlp, lenet, tiny_model, sequential_inside, custom_parameters, normalised)}
networks = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


@networks
def test_a_network_of_a_tutorial(make):
    def program(t):
        net, x = make(t)
        print(net)
        for name, parameter in net.named_parameters():
            print(name, parameter.size())
        for module in net.children():
            print(module)
        y = net(x)
        y.pow(2).sum().backward()
        print(str(y.grad_fn).split(" ")[0], net.training)
        return [y, dict(net.named_parameters()), dict(net.named_buffers()), net.state_dict(), net.eval()(x)]

    same(program, (2e-5, 1e-5))


def test_parameters_print_as_torchs():
    def program(t):
        net, _ = xor_mlp(t)
        for param in net.parameters():
            print(param)
        print(list(net.parameters()), t.nn.Parameter(t.arange(3.0), requires_grad=False))

    same(program)


# -- state_dict


@networks
def test_a_torch_state_dict_loads_directly_and_back(make):
    theirs, x = make(torch)
    shim.manual_seed(77)
    ours, _ = make(shim)
    assert repr(ours.load_state_dict(theirs.state_dict())) == repr(theirs.load_state_dict(theirs.state_dict()))
    compare(ours.state_dict(), theirs.state_dict())
    compare(ours.eval()(shim.tensor(x.numpy())), theirs.eval()(x), tolerance=(2e-5, 1e-5))
    theirs.load_state_dict({name: torch.tensor(value.numpy()) for name, value in ours.state_dict().items()})


def test_what_load_state_dict_takes():
    import jax.numpy as jnp

    net = shim.nn.Linear(2, 1)
    for kind in (
        np.asarray,
        jnp.asarray,
        torch.tensor,
        shim.tensor,
        lambda v: torch.tensor(v, dtype=torch.bfloat16),
        lambda v: torch.tensor(v).double(),
    ):
        net.load_state_dict({"weight": kind([[1.0, 2.0]]), "bias": kind([3.0])})
        assert net.weight.tolist() == [[1, 2]] and net.bias.tolist() == [3] and net.weight.dtype is shim.float32
        shim.nn.init.zeros_(net.weight)
    with pytest.raises(
        RuntimeError, match=r"While copying the parameter named .weight., expected .* from checkpoint but received <class 'str'>"
    ):
        net.load_state_dict({"weight": "a", "bias": np.zeros(1)})


LOADS = {
    "missing": lambda t, s: s.pop("0.weight"),
    "missing, two": lambda t, s: [s.pop("0.weight"), s.pop("1.running_var")],
    "unexpected": lambda t, s: s.update({"7.weight": t.ones(1), "0.foo": t.ones(1), "bar": t.ones(1)}),
    "both": lambda t, s: [s.pop("0.weight"), s.update(foo=t.ones(1))],
    "shapes": lambda t, s: s.update({"0.weight": t.ones(3), "0.bias": t.ones(())}),
    "all": lambda t, s: [s.update({"0.bias": t.ones(9)}), s.pop("0.weight"), s.update(foo=t.ones(1))],
    "good": lambda t, s: None,
    "scalar as one element": lambda t, s: s.update({"1.num_batches_tracked": t.tensor([5])}),
}


@pytest.mark.parametrize("change", LOADS.values(), ids=LOADS)
@pytest.mark.parametrize("strict", [True, False])
def test_load_state_dict_reports_as_torch(change, strict):
    def program(t):
        net = t.nn.Sequential(t.nn.Linear(2, 3), t.nn.BatchNorm1d(3))
        state = OrderedDict((name, value + 1) for name, value in net.state_dict().items())
        change(t, state)
        try:
            result = net.load_state_dict(state, strict=strict)
            print(result, result.missing_keys, result.unexpected_keys)
        except RuntimeError as error:
            print(error)
        return net.state_dict()

    same(program)


def test_loading_into_a_custom_network_names_it():
    def program(t):
        net, _ = xor_mlp(t)
        try:
            net.load_state_dict({"in_to_hid.weight": t.ones(2, 2)})
        except RuntimeError as error:
            print(error)

    same(program)
    same_error(lambda t: t.nn.ReLU().load_state_dict([1]), TypeError, "Expected state_dict to be dict-like, got <class 'list'>.")


def test_assign_takes_the_given_tensors():
    def program(t):
        net = t.nn.Linear(2, 2)
        state = {"weight": t.ones(2, 2, dtype=t.float64), "bias": t.zeros(2, dtype=t.float64)}
        net.load_state_dict(state, assign=True)
        with t.no_grad():
            state["weight"].fill_(3)
        return net.weight, net.weight.requires_grad, type(net.weight).__name__, net(t.ones(1, 2, dtype=t.float64))

    same(program)


def test_state_dict_shares_memory():
    def program(t):
        net = t.nn.Sequential(t.nn.Linear(2, 3), t.nn.BatchNorm1d(3))
        before = net.state_dict()
        net(t.randn(5, 2)).sum().backward()
        t.optim.SGD(net.parameters(), lr=0.5).step()
        before["0.bias"].fill_(7.0)
        print(before["0.weight"].requires_grad, net.state_dict(keep_vars=True)["0.weight"].requires_grad)
        print(list(net.state_dict(prefix="net.")), before._metadata)
        destination = OrderedDict()
        assert net.state_dict(destination=destination, prefix="a.") is destination
        return before, net[0].bias, net.state_dict()

    same(program)


# -- attributes


def module(t, *parts, **attributes):
    """A Module with the attributes assigned after super().__init__()."""
    net = t.nn.Module()
    for name, value in attributes.items():
        setattr(net, name, value)
    return net


def before_init(t, value):
    class Net(t.nn.Module):
        def __init__(self):
            self.part = value

    return Net()


ERRORS = {
    "tensor as parameter": (
        lambda t: setattr(t.nn.Linear(2, 2), "weight", t.ones(2, 2)),
        TypeError,
        r"cannot assign 'torch.FloatTensor' as parameter 'weight' \(torch.nn.Parameter or None expected\)",
    ),
    "number as parameter": (lambda t: setattr(t.nn.Linear(2, 2), "weight", 3), TypeError, "cannot assign 'int' as parameter 'weight'"),
    "tensor as module": (
        lambda t: setattr(t.nn.Sequential(t.nn.ReLU()), "0", 3),
        TypeError,
        r"cannot assign 'int' as child module '0' \(torch.nn.Module or None expected\)",
    ),
    "number as buffer": (
        lambda t: setattr(t.nn.BatchNorm1d(2), "running_mean", 3),
        TypeError,
        r"cannot assign 'int' as buffer 'running_mean' \(torch.nn.Buffer, torch.Tensor or None expected\)",
    ),
    "module before init": (lambda t: before_init(t, t.nn.ReLU()), AttributeError, r"cannot assign module before Module.__init__\(\) call"),
    "parameter before init": (
        lambda t: before_init(t, t.nn.Parameter(t.ones(1))),
        AttributeError,
        r"cannot assign parameters before Module.__init__\(\) call",
    ),
    "missing attribute": (lambda t: t.nn.ReLU().foo, AttributeError, "'ReLU' object has no attribute 'foo'"),
    "buffer with a dot": (lambda t: t.nn.Module().register_buffer("a.b", None), KeyError, r"buffer name can\\'t contain \".\""),
    "buffer without a name": (lambda t: t.nn.Module().register_buffer("", None), KeyError, r"buffer name can\\'t be empty string"),
    "buffer that exists": (lambda t: t.nn.Module().register_buffer("training", None), KeyError, "attribute 'training' already exists"),
    "buffer of a number": (
        lambda t: t.nn.Module().register_buffer("a", 3),
        TypeError,
        r"cannot assign 'int' object to buffer 'a' \(torch Tensor or None required\)",
    ),
    "buffer's name a number": (lambda t: t.nn.Module().register_buffer(3, None), TypeError, "buffer name should be a string. Got int"),
    "parameter with a dot": (lambda t: t.nn.Module().register_parameter("a.b", None), KeyError, "parameter name can"),
    "parameter that exists": (lambda t: t.nn.ReLU().register_parameter("inplace", None), KeyError, "attribute 'inplace' already exists"),
    "parameter of a tensor": (
        lambda t: t.nn.Module().register_parameter("a", t.ones(1)),
        TypeError,
        r"cannot assign 'torch.FloatTensor' object to parameter 'a' \(torch.nn.Parameter or None required\)",
    ),
    "module with a dot": (lambda t: t.nn.Module().add_module("a.b", None), KeyError, r"module name can\\'t contain \".\", got: a.b"),
    "module of a number": (lambda t: t.nn.Module().add_module("a", 3), TypeError, "int is not a Module subclass"),
    "module that exists": (lambda t: t.nn.Module().add_module("forward", None), KeyError, "attribute 'forward' already exists"),
    "Sequential of a number": (lambda t: t.nn.Sequential(3), TypeError, "int is not a Module subclass"),
    "Sequential of a function": (lambda t: t.nn.Sequential(t.relu), TypeError, "is not a Module subclass"),
    "ModuleList of a module": (
        lambda t: t.nn.ModuleList(t.nn.ReLU()),
        TypeError,
        "ModuleList.extend should be called with an iterable, but got ReLU",
    ),
    "no forward": (lambda t: t.nn.Module()(1), NotImplementedError, r'Module \[Module\] is missing the required "forward" function'),
    "ModuleList has no forward": (
        lambda t: t.nn.ModuleList()(1),
        NotImplementedError,
        r'Module \[ModuleList\] is missing the required "forward" function',
    ),
    "constructor's arguments": (lambda t: t.nn.Module(3), TypeError, r"Module.__init__\(\) takes 1 positional argument but 2 were given"),
    "constructor's keywords": (lambda t: t.nn.Module(a=3), TypeError, r"Module.__init__\(\) got an unexpected keyword argument 'a'"),
    "train": (lambda t: t.nn.ReLU().train(1), ValueError, "training mode is expected to be boolean"),
    "to an integer type": (
        lambda t: t.nn.Linear(1, 1).to(t.int64),
        TypeError,
        "nn.Module.to only accepts floating point or complex dtypes, but got desired dtype=torch.int64",
    ),
    "get_submodule": (lambda t: t.nn.Sequential(t.nn.ReLU()).get_submodule("1"), AttributeError, "Sequential has no attribute `1`"),
    "get_submodule of a number": (lambda t: t.nn.ReLU().get_submodule("inplace"), AttributeError, "`inplace` is not an nn.Module"),
    "get_parameter": (lambda t: t.nn.Sequential(t.nn.ReLU()).get_parameter("0.weight"), AttributeError, "ReLU has no attribute `weight`"),
    "get_parameter of a number": (lambda t: t.nn.ReLU().get_parameter("inplace"), AttributeError, "`inplace` is not an nn.Parameter"),
    "get_buffer": (lambda t: t.nn.ReLU().get_buffer("a"), AttributeError, "ReLU has no attribute `a`"),
    "get_buffer of a parameter": (lambda t: t.nn.Linear(1, 1).get_buffer("weight"), AttributeError, "`weight` is not a buffer"),
    "index": (lambda t: t.nn.Sequential(t.nn.ReLU())[1], IndexError, "index 1 is out of range"),
    "negative index": (lambda t: t.nn.ModuleList([t.nn.ReLU()])[-2], IndexError, "index -2 is out of range"),
    "insert": (lambda t: t.nn.Sequential(t.nn.ReLU()).insert(5, t.nn.ReLU()), IndexError, "Index out of range: 5"),
    "Sequential + list": (
        lambda t: t.nn.Sequential() + [1],
        ValueError,
        "add operator supports only objects of Sequential class, but <class 'list'> is given",
    ),
    "Sequential * 0": (lambda t: t.nn.Sequential(t.nn.ReLU()) * 0, ValueError, "Non-positive multiplication factor 0"),
    "key": (lambda t: t.nn.ModuleDict()["a"], KeyError, "a"),
    "parameter of integers": (
        lambda t: t.nn.Parameter(t.arange(3)),
        RuntimeError,
        "[oO]nly Tensors of floating point.* dtype can require gradients",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    program, error, text = ERRORS[name]
    same_error(program, error, text)


def test_an_attribute_changes_its_kind():
    def program(t):
        net = t.nn.Module()
        net.part = 3
        net.part = t.nn.Parameter(t.ones(2))
        print([n for n, _ in net.named_parameters()], "part" in net.__dict__)
        net.part = None
        del net.part
        net.part = t.nn.ReLU()
        print([n for n, _ in net.named_parameters()], net)
        net.part = None
        print(net)
        net.other = t.nn.Buffer(t.zeros(2))
        net.third = t.nn.Buffer(t.zeros(2), persistent=False)
        net.third = t.ones(2)
        print(list(net.state_dict()), [n for n, _ in net.named_buffers()])
        net.other = t.nn.Parameter(t.ones(1))
        net.third = t.nn.Parameter(t.ones(1))
        print(list(net.state_dict()), [n for n, _ in net.named_buffers()], [n for n, _ in net.named_parameters()])
        del net.third
        print(hasattr(net, "third"), "other" in dir(net), "third" in dir(net))
        net.register_parameter("absent", None)
        print(net.absent, [n for n, _ in net.named_parameters()])
        net.absent = t.nn.Parameter(t.zeros(1))
        return net.state_dict()

    same(program)


def test_buffers():
    def program(t):
        net = t.nn.Module()
        net.register_buffer("kept", t.arange(3.0))
        net.register_buffer("lost", t.arange(2), persistent=False)
        net.register_buffer("none", None)
        print(list(net.state_dict()), [n for n, _ in net.named_buffers()], net.none)
        net.kept = t.ones(5)
        net.register_buffer("lost", t.arange(4))
        print(list(net.state_dict()), len(list(net.buffers())))
        return net.kept, net.double().state_dict(), net.get_buffer("kept")

    same(program)


def test_plain_tensors_are_no_part_of_a_module():
    def program(t):
        net = module(t, a=t.ones(2), b=[t.nn.Linear(1, 1)], c={"d": t.nn.Parameter(t.ones(1))})
        print(net, list(net.parameters()), list(net.state_dict()))

    same(program)


# -- walking


def test_shared_modules_and_tied_weights():
    def program(t):
        nn = t.nn

        class Tied(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Linear(3, 3)
                self.again = self.first
                self.second = nn.Linear(3, 3, bias=False)
                self.second.weight = self.first.weight
                self.norms = nn.Sequential(nn.BatchNorm1d(3), nn.Sequential(nn.ReLU()))
                self.empty = None

            def forward(self, x):
                return self.second(self.again(self.norms(self.first(x))))

        net = Tied()
        for walk in (
            *(
                net.named_parameters(),
                net.named_parameters(remove_duplicate=False),
                net.named_parameters("a", recurse=False),
                net.named_parameters(prefix="p"),
            ),
            *(net.named_buffers(), net.named_buffers(prefix="b", recurse=False), net.named_modules(), net.named_modules(prefix="m")),
            *(net.named_modules(remove_duplicate=False), net.named_children(), net.norms.named_children()),
        ):
            print([name for name, _ in walk])
        print(
            len(list(net.parameters())),
            len(list(net.modules())),
            len(list(net.children())),
            len(list(net.buffers())),
            list(net.state_dict()),
        )
        y = net(t.randn(4, 3))
        y.sum().backward()
        print(net)
        twin = copy.deepcopy(net)
        print(twin.second.weight is twin.first.weight, twin.again is twin.first, twin.first is net.first)
        print(net.get_submodule("norms.1.0"), net.get_parameter("first.weight").shape, net.get_submodule("") is net)
        return y, list(net.parameters()), twin.state_dict()

    same(program)


def test_train_eval_and_apply():
    def program(t):
        net = normalised(t)[0]
        print([m.training for m in net.modules()], net.eval() is net, [m.training for m in net.modules()])
        net.blocks[0].train()
        print([m.training for m in net.modules()])
        net.apply(lambda m: print(type(m).__name__))
        net.apply(lambda m: t.nn.init.constant_(m.weight, 2.0) if isinstance(m, t.nn.Linear) else None)
        print(net.requires_grad_(False) is net, [p.requires_grad for p in net.parameters()])
        return net.state_dict()

    same(program)


CONVERSIONS = {
    "double": lambda t, m: m.double(),
    "half": lambda t, m: m.half(),
    "bfloat16": lambda t, m: m.bfloat16(),
    "float": lambda t, m: m.double().float(),
    "to dtype": lambda t, m: m.to(t.float64),
    "to dtype, named": lambda t, m: m.to(dtype=t.float16),
    "to device": lambda t, m: m.to("cpu"),
    "to device and dtype": lambda t, m: m.to(t.device("cpu"), t.float64),
    "to another's": lambda t, m: m.to(t.ones(1, dtype=t.float64)),
    "cpu": lambda t, m: m.cpu(),
    "type": lambda t, m: m.type(t.float64),
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
def test_conversions(convert):
    def program(t):
        net = t.nn.Sequential(t.nn.Linear(2, 3), t.nn.BatchNorm1d(3))
        net.register_buffer("steps", t.arange(3))
        weight = net[0].weight
        net(t.ones(2, 2)).sum().backward()
        print(convert(t, net) is net, net[0].weight is weight, weight.is_leaf, weight.grad.dtype)
        return net.state_dict(), list(net.parameters())

    same(program)


def test_constructors_take_dtype_and_device():
    same(lambda t: t.nn.Linear(2, 2, dtype=t.float64, device="cpu").state_dict())


@pytest.mark.parametrize("to_none", [True, False])
def test_zero_grad(to_none):
    def program(t):
        net = t.nn.Linear(2, 1)
        loss = net(t.ones(1, 2)).pow(2).sum()
        loss.backward(create_graph=True)
        kept = net.weight.grad
        net.zero_grad(set_to_none=to_none)
        print(kept.requires_grad, kept.grad_fn is None)
        return net.weight.grad, net.bias.grad

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using backward.* with create_graph=True")
        same(program)


# -- hooks


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


# -- containers


def layers(t, n=3):
    return [t.nn.Linear(i + 1, i + 2) for i in range(n)]


def named(t):
    return t.nn.Sequential(OrderedDict([("fc", t.nn.Linear(1, 2)), ("act", t.nn.ReLU()), ("out", t.nn.Linear(2, 1))]))


CONTAINERS = {
    "Sequential": lambda t: t.nn.Sequential(*layers(t)),
    "Sequential, empty": lambda t: t.nn.Sequential(),
    "Sequential, named": lambda t: [named(t), named(t).fc, named(t)[0], named(t)[-1], named(t)[1:], named(t)(t.ones(1, 1))],
    "Sequential, slice": lambda t: [t.nn.Sequential(*layers(t))[s] for s in (slice(1, None), slice(None, -1), slice(None, None, 2))],
    "Sequential, append": lambda t: t.nn.Sequential(*layers(t)).append(t.nn.Tanh()).append(t.nn.ReLU()),
    "Sequential, append to named": lambda t: named(t).append(t.nn.Tanh()),
    "Sequential, extend": lambda t: t.nn.Sequential(*layers(t)).extend([t.nn.Tanh(), t.nn.ReLU()]),
    "Sequential, insert": lambda t: [t.nn.Sequential(*layers(t)).insert(i, t.nn.Tanh()) for i in (0, 1, 3, -1)],
    "Sequential, pop": lambda t: (lambda s: [s.pop(1), s, len(s), s.pop(slice(0, 1)), s])(t.nn.Sequential(*layers(t))),
    "Sequential, set": lambda t: (lambda s: [s.__setitem__(1, t.nn.Tanh()), s, s.__setitem__(-1, t.nn.ReLU()), s])(
        t.nn.Sequential(*layers(t))
    ),
    "Sequential, delete": lambda t: (lambda s: [s.__delitem__(0), s, s.__delitem__(slice(0, 1)), s])(t.nn.Sequential(*layers(t))),
    "Sequential, delete from named": lambda t: (lambda s: [s.__delitem__(1), s])(named(t)),
    "Sequential, +": lambda t: t.nn.Sequential(*layers(t)) + t.nn.Sequential(t.nn.Tanh()),
    "Sequential, +=": lambda t: t.nn.Sequential(*layers(t)).__iadd__(t.nn.Sequential(t.nn.Tanh())),
    "Sequential, *": lambda t: [
        t.nn.Sequential(t.nn.Tanh(), t.nn.ReLU()) * 2,
        2 * t.nn.Sequential(t.nn.Tanh()),
        t.nn.Sequential(t.nn.Tanh()).__imul__(3),
    ],
    "Sequential, shared": lambda t: (lambda m: (lambda s: [s, s.__delitem__(0), s, len(s)])(t.nn.Sequential(m, m, m)))(t.nn.Tanh()),
    "Sequential, iterate": lambda t: [list(t.nn.Sequential(*layers(t))), len(t.nn.Sequential(*layers(t))), bool(t.nn.Sequential())],
    "Sequential, add_module": lambda t: (lambda s: [s.add_module("last", t.nn.Tanh()), s, s.last])(t.nn.Sequential(*layers(t))),
    "Sequential, nested": lambda t: t.nn.Sequential(t.nn.Sequential(*layers(t)), t.nn.Sequential(t.nn.Flatten())),
    "Sequential, dir": lambda t: "0" in dir(t.nn.Sequential(t.nn.Tanh())),
    "ModuleList": lambda t: [t.nn.ModuleList(layers(t)), t.nn.ModuleList(), t.nn.ModuleList(iter(layers(t)))],
    "ModuleList, repeated": lambda t: t.nn.ModuleList(
        [t.nn.Linear(2, 2) for _ in range(3)] + [t.nn.ReLU()] + [t.nn.Sequential(t.nn.Tanh())] * 2
    ),
    "ModuleList, slice": lambda t: [t.nn.ModuleList(layers(t))[s] for s in (slice(1, None), slice(None, -1), slice(None, None, 2))],
    "ModuleList, index": lambda t: [t.nn.ModuleList(layers(t))[i] for i in (0, -1, True)],
    "ModuleList, +": lambda t: [t.nn.ModuleList(layers(t)) + [t.nn.Tanh()], t.nn.ModuleList(layers(t)) + t.nn.ModuleList([t.nn.Tanh()])],
    "ModuleList, +=": lambda t: t.nn.ModuleList(layers(t)).__iadd__([t.nn.Tanh()]),
    "ModuleList, append": lambda t: t.nn.ModuleList(layers(t)).append(t.nn.Tanh()),
    "ModuleList, extend": lambda t: t.nn.ModuleList(layers(t)).extend(t.nn.Sequential(t.nn.Tanh())),
    "ModuleList, insert": lambda t: (lambda m: [m.insert(1, t.nn.Tanh()), m, m.insert(4, t.nn.ReLU()), m])(t.nn.ModuleList(layers(t))),
    "ModuleList, pop": lambda t: (lambda m: [m.pop(-1), m, m.pop(0), m, list(m.state_dict())])(t.nn.ModuleList(layers(t))),
    "ModuleList, delete": lambda t: (lambda m: [m.__delitem__(slice(None, None, 2)), m])(t.nn.ModuleList(layers(t))),
    "ModuleList, in": lambda t: (lambda m: [m in t.nn.ModuleList([m]), t.nn.Tanh() in t.nn.ModuleList([m])])(t.nn.Tanh()),
    "ModuleDict": lambda t: [
        t.nn.ModuleDict({"a": t.nn.Tanh(), "b": t.nn.ReLU()}),
        t.nn.ModuleDict([["x", t.nn.ReLU()]]),
        t.nn.ModuleDict(),
    ],
    "ModuleDict, of another": lambda t: t.nn.ModuleDict(t.nn.ModuleDict({"a": t.nn.Tanh()})),
    "ModuleDict, items": lambda t: (lambda m: [list(m), list(m.keys()), list(m.values()), list(m.items()), len(m), "a" in m, "z" in m])(
        t.nn.ModuleDict({"a": t.nn.Tanh(), "b": t.nn.ReLU()})
    ),
    "ModuleDict, change": lambda t: (
        lambda m: [m.update({"b": t.nn.ReLU()}), m.__setitem__("c", t.nn.Tanh()), m, m.pop("a"), m.__delitem__("b"), m, m.clear(), m]
    )(t.nn.ModuleDict({"a": t.nn.Tanh()})),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers(name):
    def program(t):
        result = CONTAINERS[name](t)
        for item in result if isinstance(result, list) else [result]:
            print(item, list(item.state_dict().items()) if isinstance(item, t.nn.Module) else "")

    same(program)


# -- copies


class Whole(shim.nn.Module):
    """At the top of a file, as pickle needs it."""

    def __init__(self):
        super().__init__()
        self.fc = shim.nn.Linear(2, 2)
        self.tied = self.fc
        self.norm = shim.nn.BatchNorm1d(2)
        self.register_buffer("lost", shim.ones(1), persistent=False)
        self.note = "a note"

    def forward(self, x):
        return self.norm(self.tied(x)) * self.lost


@pytest.mark.parametrize("twin", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_copies_are_apart(twin):
    net = Whole().eval()
    net.fc.weight.requires_grad_(False)
    net(shim.ones(2, 2)).sum().backward()
    other = twin(net)
    assert repr(other) == repr(net) and other.note == "a note" and not other.training and other.tied is other.fc
    assert [p.requires_grad for p in other.parameters()] == [p.requires_grad for p in net.parameters()]
    assert list(other.state_dict()) == list(net.state_dict()) and list(map(type, other.parameters())) == list(map(type, net.parameters()))
    assert other(shim.ones(2, 2)).tolist() == net(shim.ones(2, 2)).tolist()
    with shim.no_grad():
        other.fc.weight.fill_(5)
    assert 5 not in net.fc.weight.tolist()[0]
    other.register_forward_hook(lambda m, args, output: None)
    other.extra = shim.nn.Parameter(shim.ones(1))
    assert not net._forward_hooks and not hasattr(net, "extra")


# -- subclasses and changed hyperparameters


def test_a_subclass_of_linear():
    def program(t):
        class Scaled(t.nn.Linear):
            def __init__(self, inputs, outputs, scale):
                super().__init__(inputs, outputs)
                self.scale = t.nn.Parameter(t.tensor(scale))
                self.layer = t.nn.Tanh()

            def forward(self, x):
                return self.layer(super().forward(x)) * self.scale

            def extra_repr(self):
                return super().extra_repr() + ", scaled"

        net = t.nn.Sequential(Scaled(2, 3, 2.0), t.nn.ReLU())
        print(net, isinstance(net[0], t.nn.Linear))
        y = net(t.randn(2, 2))
        y.sum().backward()
        return y, list(net.parameters()), net.state_dict()

    same(program)


def test_a_module_without_extra_repr_and_one_with_several_lines():
    def program(t):
        class Net(t.nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = t.nn.Linear(1, 1)

            def extra_repr(self):
                return "one\ntwo"

        class Bare(t.nn.Module):
            def extra_repr(self):
                return "text"

        print(Net(), Bare(), t.nn.Module(), t.nn.Sequential(Net()))

    same(program)


def test_changed_hyperparameters_take_effect():
    def program(t):
        conv, dropout, norm = t.nn.Conv2d(1, 2, 3), t.nn.Dropout(0.5), t.nn.BatchNorm1d(3)
        x, y = t.randn(2, 1, 8, 8), t.randn(7, 3)
        results = [conv(x)]
        conv.stride, conv.padding = (2, 2), (1, 1)
        results += [conv(x), dropout(y)]
        dropout.p = 0.1
        results += [dropout(y), norm(y)]
        norm.momentum, norm.eps = 0.7, 0.1
        print(conv, dropout, norm)
        results += [norm(y), norm.running_mean, norm.running_var]
        norm.momentum = None
        results += [norm(y), norm.running_mean, norm.num_batches_tracked]
        norm.reset_running_stats()
        return [*results, norm.running_var, norm.num_batches_tracked]

    same(program)


def test_reset_parameters_draws_again():
    def program(t):
        net = t.nn.Sequential(t.nn.Linear(3, 2), t.nn.Conv2d(1, 1, 2), t.nn.BatchNorm1d(2), t.nn.LayerNorm(2), t.nn.Embedding(3, 2))
        for m in net:
            m.reset_parameters()
        return net.state_dict()

    same(program)


def test_batch_norm_writes_its_buffers_in_place():
    def program(t):
        norm = t.nn.BatchNorm1d(2)
        mean, state = norm.running_mean, norm.state_dict()
        norm(t.randn(5, 2) + 3)
        print(norm.running_mean is mean)
        return mean, state

    same(program)


# -- writing to parameters


WRITES = {
    "copy_": lambda t, fc: fc.weight.copy_(t.arange(6.0).view(3, 2)),
    "a new Parameter": lambda t, fc: setattr(fc, "weight", t.nn.Parameter(t.arange(6.0).view(3, 2))),
    "data": lambda t, fc: setattr(fc.weight, "data", t.arange(6.0).view(3, 2)),
    "data.add_": lambda t, fc: fc.weight.data.add_(1.5),
    "data, indexed": lambda t, fc: fc.weight.data.__setitem__(0, 7.0),
    "sub_": lambda t, fc: fc.weight.sub_(0.5 * t.ones(3, 2)),
    "-=": lambda t, fc: fc.weight.__isub__(0.5),
    "fill_": lambda t, fc: fc.bias.fill_(2.0),
    "indexed": lambda t, fc: fc.weight[1].zero_(),
    "by index": lambda t, fc: fc.weight.__setitem__((slice(None), 0), 3.0),
    "the bias away": lambda t, fc: setattr(fc, "bias", None),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_writing_to_parameters(write):
    def program(t):
        fc = t.nn.Linear(2, 3)
        state = fc.state_dict()
        with t.no_grad():
            write(t, fc)
        y = fc(t.ones(2, 2))
        y.sum().backward()
        print(fc, fc.weight, [p.is_leaf for p in fc.parameters()])
        return y, list(fc.parameters()), fc.state_dict(), state

    same(program)


def test_writing_to_a_parameter_with_gradients_on_is_an_error():
    same_error(
        lambda t: t.nn.Linear(2, 2).weight.zero_(),
        RuntimeError,
        "a leaf Variable that requires grad is being used in an in-place operation",
    )
    same_error(
        lambda t: t.nn.Linear(2, 2).weight.__setitem__(0, 1.0),
        RuntimeError,
        "a view of a leaf Variable that requires grad is being used in an in-place",
    )


def test_a_parameter_shares_memory_with_its_data():
    def program(t):
        source = t.zeros(2)
        parameter = t.nn.Parameter(source)
        source.add_(1)
        frozen = t.nn.Parameter(source, requires_grad=False)
        print(isinstance(parameter, t.Tensor), isinstance(source, t.nn.Parameter), type(parameter * 2).__name__, parameter.requires_grad)
        return (
            parameter,
            frozen,
            t.nn.Parameter((source * 3).requires_grad_()),
            parameter.detach(),
            copy.deepcopy(parameter),
            parameter.data,
        )

    same(program)


def test_freezing_a_parameter():
    def program(t):
        net = t.nn.Sequential(t.nn.Linear(2, 2), t.nn.Linear(2, 1))
        net[0].weight.requires_grad = False
        net(t.ones(1, 2)).sum().backward()
        return list(net.parameters())

    same(program)
