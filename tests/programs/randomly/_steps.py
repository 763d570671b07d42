"""What random training steps are made of, and what they need to be defined."""

from __future__ import annotations

#: What stands before the forward pass, how the output is made, the loss, what is added to it, backward, what happens to gradients, what comes after.
BEFORE = (
    "x = x + 0.1 * torch.randn_like(x)",
    "x = x * 1.0",
    "x = x.clone().mul_(1.1)",
    "state['n'] += 1",
    "x = x * (1 + 0.1 * state['n'])",
    "if random.random() < 0.5:\n    x = -x",
    "x = x + float(np.random.rand())",
)
BEFORE += (
    "x = x[torch.randperm(len(x))]",
    "x, y = x[: len(x) - state['n'] % 2], y[: len(y) - state['n'] % 2]",
    "assert len(x)",
    "x[:, 0] = 0",
    "x = torch.from_numpy(x.detach().numpy() * 2)",
    "m.train(state['n'] % 3 != 1)",
    "x.requires_grad_()",
    "x = x + 0.1 * state.get('h', torch.zeros_like(x))\nstate['h'] = x.detach()",
    "if state['n'] == 3:\n    state['n'] += 1\n    raise ValueError('before')",
    "next(m.parameters()).requires_grad_(state['n'] % 2 == 0)",
    "x = torch.func.vmap(lambda v: v * (1 + state['n'] * 0.1))(x)",
    "for i in range(2):\n    x = x + 0.01 * torch.func.grad(lambda v: (v * (i + 1)).sin().sum())(x.detach())",
    "with torch.no_grad():\n    x = x - x.mean(0)\n    x /= x.std() + 1",
)
FORWARD = ("z = m(x)",) * 4 + (
    "z = torch.utils.checkpoint.checkpoint(m, x, use_reentrant=False)",
    "z = torch.func.functional_call(m, {k: v * 1 for k, v in m.named_parameters()}, (x,))",
    "with torch.autocast('cpu', dtype=torch.bfloat16, enabled=state['n'] % 2 == 5):\n    z = m(x)",
    "z = m(x)\nz.retain_grad()",
    "z = m(x)\nz.register_hook(lambda g: g * 0.5)",
    "z = Same.apply(m(x))",
    "z = Scaled.apply(m(x), 1 + 0.1 * state['n'])",
    "z = (m(x) + m(x)) / 2",
    "with torch.no_grad():\n    target = m(x).softmax(-1)\nz = m(x) + 0.1 * target",
    "z = inner(x)",
    "z = torch.cat([m(part) for part in x.split(4)])",
    "z = {'logits': m(x)}['logits']",
    "z = m(x)\nif z.abs().max() > 1:\n    z = z / z.abs().max().detach()",
    "z = m(x)\nz[0] *= 0.5",
    "z = m(x)\nstate['z'] = z.detach()",
    "z = m(x)\nz.mul_(0.9).clamp_(-5, 5)",
    "z = m(x.detach())\nz = torch.where(z > 0, z, 0.1 * z)",
    "with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):\n    z = m(x)",
    "with torch.random.fork_rng():\n    z = m(x)",
    "with torch.nn.utils.parametrize.cached():\n    z = m(x)",
    "z = torch.utils.checkpoint.checkpoint(m, x.requires_grad_(), use_reentrant=True)",
    "z = m(x)\nif state['n'] % 4 == 3:\n    state['n'] += 1\n    z.register_hook(failing)",
    "with torch.no_grad():\n    before = m(x)\nz = m(x) - 0.1 * before",
    "z = m(x)\nfirst = z[:2]\nz.mul_(0.9)\nfirst.add_(0.1)",
    "z = Clipped.apply(m(x) * 1)",
    "z = torch.vmap(lambda v: m(v[None])[0])(x) if not list(m.buffers()) else m(x)",
    "z = Pair(m(x), 2)\nz = z.first * z.second",
    "with torch.set_grad_enabled(state['n'] != 2):\n    z = m(x)",
)
LOSS = ("loss = F.cross_entropy(z, y)",) * 4 + (
    "loss = F.cross_entropy(z, y, label_smoothing=0.1)",
    "loss = F.cross_entropy(z, y, weight=torch.tensor([1.0, 2.0, 0.5]))",
    "loss = F.nll_loss(z.log_softmax(-1), y, reduction='none').mean()",
    "loss = F.mse_loss(z, F.one_hot(y, 3).to(z.dtype))",
    "loss = (z.logsumexp(-1) - z.gather(1, y[:, None])[:, 0]).mean()",
    "loss = F.smooth_l1_loss(z, F.one_hot(y, 3).to(z.dtype)) + 0.1 * F.cross_entropy(z, y)",
    "losses = F.cross_entropy(z, y, reduction='none')\nloss = losses.topk(min(5, len(losses))).values.mean()",
    "loss = F.cross_entropy(z, y)\nloss = loss * (2 if loss.item() < 1 else 1)",
    "loss = torch.distributions.Categorical(logits=z).log_prob(y).mean().neg()",
    "loss = F.cross_entropy(z, y) + 0.5 * sum(p.square().sum() for p in m.parameters()) * 0.01",
    "loss = F.cross_entropy(z, y) + state.get('extra', 0)",
    "loss = F.binary_cross_entropy_with_logits(z, F.one_hot(y, 3).to(z.dtype))",
    "loss = F.cross_entropy(z, y) / (1 + state['n'])",
)
BACKWARD = ("o.zero_grad()\nloss.backward()",) * 4 + (
    "o.zero_grad(set_to_none=False)\nloss.backward()",
    "m.zero_grad()\nloss.backward(retain_graph=True)\n(0.1 * loss).backward()",
    (
        "o.zero_grad()\ngs = torch.autograd.grad(loss, [p for p in m.parameters() if p.requires_grad], allow_unused=True)\n"
        "for p, g in zip([p for p in m.parameters() if p.requires_grad], gs):\n    p.grad = g"
    ),
    "o.zero_grad()\ng, = torch.autograd.grad(loss, z, create_graph=True)\n(loss + g.square().sum()).backward()",
    "o.zero_grad()\nscaler.scale(loss).backward()\nscaler.unscale_(o)",
    "for p in m.parameters():\n    p.grad = None\nloss.backward()",
    "if state['n'] % 2 == 0:\n    o.zero_grad()\nloss.backward()",
    (
        "loss.backward(create_graph=True)\npenalty = sum(p.grad.square().sum() for p in m.parameters() if p.grad is not None)\n"
        "value = penalty.detach()\no.zero_grad()\nF.cross_entropy(m(x), y).backward()\nstate['extra'] = 0 * value"
    ),
    "o.zero_grad()\n(loss / 2).backward()\nF.cross_entropy(m(x * 0.5), y).div(2).backward()",
    "o.zero_grad()\ntorch.autograd.backward([loss, z.sum() * 0.01], retain_graph=False)",
    "o.zero_grad()\nloss.backward(inputs=[p for p in m.parameters() if p.requires_grad])",
    "o.zero_grad()\nloss.backward()\nif state['n'] % 3 == 2:\n    state['n'] += 1\n    raise RuntimeError('after backward')",
    "o.zero_grad()\nlast = list(m.parameters())[-1]\nlast.requires_grad_(False)\nloss.backward()\nlast.requires_grad_(True)",
    "o.zero_grad()\ntry:\n    (loss * 0.5).backward(retain_graph=True)\n    Clipped.apply(loss).backward()\nexcept RuntimeError:\n    history.append(1)",
)
GRADIENTS = (
    *(
        "",
        "",
        "",
        "nn.utils.clip_grad_norm_(m.parameters(), 0.5)",
        "nn.utils.clip_grad_value_(m.parameters(), 0.05)",
        "norms.append(nn.utils.clip_grad_norm_(m.parameters(), 1.0))",
    ),
    "for p in m.parameters():\n    if p.grad is not None:\n        p.grad.add_(0.01 * torch.randn_like(p.grad))",
    "for p in m.parameters():\n    if p.grad is not None:\n        p.grad = p.grad.sign() * 0.1",
    "for p in m.parameters():\n    if p.grad is not None:\n        p.grad.data.mul_(0.5)",
    "for p in list(m.parameters())[:1]:\n    p.grad = None",
    "norms.append(sum(p.grad.norm() for p in m.parameters() if p.grad is not None).item())",
    "if not all(torch.isfinite(p.grad).all() for p in m.parameters() if p.grad is not None):\n    return loss",
    "kept = [p.grad for p in m.parameters() if p.grad is not None]\nhistory.append(kept[0])",
    "with torch.no_grad():\n    for p in m.parameters():\n        p.mul_(0.999)",
)
UPDATE = ("o.step()",) * 5 + (
    "scaler.step(o)\nscaler.update()",
    "with torch.no_grad():\n    for p in m.parameters():\n        if p.grad is not None:\n            p -= 0.05 * p.grad",
    "with torch.no_grad():\n    for p in m.parameters():\n        if p.grad is not None:\n            p.copy_(p - 0.05 * p.grad)",
    "for p in m.parameters():\n    if p.grad is not None:\n        p.data = p.data - 0.05 * p.grad",
    "if state['n'] % 2:\n    o.step()",
    "for group in o.param_groups:\n    group['lr'] = 0.1 / (1 + state['n'])\no.step()",
    "o.step()\no.step()",
    "for p in m.parameters():\n    if p.grad is not None:\n        p.data.add_(p.grad, alpha=-0.05)",
    "o.step()\nif state['n'] % 3 == 1:\n    state['n'] += 1\n    raise KeyError('after the step')",
    "o.step(lambda: loss.detach())",
)
AFTER = (
    *(
        "",
        "",
        "s.step()",
        "history.append(loss.detach())",
        "history.append(loss.item())",
        "history.append(z)",
        "state['n'] += 1",
        "state['n'] += 1",
        "total.add_(loss.detach())",
        "state['best'] = min(state.get('best', 9.0), loss.item())",
    ),
    "for k, v in m.state_dict().items():\n    ema[k] = 0.9 * ema[k] + 0.1 * v if k in ema else v.clone()",
    "with torch.no_grad():\n    for a, b in zip(average.parameters(), m.parameters()):\n        a.lerp_(b, 0.1)",
    "average_model.update_parameters(m)",
    "history.append([p.detach().clone() for p in m.parameters()][0])",
    "history.append(next(iter(m.parameters())).detach())",
    "o.param_groups[0]['lr'] *= 0.95",
    "with torch.no_grad():\n    history.append((m(x).argmax(-1) == y).float().mean())",
    "m.eval()\nwith torch.inference_mode():\n    history.append(F.cross_entropy(m(x), y))\nm.train()",
    "history.append(next(iter(m.parameters())).grad)",
    "del z",
    "m.load_state_dict({k: v * 0.99 if v.is_floating_point() else v for k, v in m.state_dict().items()})",
    "o.load_state_dict(o.state_dict())",
    "s.step()\nhistory.append(s.get_last_lr())",
    "next(m.parameters()).data.clamp_(-1, 1)",
    "next(m.parameters()).data = next(m.parameters()).data * 0.99",
)
RETURNS = ("loss",) * 3 + (
    "loss.detach()",
    "loss, z",
    "{'loss': loss, 'z': z.detach()}",
    "loss.item()",
    "Result(loss, z.detach())",
    "[loss, [z.argmax(-1)]]",
    "None",
    "loss.detach().clone(), z.softmax(-1).mean(0)",
    "Bag(loss=loss, z=z.detach())",
    "Pair(loss.detach(), z)",
    "collections.OrderedDict(loss=loss)",
    "collections.defaultdict(list, loss=[loss, z.detach()])",
)
PARTS = """class Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * 0.5

class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x * scale

    @staticmethod
    def backward(ctx, g):
        return g * ctx.scale + 0 * ctx.saved_tensors[0], None

class Symmetric(nn.Module):
    def forward(self, w):
        return w - w.mean()

class Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x.clamp_(-2, 2)

    @staticmethod
    def backward(ctx, g):
        return g * (ctx.saved_tensors[0].abs() < 2)

def failing(*gradients):
    raise ValueError("a hook")

import collections, dataclasses

@dataclasses.dataclass
class Pair:
    first: object
    second: object

class Bag(dict):
    pass

Result = collections.namedtuple("Result", "loss z")"""
