"""torch.nn.utils: vectors of parameters, weight and spectral normalisation by hooks, fused layers, modules without drawn values."""

import copy
import warnings

import pytest
from twin import same, same_error

import funnn.torch as shim


def layer(torch, kind="Linear"):
    return {
        "Linear": lambda: torch.nn.Linear(3, 4),
        "Conv2d": lambda: torch.nn.Conv2d(3, 4, 2),
        "up": lambda: torch.nn.ConvTranspose2d(3, 4, 2),
    }[kind]()


def sample(torch, kind="Linear"):
    return torch.randn(2, 3) if kind == "Linear" else torch.randn(2, 3, 3, 3)


def step(torch, model, x):
    """The output, and the gradients of a loss."""
    model.zero_grad()
    y = model(x)
    y.sin().sum().backward()
    return y, dict(model.named_parameters()), dict(model.named_buffers())


def test_names():
    import torch

    assert set(torch.nn.utils.__all__) <= set(dir(shim.nn.utils))
    for name in ("parametrize", "parametrizations", "prune"):
        theirs = __import__(f"torch.nn.utils.{name}", fromlist=["x"])
        ours = __import__(f"funnn.torch.nn.utils.{name}", fromlist=["x"])
        public = {key for key, value in vars(theirs).items() if key[0] != "_" and getattr(value, "__module__", None) == theirs.__name__}
        assert public <= set(dir(ours)), public - set(dir(ours))


def test_parameters_as_a_vector():
    def program(torch):
        model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
        vector = torch.nn.utils.parameters_to_vector(model.parameters())
        (vector * torch.arange(13.0)).sum().backward()
        new = torch.arange(13.0)
        torch.nn.utils.vector_to_parameters(new, model.parameters())
        new[0] = 7.0
        print(model[0].weight, model[1].bias.is_leaf)
        return vector, list(model.parameters())

    same(program)
    same_error(lambda t: t.nn.utils.vector_to_parameters([1.0], []), TypeError, "expected torch.Tensor, but got")
    same_error(lambda t: t.nn.utils.vector_to_parameters(t.ones(1), [t.ones(2)]), RuntimeError, "shape")


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated")
@pytest.mark.parametrize(("kind", "dim"), [("Linear", 0), ("Linear", None), ("up", 1)])
def test_weight_norm_by_a_hook(kind, dim):
    def program(torch):
        model, x = layer(torch, kind), sample(torch, kind)
        value = model.weight.detach().clone()
        print(torch.nn.utils.weight_norm(model, dim=dim), list(model.state_dict()), type(model.weight.grad_fn).__name__)
        first = step(torch, model, x)
        with torch.no_grad():
            model.weight_g.mul_(2)
        results = [first, step(torch, model, x), value, torch.norm_except_dim(value, 1, -1 if dim is None else dim)]
        torch.nn.utils.remove_weight_norm(model)
        print(list(model.state_dict()), len(model._forward_pre_hooks), isinstance(model.weight, torch.nn.Parameter))
        return [*results, step(torch, model, x)]

    same(program)


def test_weight_norm_warns_and_refuses():
    def program(torch):
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            model = torch.nn.utils.weight_norm(torch.nn.Linear(2, 2))
        print([(w.category.__name__, str(w.message).replace(" \n", " ")) for w in found])
        return torch, model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same_error(
            lambda t: t.nn.utils.weight_norm(program(t)[1]),
            RuntimeError,
            "Cannot register two weight_norm hooks on the same parameter weight",
        )
        same_error(lambda t: t.nn.utils.weight_norm(t.nn.LazyLinear(2)), ValueError, "uninitialized parameters")
    same(lambda t: program(t)[1].state_dict())
    same_error(lambda t: t.nn.utils.remove_weight_norm(t.nn.Linear(2, 2)), ValueError, "weight_norm of 'weight' not found in Linear")


@pytest.mark.parametrize("kind", ["Linear", "up"])
def test_spectral_norm_by_a_hook(kind):
    def program(torch):
        model, x = layer(torch, kind), sample(torch, kind)
        print(torch.nn.utils.spectral_norm(model, n_power_iterations=2), list(model.state_dict()), len(list(model.parameters())))
        first, second = model(x), model(x + 1)
        (first.sin() - second.cos()).sum().backward()  # two forward passes before one backward
        results = [first, second, dict(model.named_parameters()), dict(model.named_buffers())]
        state = copy.deepcopy(model.state_dict())
        print(state._metadata)
        other = torch.nn.utils.spectral_norm(layer(torch, kind))
        print(other.load_state_dict(state))
        model.eval()
        results += [model(x), other.eval()(x)]
        torch.nn.utils.remove_spectral_norm(model)
        print(list(model.state_dict()), len(model._forward_pre_hooks), len(model._state_dict_hooks))
        return [*results, model(x)]

    same(program)
    same_error(lambda t: t.nn.utils.remove_spectral_norm(layer(t)), ValueError, "spectral_norm of 'weight' not found in Linear")
    same_error(
        lambda t: t.nn.utils.spectral_norm(t.nn.utils.spectral_norm(layer(t))), RuntimeError, "Cannot register two spectral_norm hooks"
    )
    same_error(lambda t: t.nn.utils.spectral_norm(layer(t), n_power_iterations=0), ValueError, "Expected n_power_iterations to be positive")
    same_error(
        lambda t: t.nn.utils.spectral_norm(t.nn.Linear(2, 2, bias=False), "bias"),
        ValueError,
        "cannot be applied as parameter `bias` is None",
    )


