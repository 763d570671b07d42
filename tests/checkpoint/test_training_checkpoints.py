"""Checkpoints of training on Orbax: what comes back, onto which devices, after which interruptions, and what is kept."""

import doctest
import importlib
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import funnn
from funnn import functional as F
from funnn import optim
from funnn.checkpoint import Checkpointer, restore, save
from funnn.layers import Linear
from tests.checkpoint.states import BATCH, MIXED, NET, OPTIMIZERS, check_same

ROOT = Path(funnn.__file__).parents[1]


def run(program, *arguments, devices=1, check=True):
    """What a program prints in a process of its own, with so many fake devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "XLA_FLAGS": flags,
        "JAX_PLATFORMS": "cpu",
    }
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout if check else done


# -- what comes back


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_state(tmp_path, name):
    init, step, _ = funnn.train_step(NET, F.cross_entropy, OPTIMIZERS[name])
    train_state, _ = step(init(jax.random.key(0)), BATCH)
    loader = {"epoch": 2, "order": [3, 1, 2], "rng": np.random.default_rng(0).bit_generator.state}
    save(tmp_path, train_state, extra={"loader": loader}, metrics={"loss": jnp.float32(0.5)})
    for like in (init(jax.random.key(1)), jax.eval_shape(init, jax.random.key(1))):
        restored = restore(tmp_path, like)
        check_same(restored.train_state, train_state)
        assert restored[1:] == (1, {"loader": loader}, {"loss": 0.5})
    (after, _), (expected, _) = step(restored.train_state, BATCH), step(train_state, BATCH)
    check_same(after, expected)


def test_every_kind_of_leaf(tmp_path):
    before = dict(jax.config.values)
    save(tmp_path, MIXED, step=0)
    check_same(restore(tmp_path, MIXED).train_state, MIXED)
    assert not restore(tmp_path, MIXED).train_state["jax"][0].committed  # as it was
    assert dict(jax.config.values) == before


def test_64_bits_stay_in_every_mode(tmp_path):
    with jax.enable_x64(True):
        tree = {"w": jnp.array([1 / 3, 1e-300]), "n": jax.device_put(jnp.int64(2**40), jax.devices()[0])}
    save(tmp_path, tree, step=0)
    check_same(restore(tmp_path, tree).train_state, tree)


def test_arrays_alone_that_are_empty(tmp_path):
    tree = {"empty": jnp.zeros((0, 3)), "full": jnp.ones(1)}
    save(tmp_path, tree, step=0)
    check_same(restore(tmp_path, tree).train_state, tree)
    check_same(restore(tmp_path, {"empty": np.zeros((0, 3), np.float32)}, partial=True).train_state["empty"], np.zeros((0, 3), np.float32))
    with pytest.raises(TypeError, match="there is nothing to save: dict has no arrays"):
        save(tmp_path, {"empty": tree["empty"]}, step=1)


def test_a_part(tmp_path):
    init, _, _ = funnn.train_step(NET, F.cross_entropy, optim.adam())
    train_state = init(jax.random.key(0))
    save(tmp_path, train_state)
    like = {"params": train_state.params, "state": train_state.state}
    check_same(restore(tmp_path, like, partial=True).train_state, like)
    with pytest.raises(ValueError, match=r"'opt_state\.count': found int32 of shape \(\), but like has no such leaf\n(.|\n)*partial=True"):
        restore(tmp_path, like)


TRAIN = """
import sys, jax, numpy as np, funnn
from funnn import checkpoint, functional as F, optim
from funnn.layers import Dropout, Linear, ReLU, Sequential

folder, start, stop, fresh = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "fresh"
net = Sequential(Linear(4, 16), ReLU(), Dropout(0.5), Linear(16, 2))
init, step, _ = funnn.train_step(net, F.mse_loss, optim.adam(lr=0.01))
batches = np.random.default_rng(0).normal(size=(10, 8, 6)).astype(np.float32)
if fresh:
    train_state, position = init(jax.random.key(0)), 0
else:
    train_state, _, extra, _ = checkpoint.restore(folder, jax.eval_shape(init, jax.random.key(1)))
    position = extra["loader"]
