"""A compiled training step of layers is the operations of the same step written by hand: layers cost nothing when they run.

By hand means ``jax.numpy`` and ``jax.lax`` on nested dicts. Where funnn has a kernel with a derivative of its own (ReLU, GELU, layer and batch normalisation,
convolution, products in bfloat16, attention, cross entropy), both call it: the kernels are measured by ``tests/benchmarks``, and what is compared here is
all that layers, ``apply``, ``Repeat`` and the optimizer add.
"""

from __future__ import annotations

import re
from collections import Counter

import jax
import jax.numpy as jnp
import optax
import pytest
from jax import lax

from funnn import Layer, optim
from funnn import functional as F
from funnn.layers import (
    GELU,
    BatchNorm2d,
    Conv2d,
    Embedding,
    LayerNorm,
    Linear,
    Policy,
    ReLU,
    Repeat,
    Residual,
    Sequential,
)

RATE = 0.1


def linear(p, x):
    if x.dtype == jnp.bfloat16:
        return F.linear(x, p["weight"], p["bias"])
    return lax.dot_general(x, p["weight"], (((x.ndim - 1,), (1,)), ((), ()))) + p["bias"]


def layer_norm(p, x):
    return F.layer_norm(x, (x.shape[-1],), p["weight"], p["bias"])


# -- a perceptron


MLP = Sequential(Linear(8, 16), ReLU(), Linear(16, 16), ReLU(), Linear(16, 5))


def mlp(params, state, x):
    x = F.relu(linear(params["0"], x))
    x = F.relu(linear(params["2"], x))
    return linear(params["4"], x), state


# -- the same in bfloat16


def mlp_in_half(params, state, x):
    logits, state = mlp(jax.tree.map(lambda p: p.astype(jnp.bfloat16), params), state, x.astype(jnp.bfloat16))
    return logits.astype(jnp.float32), state


# -- a residual network


class Basic(Layer):
    body: Layer
    shortcut: Layer | None = None

    def forward(self, x):
        return F.relu((x if self.shortcut is None else self.shortcut(x)) + self.body(x))


class Mean(Layer):
    def forward(self, x):
        return x.mean((2, 3))


def basic(channels, out, stride):
    body = Sequential(
        *(Conv2d(channels, out, 3, stride, 1, bias=False), BatchNorm2d(out), ReLU()),
        *(Conv2d(out, out, 3, 1, 1, bias=False), BatchNorm2d(out)),
    )
    same = channels == out and stride == 1
    return Basic(body, None if same else Sequential(Conv2d(channels, out, 1, stride, bias=False), BatchNorm2d(out)))


RESNET = Sequential(
    *(Conv2d(3, 8, 3, padding=1, bias=False), BatchNorm2d(8), ReLU(), basic(8, 8, 1), basic(8, 16, 2), Mean(), Linear(16, 5))
)


def conv_norm(params, state, number, x, stride, padding):
    """A convolution and the batch normalisation behind it, and what becomes of its statistics."""
    conv, norm, old = params[str(number)], params[str(number + 1)], state[str(number + 1)]
    x = F.conv2d(x, conv["weight"], None, stride, padding)
    x, mean, var = F.batch_norm_with_stats(x, old["running_mean"], old["running_var"], norm["weight"], norm["bias"])
    new = {"running_mean": mean, "running_var": var, "num_batches_tracked": old["num_batches_tracked"] + 1}
    return x, {str(number + 1): new}


def basic_block(params, state, x, stride):
    y, first = conv_norm(params["body"], state["body"], 0, x, stride, 1)
    y, second = conv_norm(params["body"], state["body"], 3, F.relu(y), 1, 1)
    new = {"body": {**first, **second}}
    if "shortcut" in params:
        x, new["shortcut"] = conv_norm(params["shortcut"], state["shortcut"], 0, x, stride, 0)
    return F.relu(x + y), new


def resnet(params, state, x):
    x, new = conv_norm(params, state, 0, x, 1, 1)
    x = F.relu(x)
    for number, stride in ((3, 1), (4, 2)):
        x, new[str(number)] = basic_block(params[str(number)], state[str(number)], x, stride)
    return linear(params["6"], x.mean((2, 3))), new


# -- a GPT, its blocks one after the other or in a scan


class Attention(Layer):
    heads: int
    qkv: Linear
    out: Linear

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, d // self.heads).transpose(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(0, 2, 1, 3).reshape(n, t, d))


class GPT(Layer):
    tokens: Embedding
    places: Embedding
    blocks: Layer
    norm: LayerNorm
    head: Linear

    def forward(self, x):
        x = self.tokens(x) + self.places(jnp.arange(x.shape[1]))
        return self.head(self.norm(self.blocks(x)))


