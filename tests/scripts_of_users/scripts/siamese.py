"""A siamese network: a Dataset of pairs, shared branches, Xavier weights, BCE on concatenated features."""

from __future__ import print_function

import random

import torch
import torch.nn as nn
import torch.optim as optim
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset


class SiameseNetwork(nn.Module):
    def __init__(self):
        super(SiameseNetwork, self).__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 8, kernel_size=3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.fc_in_features = 8 * 3 * 3
        self.fc = nn.Sequential(
            nn.Linear(self.fc_in_features * 2, 32),
            nn.ReLU(inplace=True),
            nn.Linear(32, 1),
        )
        self.sigmoid = nn.Sigmoid()
        self.features.apply(self.init_weights)
        self.fc.apply(self.init_weights)

    def init_weights(self, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.xavier_uniform_(m.weight)
            m.bias.data.fill_(0.01)

    def forward_once(self, x):
        output = self.features(x)
        output = output.view(output.size()[0], -1)
        return output

    def forward(self, input1, input2):
        output1 = self.forward_once(input1)
        output2 = self.forward_once(input2)
        output = torch.cat((output1, output2), 1)
        output = self.fc(output)
        return self.sigmoid(output)


class Pairs(Dataset):
    def __init__(self, n, train):
        super(Pairs, self).__init__()
        g = torch.Generator()
        g.manual_seed(1 if train else 2)
        self.targets = torch.randint(4, (n,), generator=g)
        stripes = torch.stack([torch.eye(15).roll(4 * k, 1) for k in range(4)])
        self.data = (stripes[self.targets] * 200 + torch.rand(n, 15, 15, generator=g) * 50).byte()
        self.group_examples()

    def group_examples(self):
        self.grouped_examples = {}
        for i in range(0, 4):
            self.grouped_examples[i] = torch.where(self.targets == i)[0]

    def __len__(self):
        return self.data.shape[0]

    def __getitem__(self, index):
        selected_class = random.randint(0, 3)
        first = self.data[random.choice(self.grouped_examples[selected_class])].clone().float() / 255
        if index % 2 == 0:
            other, target = selected_class, torch.tensor(1, dtype=torch.float)
        else:
            other, target = (selected_class + random.randint(1, 3)) % 4, torch.tensor(0, dtype=torch.float)
        second = self.data[self.grouped_examples[other][0].item()].clone().float().div_(255)
        return first.unsqueeze(0), second.unsqueeze(0), target


def train(model, device, train_loader, optimizer, epoch):
    model.train()
    criterion = nn.BCELoss()
    for batch_idx, (images_1, images_2, targets) in enumerate(train_loader):
        images_1, images_2, targets = images_1.to(device), images_2.to(device), targets.to(device)
        optimizer.zero_grad()
        outputs = model(images_1, images_2).squeeze()
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        print("Epoch {} [{}/{}] loss {:.6f}".format(epoch, batch_idx * len(images_1), len(train_loader.dataset), loss.item()))


def test(model, device, test_loader):
    model.eval()
    test_loss = 0
    correct = 0
    criterion = nn.BCELoss()
    with torch.no_grad():
        for images_1, images_2, targets in test_loader:
            outputs = model(images_1, images_2).squeeze()
            test_loss += criterion(outputs, targets).sum().item()
            pred = torch.where(outputs > 0.5, 1, 0)
            correct += pred.eq(targets.view_as(pred)).sum().item()
    print("Test: {:.4f}, {}/{} ({:.0f}%)".format(test_loss, correct, len(test_loader.dataset), 100.0 * correct / len(test_loader.dataset)))


def main():
    torch.manual_seed(3)
    random.seed(3)
    device = "cpu"
    train_loader = DataLoader(Pairs(96, True), batch_size=24, shuffle=True)
    test_loader = DataLoader(Pairs(40, False), batch_size=20)
    model = SiameseNetwork().to(device)
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    for epoch in range(1, 4):
        train(model, device, train_loader, optimizer, epoch)
        test(model, device, test_loader)
        scheduler.step()


if __name__ == "__main__":
    main()