assert position == start
for position in range(start, stop):
    train_state, _ = step(train_state, (batches[position, :, :4], batches[position, :, 4:]))
checkpoint.save(folder, train_state, extra={"loader": position + 1})
"""


def test_going_on_in_a_fresh_process_is_as_if_never_stopped(tmp_path):
    run(TRAIN, tmp_path / "whole", 0, 10, "fresh")
    run(TRAIN, tmp_path / "halves", 0, 5, "fresh")
    run(TRAIN, tmp_path / "halves", 5, 10, "again")
    net = funnn.layers.Sequential(Linear(4, 16), funnn.layers.ReLU(), funnn.layers.Dropout(0.5), Linear(16, 2))
    like = funnn.train_step(net, F.mse_loss, optim.adam(lr=0.01)).init(jax.random.key(2))
    check_same(restore(tmp_path / "halves", like).train_state, restore(tmp_path / "whole", like).train_state)
    assert restore(tmp_path / "halves", like).step == 10


# -- onto which devices

MESHES = """
import sys, jax, jax.numpy as jnp, numpy as np, funnn
from jax.sharding import Mesh, PartitionSpec as P, SingleDeviceSharding
from funnn import checkpoint, functional as F, optim, sharding
from funnn.layers import Dropout, Linear, Sequential

folder = sys.argv[1]
devices = np.array(jax.devices())
assert len(devices) == 8
init, step, _ = funnn.train_step(Sequential(Linear(4, 16), Dropout(), Linear(16, 8)), F.mse_loss, optim.adam(lr=0.01))
rules = lambda *axes: [(r"0\\.weight$", P(axes[0])), (r"2\\.weight$", P(axes[-1], axes[0] if len(axes) > 1 else None))]
mesh = Mesh(devices, ("x",))
batch = jnp.ones((8, 4)), jnp.ones((8, 8))
before, _ = step(sharding.shard(init(jax.random.key(0)), mesh, rules("x")), batch)
before = sharding.shard(before, mesh, rules("x"))
keys = jax.device_put(jax.random.split(jax.random.key(3), 8), jax.sharding.NamedSharding(mesh, P("x")))
checkpoint.save(folder, {"train_state": before, "keys": keys}, step=1)
like = {"train_state": jax.eval_shape(init, jax.random.key(0)), "keys": jax.eval_shape(lambda: keys)}


def check(got, expected):
    data = lambda leaf: jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
    same = jax.tree.map(lambda a, b: a.dtype == b.dtype and np.asarray(data(a)).tobytes() == np.asarray(data(b)).tobytes(), got, expected)
    assert jax.tree.all(same), same


for other, axes in ((Mesh(devices.reshape(2, 4), ("a", "b")), ("a", "b")), (Mesh(devices[:4], ("c",)), ("c",)), (Mesh(devices[4:5], ("d",)), ("d",))):
    wanted = sharding.named_shardings(like, other, [*rules(*axes), ("keys", P(axes[0]))])
    told = jax.tree.map(lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), like, wanted)
    for got in (checkpoint.restore(folder, like, sharding=wanted), checkpoint.restore(folder, told)):
        check(got.train_state, {"train_state": before, "keys": keys})
        assert jax.tree.all(jax.tree.map(lambda leaf, place: leaf.sharding.is_equivalent_to(place, leaf.ndim), got.train_state, wanted))
        check(checkpoint.restore(folder, got.train_state).train_state, got.train_state)
weight = got.train_state["train_state"].params["0"]["weight"]
assert weight.sharding.device_set == {devices[4]}

there = checkpoint.restore(folder, like, sharding=SingleDeviceSharding(devices[2])).train_state
assert jax.tree.all(jax.tree.map(lambda leaf: leaf.devices() == {devices[2]}, there))
alone = checkpoint.restore(folder, like).train_state["train_state"]
assert not any(leaf.committed for leaf in jax.tree.leaves(alone))
after, _ = step(alone, batch)  # on one device
original = {"train_state": before, "keys": keys}
again, _ = step(checkpoint.restore(folder, original).train_state["train_state"], batch)  # on the eight it came from
expected, _ = step(before, batch)
check(again, expected)
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), after.params, expected.params)
spread = jax.device_put(batch, jax.sharding.NamedSharding(mesh, P("x")))
step(checkpoint.restore(folder, like).train_state["train_state"], spread)  # uncommitted arrays go where the batch is
print("all meshes")
"""


def test_other_meshes(tmp_path):
    assert run(MESHES, tmp_path, devices=8) == "all meshes\n"


PROCESSES = """
import sys
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from funnn.checkpoint import Checkpointer

