"""A small GPT that reads *Alice's Adventures in Wonderland* letter by letter, and then writes.

    python -m funnn.examples.char_gpt --out docs/pictures/char_gpt.png

It shows a layer of one's own with parts and buffers, ``Repeat`` (a scan over equal blocks), training as a scan over ``step``, and sampling as one
compiled scan of static shapes: each attention keeps the keys and values of the last ``context`` letters in its buffers, so they are part of
the ``state`` that ``apply`` takes and returns. Radford et al., "Language models are unsupervised multitask learners" (2019), with the rotary
positions of Su et al., "RoFormer" (2021).
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import funnn
from funnn import Layer, init, optim
from funnn import functional as F
from funnn.examples._plot import BLUE, VERMILION, new_figure, save, tidy
from funnn.layers import GELU, Buffer, Dropout, Embedding, LayerNorm, Linear, Repeat, Sequential

TEXT = Path(__file__).with_name("alice.txt").read_text(encoding="ascii")
LETTERS = "".join(sorted(set(TEXT)))


def encode(text: str) -> np.ndarray:
    """The letters' numbers: indices into LETTERS."""
    return np.array([LETTERS.index(letter) for letter in text], np.int32)


def decode(numbers: Sequence[int]) -> str:
    """The text of these numbers."""
    return "".join(LETTERS[number] for number in numbers)


class Attention(Layer):
    """Causal self-attention. Whole sequences (B, T, width), or one letter (1, 1, width) at a ``position``, with a memory of the last ones."""

    width: int
    heads: int
    context: int
    qkv: Linear
    out: Linear

    def spec(self):
        shape = (self.heads, self.context, self.width // self.heads)
        return {"keys": Buffer(shape, init.zeros), "values": Buffer(shape, init.zeros)}

    def forward(self, x, position=None):
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, self.heads, -1).transpose(2, 0, 3, 1, 4)
        positions = jnp.arange(length) if position is None else position[None]
        frequencies = F.rotary_frequencies(self.width // self.heads)
        q, k = (F.rotary_embedding(part, positions, frequencies) for part in (q, k))
        if position is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            slot = position % self.context
            self.keys, self.values = self.keys.at[:, slot].set(k[0, :, 0]), self.values.at[:, slot].set(v[0, :, 0])
            y = F.scaled_dot_product_attention(q, self.keys, self.values, attn_mask=jnp.arange(self.context) <= position)
        return self.out(y.swapaxes(1, 2).reshape(x.shape))


class Block(Layer):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    norm1: LayerNorm
    attention: Attention
    norm2: LayerNorm
    mlp: Sequential

    def forward(self, x, position=None):
        x = x + self.attention(self.norm1(x), position)
        return x + self.mlp(self.norm2(x))


class GPT(Layer):
    """Numbers of letters (B, T) -> logits of the next ones (B, T, letters). Make one with :func:`gpt`."""

    embedding: Embedding
    blocks: Repeat
    norm: LayerNorm
    head: Linear

    def forward(self, numbers, position=None):
        return self.head(self.norm(self.blocks(self.embedding(numbers), position)))


def gpt(width: int = 128, heads: int = 4, depth: int = 3, context: int = 96) -> GPT:
    """A GPT of ``depth`` equal blocks for the letters of the text; it remembers ``context`` letters."""
    attention = Attention(width, heads, context, qkv=Linear(width, 3 * width), out=Linear(width, width))
    mlp = Sequential(Linear(width, 4 * width), GELU(), Linear(4 * width, width), Dropout(0.1))
    block = Block(LayerNorm(width), attention, LayerNorm(width), mlp)
    return GPT(Embedding(len(LETTERS), width), Repeat(block, depth), LayerNorm(width), Linear(width, len(LETTERS)))


def loss_of(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """The mean cross entropy of logits (B, T, letters) and targets (B, T), in nats a letter."""
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))


def draw_batch(text: jax.Array, key: jax.Array, batch_size: int, length: int) -> tuple[jax.Array, jax.Array]:
    """Random windows of the text, and the same windows one letter later; both (batch_size, length)."""
    starts = jax.random.randint(key, (batch_size, 1), 0, len(text) - length)
    windows = text[starts + jnp.arange(length + 1)]
    return windows[:, :-1], windows[:, 1:]


