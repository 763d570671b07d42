"""Programs on eight fake devices, in a process of its own: their numbers are those of one device, and they communicate what they should."""

from __future__ import annotations

import collections
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import funnn
from funnn import functional as F
from funnn import optim, sharding
from funnn.layers import BatchNorm1d, Dropout, Embedding, GroupedQueryAttention, Layer, Linear, ReLU, Repeat, RMSNorm, Sequential, SwiGLU

ROOT = Path(__file__).parents[1]
PROGRAMS = ("losses", "dropout", "statistics", "costs", "accumulation", "stages", "ring", "memory", "explicit")


@pytest.mark.parametrize("name", PROGRAMS)
def test_eight_devices(name):
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-m", "tests.test_many_devices", name]
    result = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    assert result.stdout.endswith("ok\n")


def test_the_table_of_clusters_is_what_is_compiled():
    """One row of it, within a tenth: operations, memory and what is sent, of 64 devices that are not there.

    What lies in memory between operations is the compiler's own, and compared under the version of JAX that the table was made with.
    """
    command = [sys.executable, "-m", "tests.benchmarks.cluster", "--one", "1B", "fsdp", "--devices", "64"]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=64", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    row = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=True).stdout
    page = (ROOT / "docs/cluster.md").read_text()
    (heads,) = [line for line in page.splitlines() if "| GiB between |" in line]
    (expected,) = [line for line in page.splitlines() if line.startswith("| 1B | 1.35 | fsdp | 64 |")]
    (version,) = re.findall(r"The table is\s+made with JAX (\d+\.\d+)", page)
    got, documented = (
        {head.strip(): cell for head, cell in zip(heads.split("|"), line.split("|"), strict=True)} for line in (row.strip(), expected)
    )
    names = ["devices", "TFLOP", "of these wanted", "GiB of state", "GiB sent"]
    if version == ".".join(map(str, jax.__version_info__[:2])):
        names.append("GiB between")
    for name in names:
        np.testing.assert_allclose(float(got[name]), float(documented[name]), rtol=0.1, err_msg=name)
    assert float(got["TFLOP"]) > 1.2 * float(got["of these wanted"])  # blocks are computed again, which is a third more


class Block(Layer):
    width: int
    rate: float = 0.0

    def __post_init__(self):
        self.norm1, self.norm2 = RMSNorm((self.width,)), RMSNorm((self.width,))
        self.attn, self.mlp = GroupedQueryAttention(self.width, 4, 2), SwiGLU(self.width, 4 * self.width)
        self.drop = Dropout(self.rate)

    def forward(self, x):
        x = x + self.drop(self.attn(self.norm1(x))[0])
        return x + self.drop(self.mlp(self.norm2(x)))


class GPT(Layer):
    depth: int = 4
    rate: float = 0.0
    repeat: bool = True
    width: int = 32
    vocabulary: int = 64

    def __post_init__(self):
        blocks = [Block(self.width, self.rate) for _ in range(self.depth)]
        self.embed, self.norm = Embedding(self.vocabulary, self.width), RMSNorm((self.width,))
        self.h = Repeat(blocks[0], self.depth) if self.repeat else Sequential(*blocks)
        self.head = Linear(self.width, self.vocabulary, False)

    def logical_axes(self):
        return {"head.weight": ("vocabulary", "features")}

    def forward(self, tokens):
        return self.head(self.norm(self.h(self.embed(tokens))))


def language_loss(logits, target):
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1))


TOKENS = np.random.default_rng(0).integers(0, 64, (16, 17)).astype(np.int32)
BATCH = TOKENS[:, :-1], TOKENS[:, 1:]


def kinds(net):
    """By name: the mesh's axes, the rules, and how a batch is split."""
    tensor = sharding.tensor_parallel(net)
    return {
        "data parallel": ({"data": 8}, sharding.replicated(), P("data")),
        "fully sharded": ({"data": 8}, sharding.fsdp("data", min_size=64), P("data")),
        "tensor parallel": ({"model": 2}, tensor, P()),
        "both": ({"data": 4, "model": 2}, sharding.fsdp("data", min_size=64, base=tensor), P("data")),
    }


