"""Kernels that are traced once with symbolic sizes and translated have, at every size, the values and gradients of a trace at that size."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from funnn import functional as F
from funnn.engine.program.interpret import translate
from tests import exhaustive
from tests.engine.interpreting import same

SIZES = [{"b": 3, "t": 9, "s": 6, "h": 8, "w": 11}, {"b": 1, "t": 6, "s": 6, "h": 6, "w": 6}, {"b": 70, "t": 80, "s": 131, "h": 12, "w": 9}]
LSTM = ["16,4", "16,4", "16", "16"]
HEADS = ["24,8", "24", "8,8", "8"]


def attend(q, k, v, w, b, o, p, **options):
    return F.multi_head_attention_forward(q, k, v, 8, 2, w, b, None, None, False, 0.0, o, p, **options)


def recurrent(function, states=1, **options):
    options = {"batch_first": False, "bidirectional": False, "num_layers": 1} | options

    def call(x, *weights):
        return function(x, None, list(weights), True, options["num_layers"], 0.0, True, options["bidirectional"], options["batch_first"])

    return call


ACTIVATIONS = "relu relu6 hardtanh hardsigmoid hardswish leaky_relu softshrink hardshrink elu celu"
ACTIVATIONS += " selu gelu sigmoid silu mish softplus softsign tanh tanhshrink logsigmoid"
#: The function and the shapes of its operands: floats, or what the letter before them says: i5, integers below 5; p, between 0 and 1; o, ±1; m, bools.
KERNELS: dict[str, tuple[Any, list[str]]] = {
    "linear": (F.linear, ["b,4", "5,4", "5"]),
    "linear over time": (F.linear, ["b,t,4", "5,4", "5"]),
    "bilinear": (F.bilinear, ["b,4", "b,3", "5,4,3", "5"]),
    **{name: (getattr(F, name), ["b,t"]) for name in ACTIVATIONS.split()},
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), ["b,t"]),
    "glu": (F.glu, ["b,4"]),
    "prelu": (F.prelu, ["b,4,t", "4"]),
    "softmax": (lambda x: F.softmax(x, dim=-1), ["b,t"]),
    "softmax over the batch": (lambda x: F.softmax(x, dim=0), ["b,t"]),
    "log_softmax": (lambda x: F.log_softmax(x, dim=1), ["b,t"]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), ["b,t,4", "4", "4"]),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4,), w), ["b,t,4", "4"]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), ["b,4,h,w", "4", "4"]),
    "batch_norm": (lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b, training=True), ["b + 1,4,h", "4", "p4", "4", "4"]),
    "batch_norm, evaluating": (F.batch_norm, ["b,4,h,w", "4", "p4", "4", "4"]),
    "batch_norm_with_stats": (F.batch_norm_with_stats, ["b + 1,4", "4", "p4", "4", "4"]),
    "instance_norm": (lambda x, w, b: F.instance_norm(x, weight=w, bias=b), ["b,4,h + 1,w", "4", "4"]),
    "local_response_norm": (lambda x: F.local_response_norm(x, 3), ["b,4,h"]),
    "normalize": (F.normalize, ["b,4"]),
    "cross_entropy": (F.cross_entropy, ["b,5", "i5b"]),
    "cross_entropy over time": (lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1), ["b,5,t", "i5b,t"]),
    "cross_entropy, weighted": (lambda x, y, w: F.cross_entropy(x, y, w), ["b,5", "i5b", "p5"]),
    "cross_entropy of probabilities": (F.cross_entropy, ["b,5", "pb,5"]),
    "nll_loss": (lambda x, y: F.nll_loss(F.log_softmax(x, 1), y, reduction="sum"), ["b,5", "i5b"]),
    "linear_cross_entropy": (F.linear_cross_entropy, ["b,4", "5,4", "i5b"]),
    **{name: (getattr(F, name), ["b,t", "b,t"]) for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss")},
    "kl_div": (lambda x, y: F.kl_div(x, y, reduction="batchmean"), ["b,t", "pb,t"]),
    "gaussian_nll_loss": (F.gaussian_nll_loss, ["b,t", "b,t", "pb,t"]),
    "binary_cross_entropy": (F.binary_cross_entropy, ["pb,t", "pb,t"]),
    "binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, ["b,t", "pb,t"]),
    "soft_margin_loss": (F.soft_margin_loss, ["b,t", "ob,t"]),
    "hinge_embedding_loss": (F.hinge_embedding_loss, ["b,t", "ob,t"]),
    "margin_ranking_loss": (F.margin_ranking_loss, ["b", "b", "ob"]),
    "multi_margin_loss": (F.multi_margin_loss, ["b,5", "i5b"]),
    "multilabel_soft_margin_loss": (F.multilabel_soft_margin_loss, ["b,5", "pb,5"]),
    "cosine_embedding_loss": (F.cosine_embedding_loss, ["b,4", "b,4", "ob"]),
    "triplet_margin_loss": (F.triplet_margin_loss, ["b,4", "b,4", "b,4"]),
    "cosine_similarity": (F.cosine_similarity, ["b,4", "b,4"]),
    "pairwise_distance": (F.pairwise_distance, ["b,4", "b,4"]),
    "attention": (F.scaled_dot_product_attention, ["b,2,t,4", "b,2,s,4", "b,2,s,4"]),
    "attention, one length": (F.scaled_dot_product_attention, ["b,2,t,4", "b,2,t,4", "b,2,t,4"]),
    "attention, causal": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), ["b,2,t,4", "b,2,t,4", "b,2,t,4"]),
    "attention, two lengths, causal": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        ["b,2,t,4", "b,2,s,4", "b,2,s,4"],
    ),
    "attention, masked": (F.scaled_dot_product_attention, ["b,2,t,4", "b,2,s,4", "b,2,s,4", "t,s"]),
    "attention, bools": (F.scaled_dot_product_attention, ["b,2,t,4", "b,2,s,4", "b,2,s,4", "mb,1,t,s"]),
    "attention, groups": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True), ["b,4,t,4", "b,2,s,4", "b,2,s,4"]),
    "multi_head_attention": (lambda q, *w: attend(q, q, q, *w)[0], ["t,b,8", *HEADS]),
    "multi_head_attention, memory": (lambda q, k, *w: attend(q, k, k, *w), ["t,b,8", "s,b,8", *HEADS]),
    "multi_head_attention, padded": (
        lambda q, m, *w: attend(q, q, q, *w, key_padding_mask=m, need_weights=False)[0],
        ["t,b,8", "mb,t", *HEADS],
    ),
    "embedding": (F.embedding, ["i7b,t", "7,4"]),
    "embedding, padded": (lambda i, w: F.embedding(i, w, padding_idx=1), ["i7b,t", "7,4"]),
    "embedding of any number": (F.embedding, ["i1b", "t,4"]),
    "one_hot": (lambda i: F.one_hot(i, 7), ["i7b,t"]),
    "embedding_bag": (F.embedding_bag, ["i7b,t", "7,4"]),
    "conv1d": (F.conv1d, ["b,4,t", "6,4,3", "6"]),
    "conv1d, padded and strided": (lambda x, w: F.conv1d(x, w, None, 2, 1, 2), ["b,4,t", "6,4,3"]),
    "conv1d, same": (lambda x, w: F.conv1d(x, w, padding="same"), ["b,4,t", "6,4,3"]),
    "conv2d": (F.conv2d, ["b,4,h,w", "6,4,3,3", "6"]),
    "conv2d, groups": (lambda x, w: F.conv2d(x, w, None, 2, 1, 1, 2), ["b,4,h,w", "6,2,3,3"]),
    "conv2d, depthwise": (lambda x, w: F.conv2d(x, w, None, 1, 1, 1, 4), ["b,4,h,w", "4,1,3,3"]),
    "conv3d": (F.conv3d, ["b,2,4,h,w", "3,2,2,3,3", "3"]),
    "conv_transpose1d": (lambda x, w: F.conv_transpose1d(x, w, None, 2, 1, 1), ["b,4,t", "4,3,3"]),
    "conv_transpose2d": (F.conv_transpose2d, ["b,4,h,w", "4,3,3,3", "3"]),
    "max_pool1d": (lambda x: F.max_pool1d(x, 3, 2, 1), ["b,4,t"]),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), ["b,4,h,w"]),
    "max_pool2d, indices": (lambda x: F.max_pool2d(x, 2, return_indices=True), ["b,4,h,w"]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), ["b,4,h,w"]),
    "lp_pool1d": (lambda x: F.lp_pool1d(x, 2, 3), ["pb,4,t"]),
    "adaptive_avg_pool2d to 1": (lambda x: F.adaptive_avg_pool2d(x, 1), ["b,4,h,w"]),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (3, 2)), ["b,4,8,6"]),
    "adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x, 3), ["b,4,9"]),
    "interpolate, nearest": (lambda x: F.interpolate(x, scale_factor=2), ["b,4,6,5"]),
    "interpolate, bilinear": (lambda x: F.interpolate(x, size=(9, 7), mode="bilinear"), ["b,4,6,5"]),
    "interpolate, bicubic": (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), ["b,4,6,5"]),
    "grid_sample": (lambda x, g: F.grid_sample(x, g, align_corners=False), ["b,2,6,5", "pb,4,3,2"]),
    "lstm": (recurrent(F.lstm), ["t,b,4", *LSTM]),
    "lstm, both ways, two layers": (
        recurrent(F.lstm, num_layers=2, bidirectional=True, batch_first=True),
        ["b,t,4", *LSTM, *LSTM, *["16,8", "16,4", "16", "16"] * 2],
    ),
    "gru": (recurrent(F.gru), ["t,b,4", "12,4", "12,4", "12", "12"]),
    "rnn_tanh": (recurrent(F.rnn_tanh), ["t,b,4", "4,4", "4,4", "4", "4"]),
    "lstm_cell": (lambda x, h, c, *w: F.lstm_cell(x, (h, c), *w), ["b,4", "b,4", "b,4", *LSTM]),
    "gru_cell": (F.gru_cell, ["b,4", "b,4", "12,4", "12,4", "12", "12"]),
    "pad": (lambda x: F.pad(x, (1, 2)), ["b,4,t"]),
    "pad by reflection": (lambda x: F.pad(x, (1, 2), mode="reflect"), ["b,4,t"]),
    "pad by repetition": (lambda x: F.pad(x, (1, 2), mode="replicate"), ["b,4,t"]),
    "pad around": (lambda x: F.pad(x, (1, 2), mode="circular"), ["b,4,t"]),
    "unfold": (lambda x: F.unfold(x, 3), ["b,2,h,9"]),
    "fold": (lambda x: F.fold(x, (4, 5), 2), ["b,8,12"]),
    "flatten": (lambda x: F.flatten(x, 1), ["b,4,h,w"]),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), ["b,8,h,w"]),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), ["b,2,4,6"]),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 2), ["b,4,h,w"]),
}
#: What needs to know that windows or edges fit into the sizes.
BOUNDED = {"conv1d", "conv1d, padded and strided", "conv2d", "conv3d", "pad by reflection", "pad around", "unfold"}


def spec(text: str, sizes: Any) -> tuple[str, tuple[Any, ...]]:
    """The kind of an operand and its shape, symbolic or for given sizes."""
    kind = next((letter for letter in ("i7", "i5", "i1", "p", "o", "m") if text.startswith(letter)), "")
    return kind, tuple([sizes(dim) for dim in text[len(kind) :].split(",")])


def value_and_gradients(function: Any) -> Any:
    """The function's results and the gradients of its floating operands for cotangents that depend on the results."""

    def compute(*operands):
        chosen = [i for i, x in enumerate(operands) if jnp.issubdtype(x.dtype, jnp.floating)]

        def of_floats(*floats):
            every = list(operands)
            for i, x in zip(chosen, floats, strict=True):
                every[i] = x
            return function(*every)

        def split(*floats):
            leaves = jax.tree.leaves(of_floats(*floats))
            return [x for x in leaves if jnp.issubdtype(x.dtype, jnp.floating)], [
                x for x in leaves if not jnp.issubdtype(x.dtype, jnp.floating)
            ]

        results, vjp, others = jax.vjp(split, *[operands[i] for i in chosen], has_aux=True)
        return (*results, *others, *(vjp([jnp.cos(x) for x in results]) if chosen else ()))

    return compute


