"""Sound: synthesis, STFT and its inverse, mel filters, SpecAugment, a keyword spotter of dilated causal convolutions, a matched filter by FFT."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

torch.manual_seed(44)
RATE = 2000


def tone(freqs, seconds=0.25):
    t = torch.arange(int(RATE * seconds)) / RATE
    return sum(torch.sin(2 * math.pi * f * t + f) / (k + 1) for k, f in enumerate(freqs)) * torch.hann_window(len(t), periodic=False)


def mel_filters(n_fft, n_mels, rate):
    to_mel, to_hz = lambda f: 2595 * torch.log10(1 + f / 700), lambda m: 700 * (10 ** (m / 2595) - 1)
    points = to_hz(torch.linspace(to_mel(torch.tensor(20.0)).item(), to_mel(torch.tensor(rate / 2)).item(), n_mels + 2))
    freqs = torch.fft.rfftfreq(n_fft, 1 / rate)
    slopes = points[:, None] - freqs[None]
    down, up = -slopes[:-2] / points.diff()[:-1, None], slopes[2:] / points.diff()[1:, None]
    return torch.clamp(torch.minimum(down, up), min=0)


class LogMel(nn.Module):
    def __init__(self, n_fft=64, hop=32, n_mels=10):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        self.register_buffer("window", torch.hamming_window(n_fft))
        self.register_buffer("filters", mel_filters(n_fft, n_mels, RATE))

    def forward(self, wave):
        spec = torch.stft(wave, self.n_fft, self.hop, window=self.window, center=True, pad_mode="reflect", return_complex=True)
        return torch.log(self.filters @ spec.abs().square() + 1e-6)


def spec_augment(x, width=3):
    x = x.clone()
    for dim in (1, 2):
        start = torch.randint(0, x.size(dim) - width, (x.size(0),))
        position = torch.arange(x.size(dim))
        mask = (position >= start[:, None]) & (position < start[:, None] + width)
        x.masked_fill_(mask.unsqueeze(3 - dim), 0.0)
    return x


class CausalConv1d(nn.Conv1d):
    def __init__(self, cin, cout, kernel, dilation):
        super().__init__(cin, cout, kernel, dilation=dilation)
        self.left = (kernel - 1) * dilation

    def forward(self, x):
        return super().forward(F.pad(x, (self.left, 0)))


class WaveBlock(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        self.conv = CausalConv1d(channels, 2 * channels, 2, dilation)
        self.out = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        a, b = self.conv(x).chunk(2, 1)
        skip = self.out(torch.tanh(a) * torch.sigmoid(b))
        return x + skip, skip


class Spotter(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = LogMel()
        self.first = nn.Conv1d(10, 8, 1)
        self.blocks = nn.ModuleList(WaveBlock(8, 2**k) for k in range(3))
        self.head = nn.Sequential(nn.ReLU6(), nn.Conv1d(8, 3, 1), nn.AdaptiveAvgPool1d(1), nn.Flatten())

    def forward(self, wave):
        x = self.front(wave)
        x = (x - x.mean(2, keepdim=True)) / (x.std(2, keepdim=True) + 1e-5)
        x = self.first(spec_augment(x) if self.training else x)
        skips = 0
        for block in self.blocks:
            x, skip = block(x)
            skips = skips + skip
        return self.head(skips)


labels = torch.arange(36) % 3
waves = torch.stack([tone([(100, 230, 410)[k] + 5 * i % 17, 700]) + 0.3 * torch.randn(500) for i, k in enumerate(labels.tolist())])
spec = torch.stft(waves[0], 64, 16, window=torch.hann_window(64), return_complex=True)
back = torch.istft(spec, 64, 16, window=torch.hann_window(64), length=500)
print(spec.shape, spec.dtype, torch.allclose(back, waves[0], atol=1e-5), spec.abs().mean(1).argmax().item())
print(LogMel()(waves[:1])[0, :3, :4], spec_augment(torch.ones(1, 10, 16)).sum())
net = Spotter()
optimizer = torch.optim.ASGD(net.parameters(), lr=0.1)
for epoch in range(5):
    net.train()
    for index in torch.randperm(36).chunk(3):
        loss = F.nll_loss(F.log_softmax(net(waves[index]), 1), labels[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        print(epoch, f"{loss.item():.5f}", (net(waves).argmax(1) == labels).sum().item())
pulse = tone([300], 0.05)
signal = torch.zeros(400).index_add(0, torch.arange(150, 150 + len(pulse)), pulse) + 0.05 * torch.randn(400)
n = len(signal) + len(pulse) - 1
matched = torch.fft.irfft(torch.fft.rfft(signal, n) * torch.fft.rfft(pulse, n).conj(), n)
direct = F.conv1d(signal[None, None], pulse[None, None])[0, 0]
print(matched.argmax().item(), torch.allclose(matched[: len(direct)], direct, atol=1e-3), torch.fft.fftshift(torch.fft.fftfreq(6)))
image = torch.outer(torch.hann_window(8), torch.ones(8))
low = torch.fft.ifft2(torch.fft.fft2(image) * (torch.fft.fftfreq(8).abs()[:, None] < 0.2)).real
print(low.std(), torch.angle(spec[3, 2]), torch.view_as_real(spec)[5, 1], torch.fft.rfft(torch.ones(4), norm="ortho"))