def prepared(net, kind, loss=language_loss, batch=BATCH):
    """A step with a state and a batch that lie where the kind says."""
    axes, rules, spec = kinds(net)[kind]
    init, step, _ = funnn.train_step(net, loss, optim.adamw(lr=1e-2))
    mesh = sharding.make_mesh(axes, jax.devices()[: int(np.prod(list(axes.values())))])
    state = sharding.sharded(init, mesh, rules)(jax.random.key(0))
    return step, state, jax.device_put(batch, NamedSharding(mesh, spec))


def run(step, state, batch, steps=20):
    shardings = jax.tree.map(lambda array: array.sharding, state)
    found = []
    for _ in range(steps):
        state, metrics = step(state, batch)
        found.append(float(metrics["loss"]))
    assert jax.tree.map(lambda array: array.sharding, state) == shardings  # no step moves anything
    return np.array(found)


def losses():
    """After 20 steps of AdamW: within 1e-5 of one device, as float32's sums over parts of a batch round otherwise and the steps carry that on."""
    net = GPT()
    init, step, _ = funnn.train_step(net, language_loss, optim.adamw(lr=1e-2))
    alone = run(step, init(jax.random.key(0)), BATCH)
    assert alone[-1] < 0.2 < 4 < alone[0]
    for kind in kinds(net):
        np.testing.assert_allclose(run(*prepared(net, kind)), alone, rtol=0, atol=1e-5, err_msg=kind)


def dropout():
    """Masks are those of one device: each number depends on its place in the whole array."""
    net = GPT(depth=2, rate=0.3)
    init, step, _ = funnn.train_step(net, language_loss, optim.adamw(lr=1e-2))
    alone = run(step, init(jax.random.key(0)), BATCH, 5)
    assert abs(alone[0] - run(*prepared(GPT(depth=2), "data parallel"), 1)[0]) > 1e-3
    for kind in ("fully sharded", "both"):
        np.testing.assert_allclose(run(*prepared(net, kind), 5), alone, rtol=0, atol=1e-5, err_msg=kind)


def statistics():
    """BatchNorm under jit takes the statistics of the whole batch."""
    net = Sequential(Linear(6, 16), BatchNorm1d(16), ReLU(), Linear(16, 3))
    generator = np.random.default_rng(0)
    batch = generator.standard_normal((32, 6)).astype(np.float32), generator.integers(0, 3, 32).astype(np.int32)
    init, step, _ = funnn.train_step(net, F.cross_entropy, optim.sgd(lr=0.1))
    mesh = sharding.make_mesh({"data": 8})
    state, alone = sharding.shard(init(jax.random.key(0)), mesh, sharding.replicated()), init(jax.random.key(0))
    split = jax.device_put(batch, NamedSharding(mesh, P("data")))
    for _ in range(5):
        (state, _), (alone, _) = step(state, split), step(alone, batch)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), (state.params, state.state), (alone.params, alone.state)
    )


def collectives(step, state, batch):
    text = step.lower(state, batch).compile().as_text()
    found = re.findall(r"= \S.*? (all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all)(?:-start)?\(", text)
    return collections.Counter(found)


def costs():
    """What a compiled step sends. XLA for CPUs has no reduce-scatter: it writes an all-reduce and takes the part."""
    small = Sequential(Linear(6, 16), ReLU(), Linear(16, 3))
    init, step, _ = funnn.train_step(small, F.mse_loss, optim.adamw(lr=1e-2))
    mesh = sharding.make_mesh({"data": 8})
    state = sharding.sharded(init, mesh, sharding.replicated())(jax.random.key(0))
    pair = jax.device_put((np.ones((16, 6), np.float32), np.ones((16, 3), np.float32)), NamedSharding(mesh, P("data")))
    assert collectives(step, state, pair) == {"all-reduce": 1}  # all gradients and the loss at once
    one, two = GPT(depth=1, repeat=False), GPT(depth=2, repeat=False)
    assert collectives(*prepared(two, "data parallel")) == {"all-reduce": 2}  # and the number of labels that cross_entropy counts
    step, state, batch = prepared(two, "fully sharded")
    split = sum(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state.params))
    found = collectives(step, state, batch)
    assert split == 16 and found["all-gather"] == split and set(found) <= {"all-gather", "all-reduce", "reduce-scatter"}
    assert found["all-reduce"] + found["reduce-scatter"] <= 3
    # a block more: two forward, behind attention and behind the feed-forward part, and two backward
    first, second = (collectives(*prepared(net, "tensor parallel")) for net in (one, two))
    assert set(second) == {"all-reduce"} and second["all-reduce"] - first["all-reduce"] == 4
    constrained()


