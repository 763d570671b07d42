"""Backward in all its forms: hooks, retained gradients, functions of one's own, checkpoints, higher derivatives."""

from __future__ import annotations

import gc
import weakref

from tests.programs._parts import batches, gradients, mlp, randn, train_step
from tests.programs._program import program


@program
def retained_gradients(torch, nn, F, compiled):
    m, seen = mlp(torch), []

    def step(x, y):
        h = m[0](x)
        h.retain_grad()
        z = m[2](torch.relu(h))
        z.retain_grad()
        m.zero_grad()
        F.cross_entropy(z, y).backward()
        return h.grad, z.grad

    step = compiled(step)
    for b in batches(torch, 4):
        seen.append(step(*b))
    return seen, gradients(m)


@program
def retained_gradient_of_a_written_tensor(torch, nn, F, compiled):
    def f(x):
        h = x * 2
        h.retain_grad()
        h.mul_(3)
        h.retain_grad()
        h.square().sum().backward()
        return h.grad, x.grad

    return [compiled(f)(torch.ones(3, requires_grad=True)) for _ in range(2)]


@program
def retained_gradient_of_a_view(torch, nn, F, compiled):
    def f(x):
        h = x * 2
        v = h[1:]
        v.retain_grad()
        (v.square().sum() + h.sum()).backward()
        return v.grad, x.grad

    return [compiled(f)(torch.arange(4.0).requires_grad_()) for _ in range(2)]


@program
def gradient_of_a_view_whose_base_was_written(torch, nn, F, compiled):
    def f(x):
        h = x * 2
        v = h.view(-1)[1:]
        h.mul_(3)
        v.retain_grad()
        (v * v).sum().backward()
        return v.grad, x.grad

    return compiled(f)(torch.ones(2, 2, requires_grad=True))


@program
def tensor_hooks(torch, nn, F, compiled):
    m, log = mlp(torch), []
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        h = torch.relu(m[0](x))
        h.register_hook(lambda g: log.append(g.norm()))
        h.register_hook(lambda g: g * 2)
        o.zero_grad()
        loss = F.cross_entropy(m[2](h), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], log, m


@program
def module_hooks_added_later(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    seen = [step(*b) for b in data[:3]]
    handle = m[0].register_forward_hook(lambda mod, args, out: out * 2)
    seen += [step(*b) for b in data[3:5]]
    handle.remove()
    handle = m[0].weight.register_hook(lambda g: g * 0.5)
    seen += [step(*b) for b in data[5:7]]
    handle.remove()
    return seen, [step(*b) for b in data[7:]], m


@program
def hooks_of_every_kind(torch, nn, F, compiled):
    m, log = mlp(torch), []
    m[0].register_forward_pre_hook(lambda mod, args: (args[0] * 1.5,))
    m[0].register_forward_hook(lambda mod, args, kwargs, out: log.append(out.mean()), with_kwargs=True)
    m[2].register_full_backward_pre_hook(lambda mod, grads: (grads[0] * 0.5,))
    m[2].register_full_backward_hook(lambda mod, inputs, outputs: log.append(inputs[0].norm()))
    m[0].weight.register_post_accumulate_grad_hook(lambda p: log.append(p.grad.clamp_(-0.05, 0.05).sum()))
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.3)))
    return [step(*b) for b in batches(torch, 6)], log, m


@program
def hook_that_changes_its_mind(torch, nn, F, compiled):
    m, count = mlp(torch), [0]

    def scale(g):
        count[0] += 1
        return g / count[0] if count[0] % 2 else None

    m[2].weight.register_hook(scale)
    step = compiled(train_step(torch, m, torch.optim.SGD(m.parameters(), lr=0.1)))
    return [step(*b) for b in batches(torch)], m, count


@program
def node_hooks_and_names(torch, nn, F, compiled):
    def f(x):
        names, y = [], (x * 2).tanh()
        y.grad_fn.register_hook(lambda gi, go: names.append(go[0].sum().item()))
        y.grad_fn.register_prehook(lambda go: (go[0] * 3,))
        y.sum().backward()
        return names, y.grad_fn.name(), [type(n).__name__ for n, _ in y.grad_fn.next_functions], x.grad

    return [compiled(f)(torch.ones(3, requires_grad=True)) for _ in range(2)]


@program
def activations_kept_by_hooks(torch, nn, F, compiled):
    m, kept = mlp(torch), {}

    def keep(name):
        def hook(mod, args, out):
            kept.setdefault(name, []).append(out.detach().mean(0))

        return hook

    for name, layer in m.named_children():
        layer.register_forward_hook(keep(name))
    f = compiled(m)
    for x, _ in batches(torch, 4):
        f(x)
    return kept