def operands(texts: list[str], sizes: dict[str, int]) -> list[np.ndarray]:
    generator, arrays = np.random.default_rng(0), []
    for text in texts:
        kind, shape = spec(text, lambda dim: eval(dim, {}, sizes))
        if kind[:1] == "i":
            arrays.append(generator.integers(0, int(kind[1:]), shape).astype("int32"))
        elif kind == "m":
            arrays.append((generator.random(shape) < 0.3) & (np.arange(shape[-1]) > 0))
        elif kind == "o":
            arrays.append((2 * generator.integers(0, 2, shape) - 1).astype("float32"))
        elif kind == "p":
            arrays.append((0.1 + 0.8 * generator.random(shape)).astype("float32"))
        else:
            arrays.append(generator.standard_normal(shape).astype("float32"))
    return arrays


def outlines(texts: list[str], bounded: bool) -> tuple[list[jax.ShapeDtypeStruct], tuple[str, ...]]:
    scope = export.SymbolicScope([f"{symbol} >= 6" for symbol in "thsw"] if bounded else ())
    symbols = tuple(
        sorted(
            {letter for text in texts for letter in spec(text, str)[1] for letter in letter.replace("+", " ").split() if letter in "bthsw"}
        )
    )
    made = []
    for text, array in zip(texts, operands(texts, SIZES[0]), strict=True):
        shape = text[len(spec(text, str)[0]) :]
        made.append(jax.ShapeDtypeStruct(export.symbolic_shape(shape, scope=scope), array.dtype))
    return made, symbols


@pytest.mark.parametrize("name", KERNELS)
def test_one_trace_serves_every_size(name):
    function, texts = KERNELS[name]
    compute = value_and_gradients(function)
    avals, symbols = outlines(texts, name in BOUNDED)
    computed = translate(jax.make_jaxpr(compute)(*avals), symbols)
    for sizes in SIZES if exhaustive.chosen() is not None else SIZES[::2]:
        arrays = operands(texts, sizes)
        for array in arrays:
            array.flags.writeable = False
        got = computed(*[sizes[symbol] for symbol in symbols], *arrays)
        if exhaustive.chosen() is not None:
            wanted = jax.jit(compute)(*arrays)
        else:
            wanted = translate(jax.make_jaxpr(compute)(*arrays))(*arrays)
        for result, want in zip(got, wanted, strict=True):
            same(result, want, 1e-3, 3e-4 * max(1.0, float(np.max(np.abs(want), initial=0))), f"{name} at {sizes}")