def constrained():
    """Over two axes XLA moves values between blocks to and fro, unless their outputs are constrained; the numbers are the same."""
    from tests.benchmarks.cluster import Program

    net, sent, found = GPT(width=64), [], []
    batch = jax.tree.map(lambda array: np.concatenate([array] * 4), BATCH)
    ours = sharding.constrain_outputs(net, "data", type=Block)
    assert ours == sharding.constrain_outputs(net, "data", path="h.layer") != net and hash(ours) != hash(net)
    for chosen in (net, ours):
        step, state, given = prepared(chosen, "both", batch=batch)
        with jax.set_mesh(jax.tree.leaves(state.params)[0].sharding.mesh):
            sent.append(sum(Program(step.lower(state, given).compile().as_text()).sent().values()))
            found.append(run(step, state, given, 2))
    np.testing.assert_allclose(*found, rtol=0, atol=1e-5)
    assert sent[1] < sent[0] / 3, sent


def accumulation():
    """Four parts of a batch give the numbers of the whole; with one_reduction gradients are sent once, and without once a part."""
    from tests.benchmarks.cluster import Program

    net, batch, mesh = (
        GPT(depth=1, repeat=False),
        jax.tree.map(lambda array: np.concatenate([array, array]), BATCH),
        sharding.make_mesh({"data": 8}),
    )
    init, step, _ = funnn.train_step(net, language_loss, optim.adamw(lr=1e-2))
    alone = run(step, init(jax.random.key(0)), batch, 5)
    sent = {}
    for parts, once, rules in ((1, False, sharding.replicated()), (4, False, sharding.replicated()), (4, True, sharding.replicated()),
                               (4, True, sharding.fsdp("data", min_size=64))):  # fmt: skip
        init, step, _ = funnn.train_step(net, language_loss, optim.adamw(lr=1e-2), accumulate=parts, one_reduction=once)
        state = sharding.sharded(init, mesh, rules)(jax.random.key(0))
        given = jax.device_put(batch, NamedSharding(mesh, P("data")))
        sent.setdefault((parts, once), sum(Program(step.lower(state, given).compile().as_text()).sent().values()))
        np.testing.assert_allclose(run(step, state, given, 5), alone, rtol=0, atol=1e-5)
    assert sent[4, True] < 1.01 * sent[1, False] and sent[4, False] > 3.9 * sent[1, False]


def memory():
    """What a device holds of a fully sharded state shrinks as 1/N, and no device ever holds all of it."""
    net = GPT(width=64)
    init, _, _ = funnn.train_step(net, language_loss, optim.adamw(lr=1e-2))
    sizes = {}
    for count in (1, 2, 4, 8):
        mesh = sharding.make_mesh({"data": count}, jax.devices()[:count])
        make = sharding.sharded(init, mesh, sharding.fsdp("data", min_size=1024))
        state = make(jax.random.key(0))
        placed = sharding.visualize(state)
        assert len(placed.bytes_by_device) == count
        sizes[count] = max(placed.bytes_by_device.values())
        shards = [
            sum(s.data.nbytes for a in jax.tree.leaves(state.params) for s in a.addressable_shards if s.device == d)
            for d in mesh.devices.flat
        ]
        assert max(shards) < sizes[count]
    for count in (2, 4, 8):
        assert sizes[count] < 1.05 * sizes[1] / count + 4096  # the norms' scales are whole everywhere


