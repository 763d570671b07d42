"""torch.nn.utils.parametrize and the ready parametrizations: values, gradients, state_dicts, texts, errors."""

import copy
import pickle

import pytest
from twin import same, same_error


def modules(torch):
    """Parametrizations of one's own."""

    class Symmetric(torch.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

        def right_inverse(self, a):
            return a.triu()

    class RankOne(torch.nn.Module):
        def forward(self, x, y):
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, z):
            return z[:, 0].clone(), z[0].clone()

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, x):
            return x * self.scale

    class Changed(torch.nn.Module):
        def __init__(self, change, inverse=None):
            super().__init__()
            self.forward = change
            if inverse is not None:
                self.right_inverse = inverse

    return Symmetric, RankOne, Scaled, Changed


def test_a_life_of_parametrizations():
    def program(torch):
        P = torch.nn.utils.parametrize
        symmetric, _, scaled, _ = modules(torch)
        model, x = torch.nn.Linear(3, 3), torch.randn(2, 3)
        first = model.weight
        print(P.register_parametrization(model, "weight", symmetric()) is model, P.is_parametrized(model, "bias"), P.is_parametrized(model))
        model.eval()
        P.register_parametrization(model, "weight", scaled())
        P.register_parametrization(model, "bias", scaled())
        print(model, P.type_before_parametrizations(model) is torch.nn.Linear, isinstance(model, torch.nn.Linear), type(model).__name__)
        print(model.parametrizations.weight[1].training, model.parametrizations.weight.original is first)
        print(list(model.state_dict()), [name for name, _ in model.named_parameters()])
        y = model(x)
        y.sin().sum().backward()
        results = [y, dict(model.named_parameters())]
        with P.cached():
            print(model.weight is model.weight)
            with P.cached():
                one = model.weight
            print(model.weight is one)
        print(model.weight is model.weight, P._cache if hasattr(P, "_cache") else {})
        other = copy.deepcopy(model)
        print(other, type(other) is type(model), other.parametrizations.weight.original is first)
        other.load_state_dict({key: value + 1 for key, value in model.state_dict().items()})
        results += [other(x), model(x)]
        P.remove_parametrizations(model, "weight")
        print(model, list(model.state_dict()), model.weight is first, P.is_parametrized(model, "weight"))
        P.remove_parametrizations(model, "bias", leave_parametrized=False)
        print(model, list(model.state_dict()), type(model) is torch.nn.Linear, hasattr(model, "parametrizations"))
        return [*results, model(x), dict(model.named_parameters())]

    same(program)


def test_several_originals_buffers_and_assignment():
    def program(torch):
        P = torch.nn.utils.parametrize
        symmetric, rank_one, scaled, _ = modules(torch)
        model = torch.nn.Linear(4, 3)
        P.register_parametrization(model, "weight", rank_one())
        print(list(model.state_dict()), model.parametrizations.weight.is_tensor, model.parametrizations.weight.ntensors)
        model.weight.square().sum().backward()
        results = [dict(model.named_parameters())]
        model.weight = torch.arange(12.0).reshape(3, 4)
        results.append(model.weight)
        target = P.transfer_parametrizations_and_params(model, torch.nn.Linear(4, 3))
        print(target.parametrizations.weight.original1 is model.parametrizations.weight.original1, target)
        print(P.transfer_parametrizations_and_params(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)))
        P.remove_parametrizations(model, "weight")
        print([(name, p.requires_grad, p.is_leaf) for name, p in model.named_parameters()])
        norm = torch.nn.BatchNorm1d(3)
        P.register_parametrization(norm, "running_mean", scaled())
        print(norm, list(norm.state_dict()), norm.running_mean)
        square = P.register_parametrization(torch.nn.Linear(3, 3), "weight", symmetric())
        value = torch.arange(9.0).reshape(3, 3)
        square.weight = value
        print(square.weight, square.parametrizations.weight.original)
        fewer = P.register_parametrization(torch.nn.Linear(3, 3), "weight", torch.nn.Flatten(0), unsafe=True)
        print(fewer.weight.shape, fewer.parametrizations.weight.unsafe)
        return [*results, model.weight.detach()]

    same(program)


