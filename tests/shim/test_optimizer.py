"""Optimizers in the shim against torch's: the same programs train to the same numbers. SGD and Adam stand for all, see test_optim_db.py."""

import copy
import importlib
import itertools
import pickle
import warnings

import jax
import numpy as np
import pytest
import torch
from twin import compare, same, same_error

import funnn.torch as shim
from funnn.engine.program.states import count_states
from funnn.torch.optim import _update

OPTIONS = [
    *(("SGD", {"lr": 0.02, "momentum": m, "weight_decay": 0.01, "maximize": x}) for m, x in itertools.product((0, 0.8), (False, True))),
    *(("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}), ("SGD", {"lr": torch.tensor(0.1), "weight_decay": 0.1})),
    *(("Adam", {"lr": 0.1, "betas": (0.5, 0.9), "eps": 1e-3, "amsgrad": a}) for a in (False, True)),
    *(("AdamW", {"maximize": True}), ("Adam", {"weight_decay": 0.1, "decoupled_weight_decay": True})),
]
PRECISE = {"float32": (1e-5, 1e-5), "float64": (1e-9, 1e-9)}


def convert(t, options):
    """The options with their tensors of this library."""
    return {name: t.tensor(value.numpy()) if isinstance(value, torch.Tensor) else value for name, value in options.items()}


def network(t, dtype="float64"):
    return t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 2)).to(getattr(t, dtype))


def data(t, dtype="float64"):
    return t.randn(16, 3, dtype=t.float64).to(getattr(t, dtype)), t.randn(16, 2, dtype=t.float64).to(getattr(t, dtype))


def train(t, net, optimizer, batch, steps):
    x, y = batch
    for _ in range(steps):
        optimizer.zero_grad()
        loss = t.nn.functional.mse_loss(net(x), y)
        loss.backward()
        optimizer.step()
    return loss


@pytest.mark.parametrize("dtype", PRECISE)
@pytest.mark.parametrize("name, options", OPTIONS, ids=lambda value: str(value).replace(" ", ""))
def test_training_loops(name, options, dtype):
    def program(t):
        net, batch = network(t, dtype), data(t, dtype)
        optimizer = getattr(t.optim, name)(net.parameters(), **convert(t, options))
        loss = train(t, net, optimizer, batch, 20)
        state = optimizer.state_dict()
        print(optimizer)
        return loss.detach(), net.state_dict(), state["param_groups"], dict(sorted(state["state"].items()))

    same(program, PRECISE[dtype])


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("switch", ["foreach", "fused", "capturable"])
def test_switches_that_change_no_number(name, switch):
    if name == "SGD" and switch == "capturable":
        name = "NAdam"  # torch's SGD has no such argument

    def program(t):
        # torch refuses capturable on a CPU, so its reference is without.
        options = {switch: True} if t is shim else {}
        net, batch = network(t), data(t)
        train(t, net, getattr(t.optim, name)(net.parameters(), lr=0.1, **options), batch, 5)
        return net.state_dict()

    same(program, PRECISE["float64"])


def test_16_bit_parameters():
    def program(t):
        net = t.nn.Linear(3, 2).bfloat16()
        optimizer = t.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        for _ in range(5):
            optimizer.zero_grad()
            net(t.ones(4, 3).bfloat16()).pow(2).mean().backward()
            optimizer.step()
        return net.weight, optimizer.state_dict()["state"][0]["momentum_buffer"]

    same(program, (2e-2, 1e-2))


# -- parameter groups


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_parameter_groups(name):
    def program(t):
        net, batch = network(t), data(t)
        groups = [{"params": net[0].parameters(), "lr": 0.5}, {"params": [net[2].bias], "weight_decay": 0.3}]
        optimizer = getattr(t.optim, name)(groups, lr=0.01)
        train(t, net, optimizer, batch, 3)
        optimizer.add_param_group({"params": net[2].weight, "lr": 0.2})
        train(t, net, optimizer, batch, 3)
        for group in optimizer.param_groups:
            group["lr"] *= 0.5
        train(t, net, optimizer, batch, 3)
        print(optimizer, len(optimizer.param_groups), sorted(optimizer.defaults), optimizer.param_groups[2]["params"][0] is net[2].weight)
        state = optimizer.state_dict()
        return net.state_dict(), state["param_groups"], state["state"]

    same(program, PRECISE["float64"])