@program
def class_activation_map(torch, nn, F, compiled):
    conv, head, store = nn.Conv2d(1, 4, 3), nn.Linear(4, 3), {}
    conv.register_forward_hook(lambda m, i, o: store.update(act=o))
    conv.register_full_backward_hook(lambda m, i, o: store.update(grad=o[0]))

    def explain(x, k):
        z = head(torch.relu(conv(x)).mean((2, 3)))
        conv.zero_grad()
        z[:, k].sum().backward()
        return torch.relu((store["act"] * store["grad"].mean((2, 3), keepdim=True)).sum(1))

    explain = compiled(explain)
    return [explain(randn(torch, 2, 1, 6, 6), k) for k in range(3)]


@program
def straight_through_sign(torch, nn, F, compiled):
    class Sign(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return torch.sign(x)

        @staticmethod
        def backward(ctx, g):
            return g

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(6, 3)

        def forward(self, x):
            return Sign.apply(self.l(x))

    m = Model()
    step = train_step(torch, compiled(m), torch.optim.SGD(m.parameters(), lr=0.1))
    return [step(*b) for b in batches(torch)], m


@program
def function_with_saved_values(torch, nn, F, compiled):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.save_for_backward(x)
            ctx.scale = scale
            return scale * x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * ctx.scale * x**2, None

    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y, s):
        o.zero_grad()
        loss = F.cross_entropy(Cube.apply(m(x), s), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b, 0.5 + 0.1 * i) for i, b in enumerate(batches(torch))], m


@program
def function_that_counts(torch, nn, F, compiled):
    counts = {"forward": 0, "backward": 0}

    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            counts["forward"] += 1
            return x.view_as(x)

        @staticmethod
        def backward(ctx, g):
            counts["backward"] += 1
            return -g * counts["backward"]

    m = mlp(torch)

    def step(x, y):
        m.zero_grad()
        loss = F.cross_entropy(m[2](Reverse.apply(torch.relu(m[0](x)))), y)
        loss.backward()
        return loss, m[0].bias.grad.clone()

    step = compiled(step)
    return [step(*b) for b in batches(torch, 5)], counts


@program
def function_of_many_results(torch, nn, F, compiled):
    class Split(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            out = x * y, (x > y), x.argsort()
            ctx.mark_non_differentiable(out[1], out[2])
            ctx.save_for_backward(x, y)
            return out

        @staticmethod
        def backward(ctx, g, _mask, _order):
            x, y = ctx.saved_tensors
            needs = ctx.needs_input_grad
            return g * y if needs[0] else None, g * x if needs[1] else None

    f = compiled(lambda x, y: Split.apply(x, y))
    x, y, seen = randn(torch, 4).requires_grad_(), randn(torch, 4, seed=5), []
    for _ in range(3):
        a, mask, order = f(x, y)
        a.sum().backward()
        seen.append((a, mask, order, x.grad.clone()))
    return seen


@program
def function_in_place(torch, nn, F, compiled):
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx, g):
            return g * 2

    def f(x):
        y = x + 1
        z = Double.apply(y)
        return y, z, z is y

    x = torch.ones(3, requires_grad=True)
    y, z, same = compiled(f)(x)
    (y * z).sum().backward()
    return y, z, same, x.grad


@program
def function_with_double_backward(torch, nn, F, compiled):
    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x.cos()

    def f(x):
        (a,) = torch.autograd.grad(Sine.apply(x).sum(), x, create_graph=True)
        (b,) = torch.autograd.grad(a.sum(), x, create_graph=True)
        (c,) = torch.autograd.grad(b.sum(), x)
        return a, b, c

    return [compiled(f)(randn(torch, 3, seed=i).requires_grad_()) for i in range(3)]


