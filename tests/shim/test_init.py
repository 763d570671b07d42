"""nn.init against torch's: the same values after the same seed, the same warnings and errors."""

import inspect

import jax
import numpy as np
import pytest
import torch
from twin import same, same_error

import funnn.torch as shim
from funnn import init

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
    "trunc_normal_": [{}, {"mean": 1.0, "std": 0.5, "a": 0.8, "b": 1.4}, {"a": 1.5, "b": 2.0}, {"a": -0.2, "b": 0.1}],
    "eye_": [{}],
    "dirac_": [{}],
    "orthogonal_": [{}, {"gain": 3.0}],
    "sparse_": [{"sparsity": 0.3}, {"sparsity": 0.7, "std": 2.0}],
}
SHAPES = [(3, 2), (5, 7), (4, 3, 3, 2), (2, 3, 5)]
#: The initialisers that take other shapes.
OWN_SHAPES = {"eye_": SHAPES[:2], "sparse_": SHAPES[:2], "dirac_": [(4, 3, 3, 2), (2, 3, 5), (3, 3, 4, 4, 4)]}
#: The draws of the first normals, and then a QR decomposition, whose rounding is not LAPACK's.
TOLERANCES = {"orthogonal_": (1e-5, 1e-5)}


def test_every_initialiser_is_here():
    ours = {name for name, value in vars(shim.nn.init).items() if inspect.isfunction(value) and name.endswith("_") and name[0] != "_"}
    theirs = {name for name in torch.nn.init.__all__ if name.endswith("_")}
    assert ours == set(CALLS) and theirs == ours


@pytest.mark.parametrize("name, options", [(name, options) for name, calls in CALLS.items() for options in calls])
def test_values(name, options):
    def program(t):
        results = []
        for dtype in (t.float32, t.float64):
            for shape in OWN_SHAPES.get(name, SHAPES):
                weight = t.nn.Parameter(t.empty(shape, dtype=dtype))
                result = getattr(t.nn.init, name)(weight, **options)
                print(result is weight, weight.is_leaf, weight.requires_grad)
                results.append(weight)
        part = t.zeros(6, 5)
        if name != "dirac_":
            getattr(t.nn.init, name)(part[1:4], **options)
        return [*results, part, t.rand(2)]

    same(program, TOLERANCES.get(name))


LAYOUTS = {
    "transposed": lambda t: t.zeros(7, 5).t(),
    "every second": lambda t: t.zeros(20, 16)[:, ::2],
    "a part of each row": lambda t: t.zeros(20, 20)[:, :17],
    "permuted": lambda t: t.zeros(3, 4, 5).permute(2, 0, 1),
    "channels last": lambda t: t.zeros(4, 3, 5, 5).to(memory_format=t.channels_last),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CALLS)
def test_what_is_not_contiguous_is_drawn_in_the_order_of_its_memory(name, layout):
    rank = len(LAYOUTS[layout](torch).shape)
    if rank not in {len(shape) for shape in OWN_SHAPES.get(name, SHAPES)} or (name == "orthogonal_" and layout == "channels last"):
        return  # PyTorch refuses it

    def program(t):
        weight = LAYOUTS[layout](t)
        for options in CALLS[name]:
            print(getattr(t.nn.init, name)(weight, **options).stride())
        return weight, t.rand(2)

    same(program, TOLERANCES.get(name))


@pytest.mark.parametrize("name", ["uniform_", "normal_", "xavier_uniform_", "sparse_"])
def test_an_expanded_tensor_is_refused(name):
    options = {"sparsity": 0.5} if name == "sparse_" else {}
    same_error(
        lambda t: getattr(t.nn.init, name)(t.zeros(4, 1).expand(4, 3), **options), RuntimeError, "more than one element of the written-to"
    )


@pytest.mark.parametrize("name", ["uniform_", "normal_", "xavier_uniform_", "kaiming_normal_", "trunc_normal_", "orthogonal_", "sparse_"])
def test_a_generator_of_ones_own(name):
    def program(t):
        generator = t.Generator()
        generator.manual_seed(5)
        arguments = (0.5,) if name == "sparse_" else ()
        weight = getattr(t.nn.init, name)(t.empty(4, 5), *arguments, generator=generator)
        t.nn.init.uniform_(weight[:1], 0.0, 1.0, generator)
        return weight, t.rand(2)

    same(program, TOLERANCES.get(name))


@pytest.mark.parametrize("name", sorted(name[:-1] for name in CALLS if name not in ("zeros_", "ones_", "trunc_normal_")))
def test_deprecated_names_warn(name):
    def program(t):
        arguments = (0.5,) if name in ("constant", "sparse") else ()
        with pytest.warns(FutureWarning) as warned:
            weight = getattr(t.nn.init, name)(t.empty((3, 2, 3) if name == "dirac" else (3, 2)), *arguments)
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
    "eye": (lambda t: t.nn.init.eye_(t.empty(3)), "Only tensors with 2 dimensions are supported"),
    "dirac": (lambda t: t.nn.init.dirac_(t.empty(3, 3)), "Only tensors with 3, 4, or 5 dimensions are supported"),
    "dirac's groups": (lambda t: t.nn.init.dirac_(t.empty(3, 3, 3), 2), "dim 0 must be divisible by groups"),
    "orthogonal": (lambda t: t.nn.init.orthogonal_(t.empty(3)), "Only tensors with 2 or more dimensions are supported"),
    "sparse": (lambda t: t.nn.init.sparse_(t.empty(3), 0.5), "Only tensors with 2 dimensions are supported"),
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
        assert ours == theirs


@pytest.mark.parametrize("name", ["kaiming_uniform_", "kaiming_normal_"])
@pytest.mark.parametrize("size", [(3, 0), (0, 3)])
def test_nothing_to_draw(name, size):
    for library in (torch, shim):
        with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
            assert getattr(library.nn.init, name)(library.empty(size)).shape == size
    with pytest.warns(UserWarning, match="zero-element"):
        same(lambda t: t.nn.Linear(0, 3).bias)


def test_dirac_in_groups():
    same(lambda t: [t.nn.init.dirac_(t.empty(6, 2, 3), 3), t.nn.init.dirac_(t.empty(6, 4, 3, 2), groups=2)])


def test_a_mean_far_outside_warns():
    def program(t):
        with pytest.warns(UserWarning, match="mean is more than 2 std from"):
            weight = t.nn.init.trunc_normal_(t.empty(5), mean=3.0, std=0.5, a=0.0, b=1.0)
        return (weight >= 0).all(), (weight <= 1).all()

    same(program)


def test_fans():
    for shape in SHAPES:
        ours, theirs = (t.nn.init._calculate_fan_in_and_fan_out(t.empty(shape)) for t in (shim, torch))
        assert ours == theirs and shim.nn.init._calculate_correct_fan(shim.empty(shape), "fan_out") == theirs[1]


def test_keys_draw_too():
    """The pure forms with a JAX key, also under jit."""
    draws = jax.jit(
        lambda key: [init.trunc_normal(key, (4000,), a=-1.0, b=0.5), init.sparse(key, (10, 4), 0.25), init.orthogonal(key, (4, 6))]
    )
    truncated, sparse, orthogonal = map(np.asarray, draws(jax.random.key(0)))
    assert (
        truncated.min() >= -1 and truncated.max() <= 0.5 and abs(truncated.mean() + 0.2066) < 0.02
    )  # its mean, (φ(a) − φ(b))/(Φ(b) − Φ(a))
    assert ((sparse == 0).sum(0) == 3).all()
    np.testing.assert_allclose(orthogonal @ orthogonal.T, np.eye(4), atol=1e-5)