def test_named_parameters():
    def program(t):
        net, batch = network(t), data(t)
        optimizer = t.optim.SGD(net.named_parameters(), lr=0.1)
        train(t, net, optimizer, batch, 2)
        print(optimizer)
        return optimizer.state_dict()["param_groups"], net.state_dict()

    same(program, PRECISE["float64"])


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_parameters_without_gradient_are_skipped(name):
    def program(t):
        a, b, c = (t.nn.Parameter(t.ones(2, dtype=t.float64)) for _ in range(3))
        c.requires_grad_(False)
        optimizer = getattr(t.optim, name)([a, b, c], lr=0.1, weight_decay=0.1, **({"momentum": 0.9} if name == "SGD" else {}))
        for i in range(6):
            optimizer.zero_grad()
            ((a * 2).sum() if i % 3 == 0 else (a * b).sum()).backward()
            optimizer.step()
        optimizer.zero_grad()
        optimizer.step()
        return a, b, c, optimizer.state_dict()["state"]

    same(program, PRECISE["float64"])


def test_momentum_switched_on_and_off():
    def program(t):
        net, batch = network(t), data(t)
        optimizer = t.optim.SGD(net.parameters(), lr=0.1, dampening=0.3)
        for momentum in (0, 0.9, 0.5, 0, 0.9):
            optimizer.param_groups[0]["momentum"] = momentum
            train(t, net, optimizer, batch, 2)
        return net.state_dict(), optimizer.state_dict()["state"]

    same(program, PRECISE["float64"])


def test_amsgrad_and_betas_changed_in_the_middle():
    def program(t):
        net, batch = network(t), data(t)
        optimizer = t.optim.Adam(net.parameters(), lr=0.1, amsgrad=True)
        train(t, net, optimizer, batch, 3)
        optimizer.param_groups[0].update(betas=(0.5, 0.6), eps=1e-2, maximize=True)
        train(t, net, optimizer, batch, 3)
        optimizer.param_groups[0]["amsgrad"] = False
        train(t, net, optimizer, batch, 3)
        return net.state_dict()

    same(program, PRECISE["float64"])


# -- step, zero_grad, hooks


def test_closures():
    def program(t):
        net, (x, y) = network(t), data(t)
        optimizer = t.optim.Adam(net.parameters(), lr=0.1)

        def closure():
            optimizer.zero_grad()
            loss = t.nn.functional.mse_loss(net(x), y)
            loss.backward()
            return loss

        losses = [optimizer.step(closure).detach(), optimizer.step(closure=closure).detach()]
        with t.no_grad():
            losses.append(optimizer.step(closure).detach())
        print(optimizer.step())
        return losses, net.state_dict()

    same(program, PRECISE["float64"])


def test_zero_grad():
    def program(t):
        a, b = t.nn.Parameter(t.ones(2)), t.nn.Parameter(t.ones(2))
        optimizer = t.optim.SGD([a, b], lr=0.1, momentum=0.9, weight_decay=0.1)
        (a * 3).sum().backward()
        kept = a.grad
        optimizer.zero_grad(set_to_none=False)
        print(kept is a.grad, b.grad)
        optimizer.step()
        results = [a.detach().clone(), kept.clone()]
        optimizer.zero_grad()
        print(a.grad)
        return results

    same(program)


def test_hooks():
    def program(t):
        p = t.nn.Parameter(t.ones(2))
        optimizer = t.optim.SGD([p], lr=0.1)
        before = optimizer.register_step_pre_hook(lambda o, args, kwargs: print("pre", o is optimizer, len(args), sorted(kwargs)))
        optimizer.register_step_post_hook(lambda o, args, kwargs: print("post", o is optimizer, len(args), sorted(kwargs)))
        p.sum().backward()
        optimizer.step()
        optimizer.step(lambda: p.sum())
        optimizer.step(closure=lambda: p.sum())
        before.remove()
        optimizer.step()
        optimizer.register_step_pre_hook(lambda o, args, kwargs: (args, {"closure": lambda: 7}))
        print(optimizer.step())
        return p

    same(program)