folder, address, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(address, 2, rank)
mesh = jax.make_mesh((4,), ("d",))
numbers = np.arange(24, dtype=np.float32).reshape(8, 3)


def spread(array, *axes):
    return jax.make_array_from_callback(array.shape, NamedSharding(mesh, P(*axes)), lambda index: array[index])


tree = {"split": spread(numbers, "d"), "whole": spread(numbers[0]), "key": jax.random.key(3), "count": jnp.ones(()), "numpy": np.ones(2)}
like = jax.tree.map(lambda leaf: leaf if leaf is tree["key"] else leaf * 0, tree)
with Checkpointer(folder, keep_last=1) as checkpointer:
    for step in (1, 2):
        assert checkpointer.save(tree, step, extra={"batch": step})
    found = checkpointer.restore(like)
assert found.step == 2 and found.extra == {"batch": 2}
for name in ("split", "whole"):
    assert found.train_state[name].sharding.is_equivalent_to(tree[name].sharding, tree[name].ndim)
    for got, expected in zip(found.train_state[name].addressable_shards, tree[name].addressable_shards, strict=True):
        np.testing.assert_array_equal(got.data, expected.data)
assert found.train_state["key"] == tree["key"] and found.train_state["count"] == 1 and (found.train_state["numpy"] == 1).all()
print("the same")
"""


def test_two_processes_save_together_and_one_reads(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    with ThreadPoolExecutor() as pool:
        printed = list(pool.map(lambda rank: run(PROCESSES, tmp_path, address, rank, devices=2), range(2)))
    assert [text.splitlines()[-1] for text in printed] == ["the same"] * 2  # Gloo prints too
    like = {"split": jnp.zeros((8, 3)), "whole": jnp.zeros(3), "key": jax.random.key(0), "count": jnp.zeros(()), "numpy": np.zeros(2)}
    found = restore(tmp_path, like).train_state
    np.testing.assert_array_equal(found["split"], np.arange(24).reshape(8, 3))
    assert found["key"] == jax.random.key(3)


# -- while training goes on


def test_arrays_may_be_donated_and_overwritten_at_once(tmp_path):
    """Those of step n are full of n, while later steps have overwritten them."""
    advance = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 1, tree), donate_argnums=0)
    tree, numbers = {"w": jnp.zeros((512, 1024))}, np.zeros((512, 1024), np.float32)
    with Checkpointer(tmp_path) as checkpointer:
        for step in range(6):
            checkpointer.save({"tree": tree, "numpy": numbers}, step)
            tree = advance(tree)
            numbers += 1
    for step in range(6):
        restored = restore(tmp_path, {"tree": {"w": jax.ShapeDtypeStruct((512, 1024), np.float32)}, "numpy": numbers}, step).train_state
        assert (np.asarray(restored["tree"]["w"]) == step).all() and (restored["numpy"] == step).all()


def test_a_checkpointer_reads_what_it_is_saving(tmp_path):
    with Checkpointer(tmp_path) as checkpointer:
        assert checkpointer.steps() == [] and checkpointer.latest_step() is None
        assert checkpointer.save({"w": jnp.ones(3)}, 4, extra=[1]) is True
        assert checkpointer.latest_step() == 4 and checkpointer.steps() == [4]
        restored = checkpointer.restore({"w": jnp.zeros(3)})
        assert restored.train_state["w"].tolist() == [1, 1, 1] and restored[1:] == (4, [1], {})
        assert checkpointer.save({"w": jnp.ones(3)}, 4) is False  # the same once more, as at the end of a loop


FULL_DISK = """
import resource, signal, sys, jax.numpy as jnp
from funnn.checkpoint import Checkpointer, restore