@program
def function_that_calls_autograd(torch, nn, F, compiled):
    """A checkpoint written by hand."""

    class Again(torch.autograd.Function):
        @staticmethod
        def forward(ctx, run, x):
            ctx.run = run
            ctx.save_for_backward(x)
            with torch.no_grad():
                return run(x)

        @staticmethod
        def backward(ctx, g):
            x = ctx.saved_tensors[0].detach().requires_grad_()
            with torch.enable_grad():
                y = ctx.run(x)
            torch.autograd.backward(y, g)
            return None, x.grad

    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m[2](Again.apply(lambda h: torch.relu(m[0](h)), x.requires_grad_())), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def checkpoint_without_reentry(torch, nn, F, compiled):
    """More than 70 equal steps: what is compiled once a step has come often must be right too."""
    m, checkpoint = mlp(torch), torch.utils.checkpoint.checkpoint
    o = torch.optim.SGD(m.parameters(), lr=0.05)

    def step(x, y):
        o.zero_grad()
        h = checkpoint(lambda x: torch.relu(m[0](x)), x, use_reentrant=False)
        loss = F.cross_entropy(m[2](h), y)
        loss.backward()
        o.step()
        return loss

    step, data = compiled(step), batches(torch, 10)
    return [step(*data[i % 10]) for i in range(75)], m


@program
def checkpoint_with_reentry(torch, nn, F, compiled):
    m, checkpoint = mlp(torch), torch.utils.checkpoint.checkpoint
    o = torch.optim.SGD(m.parameters(), lr=0.05)

    def step(x, y):
        o.zero_grad()
        h = checkpoint(lambda x: torch.relu(m[0](x)), x.requires_grad_(), use_reentrant=True)
        loss = F.cross_entropy(m[2](h), y)
        loss.backward()
        o.step()
        return loss

    step, data = compiled(step), batches(torch, 10)
    return [step(*data[i % 10]) for i in range(75)], m


@program
def checkpoint_with_dropout(torch, nn, F, compiled):
    blocks, head = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Dropout(0.5)) for _ in range(3)), nn.Linear(6, 3)
    o = torch.optim.SGD([*blocks.parameters(), *head.parameters()], lr=0.1)
    calls = [0]

    def run(block, x):
        calls[0] += 1
        return x + block(x)

    def step(x, y):
        for block in blocks:
            x = torch.utils.checkpoint.checkpoint(run, block, x, use_reentrant=False)
        loss = F.cross_entropy(head(x), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], blocks, head, calls, torch.rand(2)


@program
def checkpoint_of_a_sequence(torch, nn, F, compiled):
    m = nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(6, 6), nn.Tanh())))
    o = torch.optim.Adam(m.parameters(), lr=0.01)

    def step(x):
        y = torch.utils.checkpoint.checkpoint_sequential(m, 2, x, use_reentrant=False)
        loss = y.square().mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(x) for x, _ in batches(torch)], m


@program
def checkpoint_off_in_evaluation(torch, nn, F, compiled):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.l = nn.Linear(6, 6)

        def forward(self, x):
            if self.training and x.requires_grad:
                return torch.utils.checkpoint.checkpoint(self.l, x, use_reentrant=False, preserve_rng_state=False)
            return self.l(x)

    m = nn.Sequential(nn.Linear(6, 6), Block(), nn.Linear(6, 3))
    f, seen = compiled(m), []
    for i, (x, _) in enumerate(batches(torch, 4)):
        m.train(i % 2 == 0)
        y = f(x)
        m.zero_grad()
        y.square().sum().backward()
        seen.append((y, m[0].weight.grad))
    return seen


@program
def saved_tensors_hooks(torch, nn, F, compiled):
    m, counts = mlp(torch), {"pack": 0, "unpack": 0}
    o = torch.optim.SGD(m.parameters(), lr=0.05)

    def pack(x):
        counts["pack"] += x.dim() == 2
        return x.detach().clone()

    def unpack(x):
        counts["unpack"] += 1
        return x

    def step(x, y):
        o.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
            loss = F.cross_entropy(m(x), y)
        loss.backward()
        o.step()
        return loss

    step, data = compiled(step), batches(torch, 10)
    return [step(*data[i % 10]) for i in range(72)], m, counts["pack"] > 0, counts["unpack"] > 0


@program(rtol=1e-2, atol=1e-3, because="what is saved is rounded to float16")
def saved_tensors_in_half(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.05)

    def half(x):
        return (x.half(), True) if x.is_floating_point() and not isinstance(x, nn.Parameter) else (x, False)

    def step(x, y):
        o.zero_grad()
        with torch.autograd.graph.saved_tensors_hooks(half, lambda p: p[0].float() if p[1] else p[0]):
            loss = m(x).tanh().square().mean()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def saved_on_cpu(torch, nn, F, compiled):
    m = mlp(torch)

    def step(x, y):
        m.zero_grad()
        with torch.autograd.graph.save_on_cpu():
            loss = F.cross_entropy(m(x), y)
        loss.backward()
        return loss, m[0].weight.grad

    step = compiled(step)
    return [step(*b) for b in batches(torch, 4)]


