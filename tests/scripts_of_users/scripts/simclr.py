"""Contrastive learning: two views, InfoNCE and NT-Xent by masks, a frozen backbone's linear probe, cosine annealing with restarts."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

torch.manual_seed(12)


class ContrastiveLearningDataset(Dataset):
    def __init__(self, n, transform, n_views=2):
        self.base = torch.rand(n, 3, 12, 12)
        self.base[: n // 2, 0] += 1
        self.transform, self.n_views = transform, n_views

    def __getitem__(self, i):
        return [self.transform(self.base[i]) for _ in range(self.n_views)], int(i < len(self) // 2)

    def __len__(self):
        return len(self.base)


def augment(x):
    if torch.rand(1) < 0.5:
        x = x.flip(-1)
    top, left = torch.randint(0, 3, (2,)).tolist()
    x = x[:, top : top + 10, left : left + 10]
    return x + 0.1 * torch.randn_like(x)


class Encoder(nn.Module):
    def __init__(self, out_dim=8):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding="same", bias=False),
            nn.GroupNorm(2, 8),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.LazyLinear(16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, out_dim, bias=False))

    def forward(self, x):
        return self.head(self.backbone(x))


def info_nce_loss(features, n_views=2, temperature=0.5):
    batch = features.shape[0] // n_views
    labels = torch.cat([torch.arange(batch) for i in range(n_views)], dim=0)
    labels = (labels.unsqueeze(0) == labels.unsqueeze(1)).float()
    features = F.normalize(features, dim=1)
    similarity_matrix = torch.matmul(features, features.T)
    mask = torch.eye(labels.shape[0], dtype=torch.bool)
    labels = labels[~mask].view(labels.shape[0], -1)
    similarity_matrix = similarity_matrix[~mask].view(similarity_matrix.shape[0], -1)
    positives = similarity_matrix[labels.bool()].view(labels.shape[0], -1)
    negatives = similarity_matrix[~labels.bool()].view(similarity_matrix.shape[0], -1)
    logits = torch.cat([positives, negatives], dim=1)
    labels = torch.zeros(logits.shape[0], dtype=torch.long)
    return logits / temperature, labels


def nt_xent(z1, z2, tau=0.5):
    z = F.normalize(torch.cat([z1, z2]), dim=-1)
    sim = torch.exp(z @ z.t().contiguous() / tau)
    sim = sim * (torch.ones_like(sim) - torch.eye(len(z))).bool()
    pos = torch.exp(torch.sum(z1 * z2, -1) / (z1.norm(dim=-1) * z2.norm(dim=-1)) / tau)
    return -torch.log(torch.cat([pos, pos]) / sim.sum(-1)).mean()


def accuracy(output, target, topk=(1,)):
    with torch.no_grad():
        maxk = max(topk)
        batch_size = target.size(0)
        _, pred = output.topk(maxk, 1, True, True)
        pred = pred.t()
        correct = pred.eq(target.view(1, -1).expand_as(pred))
        return [correct[:k].reshape(-1).float().sum(0, keepdim=True).mul_(100.0 / batch_size) for k in topk]


dataset = ContrastiveLearningDataset(32, augment)
loader = DataLoader(dataset, batch_size=8, shuffle=True, drop_last=True)
model = Encoder()
print(model.head[0])
model(torch.zeros(2, 3, 10, 10))
print(model.head[0], sum(p.numel() for p in model.parameters()))
optimizer = torch.optim.Adam(model.parameters(), 3e-3, weight_decay=1e-4)
scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=5, eta_min=1e-5)
criterion = nn.CrossEntropyLoss()
n_iter = 0
for epoch in range(3):
    for images, _ in loader:
        images = torch.cat(images, dim=0)
        features = model(images)
        logits, labels = info_nce_loss(features)
        loss = criterion(logits, labels)
        other = nt_xent(*features.chunk(2))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if n_iter % 3 == 0:
            top1, top5 = accuracy(logits, labels, topk=(1, 5))
            print(f"{n_iter} loss {loss:.4f} {other:.4f} top1 {top1[0]:.2f} top5 {top5[0]:.2f} lr {scheduler.get_last_lr()[0]:.2e}")
        n_iter += 1

for p in model.backbone.parameters():
    p.requires_grad_(False)
model.head = nn.Identity()
probe = nn.Linear(8, 2)
opt = torch.optim.SGD(probe.parameters(), lr=0.5, momentum=0.9, nesterov=True)
x, y = dataset.base, torch.tensor([dataset[i][1] for i in range(len(dataset))])
for _ in range(10):
    opt.zero_grad()
    loss = F.cross_entropy(probe(model(x)), y, label_smoothing=0.1)
    loss.backward()
    opt.step()
print(f"{loss.item():.4f}", accuracy(probe(model(x)), y)[0].item(), [n for n, p in model.named_parameters() if p.requires_grad])
