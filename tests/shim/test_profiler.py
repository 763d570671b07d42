"""Where the time went: what is counted, and that nothing is left of the clocks. No test looks at how long something took."""

import jax
import pytest

import funnn.torch as shim
from funnn.engine.state import thread
from funnn.engine.transform import differentiate
from funnn.torch.autograd.profiler import profile, record_function

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
    for _ in range(5):  # from then on a backward pass is recorded as a whole, but where somebody measures
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


def test_batches_and_parts():
    data = shim.utils.data
    loader = data.DataLoader(data.TensorDataset(shim.arange(4.0)), 2)
    with profile() as times, record_function("epoch"):
        for (batch,) in loader:
            with record_function("batch"):
                batch + 1
    found = counts(times)
    assert (found["enumerate(DataLoader)"], found["batch"], found["epoch"], found["add"]) == (3, 2, 1, 2)
    epoch = times.events["epoch"]
    assert epoch.own + times.events["batch"].total <= epoch.total
    check(times)


def test_an_exception_ends_what_it_leaves():
    class Broken(shim.optim.SGD):
        def step(self, closure=None):
            raise KeyError("x")

    optimizer = Broken([nn.Parameter(shim.ones(1))])
    with profile() as times:
        with record_function("whole"), pytest.raises(KeyError):
            optimizer.step()
        with pytest.raises(RuntimeError):
            shim.ones(2) @ shim.ones(3)
        shim.ones(2) * 2
    assert counts(times)["whole"] == 1 and counts(times)["mul"] == 1 and untouched()
    with pytest.raises(RuntimeError), profile() as times:
        shim.ones(2) @ shim.ones(3)
    assert untouched()


def test_profiles_inside_one_another():
    with profile.around() as whole:
        with profile() as times:
            shim.ones(2) * 2
            with pytest.raises(RuntimeError, match="not reentrant"), profile():
                pass
            with profile(enabled=False) as disabled:
                pass
        shim.ones(2) * 3
    assert counts(times)["mul"] == 1 and counts(whole)["mul"] == 2 and counts(disabled) == {} and untouched()


def test_functions_that_a_program_overrides():
    asked = []

    class Watching(shim.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            asked.append(func.__name__)
            return func(*args, **(kwargs or {}))

    x = shim.ones(2)
    with profile() as times:
        with Watching():
            x * 2
        x * 2
    assert counts(times)["mul"] == 2 and asked == ["mul"]
    with Watching(), profile() as times:
        x * 3
    x * 4
    assert counts(times)["mul"] == 1 and asked == ["mul"] * 2


def test_listeners_are_gone():
    before = list(jax._src.monitoring._event_time_span_listeners)
    with profile():
        assert len(jax._src.monitoring._event_time_span_listeners) == len(before) + 1
    assert jax._src.monitoring._event_time_span_listeners == before


def test_table():
    x = shim.ones(2)
    with profile() as times:
        for _ in range(3):
            x * 2
        x + 1
    lines = times.table(sort_by="count").splitlines()
    assert lines[0].split() == ["Name", "Self", "CPU", "CPU", "total", "Compiling", "CPU", "time", "avg", "#", "of", "Calls"]
    assert [(line.split()[0], line.split()[-1]) for line in lines[1:3]] == [("mul", "3"), ("add", "1")] and len(lines) == 4
    assert lines[3].startswith("Self CPU time total: ") and len(times.table(row_limit=1).splitlines()) == 3
    totals = [event.total for event in sorted(times, key=lambda event: -event.total)]
    shown = [float(line.split()[2].removesuffix("ms")) for line in str(times).splitlines()[1:-1]]
    assert shown == [round(total * 1e3, 3) for total in totals]
    with pytest.raises(ValueError, match=r"sort_by must be one of cpu_time_total, .* got 'cuda_time'"):
        times.table(sort_by="cuda_time")