@program
def retained_graph(torch, nn, F, compiled):
    m, seen = mlp(torch), []

    def step(x, y):
        m.zero_grad()
        z = m(x)
        loss = F.cross_entropy(z, y)
        for turn in range(3):
            loss.backward(retain_graph=turn < 2)
        return loss, m[2].weight.grad.clone()

    step = compiled(step)
    for b in batches(torch, 3):
        seen.append(step(*b))
    return seen


@program(raises="RuntimeError")
def backward_twice(torch, nn, F, compiled):
    m, (x, y) = mlp(torch), batches(torch)[0]
    loss = compiled(lambda x, y: F.cross_entropy(m(x), y))(x, y)
    loss.backward()
    loss.backward()


@program(raises="RuntimeError")
def saved_value_was_overwritten(torch, nn, F, compiled):
    def f(x):
        y = x.exp()
        y.add_(1)
        y.sum().backward()

    compiled(f)(torch.ones(2, requires_grad=True))


@program(raises="RuntimeError")
def leaf_written_in_place(torch, nn, F, compiled):
    compiled(lambda x: x.add_(1))(torch.ones(2, requires_grad=True))


@program
def two_losses_share_a_graph(torch, nn, F, compiled):
    trunk, a, b = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 3)
    o = torch.optim.SGD([*trunk.parameters(), *a.parameters(), *b.parameters()], lr=0.1)

    def step(x, y):
        h = torch.tanh(trunk(x))
        first, second = F.cross_entropy(a(h), y), F.cross_entropy(b(h), (y + 1) % 3)
        o.zero_grad()
        first.backward(retain_graph=True)
        norm = trunk.weight.grad.norm()
        second.backward()
        o.step()
        return first, second, norm

    step = compiled(step)
    return [step(*b) for b in batches(torch)], trunk


@program
def backward_into_chosen_inputs(torch, nn, F, compiled):
    m = mlp(torch)

    def step(x, y):
        m.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward(inputs=[m[2].weight, m[0].bias])
        return gradients(m)

    step = compiled(step)
    return [step(*b) for b in batches(torch, 3)]


@program
def backward_with_given_gradient(torch, nn, F, compiled):
    m = mlp(torch)

    def step(x, y):
        m.zero_grad()
        z = m(x)
        z.backward(F.softmax(z.detach(), 1) - F.one_hot(y, 3))
        return gradients(m)

    step = compiled(step)
    return [step(*b) for b in batches(torch, 3)]


@program
def gradients_by_grad(torch, nn, F, compiled):
    m = mlp(torch)

    def step(x, y):
        loss = F.cross_entropy(m(x), y)
        unused = torch.zeros(2, requires_grad=True)
        return torch.autograd.grad(loss, [*m.parameters(), unused], allow_unused=True)

    step = compiled(step)
    return [step(*b) for b in batches(torch, 3)], gradients(m)


@program
def higher_derivatives(torch, nn, F, compiled):
    def f(x, order):
        y = (x.sin() * x**3).sum()
        for _ in range(order):
            (g,) = torch.autograd.grad(y, x, create_graph=True)
            y = g.sum()
        return g

    f = compiled(f)
    return [f(randn(torch, 3).requires_grad_(), order) for order in (1, 2, 3, 4)]


@program
def hessian_vector_products(torch, nn, F, compiled):
    m = mlp(torch)
    parameters = list(m.parameters())

    def product(x, y, vector):
        grads = torch.autograd.grad(F.cross_entropy(m(x), y), parameters, create_graph=True)
        return torch.autograd.grad(sum((g * v).sum() for g, v in zip(grads, vector, strict=True)), parameters)

    product, vector, norms = compiled(product), [torch.ones_like(p) for p in parameters], []
    b = batches(torch)[0]
    for _ in range(5):
        vector = product(*b, vector)
        norm = torch.stack([v.norm() for v in vector]).norm()
        vector = [v / norm for v in vector]
        norms.append(norm)
    return norms


@program
def gradient_of_the_gradient_norm(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 8), nn.Softplus(), nn.Linear(8, 3))
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward(create_graph=True)
        grads = [p.grad for p in m.parameters()]
        for p in m.parameters():
            p.grad = None
        (loss.detach() + 0.1 * sum(g.square().sum() for g in grads)).backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch, 6)], m


@program
def jacobian_and_hessian(torch, nn, F, compiled):
    A = torch.autograd.functional
    f = compiled(lambda x: (A.jacobian(lambda x: x.exp() * x.sum(), x), A.hessian(lambda x: (x**3).prod(), x)))
    return [f(randn(torch, 3, seed=i)) for i in range(3)]


