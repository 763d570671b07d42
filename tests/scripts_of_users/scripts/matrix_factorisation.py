"""Ratings by matrix factorisation: sparse embeddings and biases, hinge and adaptive losses, RMSE, ranking metrics, two optimisers."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler


class ScaledEmbedding(nn.Embedding):
    def reset_parameters(self):
        self.weight.data.normal_(0, 1.0 / self.embedding_dim)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx].fill_(0)


class ZeroEmbedding(nn.Embedding):
    def reset_parameters(self):
        self.weight.data.zero_()


class BilinearNet(nn.Module):
    def __init__(self, num_users, num_items, embedding_dim=6, sparse=True):
        super().__init__()
        self.user_embeddings = ScaledEmbedding(num_users, embedding_dim, sparse=sparse)
        self.item_embeddings = ScaledEmbedding(num_items, embedding_dim, sparse=sparse)
        self.user_biases = ZeroEmbedding(num_users, 1, sparse=sparse)
        self.item_biases = ZeroEmbedding(num_items, 1, sparse=sparse)
        self.register_buffer("mean", torch.tensor(3.0))

    def forward(self, user_ids, item_ids):
        user_embedding = self.user_embeddings(user_ids).squeeze()
        item_embedding = self.item_embeddings(item_ids).squeeze()
        dot = (user_embedding * item_embedding).sum(1)
        return self.mean + dot + self.user_biases(user_ids).squeeze() + self.item_biases(item_ids).squeeze()


class Ratings(Dataset):
    def __init__(self, users, items, ratings):
        self.rows = torch.stack([users, items], 1)
        self.ratings = ratings

    def __len__(self):
        return len(self.ratings)

    def __getitem__(self, idx):
        return self.rows[idx], self.ratings[idx]


def adaptive_hinge(positive, negatives):
    highest, _ = torch.max(negatives, 0)
    return torch.clamp(highest - positive + 1.0, 0.0).mean()


torch.manual_seed(77)
n_users, n_items, n = 20, 15, 240
taste, quality = torch.randn(n_users, 2), torch.randn(n_items, 2)
users, items = torch.randint(n_users, (n,)), torch.randint(n_items, (n,))
ratings = (3 + (taste[users] * quality[items]).sum(1)).clamp(1, 5).round()
split = int(0.8 * n)
train = Ratings(users[:split], items[:split], ratings[:split])
sampler = BatchSampler(RandomSampler(train), batch_size=32, drop_last=True)
loader = DataLoader(train, sampler=sampler, batch_size=None)
net = BilinearNet(n_users, n_items)
optimizer = torch.optim.SparseAdam(net.parameters(), lr=0.03)
for epoch in range(4):
    total, count = 0.0, 0
    for rows, rating in loader:
        prediction = net(rows[:, 0], rows[:, 1])
        loss = F.mse_loss(prediction, rating)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, count = total + loss.item() * len(rating), count + len(rating)
    with torch.no_grad():
        rmse = torch.sqrt(F.mse_loss(net(users[split:], items[split:]), ratings[split:]))
    print(f"Epoch {epoch} train {total / count:.5f} ({count}) test rmse {rmse:.5f}")

dense = BilinearNet(n_users, n_items, sparse=False)
optimizer = torch.optim.Adagrad(dense.parameters(), lr=0.1, initial_accumulator_value=0.1)
for step in range(6):
    index = torch.randint(split, (40,))
    positive = dense(users[index], items[index])
    negatives = torch.stack([dense(users[index], torch.randint(n_items, (40,))) for _ in range(3)])
    loss = adaptive_hinge(positive, negatives) if step % 2 else (-F.logsigmoid(positive - negatives[0])).mean()
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.5f}", end=" ")
print()
with torch.no_grad():
    scores = dense.user_embeddings.weight @ dense.item_embeddings.weight.T + dense.user_biases.weight + dense.item_biases.weight.view(1, -1)
    rank = scores.argsort(dim=1, descending=True).argsort(dim=1)
    print(rank[0].tolist(), scores.shape, (1.0 / (rank[users[:50], items[:50]].double() + 1)).mean())
adj = torch.sparse_coo_tensor(torch.stack([users, items]), torch.ones(n), (n_users, n_items)).coalesce()
print(adj.values().max(), torch.sparse.sum(adj, 1).to_dense()[:5], (adj.t() @ torch.ones(n_users, 1)).squeeze()[:5])
U, S, V = torch.svd_lowrank(adj.to_dense(), q=3)
print(S, (U @ torch.diag(S) @ V.T - adj.to_dense()).norm())
