"""The first example of timm, made small."""

import timm
import torch

torch.manual_seed(0)
for name in ("resnet18", "vit_tiny_patch16_224", "mobilenetv3_small_100"):
    options = {"img_size": 64} if name.startswith("vit") else {}
    net = timm.create_model(name, num_classes=5, **options).eval()
    print(name, net(torch.randn(1, 3, 64, 64)))