@program
def gradient_assigned_by_hand(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)

    def step(x, y):
        grads = torch.autograd.grad(F.cross_entropy(m(x), y), list(m.parameters()))
        for p, g in zip(m.parameters(), grads, strict=True):
            p.grad = g.sign() * 0.1
        o.step()
        return sum(p.grad.abs().sum() for p in m.parameters())

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def gradient_buffers_are_kept(torch, nn, F, compiled):
    """Somebody holds the gradient tensors, which accumulate in place."""
    m = mlp(torch)
    F.cross_entropy(m(batches(torch)[0][0]), batches(torch)[0][1]).backward()
    held, step = gradients(m), compiled(lambda x, y: F.cross_entropy(m(x), y).backward())
    for b in batches(torch, 4):
        step(*b)
    same = [h is p.grad for h, p in zip(held, m.parameters(), strict=True)]
    m.zero_grad(set_to_none=False)
    return held, same


@program
def gradient_projection_of_two_tasks(torch, nn, F, compiled):
    m = mlp(torch)
    o, parameters = torch.optim.SGD(m.parameters(), lr=0.1), list(m.parameters())

    def step(x, y):
        z = m(x)
        flat = [
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters, retain_graph=True)])
            for loss in (F.cross_entropy(z, y), F.cross_entropy(-z, y))
        ]
        dot = flat[0] @ flat[1]
        if dot < 0:
            flat[0] = flat[0] - dot / flat[1].square().sum() * flat[1]
        at = 0
        for p in parameters:
            p.grad = flat[0][at : at + p.numel()].view_as(p).clone()
            at += p.numel()
        o.step()
        return dot

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def detached_branches(torch, nn, F, compiled):
    a, b = nn.Linear(6, 6), nn.Linear(6, 6)

    def step(x, stop):
        a.zero_grad()
        b.zero_grad()
        h = a(x)
        h = h.detach() if stop else h
        F.cosine_similarity(b(h), x.clone(), dim=1).sum().backward()
        return a.weight.grad, b.weight.grad

    step = compiled(step)
    return [step(x, i % 2 == 0) for i, (x, _) in enumerate(batches(torch, 4))]


@program
def requires_grad_switched(torch, nn, F, compiled):
    x, seen = torch.ones(3), []
    f = compiled(lambda x: (x * x).sum())
    for flag in (False, True, False, True):
        x.requires_grad_(flag)
        y = f(x)
        seen.append(y)
        if flag:
            y.backward()
            seen.append(x.grad.clone())
    return seen


@program
def anomaly_detection(torch, nn, F, compiled):
    def f(x):
        with torch.autograd.detect_anomaly(check_nan=True):
            (x.sqrt() * 0).sum().backward()

    try:
        compiled(f)(torch.tensor([0.0], requires_grad=True))
    except RuntimeError as error:
        return "nan" in str(error)
    return "no error"


@program
def graph_dies_with_its_tensors(torch, nn, F, compiled):
    m, (x, _) = mlp(torch), batches(torch)[0]
    f, held = compiled(lambda x: m(x).square()), []
    for _ in range(3):
        y = f(x)
        held.append(weakref.ref(y))
    del y
    gc.collect()
    return [h() is None for h in held]


@program
def forward_mode_inside(torch, nn, F, compiled):
    m, fw = mlp(torch), torch.autograd.forward_ad

    def f(x, t):
        with fw.dual_level():
            out = m(fw.make_dual(x, t))
            return fw.unpack_dual(out).tangent

    f = compiled(f)
    with torch.no_grad():
        return [f(x, torch.ones_like(x)) for x, _ in batches(torch, 3)]


@program
def deep_chain(torch, nn, F, compiled):
    def f(x, n):
        y = x
        for i in range(n):
            y = y * 1.01 + 0.001 * i
        return y.sum()

    f, seen = compiled(f), []
    for n in (50, 300, 51):
        x = torch.ones(2, requires_grad=True)
        f(x, n).backward()
        seen.append(x.grad)
    return seen


@program
def parameter_used_many_times(torch, nn, F, compiled):
    w = randn(torch, 4, 4).mul_(0.3).requires_grad_()

    def f(x):
        for _ in range(6):
            x = torch.tanh(x @ w) + x
        return x.square().mean()

    f = compiled(f)
    for i in range(3):
        f(randn(torch, 2, 4, seed=i)).backward()
    return w.grad
