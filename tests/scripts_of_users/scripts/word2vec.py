"""Skip-grams with negative sampling: Counter, subsampling, sparse embeddings with SparseAdam and SGD, cosine neighbours, CBOW."""

import random
from collections import Counter, defaultdict

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

random.seed(10)
np.random.seed(10)
torch.manual_seed(10)
TEXT = "we sow the seed in spring and we reap the corn in autumn and the field rests in winter till we sow in spring again".split()
counts = Counter(TEXT)
vocab = sorted(counts, key=lambda w: (-counts[w], w))
word_to_ix = {w: i for i, w in enumerate(vocab)}
freqs = torch.tensor([counts[w] for w in vocab], dtype=torch.float)
noise_dist = (freqs / freqs.sum()).pow(0.75)
noise_dist /= noise_dist.sum()
print(len(vocab), noise_dist[:4])


class SkipGramNeg(nn.Module):
    def __init__(self, n_vocab, n_embed, noise_dist=None):
        super().__init__()
        self.n_vocab = n_vocab
        self.n_embed = n_embed
        self.noise_dist = noise_dist
        self.in_embed = nn.Embedding(n_vocab, n_embed, sparse=True)
        self.out_embed = nn.Embedding(n_vocab, n_embed, sparse=True)
        self.in_embed.weight.data.uniform_(-1, 1)
        self.out_embed.weight.data.uniform_(-1, 1)

    def forward_noise(self, batch_size, n_samples):
        noise_words = torch.multinomial(self.noise_dist, batch_size * n_samples, replacement=True)
        return self.out_embed(noise_words).view(batch_size, n_samples, self.n_embed)

    def forward(self, center, context, n_samples=3):
        v = self.in_embed(center)
        batch_size, embed_size = v.shape
        u = self.out_embed(context)
        input_vectors = v.view(batch_size, embed_size, 1)
        output_vectors = u.view(batch_size, 1, embed_size)
        out_loss = torch.bmm(output_vectors, input_vectors).sigmoid().log().squeeze()
        noise_loss = torch.bmm(self.forward_noise(batch_size, n_samples).neg(), input_vectors).sigmoid().log()
        noise_loss = noise_loss.squeeze().sum(1)
        return -(out_loss + noise_loss).mean()


def get_batches(words, batch_size, window=2):
    x, y = [], []
    for i, word in enumerate(words):
        R = random.randint(1, window)
        for j in range(max(0, i - R), min(len(words), i + R + 1)):
            if j != i:
                x.append(word_to_ix[word])
                y.append(word_to_ix[words[j]])
    for i in range(0, len(x), batch_size):
        yield torch.LongTensor(x[i : i + batch_size]), torch.LongTensor(y[i : i + batch_size])


model = SkipGramNeg(len(vocab), 8, noise_dist)
optimizer = optim.SparseAdam(list(model.parameters()), lr=0.02)
steps = 0
for epoch in range(3):
    for inputs, targets in get_batches(TEXT, 20):
        loss = model(inputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    print(epoch, steps, f"{loss.item():.5f}", model.in_embed.weight.grad.is_sparse, model.in_embed.weight.grad.coalesce()._nnz())


def cosine_similarity(embedding, valid_examples):
    embed_vectors = embedding.weight
    magnitudes = embed_vectors.pow(2).sum(dim=1).sqrt().unsqueeze(0)
    valid_vectors = embedding(valid_examples)
    return torch.mm(valid_vectors, embed_vectors.t()) / magnitudes


valid = torch.tensor([0, 3, 5])
similarities = cosine_similarity(model.in_embed, valid)
_, closest_idxs = similarities.topk(4)
for ii, valid_idx in enumerate(valid):
    print(vocab[valid_idx.item()] + " | " + ", ".join(vocab[idx.item()] for idx in closest_idxs[ii][1:]))

grads = model.in_embed.weight.grad.coalesce()
print(grads.indices(), grads.values().sum(), grads.shape)


class CBOW(nn.Module):
    def __init__(self, vocab_size, embedding_dim, context):
        super(CBOW, self).__init__()
        self.embeddings = nn.Embedding(vocab_size, embedding_dim, max_norm=1.5)
        self.linear1 = nn.Linear(2 * context * embedding_dim, 16)
        self.linear2 = nn.Linear(16, vocab_size)

    def forward(self, inputs):
        embeds = self.embeddings(inputs).view((1, -1))
        out = F.relu(self.linear1(embeds))
        return F.log_softmax(self.linear2(out), dim=1)


data = []
for i in range(2, len(TEXT) - 2):
    context = [TEXT[i - 2], TEXT[i - 1], TEXT[i + 1], TEXT[i + 2]]
    data.append((context, TEXT[i]))
losses = []
loss_function = nn.NLLLoss()
cbow = CBOW(len(vocab), 6, 2)
optimizer = optim.SGD(cbow.parameters(), lr=0.05)
for epoch in range(2):
    total_loss = 0
    for context, target in data:
        context_idxs = torch.tensor([word_to_ix[w] for w in context], dtype=torch.long)
        cbow.zero_grad()
        log_probs = cbow(context_idxs)
        loss = loss_function(log_probs, torch.tensor([word_to_ix[target]], dtype=torch.long))
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    losses.append(total_loss)
print([round(l, 3) for l in losses], cbow.embeddings.weight[word_to_ix["spring"]], cbow.embeddings)
neighbours = defaultdict(list)
for a in ("sow", "reap"):
    for b in ("corn", "seed"):
        ea, eb = (cbow.embeddings(torch.tensor(word_to_ix[w])) for w in (a, b))
        neighbours[a].append(round(F.cosine_similarity(ea, eb, dim=0).item(), 4))
print(dict(neighbours))
pretrained = nn.Embedding.from_pretrained(model.in_embed.weight.detach().clone(), freeze=True)
print(pretrained.weight.requires_grad, pretrained(torch.tensor([[1, 2]])).shape, pretrained)
