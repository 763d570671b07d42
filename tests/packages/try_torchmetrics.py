"""The first example of torchmetrics, made small."""

import torch
import torchmetrics
from torchmetrics.classification import BinaryAUROC, MulticlassAccuracy, MulticlassConfusionMatrix

torch.manual_seed(0)
logits, y = torch.randn(20, 5), torch.randint(0, 5, (20,))
accuracy = MulticlassAccuracy(5)
print(accuracy(logits.softmax(-1), y), accuracy.compute())
print(MulticlassConfusionMatrix(5)(logits, y))
print(BinaryAUROC()(torch.rand(20), torch.randint(0, 2, (20,))))
print(torchmetrics.MeanSquaredError()(logits[:, 0], logits[:, 1]))