def test_parameters_are_written_in_place():
    def program(t):
        p = t.nn.Parameter(t.ones(2))
        view, optimizer = p.detach(), t.optim.Adam([p], lr=0.5)
        (p * 2).sum().backward()
        optimizer.step()
        print(p.is_leaf, p.requires_grad, sorted(optimizer.state[p]))
        return view, p

    same(program)


def test_hooks_of_all_optimizers_and_of_state_dicts():
    def program(t):
        optimizer = t.optim.SGD([t.nn.Parameter(t.ones(2))], lr=0.1)
        module = importlib.import_module(f"{t.__name__}.optim.optimizer")
        handles = [module.register_optimizer_step_pre_hook(lambda o, args, kwargs: print("all, before"))]
        handles.append(module.register_optimizer_step_post_hook(lambda o, args, kwargs: print("all, after")))
        optimizer.register_step_pre_hook(lambda o, args, kwargs: print("own, before"))
        optimizer.register_step_post_hook(lambda o, args, kwargs: print("own, after"))
        optimizer.step()
        for handle in handles:
            handle.remove()
        optimizer.step()
        optimizer.register_state_dict_pre_hook(lambda o: print("saving", o is optimizer))
        optimizer.register_state_dict_post_hook(lambda o, state: {**state, "note": 1})
        optimizer.register_state_dict_post_hook(lambda o, state: print("first", sorted(state)), prepend=True)
        state = optimizer.state_dict()
        print(sorted(state))
        optimizer.register_load_state_dict_pre_hook(lambda o, state: print("loading", state.pop("note")))
        optimizer.register_load_state_dict_post_hook(lambda o: print("loaded", o is optimizer))
        optimizer.load_state_dict(state)
        print(sorted(state))

    same(program)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad"])  # torch's own Rprop fails at the second step
def test_gradients_flow_through_a_differentiable_step(name):
    def program(t):
        start, scale = t.tensor([0.5, -1.0], dtype=t.float64), t.tensor(1.5, dtype=t.float64, requires_grad=True)
        param = (start * scale).clone()
        optimizer = getattr(t.optim, name)([param], lr=0.1, weight_decay=0.1, differentiable=True)
        for step in range(3):
            param.grad = scale * t.tensor([0.3, -0.7], dtype=t.float64) * (1 + step)
            optimizer.step()
        (derivative,) = t.autograd.grad((param**2).sum(), scale)
        return param.detach(), derivative

    # torch's differentiable Adam corrects its bias in float32
    same(program, (1e-5, 1e-5) if name == "Adam" else PRECISE["float64"])


def test_a_differentiable_step_refuses_leaves():
    def program(t):
        p = t.nn.Parameter(t.ones(2))
        optimizer = t.optim.Adam([p], differentiable=True)
        p.grad = t.ones(2)
        optimizer.step()

    same_error(program, RuntimeError, "a leaf Variable that requires grad is being used in an in-place operation")


def test_parameters_that_step_apart_count_apart():
    """The count of steps is one array while all step together, and one for each parameter after."""

    def program(t):
        a, b = t.nn.Parameter(t.ones(2)), t.nn.Parameter(t.ones(2))
        optimizer = t.optim.Adam([a, b], lr=0.1)
        for step in range(6):
            optimizer.zero_grad()
            ((a * a).sum() + (0 if step == 2 else (b * 3).sum())).backward()
            optimizer.step()
            if step == 3:
                optimizer.state[a]["step"] += 5
        return a, b, optimizer.state_dict()["state"]

    same(program)


def test_state_that_was_read_survives_the_next_step():
    p = shim.nn.Parameter(shim.ones(3))
    optimizer = shim.optim.Adam([p])
    p.grad = shim.ones(3)
    optimizer.step()
    tensor = optimizer.state[p]["exp_avg"]
    array, view, copied = tensor.numpy(), tensor[:2], tensor.detach().clone()
    before = array.copy()
    optimizer.step()
    np.testing.assert_array_equal(array, tensor.tolist())
    np.testing.assert_array_equal(copied.numpy(), before)
    np.testing.assert_array_equal(view.numpy(), tensor.numpy()[:2])
    assert (tensor.numpy() > before).all()


# -- state_dict


def pairs(name, options):
    """The same network and optimizer in both libraries."""
    made = []
    for t in (torch, shim):
        t.manual_seed(0)
        net, batch = network(t), data(t)
        made.append((t, net, getattr(t.optim, name)(net.parameters(), **convert(t, options)), batch))
    return made