folder, way = sys.argv[1:]
like = {"w": jnp.zeros(100_000)}
checkpointer = Checkpointer(folder)
checkpointer.save({"w": jnp.ones(100_000)}, 1)
checkpointer.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
values = jnp.arange(100_000.0)
try:
    checkpointer.save({"w": values}, 2)
    checkpointer.wait() if way == "wait" else checkpointer.close() if way == "close" else checkpointer.save({"w": values}, 3)
except Exception as error:
    print("raised", type(error).__name__)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(restore(folder, like).step, restore(folder, like).train_state["w"].sum())
if way == "wait":
    print(checkpointer.steps(), checkpointer.save({"w": values}, 2))
    checkpointer.close()
    print((restore(folder, like, 2).train_state["w"] == values).all())
"""


@pytest.mark.parametrize("way", ["wait", "close", "save"])
def test_an_error_of_the_writing_thread_is_raised(tmp_path, way):
    first, second, *rest = run(FULL_DISK, tmp_path, way).splitlines()
    assert first.startswith("raised ") and second == "1 100000.0"
    assert rest == (["[1] True", "True"] if way == "wait" else [])  # it can be tried again


# -- interruptions

WRITER = """
import os, random, signal, sys, time, numpy as np
import jax, jax.numpy as jnp
import orbax.checkpoint
from funnn.checkpoint import Checkpointer, restore

folder, kills, confirmed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
shapes = {"a": (64, 1024), "b": {"c": (3,), "d": (128, 128)}}


def last_confirmed():
    with open(confirmed) as file:
        return int(file.read() or 0)


def write():
    # A life: what the one before left must be whole; then save on and on until killed.
    filled = lambda step: jax.tree.map(lambda shape: jnp.full(shape, step, jnp.float32), shapes, is_leaf=lambda node: isinstance(node, tuple))
    latest, like = 0, jax.eval_shape(lambda: filled(0))
    if last_confirmed():
        restored = restore(folder, like)
        latest = restored.step
        assert latest >= last_confirmed() and restored.extra == {"position": latest}, (latest, last_confirmed())
        assert all((leaf == latest).all() for leaf in jax.tree.leaves(restored.train_state))
    with Checkpointer(folder, keep_last=2) as checkpointer:
        assert checkpointer.latest_step() == (latest or None)
        for step in range(latest + 1, latest + 10_000):
            checkpointer.save(filled(step), step, extra={"position": step})
            checkpointer.wait()
            with open(f"{confirmed}.new", "w") as file:
                file.write(str(step))
            os.replace(f"{confirmed}.new", confirmed)
            if step == latest + 1:
                os.write(saved, b".")


generator, left = random.Random(0), 0
for life in range(kills):
    first, saved = os.pipe()
    if not (child := os.fork()):
        try:
            write()
        finally:
            os._exit(1)
    os.close(saved)
    assert os.read(first, 1) == b".", f"life {life} failed before it saved"
    os.close(first)
    time.sleep(generator.uniform(0.0, 0.2))
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL, f"life {life} ended by itself"
    left += any("tmp" in name for name in os.listdir(folder))
print(left, last_confirmed())
"""


def test_a_killed_writer_leaves_whole_checkpoints(tmp_path):
    """Each life checks what the one before left: the latest checkpoint is whole, and none is lost that was said to be there."""
    kills = 20
    (tmp_path / "confirmed").write_text("")
    half_done, confirmed = map(int, run(WRITER, tmp_path / "run", kills, tmp_path / "confirmed").split())
    print(f"{half_done} of {kills} kills left something half done, {confirmed} checkpoints were written")
    like = {"a": jnp.zeros((64, 1024)), "b": {"c": jnp.zeros(3), "d": jnp.zeros((128, 128))}}
    restored = restore(tmp_path / "run", like)
    assert restored.step >= confirmed >= kills and all((leaf == restored.step).all() for leaf in jax.tree.leaves(restored.train_state))


KILLED_AT = """
import os, signal, sys, jax.numpy as jnp
from funnn.checkpoint import Checkpointer

folder, count = sys.argv[1], int(sys.argv[2])
calls = 0


