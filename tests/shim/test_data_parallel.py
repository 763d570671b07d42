"""DataParallel on eight fake devices, in a process of its own: the numbers of one device, from arrays that are split over all."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import copy, io
import jax
import funnn.torch as torch
from funnn.torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x, scale=None):
        seen.append(x._storage.array)
        x = torch.relu(self.norm(self.conv(x))).mean((2, 3))
        return self.out(x) if scale is None else self.out(x) * scale["by"]


assert len(jax.devices()) == 8
torch.manual_seed(0)
plain, seen = Net(), []
spread = nn.DataParallel(copy.deepcopy(plain))
losses, kinds = {}, []
data = [(torch.randn(n, 1, 6, 6), torch.randint(3, (n,))) for n in (16, 16, 12, 16)]
for name, model in (("plain", plain), ("spread", spread)):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses[name] = []
    for x, y in data:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x, scale={"by": 2.0}), y)
        loss.backward()
        optimizer.step()
        losses[name].append(loss.item())
        assert not name == "spread" or seen[-1].sharding.num_devices == 8
        kinds.append(seen[-1].shape[0] // seen[-1].addressable_shards[0].data.shape[0] if name == "spread" else 1)
assert all(abs(a - b) < 1e-5 for a, b in zip(*losses.values())), losses
assert kinds == [1] * 4 + [8, 8, 1, 8], kinds  # 12 can't be split by 8
assert spread.module.conv.weight._storage.array.sharding.num_devices == 8
for (name, a), b in zip(plain.state_dict().items(), spread.module.state_dict().values()):
    assert torch.allclose(a, b, atol=1e-5), name

# inputs that need gradients, split along another dimension; named inputs; a function instead of a class
x = torch.randn(3, 8, requires_grad=True)
y = nn.DataParallel(nn.Tanh(), dim=1)(x)
assert y._storage.array.sharding.spec == jax.sharding.PartitionSpec(None, "batch")
y.square().sum().backward()
assert torch.allclose(x.grad, 2 * x.tanh() * (1 - x.tanh() ** 2), atol=1e-6)
linear, x = nn.Linear(2, 3), torch.randn(8, 2)
assert torch.allclose(nn.parallel.data_parallel(linear, x), linear(x), atol=1e-6)
assert torch.allclose(nn.DataParallel(linear)(input=x), linear(x), atol=1e-6)

# saved, and read again
file = io.BytesIO()
torch.save(spread, file)
file.seek(0)
again = torch.load(file, weights_only=False)
spread.eval(), again.eval()
with torch.no_grad():
    assert torch.equal(again(data[0][0]), spread(data[0][0]))
print("ok")
"""


def test_eight_devices():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout == "ok\n", done.stdout + done.stderr
