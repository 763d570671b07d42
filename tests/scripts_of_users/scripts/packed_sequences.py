"""Sequences of many lengths: a Dataset, a sampler by length, collate_fn with pad_sequence, packing, a bidirectional LSTM, masks."""

from typing import List, Tuple

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence, unpad_sequence
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, SequentialSampler, WeightedRandomSampler, default_collate

torch.manual_seed(6)


class Words(Dataset):
    def __init__(self, n=41):
        self.lengths = torch.randint(2, 9, (n,)).tolist()
        self.items = [torch.randint(1, 12, (k,)) for k in self.lengths]

    def __getitem__(self, index):
        item = self.items[index]
        return item, (item.sum() % 2).item()

    def __getitems__(self, indices):
        return [self[i] for i in indices]

    def __len__(self):
        return len(self.items)


class ByLength(Sampler[List[int]]):
    def __init__(self, lengths, batch_size, generator=None):
        self.lengths, self.batch_size, self.generator = lengths, batch_size, generator

    def __iter__(self):
        order = sorted(range(len(self.lengths)), key=self.lengths.__getitem__)
        batches = [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        for i in torch.randperm(len(batches), generator=self.generator).tolist():
            yield batches[i]

    def __len__(self):
        return -(-len(self.lengths) // self.batch_size)


def collate(batch: List[Tuple[torch.Tensor, int]]):
    xs, ys = zip(*batch)
    lengths = torch.as_tensor([len(x) for x in xs])
    return pad_sequence(xs, batch_first=True, padding_value=0), torch.tensor(ys, dtype=torch.float32), lengths


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(12, 6, padding_idx=0)
        self.lstm = nn.LSTM(6, 8, num_layers=2, bidirectional=True, batch_first=True, dropout=0.1)
        self.out = nn.Linear(16, 1)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.embedding(x), lengths.cpu(), batch_first=True, enforce_sorted=False)
        output, (h, c) = self.lstm(packed)
        output, lens = pad_packed_sequence(output, batch_first=True)
        mask = torch.arange(output.size(1))[None] < lens[:, None]
        pooled = output.masked_fill(~mask.unsqueeze(-1), float("-inf")).amax(1)
        return self.out(pooled).squeeze(-1) + h[-1].mean() * 0


data = Words()
loader = DataLoader(
    data, batch_sampler=ByLength(data.lengths, 8), collate_fn=collate, num_workers=2, prefetch_factor=3, persistent_workers=True
)
print(len(loader), loader.batch_size, loader.prefetch_factor)
model = Tagger()
criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(1.2))
optimizer = torch.optim.NAdam(model.parameters(), lr=5e-3, decoupled_weight_decay=True, weight_decay=1e-2)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-2, epochs=2, steps_per_epoch=len(loader))
for epoch in range(2):
    for x, y, lengths in loader:
        optimizer.zero_grad()
        loss = criterion(model(x, lengths), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5, norm_type="inf")
        optimizer.step()
        scheduler.step()
        print(
            tuple(x.shape),
            lengths.tolist(),
            f"{loss.item():.4f}",
            f"{optimizer.param_groups[0]['lr']:.5f} {optimizer.param_groups[0]['betas'][0]:.3f}",
        )
print(model.embedding.weight[0])

sequences = [torch.arange(1.0, k + 1).view(k, 1) for k in (4, 2, 3)]
packed = pack_sequence(sequences, enforce_sorted=False)
print(packed)
print(packed.data.view(-1), packed.batch_sizes, isinstance(packed, PackedSequence), packed.is_cuda)
rnn = nn.GRU(1, 3)
out, h = rnn(packed)
padded, lens = pad_packed_sequence(out, padding_value=-1.0, total_length=5)
print(padded.shape, lens, padded[:, 1, 0], h.shape)
print([t.shape for t in unpad_sequence(padded, lens)])
print(packed._replace(data=packed.data * 2).data.sum(), packed.to(torch.float64).data.dtype)
embedding_bag = nn.EmbeddingBag(12, 4, mode="mean", padding_idx=0)
flat = torch.cat(data.items[:3])
offsets = torch.tensor([0] + data.lengths[:2]).cumsum(0)
print(embedding_bag(flat, offsets).sum(1))
weights = [1.0 if data[i][1] else 3.0 for i in range(len(data))]
sampler = WeightedRandomSampler(weights, 10, replacement=True, generator=torch.Generator().manual_seed(1))
print(list(sampler), list(BatchSampler(SequentialSampler(range(7)), 3, drop_last=False)))
print(default_collate([{"a": 1, "b": [torch.ones(2), 2.5]}, {"a": 3, "b": [torch.zeros(2), 1.5]}]))