def test_an_old_state_of_spectral_norm():
    """A state_dict from before version 1 has the weight itself, and no v."""

    def program(torch):
        model, x = torch.nn.utils.spectral_norm(torch.nn.Linear(3, 4)), sample(torch)
        model(x)
        state = model.state_dict()
        state["weight"] = model.weight.detach().clone()
        del state["weight_v"], state._metadata
        other = torch.nn.utils.spectral_norm(torch.nn.Linear(3, 4))
        print(other.load_state_dict(state))
        return other.eval()(x), other.weight_u

    same(program, tolerance=(1e-3, 1e-4))  # a pseudo-inverse of AᵀA in float32 squares the condition number


def test_fused_layers():
    def program(torch):
        results = []
        for make, norm, x, transpose in (
            (lambda: torch.nn.Conv2d(3, 4, 2, bias=False), torch.nn.BatchNorm2d(4), torch.randn(2, 3, 3, 3), False),
            (lambda: torch.nn.ConvTranspose2d(3, 4, 2), torch.nn.BatchNorm2d(4, affine=False), torch.randn(2, 3, 3, 3), True),
            (lambda: torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.randn(2, 3), None),
        ):
            first = make()
            with torch.no_grad():
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.5, 2)
            first.eval(), norm.eval()
            fuse = torch.nn.utils
            fused = fuse.fuse_linear_bn_eval(first, norm) if transpose is None else fuse.fuse_conv_bn_eval(first, norm, transpose)
            print(fused, [p.requires_grad for p in fused.parameters()])
            assert torch.allclose(fused(x), norm(first(x)), atol=1e-5)
            results += [fused.weight, fused.bias]
        return results

    same(program)
    same_error(lambda t: t.nn.utils.fuse_conv_bn_eval(t.nn.Conv2d(1, 1, 1), t.nn.BatchNorm2d(1)), AssertionError, "Fusion only for eval!")
    same_error(
        lambda t: t.nn.utils.fuse_linear_bn_eval(t.nn.Linear(2, 3).eval(), t.nn.BatchNorm1d(2).eval()),
        AssertionError,
        "To fuse, linear.out_features",
    )
    same_error(
        lambda t: t.nn.utils.fuse_linear_bn_eval(t.nn.Linear(2, 3).eval(), t.nn.BatchNorm1d(3, track_running_stats=False).eval()),
        AssertionError,
        "must not be None",
    )


def test_modules_without_drawn_values():
    def program(torch):
        model = torch.nn.utils.skip_init(torch.nn.Conv2d, 1, 2, kernel_size=3, dtype=torch.float64)
        print(model, model.weight.dtype, model.weight.shape, model.weight.requires_grad, model.weight.device)
        return torch.rand(3)  # the generator has not moved

    same(program)
    same_error(lambda t: t.nn.utils.skip_init(int), RuntimeError, "Expected a Module; got")
    same_error(lambda t: t.nn.utils.skip_init(t.nn.ReLU), RuntimeError, "Module must support a 'device' arg to skip initialization")


def test_memory_formats():
    def program(torch):
        model = torch.nn.Sequential(
            torch.nn.Conv2d(2, 3, 2), torch.nn.Sequential(torch.nn.ConvTranspose2d(3, 2, 2)), torch.nn.Conv3d(2, 2, 2)
        )
        print(torch.nn.utils.convert_conv2d_weight_memory_format(model, torch.channels_last) is model)
        torch.nn.utils.convert_conv3d_weight_memory_format(model, torch.channels_last_3d)
        print([p.stride() for p in model.parameters()])
        return list(model.parameters())

    same(program)


def test_stateless_call():
    def program(torch):
        model, x = torch.nn.Linear(3, 4), sample(torch)
        given = {"weight": torch.ones(4, 3, requires_grad=True)}
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            y = torch.nn.utils.stateless.functional_call(model, given, x)
        print([w.category.__name__ for w in found])
        y.sum().backward()
        return y, given, list(model.parameters())

    same(program)
