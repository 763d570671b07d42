"""The habits of first programs: tensors of all sorts, NumPy bridges, broadcasting, indexing, printing, in-place operations, polynomials, nn by hand."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(42)
data = [[1, 2], [3, 4]]
x_data = torch.tensor(data)
np_array = np.array(data)
x_np = torch.from_numpy(np_array)
print(f"Ones Tensor: \n {torch.ones_like(x_data)} \n")
print(f"Random Tensor: \n {torch.rand_like(x_data, dtype=torch.float)} \n")
tensor = torch.rand(3, 4)
print(f"Shape of tensor: {tensor.shape}\nDatatype of tensor: {tensor.dtype}\nDevice tensor is stored on: {tensor.device}")
tensor = torch.ones(4, 4)
print(f"First row: {tensor[0]}\nFirst column: {tensor[:, 0]}\nLast column: {tensor[..., -1]}")
tensor[:, 1] = 0
t1 = torch.cat([tensor, tensor, tensor], dim=1)
y1 = tensor @ tensor.T
y3 = torch.rand_like(y1)
torch.matmul(tensor, tensor.T, out=y3)
agg = tensor.sum()
print(t1.shape, torch.equal(y1, y3), agg.item(), type(agg.item()), f"{agg:.2f} {agg.item():>8}")
t = torch.ones(5)
n = t.numpy()
t.add_(1)
np.add(n, 1, out=n)
print(f"t: {t} n: {n}", torch.as_tensor(n).data_ptr() == t.data_ptr())
print(torch.arange(0, 1, 0.25), torch.linspace(-1, 1, 3), torch.logspace(0, 2, 3), torch.eye(2), torch.full((2,), 7), torch.empty(0))
print(
    torch.tensor([1e-8, 1.0, 1e8]),
    torch.tensor([float("nan"), float("inf"), -0.0]),
    torch.tensor([True, False]),
    torch.tensor(3 + 4j).abs(),
)
print(torch.randn(2, 3, 2).round(decimals=2), torch.arange(2000).float(), torch.zeros(2, 0))
torch.set_printoptions(precision=2, sci_mode=False, linewidth=60)
print(torch.rand(12) * 1000)
torch.set_printoptions(profile="default")
a = torch.arange(24).reshape(2, 3, 4)
print(
    a[0, 1, 2],
    a[:, ::2, -1],
    a[a % 7 == 0],
    a[[0, 1], [2, 0]],
    a[..., None].shape,
    a.permute(2, 0, 1).shape,
    a.transpose(0, 2).is_contiguous(),
)
print(
    a.view(-1, 6).stride(),
    a.float().mean(dim=(0, 2)),
    a.max(),
    a.argmax().item(),
    a.cumsum(-1)[0, 0],
    a.flatten(1).shape,
    a.unfold(2, 2, 1).shape,
)
print(
    torch.where(a > 20, a, -1)[1, 2],
    torch.clamp(a, 5, 8).unique(return_counts=True),
    torch.nonzero(a == 11),
    a.numel(),
    len(a),
    a.tolist()[0][0],
)
b = a.clone()
b[0] = -1
b[:, :, 0] += 100
b[b > 110] = 0
print(b, (a == b).sum(), (a != b).any().item(), torch.allclose(a.float(), b.float()))
print(
    torch.stack([torch.zeros(2), torch.ones(2)], dim=-1),
    torch.chunk(torch.arange(5), 2),
    torch.split(torch.arange(5), [1, 4])[1],
    torch.arange(3).repeat(2),
    torch.arange(3).repeat_interleave(2),
)
print(
    torch.tensor([3, 1, 2]).sort(),
    torch.topk(torch.tensor([3.0, 1, 2]), 2),
    torch.bincount(torch.tensor([0, 1, 1])),
    torch.histc(torch.rand(50), 4).sum(),
)
print(
    5 // torch.tensor(2),
    torch.tensor(7) / 2,
    torch.tensor(-7) % 3,
    2 ** torch.tensor(3),
    ~torch.tensor(5),
    torch.tensor(6) & 3,
    -torch.tensor([1]),
    torch.true_divide(1, torch.tensor(3)),
)
for row in torch.eye(2):
    print(row, end=" ")
print(
    [i for i in torch.arange(3)],
    list(zip(*torch.ones(2, 2).tolist())),
    bool(torch.tensor(1)),
    int(torch.tensor(2.7)),
    float(torch.tensor(2)),
    torch.tensor([2]).item() + 1,
)
print(
    x_data.dtype,
    x_np.dtype,
    torch.tensor(1.0).dtype,
    torch.tensor(np.float32(1)).dtype,
    torch.Tensor([1]).dtype,
    torch.IntTensor([1]).type(),
    torch.get_default_dtype(),
    (x_data + 0.5).dtype,
    torch.result_type(x_data, 1.0),
)
w = torch.randn(5, 3, requires_grad=True)
bias = torch.randn(3, requires_grad=True)
z = torch.matmul(torch.ones(5), w) + bias
loss = F.binary_cross_entropy_with_logits(z, torch.zeros(3))
print(f"Gradient function for z = {z.grad_fn}"[:43], loss)
loss.backward()
print(w.grad[0], bias.grad, z.requires_grad, z.detach().requires_grad, w.is_leaf)
inp = torch.eye(2, 3, requires_grad=True)
out = (inp + 1).pow(2).t()
out.backward(torch.ones_like(out), retain_graph=True)
out.backward(torch.ones_like(out), retain_graph=True)
print(f"Second call\n{inp.grad}")
inp.grad.zero_()

x = torch.linspace(-math.pi, math.pi, 300)
y = torch.sin(x)
xx = x.unsqueeze(-1).pow(torch.tensor([1, 2, 3]))
model = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0, 1))
loss_fn = torch.nn.MSELoss(reduction="sum")
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-2)
for t in range(60):
    y_pred = model(xx)
    loss = loss_fn(y_pred, y)
    if t % 20 == 19:
        print(t, loss.item())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
linear_layer = model[0]
print(f"y = {linear_layer.bias.item():.5f} + {linear_layer.weight[:, 0].item():.5f} x + {linear_layer.weight[:, 1].item():.5f} x^2")


class Mnist_Logistic(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(20, 3) / math.sqrt(20))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, xb):
        return xb @ self.weights + self.bias


class Lambda(nn.Module):
    def __init__(self, func):
        super().__init__()
        self.func = func

    def forward(self, x):
        return self.func(x)


def accuracy(out, yb):
    preds = torch.argmax(out, dim=1)
    return (preds == yb).float().mean()


def loss_batch(model, loss_func, xb, yb, opt=None):
    loss = loss_func(model(xb), yb)
    if opt is not None:
        loss.backward()
        opt.step()
        opt.zero_grad()
    return loss.item(), len(xb)


def fit(epochs, model, loss_func, opt, train_dl, valid_dl):
    for epoch in range(epochs):
        model.train()
        for xb, yb in train_dl:
            loss_batch(model, loss_func, xb, yb, opt)
        model.eval()
        with torch.no_grad():
            losses, nums = zip(*[loss_batch(model, loss_func, xb, yb) for xb, yb in valid_dl])
        val_loss = np.sum(np.multiply(losses, nums)) / np.sum(nums)
        print(epoch, val_loss)


x_train = torch.randn(90, 20)
y_train = x_train[:, :3].argmax(1)
train_dl = DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True)
valid_dl = DataLoader(TensorDataset(x_train[:40], y_train[:40]), batch_size=64)
model = Mnist_Logistic()
fit(3, model, F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.5), train_dl, valid_dl)
model = nn.Sequential(
    Lambda(lambda x: x.view(-1, 1, 4, 5)),
    nn.Conv2d(1, 4, kernel_size=3, stride=2, padding=1),
    nn.ReLU(),
    nn.AvgPool2d(2),
    Lambda(lambda x: x.view(x.size(0), -1)),
    nn.Linear(4, 3),
)
fit(2, model, F.cross_entropy, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), train_dl, valid_dl)
print(accuracy(model(x_train), y_train))
with TemporaryDirectory() as folder:
    torch.save(model[1], Path(folder) / "conv.pth")
    print(torch.load(Path(folder) / "conv.pth", weights_only=False))
    try:
        torch.load(Path(folder) / "none.pth")
    except FileNotFoundError as e:
        print(type(e).__name__)
try:
    torch.ones(2, 3) @ torch.ones(2, 3)
except RuntimeError as e:
    print("Error", str(e)[:36])
try:
    torch.ones(2).view(3)
except RuntimeError as e:
    print(str(e).partition(": shapes")[0])
try:
    torch.tensor([1, 2]) + torch.tensor([1, 2, 3])
except RuntimeError as e:
    print(str(e).partition(": shapes")[0])
try:
    F.cross_entropy(torch.randn(2, 3), torch.tensor([0, 5]))
except (IndexError, RuntimeError) as e:
    print(type(e).__name__, e)