def watched(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return call


with Checkpointer(folder) as checkpointer:
    checkpointer.save({"w": jnp.full(1000, 1.0)}, 1)
    checkpointer.wait()
    for name in ("mkdir", "rename", "replace", "open", "rmdir", "unlink"):
        setattr(os, name, watched(getattr(os, name)))
    checkpointer.save({"w": jnp.full(1000, 2.0)}, 2)
print("calls", calls)
"""


def test_killed_at_each_change_of_the_folder(tmp_path):
    """The writer is killed before its nth call that makes, renames or removes something: the latest checkpoint is the old or the new one, whole."""
    seen = set()
    for count in range(1, 30):
        folder = tmp_path / str(count)
        done = run(KILLED_AT, folder, count, check=False)
        restored = restore(folder, {"w": jnp.zeros(1000)})
        assert (np.asarray(restored.train_state["w"]) == restored.step).all()
        seen.add(restored.step)
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        with Checkpointer(folder) as checkpointer:  # what was half done is removed, and can be done again
            assert checkpointer.latest_step() == restored.step
            checkpointer.save({"w": jnp.full(1000, 3.0)}, 3)
        assert sorted(path.name for path in folder.iterdir()) == sorted({"1", str(restored.step), "3"})
    assert done.returncode == 0 and count > 3 and seen == {1, 2}


def test_leaving_without_closing(tmp_path):
    """What was being saved may be lost; the process ends, and what was there before is whole."""
    run(
        "import sys, jax.numpy as jnp; from funnn.checkpoint import Checkpointer; checkpointer = Checkpointer(sys.argv[1])\n"
        "for step in range(3): checkpointer.save({'w': jnp.full((512, 1024), step)}, step)",
        tmp_path,
    )
    restored = restore(tmp_path, {"w": jnp.zeros((512, 1024), int)})
    assert restored.step in (1, 2) and (restored.train_state["w"] == restored.step).all()


# -- what is kept


def saved_steps(folder, losses, **options):
    with Checkpointer(folder, **options) as checkpointer:
        for step, loss in losses.items():
            checkpointer.save({"w": jnp.ones(1)}, step, metrics={"loss": loss})
        checkpointer.wait()
        return checkpointer.steps(), checkpointer.best_step() if options.get("metric") else None


LOSSES = {1: 5.0, 2: 1.0, 3: 2.0, 4: 9.0, 5: 3.0, 6: 4.0}


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, ([1, 2, 3, 4, 5, 6], None)),
        ({"keep_last": 2}, ([5, 6], None)),
        ({"keep_last": 2, "metric": "loss"}, ([2, 5, 6], 2)),
        ({"keep_last": 1, "metric": "loss", "mode": "max", "keep_best": 2}, ([1, 4, 6], 4)),
        ({"keep_last": 1, "metric": "loss", "keep_best": 0}, ([6], 6)),
        ({"metric": "loss"}, ([1, 2, 3, 4, 5, 6], 2)),
        ({"every": 2, "asynchronous": False}, ([2, 4, 6], None)),
        ({"every": 4}, ([4], None)),
    ],
)
def test_what_is_kept(tmp_path, options, kept):
    assert saved_steps(tmp_path, LOSSES, **options) == kept
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == kept[0]


def test_the_best_of_an_earlier_process_stays(tmp_path):
    first = dict(list(LOSSES.items())[:3])
    assert saved_steps(tmp_path, first, keep_last=1, metric="loss") == ([2, 3], 2)
    later = {step: loss for step, loss in LOSSES.items() if step > 3}
    assert saved_steps(tmp_path, later, keep_last=1, metric="loss") == ([2, 6], 2)
    assert restore(tmp_path, {"w": jnp.zeros(1)}, 2).metrics == {"loss": 1.0}


def test_nan_is_never_the_best_and_of_equal_ones_the_later_is(tmp_path):
    for mode in ("min", "max"):
        losses = {1: 2.0, 2: float("nan"), 3: 2.0, 4: float("nan"), 5: float("nan")}
        assert saved_steps(tmp_path / mode, losses, keep_last=1, metric="loss", mode=mode) == ([3, 5], 3)


def test_every_counts_multiples_that_were_passed(tmp_path):
    with Checkpointer(tmp_path, every=10) as checkpointer:
        saved = [step for step in (0, 4, 8, 12, 16, 24, 30, 33) if checkpointer.save({"w": jnp.ones(1)}, step)]
        assert saved == [0, 12, 24, 30]
        assert checkpointer.save({"w": jnp.ones(1)}, 33, force=True)
    with Checkpointer(tmp_path, every=10) as checkpointer:
        assert [step for step in (34, 39, 41) if checkpointer.save({"w": jnp.ones(1)}, step)] == [41]


def test_going_back(tmp_path):
    with Checkpointer(tmp_path) as checkpointer:
        for step in (1, 2, 3):
            checkpointer.save({"w": jnp.full(1, step)}, step)
        restored = checkpointer.restore({"w": jnp.zeros(1, int)}, step=1)
        assert restored.step == 1 and restored.train_state["w"].tolist() == [1]
        with pytest.raises(
            ValueError, match=r"step 2 cannot be saved, because .* has a checkpoint of step 3; restore that one, remove those"
        ):
            checkpointer.save({"w": jnp.zeros(1)}, 2)
        for step in (2, 3):
            checkpointer.delete(step)
        assert checkpointer.save({"w": jnp.zeros(1)}, 2) and checkpointer.steps() == [1, 2]
        with pytest.raises(FileNotFoundError, match=r"has no checkpoint of step 3; it has \[1, 2\]"):
            checkpointer.delete(3)


# -- errors


def test_what_does_not_fit(tmp_path):
    init, _, _ = funnn.train_step(Linear(3, 2), F.mse_loss, optim.adam())
    save(tmp_path, init(jax.random.key(0)))
    other = funnn.train_step(Linear(4, 2, bias=False), F.mse_loss, optim.sgd(lr=0.1)).init(jax.random.key(0, impl="rbg"))
    other = other._replace(step=np.float32(0))
    with pytest.raises(ValueError) as error:
        restore(tmp_path, other)
    assert str(error.value) == (
        f"The checkpoint of step 0 in {tmp_path} does not fit `like`:\n"
        "  'params.weight': found float32 of shape (2, 3), but like has float32 of shape (2, 4)\n"
        "  'key': found a random key of threefry2x32, but like has a random key of rbg\n"
        "  'step': found int32 of shape (), but like has float32 of shape ()\n"
        "  'params.bias': found float32 of shape (2,), but like has no such leaf\n"
        "  'opt_state.slots.exp_avg.bias': found float32 of shape (2,), but like has no such leaf\n"
        "  'opt_state.slots.exp_avg.weight': found float32 of shape (2, 3), but like has no such leaf\n"
        "  'opt_state.slots.exp_avg_sq.bias': found float32 of shape (2,), but like has no such leaf\n"
        "  'opt_state.slots.exp_avg_sq.weight': found float32 of shape (2, 3), but like has no such leaf\n"
        "  'opt_state.slots.step.bias': found float32 of shape (), but like has no such leaf\n"
        "  'opt_state.slots.step.weight': found float32 of shape (), but like has no such leaf\n"
        "Make like with the sizes that were saved. Make like's key as the saved one was made: jax.random.key(seed, impl=...), or "
        "jax.random.PRNGKey(seed) for a raw one. Nothing is cast: make like with the dtype that was saved, and cast the result. "
        "Make like with the layer and the optimizer that were saved, or read a part of them with partial=True."
    )


def test_no_checkpoint(tmp_path):
    like = {"w": jnp.ones(1)}
    with pytest.raises(FileNotFoundError, match=r"none has no checkpoint; funnn\.checkpoint\.save makes one"):
        restore(tmp_path / "none", like)
    assert not (tmp_path / "none").exists()
    with pytest.raises(FileNotFoundError, match="has no checkpoint of step 3; it has none"):
        restore(tmp_path, like, step=3)
    save(tmp_path, like, step=2)
    with pytest.raises(FileNotFoundError, match=r"has no checkpoint of step 3; it has \[2\]"):
        restore(tmp_path, like, step=3)


def test_a_checkpoint_of_others(tmp_path):
    import orbax.checkpoint

    with orbax.checkpoint.CheckpointManager(tmp_path) as manager:
        manager.save(1, args=orbax.checkpoint.args.StandardSave({"w": jnp.ones(1)}))
    with pytest.raises(ValueError, match=r"step 1 in .* was not written by funnn\.checkpoint; read it with Orbax"):
        restore(tmp_path, {"w": jnp.ones(1)})


def test_orbax_reads_ours(tmp_path):
    import orbax.checkpoint

    save(tmp_path, {"fc": {"weight": jnp.ones((2, 3))}, "key": jax.random.key(7)}, step=1)
    args = orbax.checkpoint.args.PyTreeRestore(
        restore_args=dict.fromkeys(("fc.weight", "key.threefry2x32"), orbax.checkpoint.RestoreArgs(restore_type=np.ndarray))
    )
    with orbax.checkpoint.Checkpointer(orbax.checkpoint.PyTreeCheckpointHandler()) as reader:
        arrays = reader.restore(tmp_path / "1" / "train_state", args=args)
    assert arrays["fc.weight"].shape == (2, 3) and arrays["key.threefry2x32"].tolist() == [0, 7]


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"loader": {"at": (1, 2)}}, "extra['loader']['at'] is a tuple; JSON holds None, booleans"),
        ([1, {"n": np.int64(3)}], "extra[1]['n'] is a int64; JSON holds"),
        (
            {"order": np.arange(3)},
            "extra['order'] is a ndarray; JSON holds None, booleans, numbers, strings, lists and dicts. Make it one of",
        ),
        ({1: "a"}, "extra has the key 1; JSON has strings only, so make it one"),
    ],
)
def test_extra_that_json_would_change(tmp_path, extra, text):
    with pytest.raises(TypeError, match=re.escape(text)):
        save(tmp_path, {"w": jnp.ones(1)}, step=0, extra=extra)
    assert list(tmp_path.iterdir()) == []


def test_errors_of_save(tmp_path):
    with pytest.raises(TypeError, match="a dict has no attribute step; give the number of the checkpoint as step="):
        save(tmp_path, {"w": jnp.ones(1)})
    with pytest.raises(TypeError, match=r"the metric 'loss' has the shape \(2,\); give scalars"):
        save(tmp_path, {"w": jnp.ones(1)}, step=0, metrics={"loss": jnp.ones(2)})
    with pytest.raises(TypeError, match=r"'f' holds a builtin_function_or_method; only arrays"):
        save(tmp_path, {"f": len}, step=0)
    with Checkpointer(tmp_path, metric="loss") as checkpointer:
        with pytest.raises(ValueError, match=r"metrics must have 'loss', which says which checkpoint is the best, got \['accuracy'\]"):
            checkpointer.save({"w": jnp.ones(1)}, 0, metrics={"accuracy": 1.0})
        assert checkpointer.best_step() is None
    with Checkpointer(tmp_path) as checkpointer, pytest.raises(ValueError, match="best_step needs a metric"):
        checkpointer.best_step()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"every": 0}, "every must be at least 1, got 0"),
        ({"keep_last": 0}, "keep_last must be at least 1, got 0"),
        ({"keep_best": -1}, "keep_best must be at least 0, got -1"),
        ({"mode": "best"}, "mode must be 'min' or 'max', got 'best'"),
    ],
)
def test_errors_of_a_checkpointer(tmp_path, options, text):
    with pytest.raises(ValueError, match=text):
        Checkpointer(tmp_path, **options)


@pytest.mark.parametrize("missing", ["orbax", "orbax.checkpoint"])
def test_without_orbax(tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    for call in (
        lambda: save(tmp_path, {"w": jnp.ones(1)}, step=0),
        lambda: restore(tmp_path, {"w": jnp.ones(1)}),
        lambda: Checkpointer(tmp_path),
    ):
        with pytest.raises(ImportError, match=r"needs Orbax; install it with: pip install 'funnn\[checkpoints\]'"):
            call()


@pytest.mark.parametrize("name", ["_orbax", "_checkpointer"])
def test_examples(name):
    results = doctest.testmod(importlib.import_module(f"funnn.checkpoint.{name}"))
    assert results.attempted > 0 and results.failed == 0
