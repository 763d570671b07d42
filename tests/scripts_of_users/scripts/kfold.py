"""K-fold cross-validation with SubsetRandomSampler and Subset, weights reset by hand, results in a dict and a table."""

import copy
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Subset, SubsetRandomSampler, TensorDataset, random_split


def set_seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def reset_weights(m):
    for layer in m.children():
        if hasattr(layer, "reset_parameters"):
            print(f"Reset trainable parameters of layer = {layer}")
            layer.reset_parameters()


class SimpleConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 4, kernel_size=3)
        self.act = nn.Hardswish()
        self.fc = nn.Linear(4 * 8, 3)

    def forward(self, x):
        return self.fc(self.act(self.conv(x)).flatten(start_dim=1))


def kfold_indices(n, k):
    permutation = np.random.permutation(n)
    for fold in np.array_split(permutation, k):
        yield np.setdiff1d(permutation, fold), fold


def worker_init(worker_id):
    np.random.seed(torch.initial_seed() % 2**32)


if __name__ == "__main__":
    set_seed(42)
    x = torch.randn(90, 2, 10)
    y = (x.mean((1, 2)) > 0).long() + (x.amax((1, 2)) > 2.2).long()
    parts = [TensorDataset(x[:50], y[:50]), TensorDataset(x[50:], y[50:])]
    dataset = ConcatDataset(parts)
    print(len(dataset), dataset.cumulative_sizes, torch.bincount(y))
    results = {}
    with TemporaryDirectory() as folder:
        for fold, (train_ids, test_ids) in enumerate(kfold_indices(len(dataset), 3)):
            print(f"FOLD {fold}")
            print("-" * 20)
            train_subsampler = SubsetRandomSampler(train_ids)
            test_subsampler = SubsetRandomSampler(test_ids)
            trainloader = DataLoader(dataset, batch_size=10, sampler=train_subsampler, num_workers=2, worker_init_fn=worker_init)
            testloader = DataLoader(dataset, batch_size=10, sampler=test_subsampler)
            network = SimpleConvNet()
            network.apply(reset_weights)
            reset_weights(network)
            optimizer = torch.optim.Adamax(network.parameters(), lr=1e-2)
            loss_function = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 2.0]))
            for epoch in range(2):
                current_loss = 0.0
                for i, data in enumerate(trainloader, 0):
                    inputs, targets = data
                    optimizer.zero_grad()
                    outputs = network(inputs)
                    loss = loss_function(outputs, targets)
                    loss.backward()
                    optimizer.step()
                    current_loss += loss.item()
                    if i % 3 == 2:
                        print("Loss after mini-batch %3d: %.4f" % (i + 1, current_loss / 3))
                        current_loss = 0.0
            save_path = Path(folder) / f"model-fold-{fold}.pth"
            torch.save(network.state_dict(), save_path)
            correct, total = 0, 0
            network.load_state_dict(torch.load(str(save_path)))
            with torch.no_grad():
                for inputs, targets in testloader:
                    _, predicted = torch.max(network(inputs).data, 1)
                    total += targets.size(0)
                    correct += (predicted == targets).sum().item()
            results[fold] = 100.0 * (correct / total)
        print(sorted(p.name for p in Path(folder).glob("*.pth")))
    for key, value in results.items():
        print(f"Fold {key}: {value} %")
    print(f"Average: {sum(results.values()) / len(results.items()):.4f} %")
    a, b, c = random_split(dataset, [0.5, 0.3, 0.2])
    print(len(a), len(b), len(c), a.indices[:5], isinstance(a, Subset))
    nested = Subset(a, range(0, len(a), 5))
    xs, ys = next(iter(DataLoader(nested, batch_size=len(nested))))
    print(xs.sum(), ys.tolist(), copy.copy(nested)[1][1])
