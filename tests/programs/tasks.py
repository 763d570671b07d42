"""Whole small trainings of the kinds that tutorials show: adversarial, variational, reinforcement, contrastive, meta-learning."""

from __future__ import annotations

import copy
import math
import random
from collections import deque

import numpy as np

from tests.programs._parts import batches, mlp, randn, tokens
from tests.programs._program import program


def adversaries(nn):
    generator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6))
    return generator, nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))


@program
def gan(torch, nn, F, compiled):
    generator, critic = adversaries(nn)
    og = torch.optim.Adam(generator.parameters(), lr=2e-2, betas=(0.5, 0.999))
    oc = torch.optim.Adam(critic.parameters(), lr=2e-2, betas=(0.5, 0.999))
    criterion = nn.BCEWithLogitsLoss()

    def step(x, z):
        ones, zeros = torch.ones(x.size(0), 1), torch.zeros(x.size(0), 1)
        oc.zero_grad()
        fake = generator(z)
        loss_c = criterion(critic(x), ones) + criterion(critic(fake.detach()), zeros)
        loss_c.backward()
        oc.step()
        og.zero_grad()
        loss_g = criterion(critic(fake), ones)
        loss_g.backward()
        og.step()
        return loss_c, loss_g

    step = compiled(step)
    return [step(x, torch.randn(8, 4)) for x, _ in batches(torch)], generator, critic


@program
def wasserstein_gan_with_penalty(torch, nn, F, compiled):
    generator, critic = adversaries(nn)
    og, oc = torch.optim.RMSprop(generator.parameters(), lr=1e-3), torch.optim.RMSprop(critic.parameters(), lr=1e-3)

    def critic_step(x):
        fake = generator(torch.randn(8, 4)).detach()
        mix = torch.rand(8, 1)
        between = (mix * x + (1 - mix) * fake).requires_grad_()
        (g,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        loss = critic(fake).mean() - critic(x).mean() + 10 * ((g.norm(2, dim=1) - 1) ** 2).mean()
        oc.zero_grad()
        loss.backward()
        oc.step()
        return loss

    def generator_step():
        loss = -critic(generator(torch.randn(8, 4))).mean()
        og.zero_grad()
        loss.backward()
        og.step()
        return loss

    critic_step, generator_step, seen = compiled(critic_step), compiled(generator_step), []
    for i, (x, _) in enumerate(batches(torch)):
        seen.append(critic_step(x))
        if i % 3 == 2:
            seen.append(generator_step())
    return seen, generator, critic


@program
def variational_autoencoder(torch, nn, F, compiled):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.decode = nn.Linear(6, 8), nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 6))

        def forward(self, x):
            mean, log_var = self.encode(x).chunk(2, dim=1)
            z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
            return self.decode(z), mean, log_var

    m, state = Model(), {"beta": 0.0}
    o = torch.optim.Adam(m.parameters(), lr=0.01)

    def step(x):
        state["beta"] += 0.1
        out, mean, log_var = m(x)
        kl = -0.5 * (1 + log_var - mean.square() - log_var.exp()).sum(1).mean()
        loss = F.mse_loss(out, x, reduction="sum") / len(x) + state["beta"] * kl
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, kl

    step = compiled(step)
    return [step(x) for x, _ in batches(torch)], m


@program
def variational_autoencoder_by_distributions(torch, nn, F, compiled):
    encode, decode = nn.Linear(6, 8), nn.Linear(4, 6)
    o, d = torch.optim.Adam([*encode.parameters(), *decode.parameters()], lr=0.01), torch.distributions

    def step(x):
        mean, scale = encode(x).chunk(2, 1)
        q = d.Independent(d.Normal(mean, F.softplus(scale) + 1e-3), 1)
        z = q.rsample()
        prior = d.Independent(d.Normal(torch.zeros_like(mean), torch.ones_like(scale)), 1)
        loss = (d.kl_divergence(q, prior) - d.Normal(decode(z), 1.0).log_prob(x).sum(1)).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(x) for x, _ in batches(torch)], encode, decode


