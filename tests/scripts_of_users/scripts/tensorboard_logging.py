"""SummaryWriter for scalars, histograms, images and hyperparameters; a logger, meters, json lines, checkpoints by pathlib."""

import json
import logging
import shutil
import sys
import time
from collections import defaultdict, deque
from pathlib import Path
from tempfile import mkdtemp

import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:
    SummaryWriter = None

logger = logging.getLogger("train")
logger.setLevel(logging.DEBUG)
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(logging.Formatter("[%(levelname)s] %(name)s: %(message)s"))
logger.addHandler(handler)


class SmoothedValue(object):
    def __init__(self, window_size=20, fmt=None):
        self.deque = deque(maxlen=window_size)
        self.total = 0.0
        self.count = 0
        self.fmt = fmt or "{median:.4f} ({global_avg:.4f})"

    def update(self, value, n=1):
        self.deque.append(value)
        self.count += n
        self.total += value * n

    @property
    def median(self):
        return torch.tensor(list(self.deque)).median().item()

    @property
    def global_avg(self):
        return self.total / self.count

    @property
    def max(self):
        return max(self.deque)

    def __str__(self):
        return self.fmt.format(median=self.median, global_avg=self.global_avg, max=self.max)


class MetricLogger(object):
    def __init__(self, delimiter="\t"):
        self.meters = defaultdict(SmoothedValue)
        self.delimiter = delimiter

    def update(self, **kwargs):
        for k, v in kwargs.items():
            if isinstance(v, torch.Tensor):
                v = v.item()
            assert isinstance(v, (float, int))
            self.meters[k].update(v)

    def __getattr__(self, attr):
        if attr in self.meters:
            return self.meters[attr]
        raise AttributeError("'{}' object has no attribute '{}'".format(type(self).__name__, attr))

    def __str__(self):
        return self.delimiter.join("{}: {}".format(name, str(meter)) for name, meter in self.meters.items())

    def log_every(self, iterable, print_freq, header=""):
        start = time.time()
        for i, obj in enumerate(iterable):
            yield obj
            if i % print_freq == 0 or i == len(iterable) - 1:
                logger.info("%s [%d/%d] %s", header, i, len(iterable), self)
        assert time.time() - start >= 0


torch.manual_seed(99)
out = Path(mkdtemp())
writer = SummaryWriter(log_dir=str(out / "runs"), comment="x", flush_secs=1)
net = nn.Sequential(nn.Linear(6, 8), nn.PReLU(), nn.Linear(8, 2))
x = torch.randn(64, 6)
y = (x[:, 0] * x[:, 1] > 0).long()
loader = DataLoader(TensorDataset(x, y), 16, True)
optimizer = torch.optim.RAdam(net.parameters(), lr=2e-2)
criterion = nn.MultiMarginLoss(p=2, margin=0.8)
global_step = 0
for epoch in range(2):
    metrics = MetricLogger(delimiter="  ")
    for xs, ys in metrics.log_every(loader, 2, f"Epoch {epoch}"):
        loss = criterion(net(xs), ys)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        metrics.update(loss=loss, acc=(net(xs).argmax(1) == ys).double().mean(), lr=optimizer.param_groups[0]["lr"])
        writer.add_scalar("Loss/train", loss, global_step)
        writer.add_scalars("group", {"a": loss.item(), "b": global_step}, global_step)
        global_step += 1
    for name, p in net.named_parameters():
        writer.add_histogram(name.replace(".", "/"), p, epoch)
        writer.add_histogram(name + ".grad", p.grad.data.cpu().numpy(), epoch)
    writer.add_image("weights", net[0].weight.detach().sigmoid()[None], epoch)
    writer.add_text("note", f"epoch {epoch}")
    with (out / "log.txt").open("a") as f:
        f.write(json.dumps({"epoch": epoch, "loss": round(metrics.loss.global_avg, 5), "n": metrics.loss.count}) + "\n")
    torch.save({"model": net.state_dict(), "epoch": epoch}, out / f"checkpoint-{epoch:03d}.pth")
writer.add_pr_curve("pr", y, net(x).softmax(1)[:, 1])
writer.add_hparams({"lr": 0.02, "bs": 16}, {"hparam/loss": loss.item()})
writer.add_embedding(x[:5], metadata=y[:5].tolist())
writer.flush()
writer.close()
print((out / "log.txt").read_text().strip())
print(sorted(p.name for p in out.glob("*.pth")), any((out / "runs").glob("events.out.tfevents.*")))
latest = max(out.glob("*.pth"), key=lambda p: int(p.stem.split("-")[1]))
checkpoint = torch.load(latest, weights_only=True)
print(latest.name, checkpoint["epoch"], net.load_state_dict(checkpoint["model"]))
try:
    metrics.nothing
except AttributeError as e:
    logger.warning(e)
try:
    net.load_state_dict({"0.weight": torch.zeros(8, 6), "extra": torch.zeros(1)})
except RuntimeError as e:
    logger.error("%s", e)
shutil.rmtree(out)
