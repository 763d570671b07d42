"""``torch.func`` and distributions."""

from __future__ import annotations

import copy

from tests.programs._parts import batches, mlp, randn
from tests.programs._program import program


@program
def gradients_of_each_sample(torch, nn, F, compiled):
    m, func = mlp(torch), torch.func

    def step(x, y):
        parameters = {k: v.detach() for k, v in m.named_parameters()}

        def loss(p, x, y):
            return F.cross_entropy(func.functional_call(m, p, (x[None],)), y[None])

        grads = func.vmap(func.grad(loss), (None, 0, 0))(parameters, x, y)
        with torch.no_grad():
            for k, p in m.named_parameters():
                p -= 0.1 * grads[k].mean(0)
        return grads["0.bias"].norm()

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def private_gradients(torch, nn, F, compiled):
    m, func = nn.Linear(6, 3), torch.func
    per_sample = func.vmap(
        func.grad(lambda p, x, y: F.cross_entropy(func.functional_call(m, p, (x[None],)), y[None])), (None, 0, 0), randomness="different"
    )

    def step(x, y):
        grads = per_sample(dict(m.named_parameters()), x, y)
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in grads.values()]).norm(dim=0)
        scale = (0.5 / norms).clamp(max=1)
        with torch.no_grad():
            for k, p in m.named_parameters():
                noisy = torch.einsum("n,n...->...", scale, grads[k]) + 0.1 * torch.randn_like(p)
                p -= 0.1 * noisy / len(x)
        return norms

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def functional_training(torch, nn, F, compiled):
    m, func = mlp(torch), torch.func
    parameters = {k: v.detach().clone() for k, v in m.named_parameters()}

    def step(p, x, y, lr):
        grads, loss = func.grad_and_value(lambda p: F.cross_entropy(func.functional_call(m, p, (x,)), y))(p)
        return {k: v - lr * grads[k] for k, v in p.items()}, loss

    step, losses = compiled(step), []
    for i, b in enumerate(batches(torch)):
        parameters, loss = step(parameters, *b, 0.1 / (1 + i))
        losses.append(loss)
    return losses, parameters, m


@program
def functional_call_with_buffers(torch, nn, F, compiled):
    m = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    state = {k: v.detach().clone() for k, v in m.state_dict().items()}
    f = compiled(lambda s, x: torch.func.functional_call(m, s, (x,)))
    seen = [f(state, x) for x, _ in batches(torch, 4)]
    return seen, state, m


@program
def ensemble_by_vmap(torch, nn, F, compiled):
    func, models = torch.func, [mlp(torch) for _ in range(3)]
    parameters, buffers = func.stack_module_state(models)
    base = copy.deepcopy(models[0])
    o = torch.optim.SGD(parameters.values(), lr=0.1, momentum=0.9)

    def step(x, y):
        z = func.vmap(lambda p, b, x: func.functional_call(base, (p, b), (x,)), (0, 0, None))(parameters, buffers, x)
        losses = F.cross_entropy(z.flatten(0, 1), y.repeat(3), reduction="none").view(3, -1).mean(1)
        o.zero_grad()
        losses.sum().backward()
        o.step()
        return losses

    step = compiled(step)
    return [step(*b) for b in batches(torch)], parameters


@program
def jacobians(torch, nn, F, compiled):
    func, m = torch.func, nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).requires_grad_(False)
    f = compiled(lambda x: (func.jacrev(m)(x), func.jacfwd(m)(x), func.vmap(func.jacrev(m))(x.expand(2, 3))))
    return [f(randn(torch, 3, seed=i)) for i in range(3)]


@program
def hessian_of_a_function(torch, nn, F, compiled):
    func = torch.func
    f = compiled(lambda x, a: func.hessian(lambda x: (x.sin() * a).sum() * x.prod())(x))
    return [f(randn(torch, 3, seed=i), 1.0 + i) for i in range(3)]


@program
def forward_and_reverse_products(torch, nn, F, compiled):
    func, m = torch.func, mlp(torch).requires_grad_(False)

    def f(x, t):
        out, tangent = func.jvp(m, (x,), (t,))
        _, back = func.vjp(m, x)
        return out, tangent, back(torch.ones_like(out))[0]

    f = compiled(f)
    return [f(x, randn(torch, 8, 6, seed=i)) for i, (x, _) in enumerate(batches(torch, 3))]


@program
def gauss_newton_step(torch, nn, F, compiled):
    func = torch.func
    x, y = torch.linspace(0, 1, 7, dtype=torch.float64), torch.linspace(1, 3, 7, dtype=torch.float64).exp().log1p()

    def step(p):
        j = func.jacfwd(lambda p: p[0] * torch.exp(p[1] * x) - y)(p)
        r = p[0] * torch.exp(p[1] * x) - y
        return p - torch.linalg.solve(j.T @ j + 1e-6 * torch.eye(2, dtype=torch.float64), j.T @ r)

    step, p, seen = compiled(step), torch.tensor([1.0, 0.5], dtype=torch.float64), []
    for _ in range(6):
        p = step(p)
        seen.append(p)
    return seen


@program
def vmap_over_changing_sizes(torch, nn, F, compiled):
    func = torch.func
    f = compiled(lambda x, y: func.vmap(lambda a, b: (a * b).sum() / (a.norm() + 1), in_dims=(0, None))(x, y))
    return [f(randn(torch, n, 3), randn(torch, 3, seed=n)) for n in (1, 2, 3, 2, 5)]


@program
def vmap_with_random_numbers(torch, nn, F, compiled):
    func = torch.func
    f = compiled(lambda x: func.vmap(lambda a: a + torch.randn(2) + F.dropout(a, 0.5), randomness="different")(x))
    g = compiled(lambda x: func.vmap(lambda a: a + torch.rand(2), randomness="same")(x))
    return [(f(torch.ones(3, 2)), g(torch.ones(3, 2))) for _ in range(3)], torch.rand(1)