@program
def vector_quantisation(torch, nn, F, compiled):
    encode, codes, decode = nn.Linear(6, 4), nn.Embedding(5, 4), nn.Linear(4, 6)
    o = torch.optim.Adam([*encode.parameters(), *codes.parameters(), *decode.parameters()], lr=0.01)

    def step(x):
        z = encode(x)
        nearest = torch.cdist(z, codes.weight).argmin(1)
        q = codes(nearest)
        straight = z + (q - z).detach()
        loss = F.mse_loss(decode(straight), x) + F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, torch.bincount(nearest, minlength=5)

    step = compiled(step)
    return [step(x) for x, _ in batches(torch)], encode, codes, decode


@program
def diffusion(torch, nn, F, compiled):
    steps = 20
    betas = torch.linspace(1e-3, 0.2, steps)
    alphas = torch.cumprod(1 - betas, 0)
    net, times = nn.Sequential(nn.Linear(10, 16), nn.SiLU(), nn.Linear(16, 6)), nn.Embedding(steps, 4)
    o = torch.optim.Adam([*net.parameters(), *times.parameters()], lr=0.01)

    def predict(x, t):
        return net(torch.cat([x, times(t)], 1))

    def step(x):
        t, noise = torch.randint(0, steps, (x.size(0),)), torch.randn_like(x)
        a = alphas[t][:, None]
        loss = F.mse_loss(predict(a.sqrt() * x + (1 - a).sqrt() * noise, t), noise)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    @torch.no_grad()
    def sample(count):
        x = torch.randn(count, 6)
        for i in reversed(range(steps)):
            e = predict(x, torch.full((count,), i))
            x = (x - betas[i] / (1 - alphas[i]).sqrt() * e) / (1 - betas[i]).sqrt()
            if i > 0:
                x = x + betas[i].sqrt() * torch.randn_like(x)
        return x

    step, sample = compiled(step), compiled(sample)
    return [step(x) for x, _ in batches(torch)], sample(3), net


@program
def normalising_flow(torch, nn, F, compiled):
    nets = nn.ModuleList(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 6)) for _ in range(3))
    o, base = torch.optim.Adam(nets.parameters(), lr=0.01), torch.distributions.Normal(0.0, 1.0)

    def log_prob(x):
        total = 0
        for net in nets:
            a, b = x.split(3, 1)
            shift, scale = net(a).chunk(2, 1)
            scale = torch.tanh(scale)
            x = torch.cat([b * scale.exp() + shift, a], 1)
            total = total + scale.sum(1)
        return base.log_prob(x).sum(1) + total

    def step(x):
        loss = -log_prob(x).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(x) for x, _ in batches(torch)], nets


@program
def proximal_policy(torch, nn, F, compiled):
    p = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    o, categorical = torch.optim.Adam(p.parameters(), lr=1e-2), torch.distributions.Categorical

    def act(s):
        with torch.no_grad():
            z = p(s)
            d = categorical(logits=z[:, :2])
            a = d.sample()
            return a, d.log_prob(a), z[:, 2]

    def update(s, a, old, advantage, returns):
        z = p(s)
        d = categorical(logits=z[:, :2])
        ratio = (d.log_prob(a) - old).exp()
        policy = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
        loss = policy - 0.01 * d.entropy().mean() + (z[:, 2] - returns).pow(2).mean()
        o.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(p.parameters(), 0.5)
        o.step()
        return loss, ((ratio - 1).abs() > 0.2).float().mean()

    act, update, seen = compiled(act), compiled(update), []
    for i in range(3):
        s = randn(torch, 12, 4, seed=i)
        a, old, value = act(s)
        reward = torch.where(a == (s[:, 0] > 0), 1.0, -1.0)
        advantage = reward - value
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        for _ in range(2):
            for index in torch.randperm(12).split(6):
                seen.append(update(s[index], a[index], old[index], advantage[index], reward[index]))
    return seen, p