CONTINUED = [("SGD", {"lr": 0.1}), ("SGD", {"lr": torch.tensor(0.1)}), ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5})]
CONTINUED += [("Adam", {"weight_decay": 0.1}), ("Adam", {"lr": 0.1, "amsgrad": True})]


@pytest.mark.parametrize("name, options", CONTINUED, ids=lambda value: str(value).replace(" ", ""))
@pytest.mark.parametrize("ours_first", [True, False])
def test_training_continues_in_the_other_library(name, options, ours_first):
    one, other = pairs(name, options)[:: -1 if ours_first else 1]
    train(*one, 3)
    compare_to, loaded_from = pairs(name, options)[:: -1 if ours_first else 1][0], one[2].state_dict()
    train(*compare_to, 8)
    t = other[0]
    other[1].load_state_dict({k: t.tensor(v.numpy()) for k, v in one[1].state_dict().items()})
    other[2].load_state_dict(translated(loaded_from, t) if t is torch else loaded_from)
    train(*other, 5)
    theirs, ours = (other[1], compare_to[1]) if t is torch else (compare_to[1], other[1])
    compare(ours.state_dict(), theirs.state_dict(), tolerance=PRECISE["float64"])
    theirs, ours = (other[2], compare_to[2]) if t is torch else (compare_to[2], other[2])
    compare(ours.state_dict()["param_groups"], theirs.state_dict()["param_groups"])


def translated(value, t):
    """Ours with torch's tensors: what a file of tensors would give torch."""
    if isinstance(value, shim.Tensor):
        return t.tensor(value.numpy())
    if isinstance(value, dict):
        return {name: translated(item, t) for name, item in value.items()}
    return type(value)(translated(item, t) for item in value) if isinstance(value, (list, tuple)) else value


def test_loading_replaces_options_and_copies_state():
    def program(t):
        one, two = (t.optim.SGD([t.nn.Parameter(t.ones(2))], lr=lr, momentum=0.9) for lr in (0.1, 0.2))
        for o in (one, two):
            (o.param_groups[0]["params"][0] * 2).sum().backward()
            o.step()
        one.param_groups[0]["initial_lr"] = 5.0
        state = one.state_dict()
        two.load_state_dict(state)
        two.param_groups[0]["lr"] = 0.7
        print(
            two,
            one.param_groups[0]["lr"],
            state["param_groups"][0]["lr"],
            two.param_groups[0]["params"][0] is not one.param_groups[0]["params"][0],
        )
        return two.state_dict()

    same(program)


def test_state_is_cast_to_the_parameter_but_steps_stay_float32():
    def program(t):
        net = t.nn.Linear(1, 1)
        optimizer = t.optim.Adam(net.parameters())
        net(t.ones(1, 1)).sum().backward()
        optimizer.step()
        state = optimizer.state_dict()
        double = t.nn.Linear(1, 1).double()
        other = t.optim.Adam(double.parameters())
        other.load_state_dict(state)
        return other.state_dict()["state"]

    same(program)


@pytest.mark.parametrize("twin", [lambda o: pickle.loads(pickle.dumps(o)), copy.deepcopy], ids=["pickle", "deepcopy"])
def test_optimizers_pickle_and_copy(twin):
    def program(t):
        net, batch = network(t), data(t)
        optimizer = t.optim.Adam(net.parameters(), lr=0.1)
        train(t, net, optimizer, batch, 2)
        other = twin(optimizer)
        print(other, len(other.state), other.param_groups[0]["params"][0] is not net[0].weight)
        for p in other.param_groups[0]["params"]:
            p.grad = t.ones_like(p)
        other.step()
        return other.state_dict(), net.state_dict()

    same(program, PRECISE["float64"])


# -- errors


