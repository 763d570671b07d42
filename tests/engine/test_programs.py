"""How graphs run: with NumPy until that has cost what a program costs; traced once for all sizes; counted by line."""

import contextlib
import copy
import gc
import itertools
import sys

import jax
import numpy as np
import pytest
import torch as original

import funnn.torch as torch
from funnn.engine.program import form, graph, programs, report, traced, value
from funnn.engine.program.graph import flush
from funnn.engine.program.states import count_programs


@pytest.fixture(autouse=True)
def counted():
    flush()
    report.forget()


@pytest.fixture
def traces(monkeypatch):
    """The number of symbols of each trace that is made."""
    found = []

    class Counting(traced.Traced):
        def __init__(self, function, operands, pattern=None, symbols=()):
            super().__init__(function, operands, pattern, symbols)
            found.append(len(symbols))

    monkeypatch.setattr(form, "Traced", Counting)
    monkeypatch.setattr(traced, "Traced", Counting)
    return found


def attention(torch, length):
    F = torch.nn.functional
    torch.manual_seed(length)
    x = torch.randn(2, length, 8, requires_grad=True)
    q, k, v = x.split([4, 2, 2], -1)
    q = q.reshape(2, length, 2, 2).transpose(1, 2)
    y = F.scaled_dot_product_attention(q, k[:, None].expand(2, 2, length, 2), v[:, None].expand(2, 2, length, 2), is_causal=True)
    y = torch.cat([y, y[:, :, -1:]], 2).transpose(1, 2).flatten(2) * torch.arange(length + 1)[:, None]
    y.square().mean().backward()
    return y.detach().numpy(), x.grad.numpy()


def classification(torch, batch):
    nn, F = torch.nn, torch.nn.functional
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Dropout(0.3), nn.GELU(), nn.Linear(5, 4))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1)
    x, t = torch.randn(batch, 6), torch.randint(0, 4, (batch,))
    loss = F.cross_entropy(net(x), t) + net(x[: batch - 1]).max(1).values.sum()
    loss.backward()
    optimizer.step()
    return loss.detach().numpy(), *[p.detach().numpy() for p in net.parameters()]


def recurrence(torch, length):
    torch.manual_seed(0)
    net = torch.nn.LSTM(3, 4)
    y, (h, _) = net(torch.randn(length, 2, 3))
    (y.square().sum() + h.sum()).backward()
    return y.detach().numpy(), *[p.grad.numpy() for p in net.parameters()]


def convolution(torch, width):
    nn = torch.nn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    y = net(torch.randn(2, 3, 8, 2 * width))
    y.square().sum().backward()
    return y.detach().numpy(), *[p.grad.numpy() for p in net.parameters()]


@pytest.mark.parametrize("build", [attention, classification, recurrence, convolution])
def test_sizes_that_vary_are_traced_once_and_compile_nothing(build, traces):
    for item in gc.get_objects():
        if type(item) is form.Shaped:
            item.spent = 0.0  # what other tests have paid for it
    for size in (5, 6):
        build(torch, size)
    made = len(traces)
    assert 1 in traces
    results = [build(torch, size) for size in (9, 12, 13)]
    assert len(traces) - made <= 2  # what looked alike at first, such as a size that was also another one's
    assert report.report().compilations == 0
    for size, found in zip((9, 12, 13), results, strict=True):
        for ours, theirs in zip(found, build(original, size), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=5e-4, atol=1e-4)


def test_what_depends_on_sizes_is_traced_for_each(traces):
    for size in (3, 5, 6):
        x = torch.randn(size, size, requires_grad=True)
        y = torch.linalg.inv(x @ x.T + torch.eye(size))  # a factorisation has no rule
        y.sum().backward()
        np.testing.assert_allclose(y.detach().numpy() @ (x @ x.T + torch.eye(size)).detach().numpy(), np.eye(size), atol=1e-3)
    assert report.report().compilations > 0


def test_what_comes_once_is_not_compiled_and_what_keeps_coming_is():
    w = torch.randn(300, 300, requires_grad=True)
    known = count_programs()
    values, visits = [], 0
    while count_programs() == known:
        visits += 1
        assert visits < 10_000
        values.append((w.sin() @ w).square().mean().item())
    assert visits > 2
    assert report.report().compilations == 1
    np.testing.assert_allclose(values, values[0], rtol=1e-5)


