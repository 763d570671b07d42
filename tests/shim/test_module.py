"""Module, its containers and Parameter against torch's: the same program in both namespaces does the same."""

import copy
import pickle
import warnings

import pytest
from networks import NETWORKS, normalised, xor_mlp
from twin import same, same_error

import funnn.torch as shim

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


def test_submodules_by_path():
    def program(t):
        net = t.nn.Sequential(t.nn.Sequential(t.nn.ReLU(), t.nn.Tanh()), t.nn.Linear(1, 1))
        net.set_submodule("0.1", t.nn.Sigmoid())
        net.set_submodule("0.new", t.nn.GELU())
        net.set_submodule("1", t.nn.Identity(), strict=True)
        print(net)

    same(program)
    for target, value, error, text in (
        ("", True, ValueError, "Cannot set the submodule without a target name"),
        ("0", False, ValueError, "`module` is not an nn.Module, found"),
        ("7.weight", True, AttributeError, "Sequential has no attribute `7`"),
        ("1.weight", True, AttributeError, "`weight` is not an nn.Module"),
        ("0.x", None, AttributeError, "`?x`?"),
    ):

        def program(t, target=target, value=value):
            net = t.nn.Sequential(t.nn.Sequential(), t.nn.Linear(1, 1))
            net.set_submodule(target, t.nn.ReLU() if value is not False else 3, strict=value is None)

        same_error(program, error, text)


def test_places_and_formats():
    def program(t):
        net = t.nn.Sequential(t.nn.Conv2d(2, 3, 2), t.nn.BatchNorm2d(3))
        weight = net[0].weight
        print(net.to(memory_format=t.channels_last) is net, net[0].weight is weight, weight.is_contiguous(memory_format=t.channels_last))
        print(net.share_memory() is net, net.to_empty(device="cpu") is net, {n: (v.shape, v.dtype) for n, v in net.state_dict().items()})
        outer = t.nn.Sequential(net)
        outer._apply(lambda tensor: tensor.double(), recurse=False)
        print(net[0].weight.dtype, outer._apply(lambda tensor: tensor.double())[0][0].weight.dtype, type(weight).__name__)

    same(program)


def test_a_copied_parameter_has_no_gradient():
    def program(t):
        net = t.nn.Linear(1, 1)
        net(t.ones(1, 1)).sum().backward()
        return list(net.parameters()), list(copy.deepcopy(net).parameters())

    same(program)


def test_a_base_class_beside_module():
    def program(t):
        class Named:
            def __init__(self, name, **rest):
                super().__init__(**rest)
                self.name = name

        class Net(t.nn.Module, Named):
            call_super_init = True

        class Other(Named, t.nn.Linear):
            pass

        print(Net(name="net").name, Net("first").name, Other("linear", in_features=1, out_features=2))

    same(program)
