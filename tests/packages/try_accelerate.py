"""The first example of accelerate, made small."""

import torch
from accelerate import Accelerator

torch.manual_seed(0)
accelerator = Accelerator(cpu=True)
net = torch.nn.Linear(4, 1)
data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(16, 4), torch.randn(16, 1)), batch_size=4)
net, optimizer, data = accelerator.prepare(net, torch.optim.AdamW(net.parameters(), lr=0.01), data)
for _ in range(2):
    for x, y in data:
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(net(x), y)
        accelerator.backward(loss)
        optimizer.step()
    print(round(loss.item(), 6))