ERRORS = {
    "empty": (lambda t: t.optim.SGD([]), ValueError, "optimizer got an empty parameter list"),
    "a tensor": (
        lambda t: t.optim.SGD(t.ones(1)),
        TypeError,
        "params argument given to the optimizer should be an iterable of Tensors or dicts",
    ),
    "numbers": (lambda t: t.optim.Adam([1.0]), TypeError, "optimizer can only optimize Tensors, but one of the params is float"),
    "a result": (lambda t: t.optim.SGD([t.ones(1, requires_grad=True) * 2]), ValueError, "can't optimize a non-leaf Tensor"),
    "a set": (
        lambda t: t.optim.SGD([{"params": {t.ones(1)}}]),
        TypeError,
        "optimizer parameters need to be organized in ordered collections",
    ),
    "lr": (lambda t: t.optim.SGD([t.ones(1)], lr=-1), ValueError, "Invalid learning rate: -1"),
    "momentum": (lambda t: t.optim.SGD([t.ones(1)], momentum=-0.5), ValueError, "Invalid momentum value: -0.5"),
    "nesterov": (lambda t: t.optim.SGD([t.ones(1)], nesterov=True), ValueError, "Nesterov momentum requires a momentum and zero dampening"),
    "eps": (lambda t: t.optim.Adam([t.ones(1)], eps=-1), ValueError, "Invalid epsilon value: -1"),
    "beta": (lambda t: t.optim.Adam([t.ones(1)], betas=(0.5, 1.5)), ValueError, "Invalid beta parameter at index 1: 1.5"),
    "group": (
        lambda t: t.optim.SGD([t.ones(1)]).add_param_group([t.ones(1)]),
        TypeError,
        "param_group must be a dict, but got <class 'list'>",
    ),
    "state, groups": (
        lambda t: t.optim.SGD([t.ones(1)]).load_state_dict({"state": {}, "param_groups": []}),
        ValueError,
        "loaded state dict has a different number of parameter groups",
    ),
    "state, sizes": (
        lambda t: t.optim.SGD([t.ones(1)]).load_state_dict(t.optim.SGD([t.ones(1), t.ones(1)]).state_dict()),
        ValueError,
        "loaded state dict contains a parameter group that doesn't match the size of optimizer's group",
    ),
    "step": (lambda t: t.optim.Optimizer([t.ones(1)], {}).step(), NotImplementedError, ""),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    program, error, text = ERRORS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pytest.PytestWarning)
        same_error(program, error, text)


# -- an optimizer of one's own


def test_a_users_optimizer():
    def program(t):
        class Sign(t.optim.Optimizer):
            def __init__(self, params, lr=0.1):
                super().__init__(params, {"lr": lr})

            @t.no_grad()
            def step(self, closure=None):
                for group in self.param_groups:
                    for p in group["params"]:
                        if p.grad is not None:
                            self.state[p]["calls"] = self.state[p].get("calls", 0) + 1
                            p.add_(p.grad.sign(), alpha=-group["lr"])

        net, batch = network(t), data(t)
        optimizer = Sign(net.parameters())
        optimizer.register_step_post_hook(lambda o, args, kwargs: print("stepped"))
        train(t, net, optimizer, batch, 3)
        print(optimizer, optimizer.state_dict()["state"], optimizer.state_dict()["param_groups"])
        optimizer.load_state_dict(optimizer.state_dict())
        print(optimizer.state_dict()["state"])
        return net.state_dict()

    same(program, PRECISE["float64"])


# -- compilations


def test_state_that_is_made_while_compiling_is_concrete():
    _update._zero.cache_clear()
    p = shim.nn.Parameter(shim.ones(11))
    optimizer = shim.optim.Adam([p])

    def step():
        optimizer.zero_grad()
        p.sum().backward()
        optimizer.step()

    shim.compile(step)()
    assert not isinstance(_update._zero(np.dtype("float32")), jax.core.Tracer)
    assert optimizer.state[p]["step"].item() == 1


@pytest.mark.parametrize("name, options", [("SGD", {"momentum": 0.9}), ("Adam", {})])
def test_changed_numbers_compile_nothing(name, options):
    p = shim.nn.Parameter(shim.ones(11))
    optimizer = getattr(shim.optim, name)([p], **options)
    for i, lr in enumerate((0.1, 0.2, 1, 0, 1e-3)):
        p.grad = shim.ones(11)
        optimizer.param_groups[0].update(lr=lr, weight_decay=i + 1)  # whether it is 0 decides which program there is
        optimizer.step()
        if i == 0:
            states = count_states()
    assert count_states() == states
    np.testing.assert_array_equal(p.detach().numpy() < 1, True)