def gpt_block():
    return Sequential(
        Residual(Sequential(LayerNorm(16), Attention(2, Linear(16, 48), Linear(16, 16)))),
        Residual(Sequential(LayerNorm(16), Linear(16, 64), GELU(), Linear(64, 16))),
    )


def gpt_of(blocks):
    return GPT(Embedding(20, 16), Embedding(8, 16), blocks, LayerNorm(16), Linear(16, 20))


def block_by_hand(params, x):
    (norm, attention), (second, up, _, down) = (
        [params["0"]["body"].get(str(i)) for i in range(2)],
        [params["1"]["body"].get(str(i)) for i in range(4)],
    )
    n, t, d = x.shape
    q, k, v = linear(attention["qkv"], layer_norm(norm, x)).reshape(n, t, 3, 2, d // 2).transpose(2, 0, 3, 1, 4)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + linear(attention["out"], y.transpose(0, 2, 1, 3).reshape(n, t, d))
    return x + linear(down, F.gelu(linear(up, layer_norm(second, x))))


def gpt_by_hand(run_blocks):
    def gpt(params, state, x):
        places = F.embedding(jnp.arange(x.shape[1]), params["places"]["weight"])
        x = run_blocks(params["blocks"], F.embedding(x, params["tokens"]["weight"]) + places)
        return linear(params["head"], layer_norm(params["norm"], x)), state

    return gpt


def in_turn(params, x):
    return block_by_hand(params["1"], block_by_hand(params["0"], x))


def in_a_scan(params, x):
    return lax.scan(lambda x, own: (block_by_hand(own, x), None), x, params["layer"])[0]


IMAGES, ROWS = jax.ShapeDtypeStruct((4, 3, 8, 8), jnp.float32), jax.ShapeDtypeStruct((4, 8), jnp.float32)
TOKENS = jax.ShapeDtypeStruct((2, 8), jnp.int32)
#: name -> the layer, the same by hand, and what both read
PROGRAMS = {
    "MLP": (MLP, mlp, ROWS),
    "MLP in bfloat16": (MLP.with_policy(Policy()), mlp_in_half, ROWS),
    "ResNet": (RESNET, resnet, IMAGES),
    "GPT": (gpt_of(Sequential(gpt_block(), gpt_block())), gpt_by_hand(in_turn), TOKENS),
    "GPT in a scan": (gpt_of(Repeat(gpt_block(), 2)), gpt_by_hand(in_a_scan), TOKENS),
}


def counts(text):
    """How often each kind of operation stands in a program, before XLA (StableHLO) or after (HLO)."""
    return Counter(re.findall(r"= \"?(?:stablehlo|chlo)\.(\w+)|^ +(?:ROOT )?\S+ = \S+ ([a-z][\w-]*)\(", text, re.MULTILINE))


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_operations_are_those_of_hand_written_jax(name):
    layer, by_hand, x = PROGRAMS[name]
    params, state = jax.eval_shape(layer.init, jax.random.key(0))
    y = jax.ShapeDtypeStruct(x.shape if x is TOKENS else x.shape[:1], jnp.int32)
    optimizer = optim.sgd(lr=RATE)

    def loss_of(forward, params, state, x, y):
        logits, state = forward(params, state, x)
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1)), state

    def ours(params, state, opt_state, x, y):
        forward = lambda *args: layer.apply(*args, train=True)  # noqa: E731
        (value, state), grads = jax.value_and_grad(loss_of, 1, has_aux=True)(forward, params, state, x, y)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), state, opt_state, value

    def hand_written(params, state, step, x, y):
        (value, state), grads = jax.value_and_grad(loss_of, 1, has_aux=True)(by_hand, params, state, x, y)
        return jax.tree.map(lambda p, g: p + -RATE * g, params, grads), state, optax.safe_increment(step), value

    opt_state = jax.eval_shape(optimizer.init, params)
    lowered = jax.jit(ours).lower(params, state, opt_state, x, y), jax.jit(hand_written).lower(params, state, jnp.int32(0), x, y)
    before = [counts(program.as_text()) for program in lowered]
    compiled = [program.compile() for program in lowered]
    after = [counts(program.as_text()) for program in compiled]
    assert before[0] == before[1], (before[0] - before[1], before[1] - before[0])
    assert after[0] == after[1] and after[0].total() > 20, (after[0] - after[1], after[1] - after[0])
    flops = [program.cost_analysis()["flops"] for program in compiled]
    assert flops[0] == pytest.approx(flops[1], rel=1e-3)