def test_forms_without_rules_are_compiled_together_and_alone_only_where_they_come_elsewhere():
    x, w = torch.randn(6, 4).bfloat16(), torch.randn(4, 4).bfloat16()
    flush()
    report.forget()
    y = torch.softmax(torch.relu(x @ w) * 2, 1).tolist()
    assert report.report().compilations == 1
    y2 = torch.softmax(torch.relu(x @ w) * 2, 0).tolist()  # three of the forms again
    assert report.report().compilations == 5
    again = torch.softmax(torch.relu(x @ w) * 2, 1).tolist()
    torch.relu(x @ w).tolist(), (torch.relu(x) * 2).tolist()
    assert report.report().compilations == 5 and again == y
    t, v = original.tensor(x.tolist(), dtype=original.bfloat16), original.tensor(w.tolist(), dtype=original.bfloat16)
    for axis, found in ((1, y), (0, y2)):
        np.testing.assert_allclose(found, original.softmax(original.relu(t @ v) * 2, axis).tolist(), rtol=0.02)


def test_costs_are_counted_so_that_every_run_is_alike():
    """The visit at which a graph is compiled follows from sizes, not from the time that something took."""

    def visits(size):
        w = torch.randn(size, 7, requires_grad=True)
        known, count = count_programs(), 0
        while count_programs() == known:
            count += 1
            (w.exp().cumsum(0).T @ w.cos()).sum().item()
        return count

    assert visits(40_001) < visits(20_001)
    work = [shaped.traced.work(*shaped.values) for shaped in _shaped("cumsum") if shaped.kinds[0][0] == (40_001, 7)]
    assert work and len(set(work)) == 1 and work[0] > 40_001 * 7 * 1e-9


def test_a_graph_is_compiled_when_it_has_cost_half_of_what_that_costs():
    """Visits are those whose costs, without what a program takes to start, come to half of the purchase; nothing before, and nothing again after."""
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        is_worth = programs._is_worth

        def watched(state, steps):
            seen.append((state.spent, programs._purchase(steps), bool(is_worth(state, steps))))
            return seen[-1][2]

        patch.setattr(programs, "_is_worth", watched)
        w = torch.randn(500, 41, requires_grad=True)
        known = count_programs()
        while count_programs() == known:
            (w.tanh() * w.exp()).sum().item()
        count = len(seen)
        for _ in range(3):
            (w.tanh() * w.exp()).sum().item()
    assert len(seen) == count > 3  # a program that is there is not weighed again
    for (spent, purchase, bought), (later, _, _) in itertools.pairwise(seen):
        assert not bought and spent < programs.PATIENCE * purchase and later > spent
    assert seen[-1][2] and seen[-1][0] >= programs.PATIENCE * seen[-1][1]
    assert seen[-1][0] - seen[-2][0] == pytest.approx(seen[2][0] - seen[1][0])  # each visit costs the same


def _shaped(name):
    return [item for item in gc.get_objects() if type(item) is form.Shaped and form.name_of(item.form) == name]


def test_a_vjp_that_numpy_gave_serves_a_program_of_xla_later():
    w = torch.randn(6, 5, requires_grad=True)
    loss = (w.sigmoid() * w).sum()
    loss.item()  # the forward pass has run, with NumPy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "is_on_cpu", lambda: False)
        loss.backward()
        gradient = w.grad.numpy()
    x = w.detach().numpy().astype(np.float64)
    s = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(gradient, s + x * s * (1 - s), rtol=1e-5, atol=1e-7)  # a difference near 0


@pytest.mark.parametrize("hooks", [False, True], ids=["without hooks", "saved tensors' hooks"])
def test_a_pull_that_asks_for_sizes_reads_no_leaves_of_a_trace_for_all(hooks, monkeypatch):
    """The leaves of a vjp may be others, or lie in another order, in a trace for all sizes: here they do."""

    class Reversed(value.Interpreted):
        def __init__(self, leaves, pytree):
            super().__init__([np.zeros(1, np.float32), *reversed(leaves)], pytree)

    monkeypatch.setattr(traced.Traced, "pull", lambda *args: None)

    def gradient(t, size):
        t.manual_seed(size)
        x = t.randn(size, 9, requires_grad=True)
        with t.autograd.graph.saved_tensors_hooks(lambda a: a, lambda a: a) if hooks else contextlib.nullcontext():
            y = (t.nn.functional.layer_norm(x, (9,)) * x.sigmoid()).sum()
        y.item()
        y.backward()
        return x.grad.numpy()

    gradient(torch, 23)  # its trace has no symbols, and its leaves are read as they come
    for module in (value, programs):
        monkeypatch.setattr(module, "Interpreted", Reversed)
    for size in (24, 26, 29):
        np.testing.assert_allclose(gradient(torch, size), gradient(original, size), rtol=1e-4, atol=1e-5)


def test_operands_are_never_written():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = torch.from_numpy(rng.standard_normal((50, 50)).astype(np.float32)).requires_grad_()
        before = x.detach().numpy().copy()
        y = x * 2
        kept = y.detach()
        z = ((y + 1).exp_() / y.cosh()).softmax(0).clone()
        z[3:5] = 7.0
        z.sum().backward()
        assert z.detach()[3:5].numpy().min() == 7
        np.testing.assert_array_equal(x.detach().numpy(), before)
        np.testing.assert_array_equal(kept.numpy(), before * 2)