@program
def policy_gradient_episodes(torch, nn, F, compiled):
    """Episodes end when a value says so, so that their lengths differ."""
    policy = nn.Linear(2, 2)
    o = torch.optim.Adam(policy.parameters(), lr=0.05)

    def act(s):
        d = torch.distributions.Categorical(logits=policy(s))
        a = d.sample()
        return a.item(), d.log_prob(a)

    act, lengths = compiled(act), []
    for _ in range(6):
        s, logs, rewards = np.array([0.1, 0.0], np.float32), [], []
        for _ in range(12):
            a, log = act(torch.from_numpy(s.copy()))
            s = s + np.array([0.3 if a else -0.3, 0.1], np.float32)
            logs.append(log)
            rewards.append(1.0 - abs(float(s[0])))
            if abs(s[0]) > 0.8:
                break
        returns, total = [], 0.0
        for r in reversed(rewards):
            total = r + 0.9 * total
            returns.insert(0, total)
        returns = torch.tensor(returns)
        loss = -(torch.stack(logs) * (returns - returns.mean())).sum()
        o.zero_grad()
        loss.backward()
        o.step()
        lengths.append(len(rewards))
    return lengths, policy


@program
def deep_q_learning(torch, nn, F, compiled):
    q = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
    target, buffer, count, epsilon = copy.deepcopy(q), deque(maxlen=16), 0, 1.0
    o = torch.optim.Adam(q.parameters(), lr=0.01)

    def act(s):
        if random.random() < epsilon:
            return random.randrange(2)
        with torch.no_grad():
            return q(s).argmax().item()

    def learn(s, a, r, s2, done):
        value = q(s).gather(1, a[:, None]).squeeze(1)
        with torch.no_grad():
            wanted = r + 0.9 * target(s2).max(1).values * (1 - done)
        loss = F.smooth_l1_loss(value, wanted)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    act, learn, losses, s = compiled(act), compiled(learn), [], torch.zeros(2)
    for _ in range(24):
        a = act(s)
        s2 = s + torch.tensor([0.5 if a else -0.5, 0.1])
        done = float(s2[0].abs() > 1.2)
        buffer.append((s, a, 1.0 - abs(s2[0].item()), s2, done))
        s, epsilon, count = torch.zeros(2) if done else s2, epsilon * 0.9, count + 1
        if len(buffer) >= 8:
            ss, aa, rr, ss2, dd = zip(*random.sample(buffer, 4), strict=True)
            losses.append(learn(torch.stack(ss), torch.tensor(aa), torch.tensor(rr), torch.stack(ss2), torch.tensor(dd)))
        if count % 8 == 0:
            target.load_state_dict(q.state_dict())
    return losses, q, target


@program
def actor_critic_with_soft_targets(torch, nn, F, compiled):
    actor, critic = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2), nn.Tanh()), nn.Linear(8, 1)
    targets = copy.deepcopy(nn.ModuleList([actor, critic]))
    oa, oc = torch.optim.Adam(actor.parameters(), lr=1e-2), torch.optim.Adam(critic.parameters(), lr=1e-2)

    def update(i, s, r):
        with torch.no_grad():
            noise = (torch.randn(len(s), 2) * 0.2).clamp(-0.5, 0.5)
            a2 = (targets[0](s) + noise).clamp(-1, 1)
            y = r + 0.9 * targets[1](torch.cat([s, a2], 1)).squeeze(1)
        loss = F.mse_loss(critic(torch.cat([s, actor(s).detach()], 1)).squeeze(1), y)
        oc.zero_grad()
        loss.backward()
        oc.step()
        if i % 2:
            policy = -critic(torch.cat([s, actor(s)], 1)).mean()
            oa.zero_grad()
            policy.backward()
            oa.step()
            for t, p in zip(targets.parameters(), [*actor.parameters(), *critic.parameters()], strict=True):
                t.data.copy_(0.95 * t.data + 0.05 * p.data)
        return loss

    update = compiled(update)
    return [update(i, x, y.float()) for i, (x, y) in enumerate(batches(torch))], actor, critic, targets


