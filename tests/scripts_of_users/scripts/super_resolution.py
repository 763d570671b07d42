"""Sub-pixel convolution: PixelShuffle, orthogonal initialisation with gains, PSNR, the whole model saved and loaded."""

import argparse
import tempfile
from math import log10
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.init as init
import torch.optim as optim
from torch.utils.data import DataLoader, Dataset


class Net(nn.Module):
    def __init__(self, upscale_factor):
        super(Net, self).__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 16, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(16, 16, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(16, 8, (3, 3), (1, 1), (1, 1))
        self.conv4 = nn.Conv2d(8, upscale_factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(upscale_factor)
        self._initialize_weights()

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        x = self.relu(self.conv3(x))
        x = self.pixel_shuffle(self.conv4(x))
        return x

    def _initialize_weights(self):
        init.orthogonal_(self.conv1.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv2.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv3.weight, init.calculate_gain("relu"))
        init.orthogonal_(self.conv4.weight)


class Waves(Dataset):
    def __init__(self, n, factor):
        self.factor = factor
        grid = torch.linspace(0, 3, 24)
        y, x = torch.meshgrid(grid, grid, indexing="ij")
        self.images = [0.5 + 0.5 * torch.sin(x * (k % 5 + 1) + y * (k % 3) + k)[None] for k in range(n)]

    def __getitem__(self, index):
        target = self.images[index]
        return nn.functional.avg_pool2d(target, self.factor), target

    def __len__(self):
        return len(self.images)


parser = argparse.ArgumentParser()
parser.add_argument("--upscale_factor", type=int, default=3)
parser.add_argument("--nEpochs", type=int, default=2)
parser.add_argument("--threads", type=int, default=2)
opt = parser.parse_args()
print(opt)

torch.manual_seed(123)
training_data_loader = DataLoader(dataset=Waves(24, opt.upscale_factor), num_workers=opt.threads, batch_size=6, shuffle=True)
testing_data_loader = DataLoader(dataset=Waves(5, opt.upscale_factor), num_workers=opt.threads, batch_size=1, shuffle=False)
model = Net(upscale_factor=opt.upscale_factor).to("cpu")
criterion = nn.MSELoss()
optimizer = optim.Adam(model.parameters(), lr=0.001)


def train(epoch):
    epoch_loss = 0
    for iteration, batch in enumerate(training_data_loader, 1):
        input, target = batch[0].to("cpu"), batch[1].to("cpu")
        optimizer.zero_grad()
        loss = criterion(model(input), target)
        epoch_loss += loss.item()
        loss.backward()
        optimizer.step()
        print("===> Epoch[{}]({}/{}): Loss: {:.4f}".format(epoch, iteration, len(training_data_loader), loss.item()))
    print("===> Epoch {} Complete: Avg. Loss: {:.4f}".format(epoch, epoch_loss / len(training_data_loader)))


def test():
    avg_psnr = 0
    with torch.no_grad():
        for batch in testing_data_loader:
            mse = criterion(model(batch[0]), batch[1])
            avg_psnr += 10 * log10(1 / mse.item())
    print("===> Avg. PSNR: {:.4f} dB".format(avg_psnr / len(testing_data_loader)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(1, opt.nEpochs + 1):
            train(epoch)
            test()
            path = Path(folder) / "model_epoch_{}.pth".format(epoch)
            torch.save(model, path)
            print("Checkpoint saved to {}".format(path.name))
        model = torch.load(path, weights_only=False)
        test()
    print(model)
