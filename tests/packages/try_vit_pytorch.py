"""The first example of vit-pytorch, made small."""

import torch
from vit_pytorch import ViT

torch.manual_seed(0)
net = ViT(image_size=32, patch_size=8, num_classes=10, dim=32, depth=2, heads=4, mlp_dim=64, dropout=0.1, emb_dropout=0.1)
print(net(torch.randn(2, 3, 32, 32)))
