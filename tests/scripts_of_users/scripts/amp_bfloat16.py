"""Mixed precision on the CPU: autocast regions and what they cast, a scaler that skips, float16 weights, custom casts, dtypes that people print."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.amp import GradScaler, autocast, custom_bwd, custom_fwd

torch.manual_seed(0)


class MulAdd(torch.autograd.Function):
    @staticmethod
    @custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    @custom_bwd(device_type="cpu")
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w.t(), x.t() @ g


net = nn.Sequential(nn.Linear(12, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 4))
x, y = torch.randn(32, 12), torch.randint(0, 4, (32,))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
scaler = GradScaler("cpu", init_scale=1024.0, growth_interval=2)
for step in range(5):
    optimizer.zero_grad(set_to_none=True)
    with autocast("cpu", dtype=torch.bfloat16):
        out = net(x)
        loss = F.cross_entropy(out, y)
        if step == 0:
            print(
                out.dtype,
                loss.dtype,
                net[1](net[0](x)).dtype,
                (out + 1.0).dtype,
                (x @ x.T).dtype,
                x.softmax(-1).dtype,
                torch.is_autocast_enabled("cpu"),
            )
            print(torch.get_autocast_dtype("cpu"), MulAdd.apply(out, torch.ones(4, 2)).dtype)
            with autocast("cpu", enabled=False):
                print((x.bfloat16() @ x.T.bfloat16()).dtype, net[0](x).dtype)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    if step == 2:
        net[0].weight.grad[0, 0] = float("inf")
    nn.utils.clip_grad_norm_([p for p in net.parameters() if p.grad is not None], 5.0) if step != 2 else None
    scaler.step(optimizer)
    scaler.update()
    print(step, f"{loss.item():.3f}", scaler.get_scale(), net[0].weight.grad.dtype)
print({k: v for k, v in scaler.state_dict().items()})

half = nn.Linear(4, 3).bfloat16()
out = half(torch.ones(2, 4, dtype=torch.bfloat16))
print(
    out.dtype,
    half,
    half.weight.dtype,
    (out.float() - F.linear(torch.ones(2, 4), half.weight.float(), half.bias.float())).abs().max() < 0.02,
)
mixed = [p for p in net.parameters()]
master = [p.clone().detach().float().requires_grad_() for p in mixed]
opt = torch.optim.Adam(master, lr=1e-2)
for p, m in zip(mixed, master):
    m.grad = torch.ones_like(m)
opt.step()
with torch.no_grad():
    for p, m in zip(mixed, master):
        p.copy_(m)
print(torch.finfo(torch.bfloat16), torch.finfo(torch.float16).max, torch.iinfo(torch.int8).min, torch.tensor(1 / 3, dtype=torch.bfloat16))
print(
    torch.tensor([70000.0]).half(),
    torch.tensor([1.0009765625], dtype=torch.float16),
    torch.tensor(300).to(torch.uint8),
    torch.tensor(-1.7).to(torch.int32),
)
print(
    torch.promote_types(torch.float16, torch.bfloat16),
    torch.can_cast(torch.float32, torch.int32),
    (torch.ones(1, dtype=torch.int8) * 1.5).dtype,
    torch.ones(1).double().add(torch.ones(1).half()).dtype,
)
print(f"{net(x).float().std().item():.4f}", torch.tensor([1.5, 2.5]).bfloat16(), torch.arange(3, dtype=torch.float16) / 3)
