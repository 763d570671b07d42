"""torch.compile: the compiled step gives the eager numbers, follows what changes, and leaks nothing."""

from __future__ import annotations

import gc
import warnings

import jax
import numpy as np
import pytest

import funnn.torch as torch
from funnn.engine.memory.storage import Storage
from funnn.engine.program.states import count_programs
from funnn.torch import nn


def make(seed: int = 0, optimizer: str = "SGD", **options):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = getattr(torch.optim, optimizer)(net.parameters(), **({"lr": 0.1} | options))

    def step(x, t):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), t)
        loss.backward()
        optimizer.step()
        return loss

    return net, optimizer, step


def batches(count: int, size: int = 16):
    rng = np.random.default_rng(0)
    return [
        (torch.tensor(rng.standard_normal((size, 4)), dtype=torch.float32), torch.tensor(rng.integers(0, 3, size))) for _ in range(count)
    ]


def assert_same_state(a, b, **tolerance):
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), err_msg=name, **({"rtol": 1e-5, "atol": 1e-6} | tolerance))


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", {}), ("SGD", {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.01}), ("SGD", {"momentum": 0.9, "nesterov": True})]
    + [("Adam", {"lr": 0.01}), ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1})],
)
def test_whole_step_equals_eager(name, options):
    eager_net, eager_optimizer, eager_step = make(optimizer=name, **options)
    net, optimizer, step = make(optimizer=name, **options)
    compiled = torch.compile(step)
    for i, (x, t) in enumerate(batches(5)):
        assert eager_step(x, t).item() == pytest.approx(compiled(x, t).item(), rel=1e-5)
        if i == 2:
            known = count_programs()
    assert_same_state(net, eager_net)
    assert count_programs() == known
    for p, q in zip(net.parameters(), eager_net.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-4, atol=1e-6)
    theirs, ours = eager_optimizer.state_dict()["state"], optimizer.state_dict()["state"]
    assert theirs.keys() == ours.keys()
    for index in theirs:
        for key in theirs[index]:
            np.testing.assert_allclose(ours[index][key].numpy(), theirs[index][key].numpy(), rtol=1e-4, atol=1e-6)


def test_a_changed_learning_rate_compiles_nothing_and_is_used():
    eager_net, eager_optimizer, eager_step = make(momentum=0.9)
    net, optimizer, step = make(momentum=0.9)
    compiled = torch.compile(step)
    for i, (x, t) in enumerate(batches(4)):
        for o in (optimizer, eager_optimizer):
            o.param_groups[0]["lr"] = 0.1 / (i + 1)
            o.param_groups[0]["momentum"] = 0.9 - 0.1 * i
        eager_step(x, t)
        compiled(x, t)
        if i == 1:  # the plain step has one of its own
            known = count_programs()
    assert_same_state(net, eager_net)
    assert count_programs() == known


def test_eager_and_compiled_steps_mix():
    eager_net, _, eager_step = make(momentum=0.9)
    net, _, step = make(momentum=0.9)
    compiled = torch.compile(step)
    for i, (x, t) in enumerate(batches(6)):
        eager_step(x, t)
        (compiled if i % 2 else step)(x, t)
    assert_same_state(net, eager_net)


def test_training_mode_is_guarded():
    net, _, _ = make()
    forward = torch.compile(lambda x: net(x).detach())
    x, _ = batches(1)[0]
    net.eval()
    np.testing.assert_allclose(forward(x).numpy(), net(x).detach().numpy(), rtol=1e-6, atol=1e-7)
    net.train()
    before = net[1].num_batches_tracked.item()
    trained = forward(x)
    assert net[1].num_batches_tracked.item() == before + 1
    net.eval()
    assert (forward(x).numpy() != trained.numpy()).any()
    known = count_programs()
    for _ in range(2):
        forward(x)
        net.train(not net.training)
    assert count_programs() == known


