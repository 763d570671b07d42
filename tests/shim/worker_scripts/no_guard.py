"""A training script as they are: all at the top level, no main guard, workers in every epoch."""

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

torch.manual_seed(0)
x = torch.randn(64, 5)
y = x @ torch.randn(5, 1)


class Noisy(TensorDataset):
    def __getitem__(self, index):
        inputs, target = super().__getitem__(index)
        return inputs + 0.01 * torch.randn(5), target


class Squares(Dataset):
    def __init__(self, function):
        self.function = function

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return self.function(index)


model = torch.nn.Linear(5, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    total = 0.0
    for inputs, target in DataLoader(Noisy(x, y), 16, shuffle=True, num_workers=2):
        optimizer.zero_grad()
        loss = ((model(inputs) - target) ** 2).mean()
        loss.backward()
        optimizer.step()
        total += loss.item()
    print(f"epoch {epoch}: {total:.4f}")
table = {number: torch.full((2,), number * number) for number in range(6)}
first, second = random_split(Squares(table.__getitem__), [4, 2], generator=torch.Generator().manual_seed(1))
for a, b in zip(DataLoader(first, 2, num_workers=1), DataLoader(second, 1, num_workers=2), strict=True):
    print(a.tolist(), b.tolist())
