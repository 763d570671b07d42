"""An LSTM that says which part of speech each word of a sentence is, where many words can be several: we can can the old can.

    python -m funnn.examples.lstm_tagger --out docs/pictures/lstm_tagger.png

It shows an embedding, an ``LSTM`` and a ``Linear`` as the fields of a layer, sentences of different lengths in one batch (padded, and left out of
the loss by ``ignore_index``), and evaluation between steps. ``lstm_tagger_torch.py`` is the same network as a torch Module. Hochreiter and Schmidhuber,
"Long short-term memory" (1997).
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import funnn
from funnn import Layer, optim
from funnn import functional as F
from funnn.examples._plot import BLUE, ORANGE, new_figure, save, tidy
from funnn.layers import LSTM, Embedding, Linear

#: Words by their tag. Ten of them stand in several rows, so that only the words before them tell which is meant.
WORDS = {
    "pronoun": "we you they I",
    "auxiliary": "can will must may",
    "article": "the a every",
    "adjective": "old small green happy",
    "noun": "can will fish watch cook saw duck light plant park man dog bird garden",
    "verb": "can fish watch cook duck light plant park see find",
    "past": "saw found made lost",
    "preposition": "in near with",
}
TAGS = list(WORDS)
VOCABULARY = sorted({word for words in WORDS.values() for word in words.split()})
SHOWN = "we can can the old can near the park"
IGNORED = -100  # F.nll_loss leaves targets of this value out

Sentence = list[tuple[str, str]]


def make_sentence(chance: random.Random) -> Sentence:
    """Words and tags: a noun phrase, a verb with an auxiliary or in the past, perhaps an object, perhaps a place."""
    thing = ("article", "noun"), ("article", "adjective", "noun")
    parts = [*chance.choice([("pronoun",), ("pronoun",), *thing])]
    if chance.random() < 0.6:
        parts += ["auxiliary", "verb", *chance.choice([(), *thing])]
    else:
        parts += ["past", *chance.choice(thing)]
    if chance.random() < 0.4:
        parts += ["preposition", *chance.choice(thing)]
    return [(chance.choice(WORDS[tag].split()), tag) for tag in parts]


def make_corpus(count: int, seed: int = 0) -> list[Sentence]:
    """``count`` sentences, no two of them alike, and none of them SHOWN."""
    chance = random.Random(seed)

    def sentences() -> Iterator[Sentence]:
        seen = {SHOWN}
        while len(seen) <= count:
            sentence = make_sentence(chance)
            text = " ".join(word for word, _ in sentence)
            if text not in seen:
                seen.add(text)
                yield sentence

    return list(sentences())


def encode(words: Sequence[str], names: Sequence[str]) -> list[int]:
    """The place of each word in ``names``, VOCABULARY or TAGS."""
    return [names.index(word) for word in words]


def pad(sentences: Sequence[Sentence]) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of words and of tags, (N, longest); behind the end of a sentence word 0 and tag IGNORED."""
    shape = len(sentences), max(map(len, sentences))
    words, tags = np.zeros(shape, np.int32), np.full(shape, IGNORED, np.int32)
    for row, sentence in enumerate(sentences):
        words[row, : len(sentence)] = encode([word for word, _ in sentence], VOCABULARY)
        tags[row, : len(sentence)] = encode([tag for _, tag in sentence], TAGS)
    return words, tags


class LSTMTagger(Layer):
    """Numbers of words (N, T) -> the logarithm of each tag's probability (N, T, tags). Make one with :func:`tagger`."""

    word_embeddings: Embedding
    lstm: LSTM
    hidden2tag: Linear

    def forward(self, sentences):
        outputs, _ = self.lstm(self.word_embeddings(sentences))
        return F.log_softmax(self.hidden2tag(outputs), -1)


def tagger(embedding_dim: int = 16, hidden_dim: int = 32) -> LSTMTagger:
    """A tagger for VOCABULARY and TAGS."""
    return LSTMTagger(
        Embedding(len(VOCABULARY), embedding_dim), LSTM(embedding_dim, hidden_dim, batch_first=True), Linear(hidden_dim, len(TAGS))
    )


