"""What the kernels are for a GPU and a TPU, without either: forward passes and gradients are lowered for both, and their operations counted.

Nothing of this is run. cuDNN's LSTM cannot be lowered without its library, so its program is read before that.
"""

from __future__ import annotations

import re
from collections import Counter

import jax
import jax.numpy as jnp
import pytest
from jax._src.cudnn import fused_attention_stablehlo
from jax.experimental import rnn

import funnn.functional as F
from funnn.functional import _cudnn as cudnn

PLATFORMS = ("cuda", "tpu")
#: the operations that say which algorithm a program is; the others are elementwise or move numbers
COUNTED = ("dot_general", "convolution", "while", "reduce", "reduce_window", "scatter", "gather", "sort", "select_and_scatter")


def array(*shape, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(shape, dtype)


def gradient(function):
    """Of the sum of all outputs in all arguments that have a derivative."""

    def of_all(*arrays):
        numbers = tuple(i for i, x in enumerate(arrays) if jnp.issubdtype(x.dtype, jnp.floating))
        return jax.grad(lambda *arrays: sum(jnp.sum(jnp.sin(y.astype(jnp.float32))) for y in jax.tree.leaves(function(*arrays))), numbers)(
            *arrays
        )

    return of_all


def operations(function, arrays, platform):
    """How often each operation of ``COUNTED`` stands in the program, and the names of its custom calls."""
    text = jax.jit(function).trace(*arrays).lower(lowering_platforms=(platform,)).as_text()
    counts = Counter(re.findall(r"stablehlo\.(\w+)", text))
    return {name: counts[name] for name in COUNTED if counts[name]}, re.findall(r"custom_call @([\w$]+)", text)


def lstm(x, h, c, *params):
    return F.lstm(x, (h, c), list(params), True, 1, 0.0, True, False, False)


ATTENTION = (array(2, 4, 128, 64),) * 3
LONG = (array(2, 4, 1024, 64),) * 3
LSTM = (array(5, 2, 3), array(1, 2, 4), array(1, 2, 4), array(16, 3), array(16, 4), array(16), array(16))
#: name -> function, arguments, and the operations of the forward pass and of value and gradients
CASES = {
    "attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
        ATTENTION,
        {"dot_general": 2, "reduce": 2},  # q kᵀ and e v; maxima and sums of rows
        {"dot_general": 6, "reduce": 3},  # and one for each of q, k, v and the weights
    ),
    "long attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v),
        LONG,
        {"dot_general": 2, "while": 1, "reduce": 2},
        {"dot_general": 7, "while": 2, "reduce": 3},  # the scores once more
    ),
    "LSTM": (
        lstm,
        LSTM,
        {"dot_general": 2, "while": 1},  # all inputs, and at each step the state, times their weights
        {"dot_general": 6, "while": 2, "reduce": 2},  # each of both for either operand, one in the scan backwards; both biases
    ),
    "layer norm": (lambda x, w, b: F.layer_norm(x, (64,), w, b), (array(8, 64), array(64), array(64)), {"reduce": 2}, {"reduce": 6}),
    "RMS norm": (lambda x, w: F.rms_norm(x, (64,), w), (array(8, 64), array(64)), {"reduce": 1}, {"reduce": 3}),
    "cross entropy": (
        lambda x, y: F.cross_entropy(x, y),
        (array(8, 10), array(8, dtype=jnp.int32)),
        {"dot_general": 1, "reduce": 4, "gather": 2},
        {"dot_general": 1, "reduce": 4, "gather": 2},
    ),
    "convolution": (
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
        (array(2, 3, 16, 16), array(4, 3, 3, 3), array(4)),
        {"convolution": 1},
        {"convolution": 3, "reduce": 3},  # the bias's gradient is a sum, and two over axes of one number
    ),
    "convolution over groups": (
        lambda x, w: F.conv2d(x, w, None, padding=1, groups=4),
        (array(2, 4, 16, 16), array(4, 1, 3, 3)),
        {"convolution": 1},
        {"convolution": 3},
    ),
    "transposed convolution": (
        lambda x, w: F.conv_transpose2d(x, w, None, 2, 1),
        (array(2, 4, 8, 8), array(4, 3, 4, 4)),
        {"convolution": 1},
        {"convolution": 3},
    ),
}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", CASES)
def test_operations(name, platform):
    function, arrays, forward, backward = CASES[name]
    assert operations(function, arrays, platform) == (forward, [])
    assert operations(gradient(function), arrays, platform) == (backward, [])


@pytest.fixture
def cudnn_there(monkeypatch):
    """As on a machine with an NVIDIA GPU and cuDNN, as far as tracing and lowering ask for them."""
    monkeypatch.setattr(cudnn, "available", lambda: True)
    monkeypatch.setattr(fused_attention_stablehlo, "check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(fused_attention_stablehlo, "check_compute_capability", lambda capability: True)
    if rnn.gpu_rnn is not None:
        monkeypatch.setattr(rnn.gpu_rnn, "compute_rnn_workspace_reserve_space_sizes", lambda *sizes: (16, 16), raising=False)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_of_half_precision_is_cudnns(dtype, causal, cudnn_there):
    def attend(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    arrays = (array(2, 4, 128, 64, dtype=dtype),) * 3
    found, calls = operations(attend, arrays, "cuda")
    assert not found and calls == ["__cudnn$fmhaSoftmax"]
    found, calls = operations(gradient(attend), arrays, "cuda")
    assert set(calls) == {"__cudnn$fmhaSoftmax", "__cudnn$fmhaSoftmaxBackward"} and not found


def test_float32_and_masks_are_not_cudnns(cudnn_there):
    assert operations(F.scaled_dot_product_attention, ATTENTION, "cuda")[1] == []
    half = (array(2, 4, 128, 64, dtype=jnp.bfloat16),) * 3
    assert operations(lambda *x: F.scaled_dot_product_attention(*x, jnp.ones((128, 128), bool)), half, "cuda")[1] == []


@pytest.mark.skipif(rnn.gpu_rnn is None, reason="this jaxlib has no module for cuDNN's LSTM, without which it cannot be traced")
def test_lstm_is_cudnns(cudnn_there):
    jax.clear_caches()  # of the traces without cuDNN
    assert "rnn_fwd" in str(jax.make_jaxpr(lstm)(*LSTM))
    text = str(jax.make_jaxpr(gradient(lstm))(*LSTM))
    # The pull-back stands in the linear map, which is opened when it is lowered; test_cudnn compares it with the plain formula's.
    assert "rnn_fwd" in text and "funnn_linear_map" in text and "scan" not in text
    jax.clear_caches()