@program
def model_agnostic_meta_learning(torch, nn, F, compiled):
    m = mlp(torch)
    o, call = torch.optim.SGD(m.parameters(), lr=0.1), torch.func.functional_call

    def step(x, y):
        fast = dict(m.named_parameters())
        loss = F.cross_entropy(call(m, fast, (x,)), y)
        grads = torch.autograd.grad(loss, list(fast.values()), create_graph=True)
        fast = {k: p - 0.1 * g for (k, p), g in zip(fast.items(), grads, strict=True)}
        outer = F.cross_entropy(call(m, fast, (x,)), y)
        o.zero_grad()
        outer.backward()
        o.step()
        return outer

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def meta_learning_of_many_inner_steps(torch, nn, F, compiled):
    m, log_rate = nn.Linear(6, 3), nn.Parameter(torch.tensor(-2.0))
    o = torch.optim.Adam([*m.parameters(), log_rate], lr=0.02)

    def step(x, y, turns):
        w, b = m.weight, m.bias
        for _ in range(turns):
            gw, gb = torch.autograd.grad(F.cross_entropy(F.linear(x, w, b), y), (w, b), create_graph=True)
            w, b = w - log_rate.exp() * gw, b - log_rate.exp() * gb
        loss = F.cross_entropy(F.linear(x, w, b), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, log_rate.grad

    step = compiled(step)
    return [step(*d, 1 + i % 3) for i, d in enumerate(batches(torch, 8))], m, log_rate


@program
def reptile(torch, nn, F, compiled):
    m, seen = mlp(torch), []

    def inner(fast, x, y):
        o = torch.optim.SGD(fast.parameters(), lr=0.1)
        for _ in range(3):
            loss = F.cross_entropy(fast(x), y)
            o.zero_grad()
            loss.backward()
            o.step()
        return loss

    inner = compiled(inner)
    for x, y in batches(torch, 5):
        fast = copy.deepcopy(m)
        seen.append(inner(fast, x, y))
        with torch.no_grad():
            for p, q in zip(m.parameters(), fast.parameters(), strict=True):
                p += 0.3 * (q - p)
    return seen, m


@program
def sharpness_aware_minimisation(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        with torch.no_grad():
            norm, moves = torch.stack([p.grad.norm() for p in m.parameters()]).norm(), []
            for p in m.parameters():
                d = p.grad * (0.05 / (norm + 1e-12))
                p.add_(d)
                moves.append(d)
        o.zero_grad()
        F.cross_entropy(m(x), y).backward()
        with torch.no_grad():
            for p, d in zip(m.parameters(), moves, strict=True):
                p.sub_(d)
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], m


@program
def contrastive(torch, nn, F, compiled):
    net, log_t = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4)), nn.Parameter(torch.tensor(math.log(10.0)))
    o = torch.optim.Adam([*net.parameters(), log_t], lr=0.01)

    def step(x):
        a, b = (F.normalize(net(x + 0.1 * torch.randn_like(x)), dim=1) for _ in range(2))
        logits, labels = a @ b.t() * log_t.exp(), torch.arange(len(x))
        loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.t(), labels)) / 2
        o.zero_grad()
        loss.backward()
        o.step()
        with torch.no_grad():
            log_t.clamp_(0, math.log(100))
        return loss, (logits.argmax(1) == labels).float().mean()

    step = compiled(step)
    return [step(x) for x, _ in batches(torch)], net, log_t


@program
def contrast_with_a_queue(torch, nn, F, compiled):
    q = nn.Linear(6, 4)
    k, queue, at = copy.deepcopy(q).requires_grad_(False), F.normalize(randn(torch, 24, 4), dim=1), [0]
    o = torch.optim.SGD(q.parameters(), lr=0.1)

    def step(x):
        a = F.normalize(q(x), dim=1)
        with torch.no_grad():
            for pk, pq in zip(k.parameters(), q.parameters(), strict=True):
                pk.mul_(0.9).add_(pq, alpha=0.1)
            b = F.normalize(k(x + 0.1), dim=1)
        logits = torch.cat([(a * b).sum(1, keepdim=True), a @ queue.t()], 1) / 0.2
        loss = F.cross_entropy(logits, torch.zeros(len(x), dtype=torch.long))
        o.zero_grad()
        loss.backward()
        o.step()
        queue[at[0] : at[0] + len(x)] = b
        at[0] = (at[0] + len(x)) % len(queue)
        return loss

    step = compiled(step)
    return [step(x) for x, _ in batches(torch)], q, k, queue, at