@program
def grad_of_grad(torch, nn, F, compiled):
    func = torch.func

    def nth(f, n):
        for _ in range(n):
            f = func.grad(f)
        return f

    f = compiled(lambda x, n: nth(lambda x: (x**5).sin(), n)(x))
    return [f(torch.tensor(0.7), n) for n in range(5)]


@program
def grad_inside_a_recorded_step(torch, nn, F, compiled):
    m, func = mlp(torch), torch.func
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        slope = func.vmap(func.grad(lambda x: m(x).square().sum()))(x)
        loss = F.cross_entropy(m(x), y) + 0.01 * slope.square().mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def neural_tangent_kernel(torch, nn, F, compiled):
    m, func = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 1)), torch.func
    parameters = {k: v.detach() for k, v in m.named_parameters()}

    def kernel(a, b):
        ja, jb = (func.vmap(func.jacrev(lambda p, x: func.functional_call(m, p, (x,))), (None, 0))(parameters, x) for x in (a, b))
        return sum(torch.einsum("Nof,Mof->NM", p.flatten(2), q.flatten(2)) for p, q in zip(ja.values(), jb.values(), strict=True))

    return compiled(kernel)(randn(torch, 3, 6), randn(torch, 2, 6, seed=4))


@program
def functionalised_writes(torch, nn, F, compiled):
    def f(x):
        y = x.clone()
        y[0].add_(1)
        y.view(-1)[2:].mul_(2)
        return y.sum() * y[0, 0]

    func = torch.func
    return [compiled(func.functionalize(f))(torch.ones(2, 2) * i) for i in range(3)], func.grad(f)(torch.ones(2, 2))


@program
def samples_of_many_distributions(torch, nn, F, compiled):
    d = torch.distributions

    def f(a):
        return [
            q.sample((3,))
            for q in (d.Normal(a, 1.0), d.Uniform(a, a + 2), d.Bernoulli(logits=a), d.Categorical(logits=a), d.Exponential(a.exp()))
        ] + [d.Laplace(a, 1.0).sample(), d.Gumbel(a, 1.0).sample(), d.Geometric(torch.sigmoid(a)).sample()]

    f = compiled(f)
    return [f(randn(torch, 2, seed=i)) for i in range(3)], torch.rand(1)


@program
def reparametrised_samples(torch, nn, F, compiled):
    d, mean, log_scale = torch.distributions, torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)
    o = torch.optim.Adam([mean, log_scale], lr=0.1)

    def step():
        q = d.Normal(mean, log_scale.exp())
        z = q.rsample((5,))
        loss = (q.log_prob(z) - d.MultivariateNormal(torch.ones(3), torch.eye(3) * 2).log_prob(z)[:, None]).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step() for _ in range(8)], mean, log_scale


@program
def transformed_and_mixed_distributions(torch, nn, F, compiled):
    d, p = torch.distributions, torch.tensor([0.2, -0.3], requires_grad=True)

    def f(x):
        flow = d.TransformedDistribution(d.Normal(p, 1.0), [d.SigmoidTransform(), d.AffineTransform(0.0, 2.0)])
        mixture = d.MixtureSameFamily(d.Categorical(logits=p), d.Normal(torch.tensor([-1.0, 1.0]), p.exp()))
        return flow.log_prob(x).sum() + mixture.log_prob(x).sum(), flow.rsample(), mixture.sample((2,))

    f, seen = compiled(f), []
    for i in range(3):
        p.grad = None
        value, z, m = f(torch.tensor([0.5, 0.1 + 0.4 * i]))
        (value + z.sum()).backward()
        seen.append((value, z, m, p.grad))
    return seen


@program
def score_function_estimate(torch, nn, F, compiled):
    logits = torch.zeros(4, requires_grad=True)
    o, state = torch.optim.SGD([logits], lr=0.2), {"baseline": 0.0}

    def step():
        q = torch.distributions.Categorical(logits=logits)
        a = q.sample((6,))
        reward = (a == 2).float()
        loss = -(q.log_prob(a) * (reward - state["baseline"])).mean()
        state["baseline"] = 0.8 * state["baseline"] + 0.2 * reward.mean().item()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step() for _ in range(10)], logits, state


@program
def relaxed_categories(torch, nn, F, compiled):
    logits = torch.zeros(2, 4, requires_grad=True)
    o = torch.optim.Adam([logits], lr=0.1)

    def step(tau, hard):
        y = F.gumbel_softmax(logits, tau=tau, hard=hard)
        loss = (y * torch.arange(4.0)).sum(1).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, y

    step = compiled(step)
    return [step(1.0 - 0.08 * i, i % 2 == 1) for i in range(8)], logits


@program
def langevin_chain(torch, nn, F, compiled):
    def step(x, size):
        x = x.detach().requires_grad_()
        energy = (x**4 - x**2).sum()
        (g,) = torch.autograd.grad(energy, x)
        return x.detach() - size * g + (2 * size) ** 0.5 * torch.randn_like(x)

    step, x, seen = compiled(step), torch.zeros(3), []
    for i in range(10):
        x = step(x, 0.1 / (1 + i))
        seen.append(x)
    return seen


@program
def metropolis_chain(torch, nn, F, compiled):
    def step(x):
        proposal = x + torch.randn_like(x) * 0.5
        if torch.rand(()) < torch.exp(x.square().sum() - proposal.square().sum()):
            return proposal, True
        return x, False

    step, x, seen = compiled(step), torch.ones(2), []
    for _ in range(12):
        x, taken = step(x)
        seen.append((x, taken))
    return seen
