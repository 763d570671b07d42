"""What version 0.1 pickled before the engine moved into rooms of its own still loads, and computes the same.

``data/pickles_0.1.pkl`` holds a pickle of each of these things, ``data/saved_0.1.pt`` is a file of torch.save; both were written by that version.
"""

import pickle
from pathlib import Path

import pytest

import funnn.torch as torch
from funnn.engine.tensor.tensor import Tensor
from funnn.torch import nn

DATA = Path(__file__).with_name("data")
PICKLES: dict[str, bytes] = pickle.loads((DATA / "pickles_0.1.pkl").read_bytes())


def load(name):
    return pickle.loads(PICKLES[name])


@pytest.mark.parametrize("name", PICKLES)
def test_everything_loads_and_pickles_again(name):
    value = load(name)
    again = pickle.dumps(value)
    assert type(pickle.loads(again)) is type(value)
    assert not any(former.encode() in again for former in torch._former_modules.MODULES)


def test_values_are_those_that_were_written():
    base, turned, row = load("views")
    assert base.tolist() == [[0, 1, 2], [3, 4, 5]] and turned.shape == (3, 2) and row.tolist() == [3, 4, 5]
    base[1, 0] = 7
    assert turned[0, 1] == 7 and row[0] == 7  # they share memory as before
    assert load("dtype") == [torch.float32, torch.bfloat16, torch.bool] and load("dtype")[0] is torch.float32
    assert load("device") == torch.device("cpu") and load("size") == torch.Size([2, 3]) and type(load("size")) is torch.Size
    assert load("memory_format")[0] is torch.channels_last
    assert type(load("tensor")) is Tensor is torch.Tensor and type(load("parameter")) is nn.Parameter
    assert load("generator").initial_seed() == 3
    assert torch.rand(2, generator=load("generator")).tolist() == torch.rand(2, generator=torch.Generator().manual_seed(3)).tolist()


def test_a_module_computes_as_from_its_state_dict():
    net, other = load("net"), nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.LSTM(4, 2))
    other.load_state_dict(load("state"))
    x = torch.arange(15.0).reshape(5, 3) / 7
    assert torch.equal(net[:3].eval()(x), other[:3].eval()(x))
    assert torch.equal(net[3](x.new_ones(2, 4))[0], other[3](x.new_ones(2, 4))[0])


def test_an_optimizer_goes_on():
    net = load("net")
    optimizer = torch.optim.Adam(net.parameters())
    optimizer.load_state_dict(load("optimizer"))
    assert optimizer.param_groups[0]["lr"] == 0.1 and optimizer.state[net[0].weight]["step"] == 1


def test_a_saved_file():
    saved = torch.load(DATA / "saved_0.1.pt", weights_only=False)
    assert saved["base"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert torch.equal(saved["net"][0].weight, saved["state"]["0.weight"])