@partial(jax.jit, static_argnames=("net", "length"))
def write(net: GPT, params: Any, state: Any, prompt: jax.Array, key: jax.Array, length: int, temperature: float = 0.7) -> jax.Array:
    """``length`` letters that begin with ``prompt``: a scan that gives the net one letter and draws the next one, or takes it from the prompt."""

    def next_letter(carry: tuple, position: jax.Array) -> tuple[tuple, jax.Array]:
        state, number = carry
        logits, state = net.apply(params, state, number[None, None], position)
        drawn = jax.random.categorical(jax.random.fold_in(key, position), logits[0, 0] / temperature).astype(number.dtype)
        following = jnp.where(position + 1 < len(prompt), prompt[jnp.minimum(position + 1, len(prompt) - 1)], drawn)
        return (state, following), number

    return jax.lax.scan(next_letter, (state, prompt[0]), jnp.arange(length))[1]


def draw(steps: np.ndarray, losses: np.ndarray, samples: dict[int, str], tested: dict[int, float], out: str) -> None:
    """The loss of each step, and what the net wrote at some of them."""
    figure = new_figure(11, 5)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    left.plot(steps, losses, color=BLUE, linewidth=0.6, alpha=0.6, label="training, each step")
    left.plot(tested.keys(), tested.values(), "o-", color=VERMILION, markersize=5, label="last tenth of the book, not trained on")
    left.axhline(np.log(len(LETTERS)), color="black", linestyle=":", linewidth=1)
    left.text(steps[-1], np.log(len(LETTERS)) + 0.03, "all letters equally likely", ha="right", va="bottom", fontsize=8)
    tidy(left, "Loss", "training steps", "cross entropy (nats a letter)")
    left.legend(frameon=False, fontsize=8)
    right.axis("off")
    for row, (step, text) in enumerate(samples.items()):
        y = 1.02 - 1.02 * row / len(samples)
        right.text(0, y, f"after {step} steps, loss {tested[step]:.2f}", color=VERMILION, fontsize=9, va="top")
        lines = [line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, 76, break_on_hyphens=False)]
        right.text(0, y - 0.05, "\n".join(lines[:5]), family="monospace", fontsize=7.5, va="top", parse_math=False)
    save(figure, out)


def main(arguments: Sequence[str] | None = None) -> np.ndarray:
    """Train, write, draw; returns the loss of each step."""
    parser = argparse.ArgumentParser(description="Train a character-level GPT on Alice's Adventures in Wonderland.")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--context", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="char_gpt.png")
    options = parser.parse_args(arguments)

    key = jax.random.key(options.seed)
    text = jnp.asarray(encode(TEXT))
    train_text, test_text = jnp.split(text, [len(text) * 9 // 10])
    net = gpt(options.width, context=options.context)
    schedule = optim.schedules.one_cycle_lr(3e-3, total_steps=options.steps + 1, pct_start=0.1)
    start, step, evaluate = funnn.train_step(net, loss_of, optim.adamw(lr=schedule, weight_decay=0.1))
    train_state = jax.jit(start)(key)
    print(f"{sum(leaf.size for leaf in jax.tree.leaves(train_state.params)):,} parameters, {len(TEXT):,} letters of {len(LETTERS)} kinds")

    @partial(jax.jit, donate_argnums=0)
    def train(train_state: funnn.TrainState, keys: jax.Array) -> tuple[funnn.TrainState, jax.Array]:
        def one(train_state: funnn.TrainState, key: jax.Array) -> tuple[funnn.TrainState, jax.Array]:
            train_state, metrics = step(train_state, draw_batch(train_text, key, options.batch_size, options.context))
            return train_state, metrics["loss"]

        return jax.lax.scan(one, train_state, keys)

    keys = jax.random.split(jax.random.fold_in(key, 1), options.steps)
    test_batch = draw_batch(test_text, key, 32, options.context)
    prompt = jnp.asarray(encode("Alice "))
    losses, tested, samples = [], {}, {}
    pieces = 10
    for i in range(pieces + 1):
        done = options.steps * i // pieces
        tested[done] = evaluate(train_state, test_batch)["loss"].item()
        samples[done] = decode(write(net, train_state.params, train_state.state, prompt, key, length=320).tolist())
        print(f"\nstep {done:5d}  loss on text not trained on {tested[done]:.3f}\n{samples[done]}")
        if i < pieces:
            train_state, piece = train(train_state, keys[done : options.steps * (i + 1) // pieces])
            losses.append(piece)
    losses = np.concatenate(losses)
    shown = [done for i, done in enumerate(samples) if i in (0, 1, 3, pieces)]
    draw(np.arange(len(losses)), losses, {done: samples[done] for done in shown}, tested, options.out)
    return losses


if __name__ == "__main__":
    main()
