"""Tensor operations in workers: such as NumPy has, and such as it has not, in a program that has compiled and trained before."""

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

blur = torch.ones(1, 1, 3, 3) / 9
net = torch.nn.Linear(4, 2)
with torch.no_grad():
    net.weight.fill_(0.5)
    net.bias.zero_()
optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
for _ in range(3):
    net(torch.ones(3, 4)).sum().backward()
    optimizer.step()
print(torch.linalg.svdvals(torch.eye(3)))


class Images(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        image = torch.arange(16.0).reshape(1, 1, 4, 4) * index
        weight = torch.ones(3, requires_grad=True)
        (weight * index).pow(2).sum().backward()
        with torch.no_grad():
            scores = net(image[0, 0]).sum()
        return (
            F.conv2d(image, blur, padding=1).sum(),
            F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)[0, 0, 1, 1],
            torch.linalg.svdvals(image[0, 0] + torch.eye(4)),
            torch.linalg.cholesky(torch.eye(2) * (index + 1)),
            image.half().sum().float(),
            torch.tensor(index / 3).to(torch.bfloat16),
            weight.grad,
            scores,
        )


for batch in DataLoader(Images(), 2, num_workers=2):
    print([[round(value, 3) for value in field.float().flatten().tolist()] for field in batch])