def test_gradients_accumulate_across_calls():
    net, _, _ = make()
    net.eval()

    def backward(x, t):
        nn.functional.cross_entropy(net(x), t).backward()

    (x, t), (x2, t2) = batches(2)
    compiled = torch.compile(backward)
    for _ in range(3):
        compiled(x, t)
    compiled(x2, t2)
    got = [p.grad.numpy() for p in net.parameters()]
    net.zero_grad()
    for _ in range(3):
        backward(x, t)
    backward(x2, t2)
    for a, p in zip(got, net.parameters(), strict=True):
        np.testing.assert_allclose(a, p.grad.numpy(), rtol=1e-4, atol=1e-6)
    known = count_programs()
    net.zero_grad()
    for _ in range(3):
        compiled(x, t)
    assert count_programs() == known


def test_frozen_parameters_are_guarded():
    net, _, step = make()
    compiled = torch.compile(step)
    (x, t), (x2, t2) = batches(2)
    compiled(x, t)
    net[0].weight.requires_grad_(False)
    before = net[0].weight.tolist()
    compiled(x2, t2)
    assert net[0].weight.tolist() == before


def test_new_shapes_make_new_programs():
    _, _, step = make()
    compiled = torch.compile(step)
    for size in (16, 8, 16, 8):
        compiled(*batches(1, size)[0])
    known = count_programs()
    for size in (16, 8):
        compiled(*batches(1, size)[0])
    assert count_programs() == known


def test_clipping_inside():
    def clipped(compile):
        net, optimizer, _ = make()

        def step(x, t):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x), t)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(net.parameters(), 0.1)
            optimizer.step()
            return loss, norm

        run = torch.compile(step) if compile else step
        return net, [tuple(v.item() for v in run(x, t)) for x, t in batches(4)]

    (a, eager), (b, compiled) = clipped(False), clipped(True)
    np.testing.assert_allclose(compiled, eager, rtol=1e-5)
    assert_same_state(a, b)


def test_dropout_inside_draws_anew_and_follows_the_seed():
    drop = nn.Dropout(0.5)
    run = torch.compile(lambda x: drop(x))
    x = torch.ones(200)
    torch.manual_seed(1)
    a, b = run(x).tolist(), run(x).tolist()
    torch.manual_seed(1)
    assert run(x).tolist() == a != b
    assert set(a) == {0.0, 2.0}


def test_a_compiled_module_shares_parameters_and_buffers_with_the_original():
    net, _, _ = make()
    x, t = batches(1)[0]
    nn.functional.cross_entropy(net(x), t).backward()
    expected = [p.grad.tolist() for p in net.parameters()]
    buffers = {name: buffer.tolist() for name, buffer in net.named_buffers()}
    twin, _, _ = make()
    run = torch.compile(twin)
    assert run is not twin and run._orig_mod is twin
    y = run(x)
    nn.functional.cross_entropy(y, t).backward()
    for p, g in zip(twin.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), g, rtol=1e-4, atol=1e-6)
    for name, buffer in twin.named_buffers():
        np.testing.assert_allclose(buffer.numpy(), buffers[name], rtol=1e-5, atol=1e-6)


def test_gradients_reach_what_was_computed_outside():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    h = w * 3
    f = torch.compile(lambda a: (a * a).sum())
    f(h).backward()
    assert w.grad.tolist() == [18.0, 36.0]


def test_arguments_changed_in_place_change_outside():
    @torch.compile
    def add(a, b):
        a.add_(b)
        a[0] = 7
        return a.sum()

    base = torch.zeros(4)
    view = base[1:]
    assert add(view, torch.ones(3)).item() == 9.0
    assert base.tolist() == [0.0, 7.0, 1.0, 1.0]
    assert add(view, torch.ones(3)).item() == 11.0
    assert base.tolist() == [0.0, 7.0, 2.0, 2.0]


