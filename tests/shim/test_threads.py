"""What one thread sets, no other sees; and a thread may compute while another traces."""

import threading
from collections.abc import Callable
from typing import Any

import jax
import pytest

import funnn.torch as torch
from funnn.torch import nn


def in_another_thread(function: Callable[[], Any]) -> Any:
    """The result of the function in a thread of its own; its error is raised here."""
    found: dict[str, Any] = {}

    def body() -> None:
        try:
            found["result"] = function()
        except BaseException as error:
            found["error"] = error

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if "error" in found:
        raise found["error"]
    return found["result"]


class Mode(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise AssertionError("another thread's mode was asked")


def refused() -> bool:
    """Whether saved_tensors_hooks can't be entered."""
    try:
        with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
            return False
    except RuntimeError:
        return True


def reads_of_a_parametrized_weight() -> int:
    """How often a parametrization runs for two reads of its tensor."""

    class Count(nn.Module):
        calls = 0

        def forward(self, weight):
            self.calls += 1
            return weight * 1

    layer = nn.Linear(2, 2)
    nn.utils.parametrize.register_parametrization(layer, "weight", Count())
    count = layer.parametrizations.weight[0]
    before = count.calls
    _ = layer.weight, layer.weight
    return count.calls - before


SET = {
    "no_grad": (torch.no_grad, torch.is_grad_enabled),
    "inference_mode": (torch.inference_mode, torch.is_inference_mode_enabled),
    "inference tensors": (torch.inference_mode, lambda: torch.ones(2).is_inference()),
    "autocast": (lambda: torch.autocast("cpu"), lambda: (torch.ones(2, 2) @ torch.ones(2, 2)).dtype),
    "anomaly mode": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "function mode": (Mode, lambda: torch.ones(2).add(1).tolist()),
    "saved tensors' hooks": (
        lambda: torch.autograd.graph.saved_tensors_hooks(lambda x: None, lambda x: None),
        lambda: in_backward(torch.tensor(2.0, requires_grad=True)),
    ),
    "refusal of hooks": (lambda: torch.autograd.graph.disable_saved_tensors_hooks("no"), refused),
    "cached parametrizations": (nn.utils.parametrize.cached, reads_of_a_parametrized_weight),
}


def in_backward(x: Any) -> float:
    x.exp().backward()
    return x.grad.item()


@pytest.mark.parametrize("name", SET)
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_what_a_thread_sets_stays_its_own(name):
    context, look = SET[name]
    plainly = look()
    with context():
        assert in_another_thread(look) == plainly
    assert look() == plainly


def test_the_look_of_each_setting_tells_it():
    """That the test above can fail: in the thread that sets it, each setting shows."""
    for name, (context, look) in SET.items():
        plainly = look()
        try:
            with context():
                assert look() != plainly, name
        except (AssertionError, RuntimeError, TypeError, AttributeError) as error:
            assert name in ("function mode", "saved tensors' hooks"), error


def test_a_lent_key_is_for_one_thread():
    """A Module as a pure function draws from its key; other threads draw from the generator meanwhile."""
    dropout = nn.Sequential(nn.Dropout(0.5))
    drawn = []

    class Draws(nn.Module):
        def forward(self, x):
            drawn.append(in_another_thread(lambda: torch.rand(3).tolist()))
            return dropout(x)

    torch.manual_seed(3)
    expected = torch.rand(3).tolist()
    torch.manual_seed(3)
    layer, params, state = torch.to_functional(Draws())
    layer.apply(params, state, jax.numpy.ones(3), key=jax.random.key(0), train=True)
    assert drawn == [expected]


def test_a_thread_computes_while_another_traces():
    """Plain operations, backward and an optimizer's step in one thread, while another is in the middle of a compilation or a transformation."""

    def training() -> list:
        net = nn.Linear(2, 1)
        with torch.no_grad():
            net.weight.fill_(0.5), net.bias.fill_(0)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            net(torch.ones(3, 2)).sum().backward()
            optimizer.step()
        return net.weight.tolist() + [(torch.ones(3) + torch.ones(3)).sum().item()]

    expected = training()
    found = []

    def traced(x):
        y = x * 2
        found.append(in_another_thread(training))
        return y + 1

    assert torch.compile(traced)(torch.ones(2)).tolist() == [3, 3]
    assert torch.vmap(traced)(torch.ones(2, 2)).tolist() == [[3, 3], [3, 3]]
    value, tangent = torch.func.jvp(traced, (torch.ones(2),), (torch.ones(2),))
    assert (value.tolist(), tangent.tolist()) == ([3, 3], [2, 2])
    assert torch.func.grad(lambda x: traced(x).sum())(torch.ones(2)).tolist() == [2, 2]
    assert found == [expected] * 4


def test_what_torch_keeps_for_the_process_is_kept_for_it():
    import torch as pytorch

    for library in (torch, pytorch):
        library.set_default_dtype(library.float64)
        try:
            assert in_another_thread(lambda library=library: library.ones(1).dtype is library.float64)
        finally:
            library.set_default_dtype(library.float32)
