"""Two threads, and code that runs between the steps of others."""

from __future__ import annotations

import queue
import threading

from tests.programs._parts import batches, mlp, randn, train_step
from tests.programs._program import program


def together(*functions):
    """Runs the functions at once; their results in order."""
    results = [None] * len(functions)

    def run(i):
        try:
            results[i] = functions[i]()
        except Exception as error:
            results[i] = type(error).__name__

    workers = [threading.Thread(target=run, args=(i,)) for i in range(len(functions))]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    return results


@program
def two_models_at_once(torch, nn, F, compiled):
    models = [mlp(torch), mlp(torch, 8)]
    steps = [compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1))) for m in models]
    return together(*(lambda s=s: [s(*b).item() for b in batches(torch, 12)] for s in steps)), models


@program
def one_compiled_function_in_two_threads(torch, nn, F, compiled):
    w = randn(torch, 6, 3)
    f = compiled(lambda x, n: torch.tanh(x @ w) * n)
    data = batches(torch)
    return together(*(lambda n=n: [f(x, n) for x, _ in data] for n in (1, 2)))


@program
def prefetching_thread(torch, nn, F, compiled):
    m, ready = mlp(torch), queue.Queue(2)
    step, losses = compiled(train_step(torch, m, torch.optim.Adam(m.parameters(), lr=0.01))), []

    def produce():
        for x, y in batches(torch):
            ready.put(((x - x.mean()) / x.std(), y))
        ready.put(None)

    worker = threading.Thread(target=produce)
    worker.start()
    while (b := ready.get()) is not None:
        losses.append(step(*b))
    worker.join()
    return losses, m


@program
def evaluating_thread(torch, nn, F, compiled):
    m, seen = mlp(torch), []
    step, (x, _) = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1))), batches(torch, 1, seed=50)[0]

    def evaluate():
        with torch.no_grad():
            return m(x).sum()

    for b in batches(torch, 5):
        step(*b)
        seen += together(evaluate)
    return seen, m


@program
def value_made_here_and_read_there(torch, nn, F, compiled):
    f, seen = compiled(lambda x: (x * 2).cumsum(0)), []
    for i in range(4):
        y = f(torch.arange(4.0) + i)
        y.add_(1)
        seen += together(lambda y=y: y.tolist(), lambda y=y: (y * 3).sum().item())
    return seen


@program
def gradient_mode_is_the_threads_own(torch, nn, F, compiled):
    m, x = mlp(torch), batches(torch)[0][0]
    f = compiled(lambda: m(x).requires_grad)
    with torch.no_grad():
        inside = f(), *together(f)
    return inside, f()


@program
def backward_in_another_thread(torch, nn, F, compiled):
    m, seen = mlp(torch), []
    f = compiled(lambda x, y: F.cross_entropy(m(x), y))
    for b in batches(torch, 3):
        m.zero_grad()
        together(f(*b).backward)
        seen.append([p.grad for p in m.parameters()])
    return seen


@program
def shared_model_with_a_lock(torch, nn, F, compiled):
    """All add the same gradient, so that their order does not matter."""
    w, lock = torch.zeros(3, requires_grad=True), threading.Lock()

    def work():
        for _ in range(5):
            g = compiled(lambda: torch.full((3,), 0.5))()
            with lock, torch.no_grad():
                w.sub_(g)

    together(work, work, work)
    return w


@program
def asynchronous_logging(torch, nn, F, compiled):
    m, log, inbox = mlp(torch), [], queue.Queue()
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))

    def write():
        while (item := inbox.get()) is not None:
            log.append((item[0], round(item[1].item(), 3)))

    writer = threading.Thread(target=write)
    writer.start()
    for i, b in enumerate(batches(torch)):
        inbox.put((i, step(*b).detach()))
    inbox.put(None)
    writer.join()
    return [i for i, _ in log], [value for _, value in log], m