@program
def triplets_of_hard_examples(torch, nn, F, compiled):
    net = nn.Linear(6, 4, bias=False)  # distances do not depend on a bias
    o = torch.optim.Adam(net.parameters(), lr=0.02)

    def step(x, y):
        z = net(x)
        d = torch.cdist(z, z)
        same = y[:, None] == y[None]
        positive = d.masked_fill(~same, -1).max(1).values
        negative = d.masked_fill(same, 1e9).min(1).values
        loss = F.relu(positive - negative + 0.5)[(~same).any(1)].mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch)], net


@program
def distillation(torch, nn, F, compiled):
    teacher, student = mlp(torch, 32).eval(), nn.Linear(6, 3)
    o = torch.optim.SGD(student.parameters(), lr=0.2)

    def step(x, y, t):
        with torch.no_grad():
            wanted = F.softmax(teacher(x) / t, 1)
        z = student(x)
        loss = F.kl_div(F.log_softmax(z / t, 1), wanted, reduction="batchmean") * t * t + 0.5 * F.cross_entropy(z, y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b, 4.0 - 0.2 * i) for i, b in enumerate(batches(torch))], student


@program
def pseudo_labels(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.3)

    def step(x, y, unlabelled):
        loss = F.cross_entropy(m(x), y)
        with torch.no_grad():
            p, label = F.softmax(m(unlabelled), 1).max(1)
            sure = p > 0.5
        if sure.any():
            loss = loss + 0.5 * F.cross_entropy(m(unlabelled[sure]), label[sure])
        o.zero_grad()
        loss.backward()
        o.step()
        return loss, sure.sum().item()

    step = compiled(step)
    return [step(*b, data[-1 - i][0]) for i, b in enumerate(data)], m


@program
def mixture_of_experts(torch, nn, F, compiled):
    gate, experts = nn.Linear(6, 3), nn.ModuleList(nn.Linear(6, 3) for _ in range(3))
    o = torch.optim.Adam([*gate.parameters(), *experts.parameters()], lr=0.02)

    def step(x, y):
        weights, chosen = F.softmax(gate(x), 1).topk(2, dim=1)
        out = torch.zeros(len(x), 3)
        for i, expert in enumerate(experts):
            rows, which = torch.where(chosen == i)
            if len(rows):
                out = out.index_add(0, rows, expert(x[rows]) * weights[rows, which, None])
        loss = F.cross_entropy(out, y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b) for b in batches(torch, 6)], gate, experts


@program
def graph_convolution(torch, nn, F, compiled):
    edges, features = tokens(torch, 2, 20, below=9), randn(torch, 9, 6)
    a, b = nn.Linear(6, 8), nn.Linear(8, 3)
    o, y = torch.optim.Adam([*a.parameters(), *b.parameters()], lr=0.02), tokens(torch, 9, below=3)

    def spread(h):
        degree = torch.zeros(9).index_add_(0, edges[1], torch.ones(20)).clamp(min=1)
        return h + torch.zeros_like(h).index_add(0, edges[1], h[edges[0]]) / degree[:, None]

    def step(dropped):
        h = F.dropout(torch.relu(a(spread(features))), dropped)
        loss = F.cross_entropy(b(spread(h)), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(0.05 * i) for i in range(8)], a, b


@program
def matrix_factorisation(torch, nn, F, compiled):
    users, items = nn.Embedding(7, 3), nn.Embedding(9, 3)
    o = torch.optim.Adagrad([*users.parameters(), *items.parameters()], lr=0.1)

    def step(u, i, r):
        loss = F.mse_loss((users(u) * items(i)).sum(1), r)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step, g = compiled(step), torch.Generator().manual_seed(1)
    return [
        step(torch.randint(0, 7, (6,), generator=g), torch.randint(0, 9, (6,), generator=g), torch.rand(6, generator=g)) for _ in range(10)
    ], users


