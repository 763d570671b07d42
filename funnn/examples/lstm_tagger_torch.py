"""The tagger of lstm_tagger.py as a PyTorch program: a Module, one sentence at a time, ``loss.backward()``, ``optimizer.step()``.

    python -m funnn.examples.lstm_tagger_torch

With ``import torch`` instead of the first import of funnn, PyTorch runs it, and prints the same losses for the same seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import funnn.torch as torch
from funnn.examples.lstm_tagger import SHOWN, TAGS, VOCABULARY, encode, make_corpus

F = torch.nn.functional


class LSTMTagger(torch.nn.Module):
    """Numbers of words (T,) -> the logarithm of each tag's probability (T, tags)."""

    def __init__(self, embedding_dim: int, hidden_dim: int, vocab_size: int, tagset_size: int):
        super(LSTMTagger, self).__init__()  # noqa: UP008
        self.hidden_dim = hidden_dim
        self.word_embeddings = torch.nn.Embedding(vocab_size, embedding_dim)
        self.lstm = torch.nn.LSTM(embedding_dim, hidden_dim)
        self.hidden2tag = torch.nn.Linear(hidden_dim, tagset_size)

    def forward(self, sentence):
        embeds = self.word_embeddings(sentence)
        lstm_out, _ = self.lstm(embeds.view(len(sentence), 1, -1))
        tag_space = self.hidden2tag(lstm_out.view(len(sentence), -1))
        tag_scores = F.log_softmax(tag_space, dim=1)
        return tag_scores


def main(arguments: Sequence[str] | None = None) -> list[float]:
    """Train and tag; returns the mean loss of each epoch."""
    parser = argparse.ArgumentParser(description="Train an LSTM part-of-speech tagger, one sentence at a time.")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--sentences", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)

    corpus = [
        (torch.tensor(encode([word for word, _ in sentence], VOCABULARY)), torch.tensor(encode([tag for _, tag in sentence], TAGS)))
        for sentence in make_corpus(options.sentences)
    ]
    torch.manual_seed(options.seed)
    model = LSTMTagger(16, 32, len(VOCABULARY), len(TAGS))
    loss_function = torch.nn.NLLLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5)

    losses = []
    for epoch in range(1, options.epochs + 1):
        total = 0.0
        for sentence, tags in corpus:
            model.zero_grad()
            loss = loss_function(model(sentence), tags)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(corpus))
        print(f"epoch {epoch:2d}  loss {losses[-1]:.4f}")

    with torch.no_grad():
        likeliest = model(torch.tensor(encode(SHOWN.split(), VOCABULARY))).argmax(1)
    print(", ".join(f"{word}: {TAGS[tag]}" for word, tag in zip(SHOWN.split(), likeliest.tolist(), strict=True)))
    return losses


if __name__ == "__main__":
    main()