def loss_of(scores: jax.Array, tags: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Minus the log probability of the right tags, the mean over all words; and the share of words whose likeliest tag is right."""
    counted = tags != IGNORED
    right = (scores.argmax(-1) == tags) & counted
    return F.nll_loss(scores.reshape(-1, len(TAGS)), tags.reshape(-1), ignore_index=IGNORED), {"accuracy": right.sum() / counted.sum()}


def word_accuracy(sentences: Sequence[Sentence], known: Sequence[Sentence]) -> float:
    """The share of right tags if each word gets the one that it has most often in ``known``, whatever stands before it."""
    counts = Counter(pair for sentence in known for pair in sentence)
    usual = {word: max(TAGS, key=lambda tag, word=word: counts[word, tag]) for word in VOCABULARY}
    pairs = [pair for sentence in sentences for pair in sentence]
    return sum(usual[word] == tag for word, tag in pairs) / len(pairs)


def draw(before: np.ndarray, after: np.ndarray, accuracy: np.ndarray, baseline: float, out: str) -> None:
    """Probabilities of the tags (T, tags) of SHOWN before and after training, and the accuracy at each step."""
    words = SHOWN.split()
    figure = new_figure(11, 3.6)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 0.75))
    for axes, probabilities, title in ((left, before, "Before training"), (middle, after, "After training")):
        image = axes.imshow(probabilities.T, vmin=0, vmax=1, cmap="Blues", aspect="auto")
        for column, row in enumerate(probabilities.argmax(1)):
            value = probabilities[column, row]
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5, color="white" if value > 0.5 else "black")
        tidy(axes, title, "words of the sentence, in order", "")
        axes.set_xticks(range(len(words)), words, rotation=45)
        axes.set_yticks(range(len(TAGS)), TAGS if axes is left else [])
    left.set_ylabel("part of speech")
    figure.colorbar(image, ax=middle, label="probability")
    right.plot(np.arange(1, len(accuracy) + 1), 100 * accuracy, color=BLUE, label="LSTM")
    right.axhline(100 * baseline, color=ORANGE, linestyle="--", label="each word's most frequent tag")
    tidy(right, "On sentences not trained on", "training steps", "words tagged right (%)")
    right.set_ylim(0, 103)
    right.legend(frameon=False, fontsize=8, loc="lower right")
    save(figure, out)


def main(arguments: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Train, tag, draw; returns the loss and the accuracy of each step (on sentences that it was not trained on)."""
    parser = argparse.ArgumentParser(description="Train an LSTM part-of-speech tagger on sentences of a small grammar.")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="lstm_tagger.png")
    options = parser.parse_args(arguments)

    corpus = make_corpus(600)
    train_corpus, test_corpus = corpus[:500], corpus[500:]
    (words, tags), test_batch = map(jnp.asarray, pad(train_corpus)), tuple(map(jnp.asarray, pad(test_corpus)))
    net = tagger()
    start, step, evaluate = funnn.train_step(net, loss_of, optim.adam(lr=0.01))
    key = jax.random.key(options.seed)
    train_state = jax.jit(start)(key)

    @jax.jit
    def probabilities(train_state: funnn.TrainState) -> jax.Array:
        sentence = jnp.asarray(encode(SHOWN.split(), VOCABULARY))
        return jnp.exp(net.apply(train_state.params, train_state.state, sentence[None])[0][0])

    @partial(jax.jit, donate_argnums=0)
    def train(train_state: funnn.TrainState, keys: jax.Array) -> tuple[funnn.TrainState, dict[str, jax.Array]]:
        def one(train_state: funnn.TrainState, key: jax.Array) -> tuple[funnn.TrainState, dict[str, jax.Array]]:
            rows = jax.random.randint(key, (options.batch_size,), 0, len(words))
            train_state, metrics = step(train_state, (words[rows], tags[rows]))
            return train_state, {"loss": metrics["loss"], "accuracy": evaluate(train_state, test_batch)["accuracy"]}

        return jax.lax.scan(one, train_state, keys)

    before = np.asarray(probabilities(train_state))
    train_state, metrics = train(train_state, jax.random.split(jax.random.fold_in(key, 1), options.steps))
    after = np.asarray(probabilities(train_state))
    metrics = {name: np.asarray(values) for name, values in metrics.items()}
    baseline = word_accuracy(test_corpus, train_corpus)
    print(f"loss {metrics['loss'][0]:.3f} -> {metrics['loss'][-1]:.3f} in {options.steps} steps")
    print(
        f"{metrics['accuracy'][-1]:.1%} of the words of 100 other sentences are tagged right; by each word's most frequent tag {baseline:.1%}"
    )
    for word, row in zip(SHOWN.split(), after, strict=True):
        print(f"  {word:6} {TAGS[row.argmax()]:12} {row.max():.3f}")
    draw(before, after, metrics["accuracy"], baseline, options.out)
    return metrics


if __name__ == "__main__":
    main()
