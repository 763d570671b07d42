"""The first example of pytorch-metric-learning, made small."""

import torch
from pytorch_metric_learning import losses, miners

torch.manual_seed(0)
x, y = torch.randn(12, 8, requires_grad=True), torch.arange(12) % 3
pairs = miners.MultiSimilarityMiner()(x, y)
loss = losses.TripletMarginLoss()(x, y, pairs)
loss.backward()
print(loss.item(), x.grad.norm().item())
print(losses.NTXentLoss(0.1)(x, y).item(), losses.ArcFaceLoss(3, 8)(x, y).item())
