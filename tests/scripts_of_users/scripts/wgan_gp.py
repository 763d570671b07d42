"""Wasserstein critics with gradient penalties, R1 by double backward, spectral norm, EMA generator, conditional labels."""

import argparse
import copy

import numpy as np
import torch
import torch.autograd as autograd
import torch.nn as nn
import torch.nn.functional as F
from torch.autograd import Variable
from torch.nn.utils import spectral_norm

parser = argparse.ArgumentParser()
parser.add_argument("--n_epochs", type=int, default=2)
parser.add_argument("--latent_dim", type=int, default=6)
parser.add_argument("--n_critic", type=int, default=2)
parser.add_argument("--lambda_gp", type=float, default=10)
opt = parser.parse_args()
print(opt)
torch.manual_seed(21)
np.random.seed(21)
cuda = True if torch.cuda.is_available() else False
Tensor = torch.cuda.FloatTensor if cuda else torch.FloatTensor


class Generator(nn.Module):
    def __init__(self):
        super(Generator, self).__init__()

        def block(in_feat, out_feat, normalize=True):
            layers = [nn.Linear(in_feat, out_feat)]
            if normalize:
                layers.append(nn.BatchNorm1d(out_feat, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.label_emb = nn.Embedding(3, 3)
        self.model = nn.Sequential(*block(opt.latent_dim + 3, 16, normalize=False), *block(16, 16), nn.Linear(16, 2), nn.Tanh())

    def forward(self, z, labels):
        return self.model(torch.cat((self.label_emb(labels), z), -1))


class Discriminator(nn.Module):
    def __init__(self):
        super(Discriminator, self).__init__()
        self.label_emb = nn.Embedding(3, 3)
        self.model = nn.Sequential(
            spectral_norm(nn.Linear(5, 16)),
            nn.LeakyReLU(0.2, inplace=True),
            spectral_norm(nn.Linear(16, 16)),
            nn.Softplus(),
            nn.Linear(16, 1),
        )

    def forward(self, x, labels):
        return self.model(torch.cat((x, self.label_emb(labels)), -1))


def compute_gradient_penalty(D, real_samples, fake_samples, labels):
    alpha = Tensor(np.random.random((real_samples.size(0), 1)))
    interpolates = (alpha * real_samples + ((1 - alpha) * fake_samples)).requires_grad_(True)
    d_interpolates = D(interpolates, labels)
    fake = Variable(Tensor(real_samples.shape[0], 1).fill_(1.0), requires_grad=False)
    gradients = autograd.grad(
        outputs=d_interpolates, inputs=interpolates, grad_outputs=fake, create_graph=True, retain_graph=True, only_inputs=True
    )[0]
    gradients = gradients.view(gradients.size(0), -1)
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean()


def r1(D, x, labels):
    x = x.detach().requires_grad_()
    (g,) = autograd.grad(D(x, labels).sum(), x, create_graph=True)
    return g.square().sum([1]).mean()


@torch.no_grad()
def ema(target, source, decay):
    source_dict, target_dict = dict(source.named_parameters()), dict(target.named_parameters())
    for key in source_dict.keys():
        target_dict[key].data.copy_(target_dict[key].data * decay + source_dict[key].data * (1 - decay))
    for (_, b), (_, c) in zip(target.named_buffers(), source.named_buffers()):
        b.copy_(c)


generator, discriminator = Generator(), Discriminator()
print(discriminator)
g_ema = copy.deepcopy(generator).eval().requires_grad_(False)
optimizer_G = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.0, 0.9))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.0, 0.9))
labels_all = torch.arange(72) % 3
points = torch.stack([torch.cos(labels_all * 2.1), torch.sin(labels_all * 2.1)], 1) * 0.6 + 0.05 * torch.randn(72, 2)
batches_done = 0
for epoch in range(opt.n_epochs):
    for i, index in enumerate(torch.randperm(72).split(18)):
        real, labels = Variable(points[index].type(Tensor)), labels_all[index]
        optimizer_D.zero_grad()
        z = Variable(Tensor(np.random.normal(0, 1, (real.shape[0], opt.latent_dim))))
        fake = generator(z, labels)
        penalty = compute_gradient_penalty(discriminator, real.data, fake.data, labels)
        d_loss = -torch.mean(discriminator(real, labels)) + torch.mean(discriminator(fake.detach(), labels)) + opt.lambda_gp * penalty
        (d_loss + 0.5 * r1(discriminator, real, labels)).backward()
        optimizer_D.step()
        if i % opt.n_critic == 0:
            optimizer_G.zero_grad()
            g_loss = -torch.mean(discriminator(generator(z, labels), labels))
            g_loss.backward()
            optimizer_G.step()
            ema(g_ema, generator, 0.9)
            print(
                "[Epoch %d/%d] [Batch %d] [D loss: %.4f] [G loss: %.4f] [gp: %.4f]"
                % (epoch, opt.n_epochs, i, d_loss.item(), g_loss.item(), penalty.item())
            )
        batches_done += 1
with torch.no_grad():
    z = torch.randn(6, opt.latent_dim)
    print(g_ema(z, torch.arange(6) % 3).mean(0), F.relu(1 - discriminator(points, labels_all)).mean(), len(discriminator.state_dict()))
print(torch.linalg.matrix_norm(discriminator.model[0].weight, ord=2) < 2.0, [k for k in discriminator.state_dict() if "weight_u" in k])