def stages():
    """A pipeline gives the numbers and gradients of the Repeat, and is split by the names of dimensions."""
    body = Sequential(Linear(3, 6), ReLU(), Linear(6, 3))
    net = Sequential(Linear(3, 3), sharding.Pipeline(Repeat(body, 8), microbatches=4))
    params, state = net.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (16, 3))
    rule = sharding.by_axes(net, {"layers": "stage"})

    def loss(params, x):
        return jnp.sin(net.apply(params, state, x)[0]).sum()

    expected = jax.value_and_grad(loss, (0, 1))(params, x)
    for axes in ({"stage": 8}, {"data": 2, "stage": 4}):
        mesh = sharding.make_mesh(axes)
        split = sharding.shard(params, mesh, rule)
        with jax.set_mesh(mesh):
            batch = jax.device_put(x, P("data") if "data" in axes else P())
            ours = jax.jit(jax.value_and_grad(loss, (0, 1)))(split, batch)
        assert split["1"]["layers"]["layer"]["0"]["weight"].sharding.spec == P("stage")
        assert ours[1][0]["1"]["layers"]["layer"]["0"]["weight"].sharding.spec == P("stage")
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), ours, expected)
    mesh = sharding.make_mesh({"stage": 8})
    noisy = sharding.Pipeline(Repeat(Dropout(0.5), 8), microbatches=2)
    with jax.set_mesh(mesh):
        y = jax.jit(lambda: noisy.apply({}, {}, jnp.ones((4, 4096)), key=jax.random.key(0), train=True)[0])()
    kept = np.asarray(y != 0)
    assert len({row.tobytes() for row in kept}) == 4 and abs(kept.mean() - 0.5**8) < 2e-3
    for layer, size, error, text in (
        (sharding.Pipeline(Repeat(body, 6)), 16, ValueError, "the 6 layers can't be split over the 8 devices of mesh axis 'stage'"),
        (sharding.Pipeline(Repeat(body, 8), microbatches=3), 16, ValueError, "microbatches=3 does not divide the batch of 16"),
        (sharding.Pipeline(Repeat(BatchNorm1d(3), 8)), 16, ValueError, "has buffers, which the parts of a batch would have to share"),
    ):
        params, state = layer.init(jax.random.key(0))
        with jax.set_mesh(mesh), pytest.raises(error, match=re.escape(text)):
            layer.apply(params, state, jnp.ones((size, 3)))


def ring():
    """Attention over a split sequence is that of one device, with fewer keys and values than queries, and no device gathers the keys."""
    keys = jax.random.split(jax.random.key(0), 3)
    q, k, v = (jax.random.normal(key, (2, heads, 32, size)) for key, heads, size in zip(keys, (4, 2, 2), (8, 8, 6), strict=True))
    for causal in (False, True):

        def loss(q, k, v, causal=causal):
            return jnp.sin(sharding.ring_attention(q, k, v, is_causal=causal)).sum()

        expected = jax.value_and_grad(loss, (0, 1, 2))(q, k, v)
        reference = jax.value_and_grad(lambda q, k, v, causal=causal: jnp.sin(
            F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)).sum(), (0, 1, 2))(q, k, v)  # fmt: skip
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), expected, reference)
        mesh = sharding.make_mesh({"data": 2, "context": 4})
        with jax.set_mesh(mesh):
            split = jax.device_put((q, k, v), P("data", None, "context"))
            program = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
            ours = program(*split)
            text = program.lower(*split).compile().as_text()
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), ours, expected)
        assert "collective-permute" in text and "all-gather" not in text
    with jax.set_mesh(sharding.make_mesh({"context": 8})), pytest.raises(ValueError, match="length 4 is not divisible by the 8 devices"):
        sharding.ring_attention(q[..., :4, :], k[..., :4, :], v[..., :4, :])


def explicit():
    """Explicit axes: arrays say how they are split, and constrain changes it."""
    mesh = sharding.make_mesh({"data": 8}, explicit=True)
    with jax.set_mesh(mesh):
        x = jax.device_put(jnp.ones((8, 4)), P("data"))
        assert jax.typeof(x).sharding.spec == P("data", None)
        whole = jax.jit(lambda x: sharding.constrain(x, None))(x)
        assert whole.sharding.is_fully_replicated
        y, _ = jax.jit(lambda x: Linear(4, 3).apply({"weight": jnp.ones((3, 4)), "bias": jnp.ones(3)}, {}, x))(x)
        assert y.sharding.spec[0] == "data" and y.tolist() == [[5.0] * 3] * 8
    auto = sharding.make_mesh({"data": 4, "model": 2})
    with jax.set_mesh(auto):
        y = jax.jit(lambda x: sharding.constrain(x * 2, "data", ("model", "none")))(jnp.ones((8, 4)))
        assert y.sharding.spec == P("data", "model")
        with pytest.raises(ValueError, match="3 entries for an array of 2 dimensions"):
            sharding.constrain(jnp.ones((8, 4)), "data", None, None)
    assert sharding.constrain(jnp.ones((8, 4)), "data").tolist() == [[1.0] * 4] * 8


if __name__ == "__main__":
    assert len(jax.devices()) == 8
    {program: globals()[program] for program in PROGRAMS}[sys.argv[1]]()
    print("ok")