def test_state_kept_by_side_effect_is_written_at_every_call():
    class Remember(nn.Module):
        def forward(self, x):
            self.last = x * 2
            return x.sum()

    module = Remember()
    run = torch.compile(lambda x: module(x))
    run(torch.ones(2))
    assert module.last.tolist() == [2.0, 2.0]
    run(torch.full((2,), 5.0))
    assert module.last.tolist() == [10.0, 10.0]


def test_a_tensor_returned_as_it_is_keeps_its_identity():
    p = nn.Parameter(torch.ones(2))
    run = torch.compile(lambda x: (p, x + 1, "text", {"n": 3}))
    for _ in range(2):
        q, y, text, rest = run(torch.zeros(2))
        assert q is p and y.tolist() == [1.0, 1.0] and text == "text" and rest == {"n": 3}


def test_the_loss_of_a_compiled_step_prints_as_in_eager_and_refuses_a_second_backward():
    _, _, step = make()
    loss = torch.compile(step)(*batches(1)[0])
    assert "grad_fn=<NllLossBackward0>" in repr(loss)
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        loss.backward()


def test_nothing_leaks_a_tracer():
    net, optimizer, step = make(momentum=0.9)
    view = net[0].weight.detach()[0]
    compiled = torch.compile(lambda x, t: (step(x, t), view.sum()))
    compiled(*batches(1)[0])
    gc.collect()
    tracers = [s for s in gc.get_objects() if type(s) is Storage and isinstance(s.array, jax.core.Tracer)]
    assert tracers == []
    assert view.tolist() == net[0].weight[0].tolist()
    for p in net.parameters():
        assert np.isfinite(p.grad.numpy()).all()
    assert optimizer.state[net[0].weight]["momentum_buffer"].shape == (8, 4)


def test_a_value_asked_for_inside_cuts_the_program_and_is_told_once():
    @torch.compile
    def branch(x):
        return x if x.sum() > 0 else -x

    with pytest.warns(UserWarning, match=r"torch\.compile of 'branch': a value is asked for at .*test_compile\.py:\d+ .* several programs"):
        assert branch(torch.ones(2)).tolist() == [1.0, 1.0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert branch(-torch.ones(2)).tolist() == [1.0, 1.0]


def test_fullgraph_refuses_a_value_inside():
    with pytest.raises(RuntimeError, match="fullgraph=True asks for one program"):
        torch.compile(lambda x: x * x.sum().item(), fullgraph=True)(torch.ones(2) * 2)


def test_an_error_inside_leaves_what_ran_before_it():
    net, _, step = make()
    other, _, plain = make()
    x, t = batches(1)[0]

    def broken(x, t):
        step(x, t)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        torch.compile(broken)(x, t)
    plain(x, t)
    for ours, theirs in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-7)


def test_arrays_held_outside_survive_the_reuse_of_memory():
    net, _, step = make()
    compiled = torch.compile(step)
    x, t = batches(1)[0]
    compiled(x, t)
    held = net[0].weight.detach().numpy()
    copied = net[0].weight.detach().clone()
    expected = held.copy()
    _, params, _ = torch.to_functional(net[0])
    for _ in range(3):
        compiled(x, t)
    np.testing.assert_array_equal(held, net[0].weight.tolist())
    np.testing.assert_array_equal(copied.numpy(), expected)
    np.testing.assert_array_equal(params["weight"], expected)
    assert (net[0].weight.detach().numpy() != expected).any()


def test_a_compiled_method_and_a_compiled_call_inside_another():
    class Model:
        w = torch.tensor(2.0)

        @torch.compile
        def scaled(self, x):
            return x * self.w

    outer = torch.compile(lambda m, x: m.scaled(x) + 1)
    assert Model().scaled(torch.ones(2)).tolist() == [2.0, 2.0]
    model = Model()
    assert outer(model, torch.ones(2)).tolist() == [3.0, 3.0]


