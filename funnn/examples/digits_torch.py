"""Handwritten digits with a LeNet: a plain PyTorch program. On funnn it runs unchanged:

python -m funnn run digits_torch.py --epochs 5
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from funnn.examples.data import load_digits


class LeNet(nn.Module):
    def __init__(self, image_size):
        super().__init__()
        kernel_size = 5 if image_size >= 16 else 3
        self.conv1 = nn.Conv2d(1, 6, kernel_size, padding=kernel_size // 2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size, padding=kernel_size // 2)
        self.fc1 = nn.Linear(16 * (image_size // 4) ** 2, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def make_train_step(model, optimizer):
    def train_step(images, labels):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return train_step


def train(train_step, loader, epochs):
    """Yield the mean loss of each epoch."""
    for _ in range(epochs):
        losses = [train_step(images, labels) for images, labels in loader]
        yield torch.stack(losses).mean().item()


def accuracy(model, images, labels):
    model.eval()
    with torch.no_grad():
        correct = (model(images).argmax(dim=1) == labels).sum().item()
    model.train()
    return correct / len(labels)


def main():
    parser = argparse.ArgumentParser(description="Train a LeNet on handwritten digits.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="a folder with MNIST's four files; the digits that come with funnn by default")
    parser.add_argument("--compile", action="store_true", help="compile the training step")
    args = parser.parse_args()

    train_images, train_labels, test_images, test_labels = map(torch.from_numpy, load_digits(args.data))
    torch.manual_seed(args.seed)
    model = LeNet(train_images.size(-1))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-3)
    loader = DataLoader(TensorDataset(train_images, train_labels), args.batch_size, shuffle=True)
    train_step = make_train_step(model, optimizer)
    if args.compile:
        train_step = torch.compile(train_step)

    for epoch, loss in enumerate(train(train_step, loader, args.epochs), 1):
        print(f"epoch {epoch:3d}  loss {loss:.4f}")
    print(f"test accuracy {accuracy(model, test_images, test_labels):.4f}")


if __name__ == "__main__":
    main()
