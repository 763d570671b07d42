"""When hooks run, what they see, and what they may return."""

from __future__ import annotations

from tests.programs._parts import batches, gradients, mlp, train_step
from tests.programs._program import program


@program
def order_of_all_hooks(torch, nn, F, compiled):
    """A leaf's hooks run as soon as its gradient is whole, not behind all others."""
    m, log = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)), []
    for name, p in m.named_parameters():
        p.register_hook(lambda g, name=name: log.append(f"gradient of {name}"))
        p.register_post_accumulate_grad_hook(lambda p, name=name: log.append(f"{name} has it"))
    for name, layer in m.named_children():
        layer.register_full_backward_pre_hook(lambda *_, name=name: log.append(f"before {name}"))
        layer.register_full_backward_hook(lambda *_, name=name: log.append(f"after {name}"))
        layer.register_forward_hook(lambda mod, i, out, name=name: out.register_hook(lambda g: log.append(f"output of {name}")) and None)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch, 4)], log


@program
def order_of_hooks_of_tensors(torch, nn, F, compiled):
    def f(log):
        w, u = (torch.ones(3, requires_grad=True) for _ in range(2))
        a, b = w * 2, u * 3
        c = a * b
        d = c * w
        for name, tensor in {"w": w, "u": u, "a": a, "b": b, "c": c, "d": d}.items():
            tensor.register_hook(lambda g, name=name: log.append((name, g.sum())) and None)
        d.sum().backward()
        return log

    f = compiled(f)
    return [f([]) for _ in range(3)]


@program
def order_of_hooks_of_leaves_alone(torch, nn, F, compiled):
    """A bias has its gradient before its weight, whose transpose is a step of its own, in passes that come again too."""
    m, log = mlp(torch), []
    for name, p in m.named_parameters():
        p.register_hook(lambda g, name=name: log.append(name))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch, 6)], log


@program
def module_hook_reads_gradients(torch, nn, F, compiled):
    """A full backward hook finds the gradients of its module's parameters in their ``.grad``."""
    m, log = mlp(torch), []
    for layer in (m[1], m[2]):
        layer.register_full_backward_hook(lambda mod, gi, go: log.append([p.grad.norm() for p in mod.parameters()]))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch, 5)], log, m


@program
def optimizer_in_the_backward_pass(torch, nn, F, compiled):
    m = mlp(torch)
    optimizers = {p: torch.optim.Adam([p], lr=0.02) for p in m.parameters()}

    def update(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in m.parameters():
        p.register_post_accumulate_grad_hook(update)

    def step(x, y):
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m, gradients(m)


@program
def what_hooks_return(torch, nn, F, compiled):
    def refused(register, result):
        x = torch.ones(3, requires_grad=True)
        register(x, lambda _: result)
        try:
            x.sum().backward()
        except (TypeError, RuntimeError) as error:
            return type(error).__name__, x.grad
        return "taken", x.grad

    kinds = torch.Tensor.register_hook, torch.Tensor.register_post_accumulate_grad_hook
    return [[refused(register, result) for result in (None, 1, torch.ones(2), torch.ones(3).double(), torch.ones(3))] for register in kinds]


@program
def only_the_way_to_the_inputs_runs(torch, nn, F, compiled):
    """``backward(inputs=…)`` runs no hook, and frees nothing, on other ways."""
    log = []

    def f(w, u):
        a, b = w.sin(), u.cos()
        a.register_hook(lambda g: log.append("a"))
        b.register_hook(lambda g: log.append("b"))
        loss = (a * b.exp()).sum()
        loss.backward(inputs=[w], retain_graph=True)
        b.sum().backward(inputs=[w * 1])
        b.sum().backward()
        return w.grad, u.grad

    return [compiled(f)(torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)) for _ in range(3)], log
