"""The first example of kornia, made small."""

import kornia
import torch

torch.manual_seed(0)
x = torch.rand(1, 3, 16, 16)
print(kornia.color.rgb_to_grayscale(x).mean())
print(kornia.filters.gaussian_blur2d(x, (3, 3), (1.5, 1.5)).sum())
print(kornia.filters.sobel(x).mean())
print(kornia.geometry.transform.rotate(x, torch.tensor([30.0])).sum())
print(kornia.augmentation.RandomHorizontalFlip(p=0.5)(x).sum())
