"""The first example of segmentation-models-pytorch, made small."""

import segmentation_models_pytorch as smp
import torch

torch.manual_seed(0)
net = smp.Unet("resnet18", encoder_weights=None, in_channels=3, classes=2).eval()
x = torch.randn(1, 3, 32, 32)
print(net(x).sum().item())
print(smp.losses.DiceLoss("multiclass")(net(x), torch.zeros(1, 32, 32, dtype=torch.long)).item())
