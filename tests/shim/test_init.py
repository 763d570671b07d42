"""nn.init against torch's: the same values after the same seed, the same warnings and errors."""

import inspect

import pytest
import torch
from twin import same, same_error

import funnn.torch as shim

CALLS = {
    "uniform_": [{}, {"a": -2.0, "b": 3.0}],
    "normal_": [{}, {"mean": 1.0, "std": 0.1}],
    "constant_": [{"val": 0.3}, {"val": 2}],
    "zeros_": [{}],
    "ones_": [{}],
    "xavier_uniform_": [{}, {"gain": 2.0}],
    "xavier_normal_": [{}, {"gain": 0.5}],
    "kaiming_uniform_": [{}, {"a": 0.1, "mode": "fan_out"}, {"nonlinearity": "relu"}, {"mode": "FAN_IN", "nonlinearity": "tanh"}],
    "kaiming_normal_": [{}, {"a": 0.1, "mode": "fan_out"}, {"nonlinearity": "relu"}, {"nonlinearity": "selu"}],
}
MISSING = {"trunc_normal_", "eye_", "dirac_", "orthogonal_", "sparse_"}  # they would need funnn.init's counterparts first
SHAPES = [(3, 2), (5, 7), (4, 3, 3, 2), (2, 3, 5)]


def test_every_initialiser_is_here():
    ours = {name for name, value in vars(shim.nn.init).items() if inspect.isfunction(value) and name.endswith("_")}
    theirs = {name for name in torch.nn.init.__all__ if name.endswith("_")}
    assert ours == set(CALLS) and theirs - ours == MISSING


@pytest.mark.parametrize("name, options", [(name, options) for name, calls in CALLS.items() for options in calls])
def test_values(name, options):
    def program(t):
        results = []
        for dtype in (t.float32, t.float64):
            for shape in SHAPES:
                weight = t.nn.Parameter(t.empty(shape, dtype=dtype))
                result = getattr(t.nn.init, name)(weight, **options)
                print(result is weight, weight.is_leaf, weight.requires_grad)
                results.append(weight)
        part = t.zeros(6, 5)
        getattr(t.nn.init, name)(part[1:4], **options)
        return [*results, part, t.rand(2)]

    same(program)


@pytest.mark.parametrize("name", ["uniform_", "normal_", "xavier_uniform_", "kaiming_normal_"])
def test_a_generator_of_ones_own(name):
    def program(t):
        generator = t.Generator()
        generator.manual_seed(5)
        return getattr(t.nn.init, name)(t.empty(4, 5), generator=generator), t.rand(2)

    same(program)


@pytest.mark.parametrize("name", sorted(name[:-1] for name in CALLS if name not in ("zeros_", "ones_")))
def test_deprecated_names_warn(name):
    def program(t):
        arguments = (0.5,) if name == "constant" else ()
        with pytest.warns(FutureWarning) as warned:
            weight = getattr(t.nn.init, name)(t.empty(3, 2), *arguments)
        print([str(w.message) for w in warned], [w.filename == __file__ for w in warned])
        return weight

    same(program)


def test_gains():
    names = ["linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]
    names += ["sigmoid", "tanh", "relu", "leaky_relu", "selu"]
    for name in names:
        assert shim.nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    for slope in (0, 0.2, 3):
        assert shim.nn.init.calculate_gain("leaky_relu", slope) == torch.nn.init.calculate_gain("leaky_relu", slope)


ERRORS = {
    "gain": (lambda t: t.nn.init.calculate_gain("gelu"), "Unsupported nonlinearity gelu"),
    "slope": (lambda t: t.nn.init.calculate_gain("leaky_relu", True), "negative_slope True not a valid number"),
    "mode": (
        lambda t: t.nn.init.kaiming_uniform_(t.empty(2, 2), mode="fan"),
        r"Mode fan not supported, please use one of \['fan_in', 'fan_out'\]",
    ),
    "fans": (
        lambda t: t.nn.init.xavier_uniform_(t.empty(3)),
        "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions",
    ),
    "fans of a scalar": (lambda t: t.nn.init.kaiming_normal_(t.empty(())), "Fan in and fan out can not be computed"),
    "nonlinearity": (lambda t: t.nn.init.kaiming_normal_(t.empty(2, 2), nonlinearity="swish"), "Unsupported nonlinearity swish"),
}


@pytest.mark.parametrize("program, text", ERRORS.values(), ids=ERRORS)
def test_errors(program, text):
    same_error(program, ValueError, text)


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
def test_nothing_to_initialise(name):
    def program(t):
        with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
            return getattr(t.nn.init, name)(t.empty(0, 3))

    same(program)


def test_initialising_a_network_the_usual_way():
    def program(t):
        def weights(m):
            if isinstance(m, t.nn.Linear):
                t.nn.init.xavier_uniform_(m.weight)
                m.bias.data.fill_(0.01)
            elif isinstance(m, t.nn.Conv2d):
                t.nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                t.nn.init.zeros_(m.bias)
            elif isinstance(m, t.nn.BatchNorm2d):
                m.weight.data.normal_(1.0, 0.02)

        net = t.nn.Sequential(t.nn.Conv2d(1, 4, 3), t.nn.BatchNorm2d(4), t.nn.Flatten(), t.nn.Linear(4, 2))
        return net.apply(weights).state_dict()

    same(program)


def test_the_signatures_name_a_tensor():
    for name in CALLS:
        ours, theirs = (list(inspect.signature(getattr(t.nn.init, name)).parameters) for t in (shim, torch))
        assert [p for p in ours if p != "generator"] == [p for p in theirs if p != "generator"]


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
@pytest.mark.parametrize("size", [(3, 0), (0, 3)])
def test_nothing_to_draw(name, size):
    for library in (torch, shim):
        with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
            assert getattr(library.nn.init, name)(library.empty(size)).shape == size
    with pytest.warns(UserWarning, match="zero-element"):
        same(lambda t: t.nn.Linear(0, 3).bias)
