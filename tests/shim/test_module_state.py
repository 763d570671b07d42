"""state_dict and load_state_dict against torch's."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from networks import NETWORKS, xor_mlp
from twin import compare, same, same_error

import funnn.torch as shim

networks = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)


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


def test_extra_state():
    def program(t):
        class Net(t.nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = t.nn.Linear(1, 1)
                self.steps = 3

            def get_extra_state(self):
                return {"steps": self.steps}

            def set_extra_state(self, state):
                self.steps = state["steps"]

        net = t.nn.Sequential(Net())
        state = net.state_dict()
        print(list(state), state["0._extra_state"], state._metadata)
        state["0._extra_state"] = {"steps": 7}
        print(net.load_state_dict(state), net[0].steps)
        del state["0._extra_state"]
        print(net.load_state_dict(state, strict=False), t.nn.Linear(1, 1).load_state_dict({"_extra_state": 1}, strict=False))

    same(program)
    same_error(lambda t: t.nn.ReLU().get_extra_state(), RuntimeError, "should never be called")
    same_error(lambda t: t.nn.ReLU().set_extra_state(1), RuntimeError, "should never be called")


def test_overridden_loading_and_saving():
    def program(t):
        class Net(t.nn.Linear):
            _version = 3

            def _save_to_state_dict(self, destination, prefix, keep_vars):
                super()._save_to_state_dict(destination, prefix, keep_vars)
                destination[prefix + "half"] = self.weight.detach() / 2

            def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
                print(prefix, local_metadata, strict, sorted(state_dict))
                if local_metadata.get("version") == 3:
                    state_dict[prefix + "weight"] = state_dict.pop(prefix + "half") * 2
                else:
                    error_msgs.append("too old")
                super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

        net = t.nn.Sequential(Net(2, 1))
        state = net.state_dict()
        print(list(state), net.load_state_dict(state))
        try:
            net.load_state_dict(dict(state))
        except RuntimeError as error:
            print(error)
        return net.state_dict()

    same(program)


def test_assign_replaces_the_objects():
    def program(t):
        net = t.nn.Sequential(t.nn.Linear(1, 1), t.nn.BatchNorm1d(1))
        net[0].weight.requires_grad_(False)
        before, parameter = net[0].weight, t.nn.Parameter(t.ones(1, 1))
        state = OrderedDict(net.state_dict(), **{"0.weight": parameter, "1.running_mean": t.ones(1)})
        net.load_state_dict(state, assign=True)
        print(net[0].weight is parameter, net[0].weight is before, parameter.requires_grad, net[1].running_mean is state["1.running_mean"])

    same(program)


def test_positional_arguments_warn():
    def program(t):
        with pytest.warns(FutureWarning, match="Positional args are being deprecated"):
            print(list(t.nn.Linear(1, 1).state_dict({}, "a.", True).items()))

    same(program)