@program
def skip_gram_with_negative_samples(torch, nn, F, compiled):
    a, b = nn.Embedding(11, 4), nn.Embedding(11, 4)
    o = torch.optim.SGD([*a.parameters(), *b.parameters()], lr=0.5)
    weights = torch.arange(1.0, 12) ** 0.75

    def step(centre, context):
        negative = torch.multinomial(weights, len(centre) * 3, replacement=True).view(-1, 3)
        u = a(centre)
        positive = F.logsigmoid((u * b(context)).sum(1))
        loss = -(positive + F.logsigmoid(-torch.bmm(b(negative), u[:, :, None]).squeeze(2)).sum(1)).mean()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(tokens(torch, 6, seed=i), tokens(torch, 6, seed=i + 50)) for i in range(8)], a, b


@program
def adversarial_attack(torch, nn, F, compiled):
    m = mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.1)

    def attack(x, y, turns):
        delta = torch.empty_like(x).uniform_(-0.1, 0.1).requires_grad_()
        for _ in range(turns):
            F.cross_entropy(m(x + delta), y).backward()
            with torch.no_grad():
                delta += 0.05 * delta.grad.sign()
                delta.clamp_(-0.1, 0.1)
            delta.grad = None
        return delta.detach()

    def step(i, x, y):
        bad = x + attack(x, y, 1 + i % 3)
        o.zero_grad()
        loss = F.cross_entropy(m(bad), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(i, *b) for i, b in enumerate(batches(torch, 6))], m


@program
def optimising_the_input(torch, nn, F, compiled):
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 2, 3)).requires_grad_(False)
    image, target = torch.rand(1, 1, 6, 6).requires_grad_(), randn(torch, 2, 2)
    o = torch.optim.Adam([image], lr=0.05)

    def step():
        o.zero_grad()
        f = net(image).flatten(2)[0]
        loss = F.mse_loss(f @ f.t() / f.numel(), target) + 0.1 * (image[..., 1:] - image[..., :-1]).abs().mean()
        loss.backward()
        o.step()
        with torch.no_grad():
            image.clamp_(0, 1)
        return loss

    step = compiled(step)
    return [step() for _ in range(8)], image


@program
def physics_informed(torch, nn, F, compiled):
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
    o = torch.optim.Adam(net.parameters(), lr=0.02)

    def step(x):
        x = x.requires_grad_()
        u = net(x)
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        (ddu,) = torch.autograd.grad(du.sum(), x, create_graph=True)
        loss = (ddu + u).square().mean() + (net(torch.zeros(1, 1)) - 1).square().sum() + du[0].square().sum()
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(torch.rand(7, 1)) for _ in range(8)], net


@program
def neural_ode_by_euler(torch, nn, F, compiled):
    f, head = nn.Sequential(nn.Linear(7, 8), nn.Tanh(), nn.Linear(8, 6)), nn.Linear(6, 3)
    o = torch.optim.Adam([*f.parameters(), *head.parameters()], lr=0.02)

    def step(x, y, turns):
        for i in range(turns):
            x = x + f(torch.cat([x, torch.full((len(x), 1), i / turns)], 1)) / turns
        loss = F.cross_entropy(head(x), y)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(*b, 2 + i % 3) for i, b in enumerate(batches(torch, 6))], f


@program
def convolutional_classifier(torch, nn, F, compiled):
    m = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(6, 3)),
    )
    o = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)

    def step(x, y):
        if random.random() < 0.5:
            x = x.flip(3)
        top = random.randrange(3)
        x = F.pad(x, (1, 1, 1, 1))[:, :, top : top + 8, 1:9]
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(randn(torch, 4, 1, 8, 8, seed=i), tokens(torch, 4, below=3, seed=i)) for i in range(6)], m