ERRORS = {
    "no such tensor": (
        lambda t, P, c: P.register_parametrization(t.nn.Linear(2, 2), "w", t.nn.ReLU()),
        ValueError,
        "does not have a parameter, a buffer",
    ),
    "shape": (
        lambda t, P, c: P.register_parametrization(t.nn.Linear(2, 2), "weight", c(lambda x: x[0])),
        ValueError,
        "may not change the shape",
    ),
    "dtype": (
        lambda t, P, c: P.register_parametrization(t.nn.Linear(2, 2), "weight", c(lambda x: x.double())),
        ValueError,
        "may not change the dtype",
    ),
    "no tensor": (
        lambda t, P, c: P.register_parametrization(t.nn.Linear(2, 2), "weight", c(lambda x: 1)),
        ValueError,
        "must return a tensor. Got int",
    ),
    "inverse": (
        lambda t, P, c: P.register_parametrization(t.nn.Linear(2, 2), "weight", c(lambda x: x, lambda x: 1)),
        ValueError,
        "'right_inverse' must return a Tensor or a Sequence of tensors",
    ),
    "inverse's parts": (
        lambda t, P, c: P.register_parametrization(t.nn.Linear(2, 2), "weight", c(lambda x, y: x, lambda x: (x, 1))),
        ValueError,
        "Got element 1 of the sequence with type int",
    ),
    "inverse's dtype": (
        lambda t, P, c: P.register_parametrization(t.nn.Linear(2, 2), "weight", c(lambda x: x, lambda x: x.double())),
        ValueError,
        "it may not change the dtype",
    ),
    "second shape": (
        lambda t, P, c: P.register_parametrization(
            P.register_parametrization(t.nn.Linear(2, 2), "weight", t.nn.ReLU()), "weight", c(lambda x: x[0])
        ),
        ValueError,
        "may not change the shape",
    ),
    "assignment": (
        lambda t, P, c: setattr(P.register_parametrization(t.nn.Linear(2, 2), "weight", t.nn.ReLU()), "weight", t.ones(2, 2)),
        RuntimeError,
        "parametrization ReLU does not implement right_inverse",
    ),
    "a parameter assigned": (
        lambda t, P, c: setattr(
            P.register_parametrization(t.nn.Linear(2, 2), "weight", t.nn.ReLU()), "weight", t.nn.Parameter(t.ones(2, 2))
        ),
        KeyError,
        "attribute 'weight' already exists",
    ),
    "not parametrized": (
        lambda t, P, c: P.remove_parametrizations(t.nn.Linear(2, 2), "weight"),
        ValueError,
        "does not have a parametrization on weight",
    ),
    "several originals": (
        lambda t, P, c: P.remove_parametrizations(t.nn.utils.parametrizations.weight_norm(t.nn.Linear(2, 2)), "weight", False),
        ValueError,
        "Cannot leave unparametrized",
    ),
    "pickle": (
        lambda t, P, c: pickle.dumps(P.register_parametrization(t.nn.Linear(2, 2), "weight", t.nn.ReLU())),
        RuntimeError,
        "only supported through state_dict",
    ),
    "an empty list": (lambda t, P, c: P.ParametrizationList([], t.ones(2)), ValueError, "requires one or more modules"),
    "orthogonal rank": (
        lambda t, P, c: t.nn.utils.parametrizations.orthogonal(t.nn.Linear(2, 2), "bias"),
        ValueError,
        "Expected a matrix or batch",
    ),
    "orthogonal map": (
        lambda t, P, c: t.nn.utils.parametrizations.orthogonal(t.nn.Linear(2, 2), orthogonal_map="qr"),
        ValueError,
        "Got: qr",
    ),
    "orthogonal name": (
        lambda t, P, c: t.nn.utils.parametrizations.orthogonal(t.nn.Linear(2, 2), "w"),
        ValueError,
        "has no parameter or buffer with",
    ),
    "spectral dim": (
        lambda t, P, c: t.nn.utils.parametrizations.spectral_norm(t.nn.Linear(2, 2), dim=3),
        IndexError,
        "Dimension out of range",
    ),
    "spectral steps": (
        lambda t, P, c: t.nn.utils.parametrizations.spectral_norm(t.nn.Linear(2, 2), n_power_iterations=0),
        ValueError,
        "Expected n_power_iterations to be positive",
    ),
    "orthogonal assignment": (
        lambda t, P, c: setattr(
            t.nn.utils.parametrizations.orthogonal(t.nn.Linear(2, 2), orthogonal_map="cayley", use_trivialization=False),
            "weight",
            t.ones(2, 2),
        ),
        NotImplementedError,
        "use_trivialization=False",
    ),
    "orthogonal shape": (
        lambda t, P, c: setattr(t.nn.utils.parametrizations.orthogonal(t.nn.Linear(2, 2)), "weight", t.ones(3, 2)),
        ValueError,
        "Expected a matrix or batch of matrices of shape",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    make, error, text = ERRORS[name]
    same_error(lambda torch: make(torch, torch.nn.utils.parametrize, modules(torch)[3]), error, text)


def trained(torch, model, x, steps=2):
    """The outputs of a few steps of SGD, the gradients of the last, and what is left."""
    optimizer, outputs = torch.optim.SGD(model.parameters(), lr=0.1), []
    for _ in range(steps):
        optimizer.zero_grad()
        outputs.append(model(x))
        outputs[-1].square().sum().backward()
        optimizer.step()
    return outputs, dict(model.named_parameters()), dict(model.named_buffers())


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
def test_weight_norm():
    def program(torch):
        make = torch.nn.utils.parametrizations.weight_norm
        x, results = torch.randn(2, 3), []
        for dim in (0, None):
            model = make(torch.nn.Linear(3, 4), dim=dim)
            print(model, list(model.state_dict()), type(model.weight.grad_fn).__name__)
            results.append(trained(torch, model, x))
        older = torch.nn.utils.weight_norm(torch.nn.Linear(3, 4))
        new = torch.nn.Sequential(make(torch.nn.Linear(3, 4)))
        print(new.load_state_dict({f"0.{key}": value for key, value in older.state_dict().items()}))
        return [*results, new(x), make(torch.nn.LSTM(3, 2), "weight_hh_l0")(x)]

    same(program)


def test_spectral_norm():
    def program(torch):
        make = torch.nn.utils.parametrizations.spectral_norm
        model = torch.nn.Sequential(make(torch.nn.ConvTranspose1d(3, 2, 2), n_power_iterations=2), make(torch.nn.Linear(4, 5)))
        print(model, list(model.state_dict()))
        results = [trained(torch, model, torch.randn(2, 3, 3)), model.eval()[1].weight, model[1].weight]
        return [*results, make(torch.nn.Linear(3, 4), "bias").bias]

    same(program)


@pytest.mark.parametrize(("which", "features"), [("matrix_exp", 3), ("cayley", 2), ("householder", 4), (None, 2)])
def test_orthogonal(which, features):
    def program(torch):
        make = torch.nn.utils.parametrizations.orthogonal
        model = make(torch.nn.Linear(3, features), orthogonal_map=which)
        results = [trained(torch, model, torch.randn(2, 3))]
        model.weight = model.weight.detach() * 2 + 1
        print(model, list(model.state_dict()), model.parametrizations.weight[0].orthogonal_map)
        plain = make(torch.nn.Linear(3, features), orthogonal_map=which, use_trivialization=False)
        return [*results, model.weight, plain.weight]

    same(program, (2e-5, 5e-6))


def test_orthogonal_complex():
    def program(torch):
        model = torch.nn.Linear(3, 3, dtype=torch.complex64)
        torch.nn.utils.parametrizations.orthogonal(model)
        model.weight.abs().sum().backward()
        return model.weight, model.parametrizations.weight.original

    same(program)
    same_error(
        lambda t: t.nn.utils.parametrizations.orthogonal(t.nn.Linear(2, 2, dtype=t.complex64), orthogonal_map="householder"),
        ValueError,
        "does not support complex tensors",
    )


def test_reset_leaves_a_parametrised_weight():
    def program(torch):
        torch.manual_seed(0)
        net = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 2))
        before = net.weight.detach().clone()
        net.reset_parameters()
        return before, net.weight.detach(), net.bias

    same(program)
