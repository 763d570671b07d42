"""The pending graph: programs of repeated graphs give what immediate mode gives, and what is recorded is neither lost nor kept for ever."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import funnn.torch as torch
from funnn.engine.program import graph, programs, states
from funnn.engine.program.graph import flush, immediate
from funnn.engine.program.states import count_programs, count_states
from funnn.engine.state import thread
from funnn.torch import nn


@pytest.fixture(autouse=True, params=["compiled when it comes again", "rented"])
def patience(request, monkeypatch):
    """Every test runs with programs of XLA for what comes twice, and once more with NumPy for as long as that is cheaper."""
    if request.param != "rented":
        monkeypatch.setattr(programs, "PATIENCE", 0.0)
    return request.param


def pending():
    """How many records wait on this thread."""
    return 0 if thread.graph is None else len(thread.graph.records)


def gradients(build, leaves, times):
    """The gradients of each of several passes over the same graph on other values."""
    results = []
    for i in range(times):
        for leaf in leaves:
            leaf.grad = None
        build(1.0 + 0.1 * i).backward()
        results.append([None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves])
    return results


def check(build, leaves, times=4):
    flush()
    known = count_programs()
    repeated = gradients(build, leaves, times)
    assert programs.PATIENCE or count_programs() > known
    with immediate():
        expected = gradients(build, leaves, times)
    for ours, theirs in zip(repeated, expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_network():
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.LayerNorm(5), nn.Linear(5, 3))
    x, t = torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    check(lambda scale: nn.functional.cross_entropy(net(x * scale), t), list(net.parameters()))


def test_shared_leaves_views_and_operations_with_several_outputs():
    w = torch.randn(4, 3, requires_grad=True)
    v = torch.randn(3, requires_grad=True)

    def build(scale):
        values, _ = (w * scale).max(1)
        first, *_ = (w * v).unbind(0)
        return (values.sum() + (first * v).sum() + w.T[0].sum()) * scale

    check(build, [w, v])


def test_in_place_operations_inside():
    w = torch.randn(5, requires_grad=True)

    def build(scale):
        h = w * scale
        h[1:3] = h[0] * 2
        h.mul_(w)
        return h.sum()

    check(build, [w])


def test_other_shapes_of_the_same_structure():
    w = torch.randn(3, requires_grad=True)
    for size in (2, 3, 4, 5, 4, 3, 2):
        w.grad = None
        (torch.ones(size, 3) * w).sum().backward()
        assert w.grad.tolist() == [float(size)] * 3


def test_accumulates_and_keeps_or_frees_the_graph():
    w = torch.ones(2, requires_grad=True)
    for _ in range(4):
        (w * w).sum().backward()
    assert w.grad.tolist() == [8.0, 8.0]
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert w.grad.tolist() == [12.0, 12.0]
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        loss.backward()


def test_what_is_saved_outlives_the_program_that_computed_it():
    w = torch.ones(2, requires_grad=True)
    for _ in range(4):
        w.grad = None
        loss = (w * w).exp().sum()
        assert loss.item() == pytest.approx(2 * np.e)  # the program ends between forward and backward
        loss.backward()
        assert w.grad.tolist() == pytest.approx([2 * np.e] * 2)


def test_overwritten_saved_values_still_raise():
    w = torch.ones(2, requires_grad=True)

    def build(spoil):
        h = w * 2
        y = (h * h).sum()
        if spoil:
            h.add_(1)
        return y

    for _ in range(4):
        build(False).backward()
    with pytest.raises(RuntimeError, match="has been modified by an inplace operation"):
        build(True).backward()


def test_hooks_run_every_time():
    w = torch.ones(2, requires_grad=True)
    seen = []
    for _ in range(5):
        h = w * 2
        h.register_hook(lambda gradient: seen.append(gradient.tolist()))
        h.sum().backward()
    assert seen == [[1.0, 1.0]] * 5


def test_what_comes_once_is_not_compiled_whole(patience):
    w = torch.ones(2 if patience == "rented" else 3, requires_grad=True)  # graphs that the other run of this test has not met
    flush()
    known = count_programs()
    for length in range(1, 6):
        h = w
        for _ in range(length):
            h = h * 1.25
        h.sum().backward()
        w.grad.tolist()
        w.grad = None
    assert count_programs() == known


def test_writes_into_views_and_codes_of_classes_are_one_record_each():
    z, y = torch.zeros(3, 4), torch.tensor([2, 0])
    flush()
    z[0] = 1.0
    assert pending() == 1
    z[:, 1] = torch.tensor([5.0])
    assert pending() == 2
    coded = torch.nn.functional.one_hot(y, 4)
    assert pending() == 3
    assert z.tolist() == [[1, 5, 1, 1], [0, 5, 0, 0], [0, 5, 0, 0]] and coded.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]


def test_nobody_waits_for_what_nobody_holds():
    big = torch.ones(3000)
    flush()
    known, held = count_programs(), big * 2
    for _ in range(5):
        big * 3
        flush()
    assert held.sum().item() == 6000 and count_programs() == known


def test_the_same_loop_again_is_nothing_new():
    p = nn.Parameter(torch.ones(3000))
    optimizer = torch.optim.Adam([p], lr=0.1)

    def steps(count):
        for _ in range(count):
            optimizer.zero_grad()
            (p * p).sum().backward()
            optimizer.step()

    steps(4)
    states, known = count_states(), count_programs()
    optimizer.param_groups[0]["lr"] = 0.01
    steps(4)
    assert (count_states(), count_programs()) == (states, known)


def test_a_loop_that_reads_nothing_is_cut_into_whole_rounds(monkeypatch):
    monkeypatch.setattr(graph, "_LONG", 64)
    x, y = torch.ones(3000), torch.full((3000,), 0.5)
    longest = 0
    for _ in range(400):
        x = torch.cos(x) * y + y
        longest = max(longest, pending())
    assert 0 < longest <= 64 + 3 and np.isfinite(x.sum().item())
    w = torch.ones(3000, requires_grad=True)
    for _ in range(20):  # updates by hand: a backward pass begins where the one before is still pending
        (w * w).sum().backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
            w.grad = None
        assert pending() < 30
    assert w[0].item() == pytest.approx(0.8**20, rel=1e-4)


def test_states_that_lead_nowhere_are_forgotten(monkeypatch):
    monkeypatch.setattr(states, "MOST", count_states() + 20)
    p = torch.ones(3000, requires_grad=True)
    for size in range(60):
        (p[: size + 2500] * 2).sum()  # nobody holds it, so that it is recorded and never runs
        flush()
    assert count_states() <= states.MOST + 5
    for _ in range(3):
        assert (p * 2).sum().item() == 6000


def test_a_finalizer_that_computes_while_something_is_recorded():
    class Computing:
        def __init__(self):
            self.loop = self  # so that the garbage collector finds it, in the middle of whatever runs

        def __del__(self):
            done.append((torch.ones(3000) * 2).sum())

    done = []
    before = gc.get_threshold()
    gc.set_threshold(5, 1, 1)
    try:
        x = torch.ones(3000)
        for _ in range(60):
            Computing()
            x = x * 1.0 + 0.0
    finally:
        gc.set_threshold(*before)
    assert x.sum().item() == 3000 and done and all(value.item() == 6000 for value in done)


def test_threads_have_graphs_of_their_own_and_may_share_values():
    shared = torch.ones(3000) * 2  # pending here
    results = {}

    def work(number):
        value = shared
        for _ in range(50):
            value = value + number
        results[number] = value

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for item in threads:
        item.start()
    for item in threads:
        item.join()
    assert {number: value[0].item() for number, value in results.items()} == {number: 2.0 + 50 * number for number in range(4)}


def test_a_pending_graph_keeps_no_model_alive():
    net = nn.Linear(3, 3)
    compiled = torch.compile(net)
    reference = weakref.ref(net)
    for _ in range(3):
        compiled(torch.ones(2, 3)).sum().backward()
    flush()
    del net, compiled
    gc.collect()
    assert reference() is None


def test_immediate_mode_runs_every_operation_at_its_line():
    with immediate():
        y = torch.ones(3000) * 2
        assert pending() == 0 and y._storage.value.array is not None
    y = torch.ones(3000) * 2
    assert pending() > 0 and y._storage.value.array is None
    with pytest.raises(IndexError), immediate():
        torch.ones(3, 2)[torch.arange(3000) + 1]


def test_a_step_that_fails_leaves_the_next_one_right():
    p = nn.Parameter(torch.ones(3000))
    optimizer = torch.optim.SGD([p], lr=0.1)
    for number in range(4):
        optimizer.zero_grad()
        loss = (p * p).sum()
        if number == 1:
            with pytest.raises(RuntimeError):
                loss @ torch.ones(2, 3)
        loss.backward()
        optimizer.step()
    assert p[0].item() == pytest.approx(0.8**4, rel=1e-5)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("large", [False, True])
def test_an_index_out_of_range_leaves_the_state_as_it_was(large, compiled):
    """The check of an index that takes long to compute is put off, but not beyond the backward pass."""

    def step(table, optimizer, index):
        loss = (table[index * 1] ** 2).sum()
        loss.backward()
        optimizer.step()

    if compiled:
        step = torch.compile(step, fullgraph=True)
    table = nn.Parameter(torch.ones(50, 4))
    optimizer = torch.optim.SGD([table], lr=0.1)
    table.sum().backward()
    optimizer.step()
    before, gradient = table.detach().numpy().copy(), table.grad.numpy().copy()
    found = torch.ones(2000, 2000) @ torch.ones(2000, 2000) if large else torch.full((1, 1), 2000.0)
    index = (found[0] / 40).long()  # 50
    if large:
        assert index._storage.value.array is None
    with pytest.raises(IndexError):
        step(table, optimizer, index)
    np.testing.assert_array_equal(table.detach().numpy(), before)
    np.testing.assert_array_equal(table.grad.numpy(), gradient)


def test_threads_that_wait_for_each_others_values():
    """Each records on what is pending on the other: nobody waits for a graph while holding one."""
    made, results, meet = {}, {}, threading.Barrier(2)

    def work(number):
        for _ in range(30):
            made[number] = torch.full((3000,), float(number + 1)) * 2
            meet.wait(60)
            results[number] = made[number] + made[1 - number]
            meet.wait(60)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(2)]
    for item in threads:
        item.start()
    for item in threads:
        item.join(60)
    assert not any(item.is_alive() for item in threads)
    assert [results[number][0].item() for number in range(2)] == [6.0, 6.0]


def test_a_setting_that_changes_is_of_what_comes_after():
    x = torch.ones(3000)
    flush()
    y = x * 2
    torch.set_default_dtype(torch.float64)
    try:
        assert pending() == 0 and y.dtype is torch.float32 and (torch.ones(3000) * 2).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    y = x * 3
    torch.set_float32_matmul_precision("high")
    try:
        assert pending() == 0 and y[0].item() == 3
    finally:
        torch.set_float32_matmul_precision("highest")
