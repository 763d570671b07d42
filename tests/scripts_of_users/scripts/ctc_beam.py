"""Recognition with CTC: convolutions into a GRU, lengths, greedy and beam decoding with a heap, edit distance, an iterable dataset sharded over workers."""

import heapq
import itertools
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

ALPHABET = "-abcd"


class Lines(IterableDataset):
    def __init__(self, n):
        super().__init__()
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        for k in range(first, self.n, step):
            g = torch.Generator().manual_seed(k)
            length = int(torch.randint(2, 5, (1,), generator=g))
            label = torch.randint(1, 5, (length,), generator=g)
            frames = F.one_hot(label, 5).float().repeat_interleave(4, 0)
            yield frames + 0.2 * torch.randn(frames.shape, generator=g), label

    def __len__(self):
        return self.n


def collate(batch):
    frames, labels = map(list, zip(*batch))
    widths = torch.tensor([f.shape[0] for f in frames])
    lengths = torch.tensor([len(x) for x in labels])
    return nn.utils.rnn.pad_sequence(frames, batch_first=True), torch.cat(labels), widths, lengths


class CRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv1d(5, 8, 3, padding=1, bias=False), nn.BatchNorm1d(8), nn.Hardtanh(0, 20, inplace=True), nn.MaxPool1d(2, ceil_mode=True)
        )
        self.rnn = nn.GRU(8, 8, bidirectional=True)
        self.out = nn.Linear(16, len(ALPHABET))

    def forward(self, x):
        x = self.cnn(x.transpose(1, 2)).permute(2, 0, 1)
        self.rnn.flatten_parameters()
        x, _ = self.rnn(x)
        return self.out(x).log_softmax(2)


def greedy(log_probs):
    best = log_probs.argmax(-1).tolist()
    return "".join(ALPHABET[k] for k, _ in itertools.groupby(best) if k)


def log_add(*xs):
    top = max(xs)
    return -math.inf if top == -math.inf else top + math.log(sum(math.exp(x - top) for x in xs))


def beam(log_probs, width=3):
    beams = {(): (0.0, -math.inf)}
    for frame in log_probs:
        new = {}
        for prefix, (blank, non_blank) in beams.items():
            for c, p in enumerate(frame.tolist()):
                if c == 0:
                    b, n = new.get(prefix, (-math.inf, -math.inf))
                    new[prefix] = log_add(b, blank + p, non_blank + p), n
                    continue
                longer = (*prefix, c)
                b, n = new.get(longer, (-math.inf, -math.inf))
                new[longer] = b, log_add(n, blank + p, -math.inf if prefix[-1:] == (c,) else non_blank + p)
                if prefix[-1:] == (c,):
                    b, n = new.get(prefix, (-math.inf, -math.inf))
                    new[prefix] = b, log_add(n, non_blank + p)
        beams = dict(heapq.nlargest(width, new.items(), key=lambda item: log_add(*item[1])))
    prefix, scores = max(beams.items(), key=lambda item: log_add(*item[1]))
    return "".join(ALPHABET[c] for c in prefix), log_add(*scores)


def levenshtein(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = _next(row, i, x, b)
    return row[-1]


def _next(row, i, x, b):
    new = [i]
    for j, y in enumerate(b, 1):
        new.append(min(row[j] + 1, new[-1] + 1, row[j - 1] + (x != y)))
    return new


if __name__ == "__main__":
    torch.manual_seed(31)
    loader = DataLoader(Lines(24), batch_size=6, num_workers=2, collate_fn=collate)
    model = CRNN()
    criterion = nn.CTCLoss(blank=0, reduction="mean", zero_infinity=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2, amsgrad=True, maximize=False)
    for epoch in range(4):
        total = 0.0
        for frames, labels, widths, lengths in loader:
            log_probs = model(frames)
            loss = criterion(log_probs, labels, (widths + 1) // 2, lengths)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch} loss {total / 4:.4f} {tuple(frames.shape)} {lengths.tolist()}")
    model.eval()
    errors = characters = 0
    with torch.no_grad():
        for frames, label in itertools.islice(Lines(24), 6):
            text = "".join(ALPHABET[k] for k in label)
            log_probs = model(frames[None])[:, 0]
            found, score = beam(log_probs)
            errors += levenshtein(greedy(log_probs), text)
            characters += len(text)
            print(text, greedy(log_probs) or "_", found or "_", f"{score:.3f}")
    print(f"CER {errors / characters:.3f}")
    log_probs = torch.randn(6, 2, 4).log_softmax(2).requires_grad_()
    loss = F.ctc_loss(log_probs, torch.tensor([[1, 2, 2], [3, 1, 0]]), (6, 5), (3, 2), reduction="none")
    loss.sum().backward()
    print(loss, log_probs.grad[0])