def test_a_report_names_the_line():
    big = torch.randn(3000)
    for _ in range(3):
        (big * 2).sum().item()
    line = sys._getframe().f_lineno - 1
    (found,) = report.report().lines
    assert (found.file, found.line, found.flushes, found.graphs, found.compilations) == (__file__, line, 3, 1, 0)
    assert f"{__file__}:{line}" in str(torch.compiler.report()) and torch.compiler.report().flushes == 3
    torch.compiler.reset()
    assert not torch.compiler.report().lines


def test_a_line_that_keeps_compiling_is_told_what_changes(monkeypatch):
    monkeypatch.setattr(report, "_MANY", 3)
    monkeypatch.setattr(report, "_LONG", 0.0)
    with pytest.warns(
        report.CompilationWarning, match=r"linalg_inv|inv.* had operands float32\[15, 15\], in the one before float32\[14, 14\]"
    ) as caught:
        for size in (13, 14, 15):
            torch.linalg.inv(torch.eye(size, requires_grad=True)).sum().item()
    assert caught[0].filename == __file__


def training(make):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(128, 256), torch.nn.ReLU(), torch.nn.Linear(256, 128))
    optimizer, x = make(net.parameters()), torch.randn(4, 128)

    def step():
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    return list(net.parameters()), step


@pytest.fixture
def compiled(monkeypatch):
    """The programs that ran; every graph has one when it comes again."""
    found = {}

    def find(*args):
        runner = programs.find_program(*args)
        if isinstance(runner, programs.Program):
            found[runner] = None
        return runner

    monkeypatch.setattr(programs, "PATIENCE", 0)
    monkeypatch.setattr(graph, "find_program", find)
    return found


OPTIMIZERS = {
    "sgd": (lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9), 2),
    "adam": (lambda parameters: torch.optim.Adam(parameters), 3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_overwrites_what_it_replaces(name, compiled):
    make, arrays = OPTIMIZERS[name]
    _, step = training(make)
    for _ in range(8):
        step()
    assert max(len(program.overwritten) for program in compiled) == 2 * arrays  # of both weights; biases are too small


COPIES = {
    "clone": lambda p: p.detach().clone(),
    "copy of numpy": lambda p: p.detach().numpy().copy(),
    "copy of a part": lambda p: p.detach().numpy()[3:].copy(),
    "jax": lambda p: p.detach()._read(),
    "deepcopy": lambda p: copy.deepcopy(p).detach(),
    "storage": lambda p: torch.Tensor._wrap(p._storage.value),
}


@pytest.mark.parametrize("name", COPIES)
def test_what_somebody_holds_is_not_overwritten(name, compiled):
    """Copies of parameters are as they were, whatever steps come after; and the steps are right."""
    make, _ = OPTIMIZERS["sgd"]
    (parameters, step), (twins, expected) = training(make), training(make)
    held = []
    for number in range(10):
        step(), expected()
        if number in (2, 5, 6):
            held += [(COPIES[name](p), np.array(COPIES[name](p))) for p in parameters]
    for item, then in held:
        np.testing.assert_array_equal(np.array(item), then)
    for p, twin in zip(parameters, twins, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), twin.detach().numpy(), rtol=1e-5, atol=1e-7)
    assert any(program.overwritten for program in compiled)


def test_an_interrupt_while_memory_is_overwritten(compiled):
    """Wherever it comes, the step has happened or it has not."""
    make, _ = OPTIMIZERS["sgd"]
    (parameters, step), (twins, expected) = training(make), training(make)
    for _ in range(6):
        step(), expected()
    lines, stop = 0, None

    def trace(frame, event, _):
        nonlocal lines
        ours = frame.f_code.co_filename == programs.__file__ or frame.f_code in (graph.Graph.flush.__code__, graph.Graph._run.__code__)
        # not while JAX's own contexts are entered and left, which would stay in force for all other tests
        if ours and not frame.f_code.co_qualname.startswith("Computing."):
            if event == "line":
                lines += 1
                if lines == stop:
                    raise KeyboardInterrupt
            return trace
        return None

    def interrupted(at):
        nonlocal lines, stop
        lines, stop = 0, at
        sys.settrace(trace)
        try:
            step()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
        return False

    assert not interrupted(None)
    expected()
    count = lines
    assert count > 20
    for at in range(1, count):
        before = [p.detach().numpy().copy() for p in twins]
        expected()
        interrupted(at)
        found = [p.detach().numpy().copy() for p in parameters]
        done = [
            [np.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(found, state, strict=True)]
            for state in (before, [p.detach().numpy() for p in twins])
        ]
        assert all(done[0]) or all(done[1]), at
        if not all(done[1]):
            step()
        assert not jax.config.jax_enable_x64, at
    assert any(program.overwritten for program in compiled)
