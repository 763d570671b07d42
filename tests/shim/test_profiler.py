"""Where the time went: what is counted, and that nothing is left of the clocks. No test looks at how long something took."""

import pytest

import funnn.torch as shim
from funnn.engine.state import thread
from funnn.engine.transform import differentiate
from funnn.torch.autograd.profiler import profile

nn = shim.nn


def network():
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = shim.optim.SGD(net.parameters(), lr=0.1)

    def step(x):
        optimizer.zero_grad()
        loss = net(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    return step


def counts(times):
    return {event.key: event.count for event in times}


def check(times):
    for event in times:
        assert 0 <= event.own <= event.total and 0 <= event.compiling <= event.total
        assert event.cpu_time * event.count == pytest.approx(event.cpu_time_total) and event.self_cpu_time_total == event.own * 1e6
    assert sum(event.own for event in times) * 1e6 <= times.self_cpu_time_total


def untouched():
    walk = differentiate.pull_gradients
    return not thread.function_modes and walk.__name__ == "pull_gradients" and not hasattr(walk, "__wrapped__")


def test_a_step_by_its_parts():
    step, x = network(), shim.ones(5, 3)
    step(x)
    with profile() as times:
        for _ in range(2):
            step(x)
    found = counts(times)
    assert found["linear"] == 4 and found["relu"] == 2 and found["sum"] == 2
    assert found["backward"] == 2 and found["AddmmBackward0"] == 4 and found["ReluBackward0"] == 2 and found["SumBackward0"] == 2
    assert found["Optimizer.step#SGD.step"] == 2
    check(times)
    backward = times.events["backward"]
    nodes = sum(event.total for event in times if event.key.endswith("Backward0"))
    assert backward.own + nodes <= backward.total + 1e-9  # what the nodes took is not the walk's own
    assert untouched()


def test_compiling_is_apart():
    times, again = profile(), profile()
    for recorder in (times, again):
        with recorder:
            shim.ones(3, 1, 7).logcumsumexp(2)
    assert times.events["logcumsumexp"].compiling > 0 and again.events["logcumsumexp"].compiling == 0
    check(times)


def test_a_compiled_step_is_one_event():
    compiled, x = shim.compile(network()), shim.ones(5, 3)
    with profile() as times:
        compiled(x)
        compiled(x)
    assert counts(times)["torch.compile: step"] == 2 and not {"linear", "relu", "backward"} & counts(times).keys()
    assert times.events["torch.compile: step"].compiling > 0
    check(times)
    with profile() as times:
        compiled(x)
    assert counts(times) == {"torch.compile: step": 1} and times.events["torch.compile: step"].compiling == 0
