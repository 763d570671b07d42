"""Adapters on frozen layers and a mixture of experts: wrapping modules by name, merging weights, top-k routing with index_add_, load balance."""

import math
from contextlib import contextmanager

import torch
import torch.nn as nn
import torch.nn.functional as F


class LoRALinear(nn.Module):
    def __init__(self, base: nn.Linear, r: int = 2, alpha: float = 4.0, dropout: float = 0.1):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(base.weight.new_empty(r, base.in_features))
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, r))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.scaling, self.merged = alpha / r, False
        self.drop = nn.Dropout(dropout)

    def forward(self, x):
        out = self.base(x)
        return out if self.merged else out + self.drop(x) @ self.lora_A.T @ self.lora_B.mT * self.scaling

    @torch.no_grad()
    def merge(self, sign=1):
        self.base.weight += sign * self.scaling * (self.lora_B @ self.lora_A)
        self.merged = sign > 0


@contextmanager
def merged(model):
    layers = [m for m in model.modules() if isinstance(m, LoRALinear)]
    for m in layers:
        m.merge()
    try:
        yield model
    finally:
        for m in layers:
            m.merge(-1)


class Expert(nn.Sequential):
    def __init__(self, d):
        super().__init__(nn.Linear(d, 2 * d, bias=False), nn.SiLU(), nn.Linear(2 * d, d, bias=False))


class MoE(nn.Module):
    def __init__(self, d=8, n=4, k=2):
        super().__init__()
        self.gate, self.k = nn.Linear(d, n, bias=False), k
        self.experts = nn.ModuleList(Expert(d) for _ in range(n))

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        probs = self.gate(flat).softmax(-1, dtype=torch.float)
        weights, chosen = torch.topk(probs, self.k, dim=-1)
        weights /= weights.sum(-1, keepdim=True)
        out = torch.zeros_like(flat)
        mask = F.one_hot(chosen, len(self.experts)).permute(2, 1, 0)
        for number, expert in enumerate(self.experts):
            slot, token = torch.where(mask[number])
            if token.numel() == 0:
                continue
            out.index_add_(0, token, expert(flat[token]) * weights[token, slot, None])
        self.balance = len(self.experts) * (probs.mean(0) * mask.float().sum(1).mean(1)).sum()
        return out.view_as(x)


class RMSNorm(nn.Module):
    def __init__(self, d, eps=1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotary(x, base=100.0):
    t, d = x.shape[-2:]
    freqs = torch.outer(torch.arange(t).float(), base ** (-torch.arange(0, d, 2).float() / d))
    turned = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2)) * torch.polar(torch.ones_like(freqs), freqs)
    return torch.view_as_real(turned).flatten(-2).type_as(x)


class Block(nn.Module):
    def __init__(self, d=8, heads=2, kv_heads=1):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = heads, kv_heads, d // heads
        self.wq = nn.Linear(d, d, bias=False)
        self.wk, self.wv = (nn.Linear(d, kv_heads * self.head_dim, bias=False) for _ in range(2))
        self.wo = nn.Linear(d, d, bias=False)
        self.norm1, self.norm2, self.moe = RMSNorm(d), RMSNorm(d), MoE(d)

    def forward(self, x, cache=None):
        b, t, d = x.shape
        h = self.norm1(x)
        q = rotary(self.wq(h).view(b, t, self.heads, -1).transpose(1, 2))
        k = rotary(self.wk(h).view(b, t, self.kv_heads, -1).transpose(1, 2))
        v = self.wv(h).view(b, t, self.kv_heads, -1).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.wo(y.transpose(1, 2).flatten(2))
        return x + self.moe(self.norm2(x))


class LM(nn.Module):
    def __init__(self, vocab=11, d=8, layers=2):
        super().__init__()
        self.embed = nn.Embedding(vocab, d)
        self.layers = nn.ModuleList(Block(d) for _ in range(layers))
        self.norm = nn.RMSNorm(d)
        self.head = nn.Linear(d, vocab, bias=False)

    def forward(self, ids, labels=None):
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x)
        logits = self.head(self.norm(x))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()) + 0.01 * sum(l.moe.balance for l in self.layers)
        return {"logits": logits, "loss": loss}


@torch.no_grad()
def generate(model, ids, n, top_p=0.9, temperature=1.0):
    for _ in range(n):
        probs = (model(ids)["logits"][:, -1] / temperature).softmax(-1)
        sorted_probs, index = probs.sort(descending=True)
        sorted_probs[sorted_probs.cumsum(-1) - sorted_probs > top_p] = 0.0
        sorted_probs.div_(sorted_probs.sum(-1, keepdim=True))
        ids = torch.cat([ids, index.gather(-1, torch.multinomial(sorted_probs, 1))], -1)
    return ids


if __name__ == "__main__":
    torch.manual_seed(2024)
    model = LM()
    ids = (torch.arange(12)[None] * torch.arange(1, 9)[:, None]) % 11
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.95), foreach=False)
    for step in range(8):
        loss = model(ids, ids)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 3 == 0:
            print(f"pretrain {step} {loss.item():.4f} balance {model.layers[0].moe.balance.item():.4f}")
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and name.rsplit(".", 1)[-1] in ("wq", "wv"):
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, LoRALinear(module))
    trainable = [n for n, p in model.named_parameters() if "lora_" in n]
    for n, p in model.named_parameters():
        p.requires_grad = n in trainable
    total = sum(p.numel() for p in model.parameters())
    print(f"trainable params: {sum(p.numel() for p in model.parameters() if p.requires_grad)} || all params: {total:,d}", len(trainable))
    optimizer = torch.optim.AdamW(filter(lambda p: p.requires_grad, model.parameters()), lr=2e-2)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=5)
    for step in range(5):
        out = model(ids.flip(1), ids.flip(1))
        optimizer.zero_grad()
        out["loss"].backward()
        optimizer.step()
        scheduler.step()
        print(f"lora {step} {out['loss'].item():.4f} {scheduler.get_last_lr()[0]:.4f}")
    model.eval()
    before = model(ids)["logits"]
    with merged(model) as m:
        print(torch.allclose(m(ids)["logits"], before, atol=1e-5), m.layers[0].wq.merged)
    print(torch.allclose(model(ids)["logits"], before, atol=1e-5), model.layers[0].wq)
    print(
        generate(model, torch.tensor([[0, 2, 4]]), 8).tolist(),
        {k: tuple(v.shape) for k, v in model.state_dict().items() if "lora" in k and "0" in k},
    )