def test_storages_that_end_with_the_same_values_stay_apart():
    a, b, c = torch.ones(3), torch.zeros(3), torch.full((3,), 5.0)

    @torch.compile
    def rotate():
        a.add_(1)
        b.copy_(a)
        a.copy_(c)

    for value in (2.0, 6.0, 6.0, 6.0):
        rotate()
        assert b.tolist() == [value] * 3 and a.tolist() == c.tolist() == [5.0] * 3
    a.zero_()
    assert c.tolist() == [5.0] * 3 and b.tolist() == [6.0] * 3


def test_momentum_switched_on_later_is_used():
    eager_net, eager_optimizer, eager_step = make()
    net, optimizer, step = make()
    compiled = torch.compile(step)
    for i, (x, t) in enumerate(batches(5)):
        for o in (optimizer, eager_optimizer):
            o.param_groups[0]["momentum"] = 0.9 if i >= 2 else 0.0
            o.param_groups[0]["nesterov"] = i >= 4
        eager_step(x, t)
        compiled(x, t)
    assert_same_state(net, eager_net)
    known = count_programs()
    compiled(x, t)
    assert count_programs() == known


@pytest.mark.parametrize("change", ["argument", "closure", "two arguments"])
def test_memory_reached_by_two_names_is_written_as_outside(change):
    def outcome(compiled):
        shared = torch.zeros(4)

        def run(a, b):
            (shared if change == "closure" else a).add_(1)
            return a + b + shared

        a, b = {"argument": (shared[:], torch.ones(4)), "closure": (torch.ones(4), shared), "two arguments": (torch.ones(4),) * 2}[change]
        return compiled(run)(a, b).tolist(), shared.tolist(), a.tolist(), b.tolist()

    assert outcome(torch.compile) == outcome(lambda function: function)


def test_a_parameter_as_an_argument_collects_its_gradient():
    p = nn.Parameter(torch.tensor([1.0, 2.0]))

    @torch.compile
    def step(w, x):
        loss = (w * w * x).sum()
        loss.backward()
        return loss

    assert step(p, torch.ones(2)).item() == 5.0 and p.grad.tolist() == [2.0, 4.0]
    assert step(p, torch.ones(2)).item() == 5.0 and p.grad.tolist() == [4.0, 8.0]
    version = p._version
    square = torch.compile(lambda w: (w * w).sum())
    square(p).backward()
    assert p.grad.tolist() == [6.0, 12.0] and p._version == version


def test_computed_indices_do_not_cut_the_program():
    x = torch.arange(12.0).reshape(3, 4)

    def best(x, k):
        order = (x - 5).abs().argsort(1)[:, :k]
        rows = torch.arange(3)[:, None] + 0
        first = x[order[:, 0] - 3]  # some are negative
        return x[rows, order], first, torch.nn.functional.embedding(order, x.T)

    compiled = torch.compile(best, fullgraph=True)
    for k in (1, 2, 3):
        for ours, eager in zip(compiled(x, k), best(x, k), strict=True):
            np.testing.assert_array_equal(ours.numpy(), eager.numpy())


@pytest.mark.filterwarnings("ignore:torch.compile of 'write' with mode='reduce-overhead' replays no such calls")
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("computed", [False, True])
def test_indices_are_checked_before_a_tensor_is_written(mode, computed):
    x = torch.zeros(4)

    def write(x, index):
        x[(index * 2).long() if computed else index] = 1
        return x.sum()

    compiled = torch.compile(write, fullgraph=True, mode=mode)
    for number in (0, 1, 0, 1, 0):
        compiled(x, torch.full((3,), number if computed else 2 * number))
    np.testing.assert_array_equal(x.numpy(), [1, 0, 1, 0])
    before = x.numpy().copy()
    for _ in range(3):
        with pytest.raises(IndexError, match="index 4 is out of bounds for dimension 0 with size 4"):
            compiled(x, torch.full((3,), 2 if computed else 4))
    np.testing.assert_array_equal(x.numpy(), before)
