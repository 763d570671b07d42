"""Gradient accumulation, activation checkpointing, no_sync by nullcontext, memory statistics that may not be there, a resumed run."""

import contextlib
import io
import os
import tempfile
from functools import partial

import torch
import torch.nn as nn
import torch.utils.checkpoint as cp
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

torch.manual_seed(14)


class Bottleneck(nn.Module):
    expansion: int = 2

    def __init__(self, width, memory_efficient=False):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(width, 4, kernel_size=1, stride=1, bias=False)
        self.drop_rate = 0.1
        self.memory_efficient = memory_efficient

    def bn_function(self, inputs):
        concated = torch.cat(inputs, 1)
        return self.conv1(self.relu1(self.norm1(concated)))

    def forward(self, input):
        prev_features = [input] if isinstance(input, torch.Tensor) else input
        if self.memory_efficient and any(t.requires_grad for t in prev_features):
            out = cp.checkpoint(lambda *xs: self.bn_function(xs), *prev_features, use_reentrant=False)
        else:
            out = self.bn_function(prev_features)
        if self.drop_rate > 0:
            out = nn.functional.dropout(out, p=self.drop_rate, training=self.training)
        return out


class Dense(nn.ModuleDict):
    def __init__(self, n, memory_efficient):
        super().__init__()
        for i in range(n):
            self.add_module("layer%d" % (i + 1), Bottleneck(3 + 4 * i, memory_efficient))

    def forward(self, init_features):
        features = [init_features]
        for name, layer in self.items():
            features.append(layer(features))
        return torch.cat(features, 1)


def run(memory_efficient):
    torch.manual_seed(3)
    net = nn.Sequential(Dense(3, memory_efficient), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(15, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    x = torch.randn(12, 3, 6, 6, requires_grad=True)
    y = torch.randint(4, (12,))
    accumulation, losses = 3, []
    optimizer.zero_grad()
    for step, (xs, ys) in enumerate(zip(x.split(2), y.split(2))):
        last = (step + 1) % accumulation == 0
        with contextlib.nullcontext() if last else contextlib.suppress(StopIteration):
            loss = nn.functional.cross_entropy(net(xs), ys) / accumulation
            loss.backward()
        losses.append(round(loss.item(), 5))
        if last:
            optimizer.step()
            optimizer.zero_grad()
    return losses, net[3].weight.sum().item(), x.grad.norm().item()


plain, efficient = run(False), run(True)
print(plain)
print(efficient)

layers = nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(6, 6), nn.Dropout(0.2), nn.Tanh())])
x = torch.randn(5, 6, requires_grad=True)
for reentrant in (True, False):
    torch.manual_seed(0)
    layers.zero_grad()
    x.grad = None
    out = checkpoint_sequential(layers, 3, x, use_reentrant=reentrant)
    out.sum().backward()
    print(f"{out.sum():.5f}", x.grad.norm(), layers[0].weight.grad.norm())

torch.manual_seed(0)
block = partial(checkpoint, layers[:3], use_reentrant=False, preserve_rng_state=False)
print(block(x).shape, cp.checkpoint(torch.sin, torch.ones(2, requires_grad=True), use_reentrant=False))
if torch.cuda.is_available():
    print(torch.cuda.max_memory_allocated())
else:
    print(torch.cuda.device_count(), torch.cuda.is_initialized(), torch.cuda.memory_allocated())


class Trainer:
    def __init__(self, folder):
        torch.manual_seed(21)
        self.model = nn.GRUCell(3, 4)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2, weight_decay=0.1)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 6)
        self.path = os.path.join(folder, "snapshot.pt")
        self.epoch = 0
        if os.path.exists(self.path):
            self.load()

    def save(self):
        torch.save(
            {
                "MODEL_STATE": self.model.state_dict(),
                "OPTIMIZER": self.optimizer.state_dict(),
                "SCHEDULER": self.scheduler.state_dict(),
                "EPOCHS_RUN": self.epoch,
                "rng": torch.get_rng_state(),
            },
            self.path,
        )

    def load(self):
        snapshot = torch.load(self.path, map_location="cpu", weights_only=True)
        self.model.load_state_dict(snapshot["MODEL_STATE"])
        self.optimizer.load_state_dict(snapshot["OPTIMIZER"])
        self.scheduler.load_state_dict(snapshot["SCHEDULER"])
        self.epoch = snapshot["EPOCHS_RUN"]
        torch.set_rng_state(snapshot["rng"])
        print(f"Resuming training from snapshot at Epoch {self.epoch}")

    def run(self, until):
        for self.epoch in range(self.epoch, until):
            h = torch.zeros(2, 4)
            for _ in range(3):
                h = self.model(torch.randn(2, 3), h)
            loss = (h - 1).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            print(f"epoch {self.epoch} | {loss.item():.6f} | lr {self.scheduler.get_last_lr()[0]:.6f}")
        self.epoch += 1
        self.save()


with tempfile.TemporaryDirectory() as folder:
    Trainer(folder).run(3)
    Trainer(folder).run(6)
    again = Trainer(folder)
    print(again.optimizer.state_dict()["param_groups"][0]["initial_lr"], again.optimizer.state_dict()["state"][0]["step"])
buffer = io.BytesIO()
torch.save([torch.arange(3), {"a": torch.ones(2, dtype=torch.bfloat16)}, "text", 1.5], buffer)
print(len(buffer.getvalue()) > 500, torch.load(io.BytesIO(buffer.getvalue())))