@program
def residual_network_with_unet_joins(torch, nn, F, compiled):
    down, mid = nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.Conv2d(4, 4, 3, padding=1)
    up, out = nn.ConvTranspose2d(4, 4, 2, stride=2), nn.Conv2d(5, 1, 1)
    m = nn.ModuleList([down, mid, up, out, nn.GroupNorm(2, 4)])
    o = torch.optim.Adam(m.parameters(), lr=0.01)

    def step(x):
        h = F.silu(m[4](down(x)))
        h = h + mid(h)
        y = out(torch.cat([up(h), x], 1))
        loss = F.l1_loss(y, F.interpolate(F.avg_pool2d(x, 2), scale_factor=2))
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(randn(torch, 2, 1, 8, 8, seed=i)) for i in range(6)], m


@program
def masked_autoencoder(torch, nn, F, compiled):
    enc, dec, mask_token = nn.Linear(3, 8), nn.Linear(8, 3), nn.Parameter(torch.zeros(8))
    o = torch.optim.Adam([*enc.parameters(), *dec.parameters(), mask_token], lr=0.02)

    def step(x, ratio):
        n, t, _ = x.shape
        keep = max(1, int(t * (1 - ratio)))
        order = torch.rand(n, t).argsort(1)
        shown = order[:, :keep]
        h = enc(torch.gather(x, 1, shown[..., None].expand(-1, -1, 3)))
        full = torch.cat([h, mask_token.expand(n, t - keep, 8)], 1)
        full = torch.gather(full, 1, order.argsort(1)[..., None].expand(-1, -1, 8))
        hidden = torch.ones(n, t).scatter(1, shown, 0.0)
        loss = ((dec(full) - x).square().mean(2) * hidden).sum() / hidden.sum().clamp(min=1)
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step = compiled(step)
    return [step(randn(torch, 2, 6, 3, seed=i), 0.3 + 0.1 * (i % 4)) for i in range(8)], enc, dec, mask_token


@program
def active_learning(torch, nn, F, compiled):
    pool_x, pool_y = batches(torch, 1, 24)[0]
    chosen, m = [0, 1, 2, 3], mlp(torch)
    o = torch.optim.SGD(m.parameters(), lr=0.3)

    def step(x, y):
        o.zero_grad()
        loss = F.cross_entropy(m(x), y)
        loss.backward()
        o.step()
        return loss

    step, losses = compiled(step), []
    for _ in range(5):
        losses += [step(pool_x[chosen], pool_y[chosen]) for _ in range(2)]
        with torch.no_grad():
            p = F.softmax(m(pool_x), 1)
        entropy = -(p * p.log()).sum(1)
        entropy[chosen] = -1
        chosen += entropy.topk(2).indices.tolist()
    return losses, chosen, m


@program
def continual_learning_with_importances(torch, nn, F, compiled):
    m, data = mlp(torch), batches(torch, 8)
    o, anchors = torch.optim.SGD(m.parameters(), lr=0.1), []

    def step(x, y):
        loss = F.cross_entropy(m(x), y)
        for importance, old in anchors:
            loss = loss + sum((f * (p - q).square()).sum() for f, q, p in zip(importance, old, m.parameters(), strict=True))
        o.zero_grad()
        loss.backward()
        o.step()
        return loss

    step, losses = compiled(step), []
    for i, b in enumerate(data):
        losses.append(step(*b))
        if i in (2, 5):
            m.zero_grad()
            F.cross_entropy(m(b[0]), b[1]).backward()
            anchors.append(([p.grad.square() for p in m.parameters()], [p.detach().clone() for p in m.parameters()]))
    return losses, m


@program
def evolution_strategy(torch, nn, F, compiled):
    m, (x, y) = nn.Linear(6, 3), batches(torch, 1, 16)[0]
    vector, back = torch.nn.utils.parameters_to_vector, torch.nn.utils.vector_to_parameters

    @torch.no_grad()
    def fitness(w):
        back(w, m.parameters())
        return F.cross_entropy(m(x), y)

    fitness, w, seen = compiled(fitness), vector(m.parameters()).detach().clone(), []
    for _ in range(4):
        noise = torch.randn(6, w.numel())
        scores = torch.stack([fitness(w + 0.1 * n) for n in noise])
        w = w - 0.2 * ((scores - scores.mean()) / scores.std()) @ noise / 6
        seen.append(fitness(w))
    return seen, w
