"""The first example of schedulefree, made small."""

import schedulefree
import torch

torch.manual_seed(0)
net = torch.nn.Linear(4, 1)
optimizer = schedulefree.AdamWScheduleFree(net.parameters(), lr=0.01)
optimizer.train()
x, y = torch.randn(8, 4), torch.randn(8, 1)
for _ in range(5):
    optimizer.zero_grad()
    loss = (net(x) - y).square().mean()
    loss.backward()
    optimizer.step()
    print(round(loss.item(), 6))
optimizer.eval()
print(net.weight)
