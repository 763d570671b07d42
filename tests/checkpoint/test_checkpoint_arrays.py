"""to_arrays and from_arrays: a whole training state through .pt and .npz files, exactly, and what does not fit."""

import io
import re

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import funnn
from funnn import functional as F
from funnn import optim
from funnn.checkpoint import from_arrays, load_pt, save_pt, to_arrays
from funnn.sharding import named_shardings
from tests.checkpoint.states import BATCH, MIXED, NET, OPTIMIZERS, check_same


def through_pt(arrays):
    file = io.BytesIO()
    save_pt(arrays, file)
    file.seek(0)
    return load_pt(file)


def through_npz(arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    file.seek(0)
    return np.load(file)


@pytest.mark.parametrize("through", [through_pt, through_npz])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_training_state_through_a_file(name, through):
    init, step, _ = funnn.train_step(NET, F.cross_entropy, OPTIMIZERS[name])
    train_state, _ = step(init(jax.random.key(0)), BATCH)
    arrays = to_arrays(train_state)
    assert all(isinstance(array, jax.Array) and not jnp.issubdtype(array.dtype, jax.dtypes.prng_key) for array in arrays.values())
    for like in (init(jax.random.key(1)), jax.eval_shape(init, jax.random.key(1))):
        restored = from_arrays(through(arrays), like)
        check_same(restored, train_state)
    (after, _), (expected, _) = step(restored, BATCH), step(train_state, BATCH)
    check_same(after, expected)


@pytest.mark.parametrize("through", [through_pt, through_npz])
def test_every_kind_of_leaf(through):
    arrays = to_arrays(MIXED)
    assert arrays["keys.of rbg.rbg"].shape == (4,) and arrays["keys.many.threefry2x32"].shape == (2, 3, 2) and "numbered.0.1" in arrays
    check_same(from_arrays(through(arrays), MIXED), MIXED)


def test_64_bits_stay_in_every_mode():
    with jax.enable_x64(True):
        tree = {"w": jnp.array([1 / 3, 1e-300]), "n": jnp.int64(2**40)}
    check_same(from_arrays(through_npz(to_arrays(tree)), tree), tree)


def test_arrays_are_not_copied_on_the_way_out_and_are_on_the_way_in():
    source, like = {"w": np.ones(1024, np.float32)}, {"w": jnp.zeros(1024)}
    restored = from_arrays(source, like)
    source["w"][:] = 2
    assert restored["w"].tolist() == [1] * 1024
    assert to_arrays(restored)["w"] is restored["w"]
    jax.jit(lambda w: w + 1, donate_argnums=0)(from_arrays(restored, like)["w"])
    assert restored["w"].tolist() == [1] * 1024


def test_where_arrays_go():
    device = jax.devices()[0]
    mesh = jax.sharding.Mesh(np.array([device]), ("data",))
    tree = {"w": jnp.ones((4, 2)), "key": jax.random.key(0), "n": np.ones(3)}
    arrays = to_arrays(tree)
    assert not from_arrays(arrays, tree)["w"].committed  # as tree's: it may go wherever it is computed with
    assert not from_arrays(arrays, tree)["key"].committed
    shardings = named_shardings(tree, mesh, [("w", jax.sharding.PartitionSpec("data"))])
    for got in (
        from_arrays(arrays, tree, sharding=shardings),
        from_arrays(arrays, from_arrays(arrays, tree, sharding=shardings)),
        from_arrays(
            arrays, jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), tree, shardings) | {"n": tree["n"]}
        ),
    ):
        assert got["w"].sharding == shardings["w"] and got["key"].sharding == shardings["key"] and type(got["n"]) is np.ndarray
    assert from_arrays(arrays, tree, sharding=jax.sharding.SingleDeviceSharding(device))["key"].committed
    with pytest.raises(ValueError, match=r"pytree of them with the structure of like, got .*funnn\.sharding\.named_shardings\(like"):
        from_arrays(arrays, tree, sharding={"w": shardings["w"]})


def test_one_error_lists_everything():
    like = {"fc": {"weight": jnp.ones((4, 3)), "bias": jnp.ones(4, jnp.bfloat16)}, "keys": [jax.random.key(0), jax.random.PRNGKey(0)]}
    arrays = {
        "fc.weight": np.ones((4, 2), np.float16),
        "fc.bias": np.ones(4, np.float32),
        "keys.0.rbg": np.ones(4, np.uint32),
        "keys.1.threefry2x32": np.ones(2, np.uint32),
        "fc.scale": np.ones((), np.float32),
    }
    with pytest.raises(ValueError) as error:
        from_arrays(arrays, {**like, "step": 3})
    assert str(error.value) == (
        "The arrays do not fit `like`:\n"
        "  'fc.bias': found float32 of shape (4,), but like has bfloat16 of shape (4,)\n"
        "  'fc.weight': found float16 of shape (4, 2), but like has float32 of shape (4, 3)\n"
        "  'keys.0': found a random key of rbg, but like has a random key of threefry2x32\n"
        "  'keys.1': found a random key of threefry2x32, but like has a raw array of uint32\n"
        "  'step': not found, but like has int64 of shape ()\n"
        "  'fc.scale': found float32 of shape (), but like has no such leaf\n"
        "Nothing is cast: make like with the dtype that was saved, and cast the result. Make like with the sizes that were saved. "
        "Make like's key as the saved one was made: jax.random.key(seed, impl=...), or jax.random.PRNGKey(seed) for a raw one. "
        "Make like with the layer and the optimizer that were saved, or read a part of them with partial=True."
    )


def test_a_part():
    init, _, _ = funnn.train_step(NET, F.cross_entropy, optim.adam())
    train_state = init(jax.random.key(0))
    like = {"params": train_state.params}
    with pytest.raises(ValueError, match=r"'opt_state.count': found int32 of shape \(\), but like has no such leaf(.|\n)*partial=True"):
        from_arrays(to_arrays(train_state), like)
    check_same(from_arrays(to_arrays(train_state), like, partial=True), like)
    with pytest.raises(ValueError, match="'other': not found, but like has float32"):
        from_arrays(to_arrays(train_state), {"other": jnp.ones(1)}, partial=True)


@pytest.mark.parametrize(
    ("tree", "error", "text"),
    [
        ({"a": {"b": jnp.ones(1)}, "a.b": jnp.ones(1)}, ValueError, "two leaves have the path 'a.b'; rename one of them"),
        (
            {"net": [jnp.ones(1), "relu"]},
            TypeError,
            "'net.1' holds a str; only arrays, random keys and numbers can be stored, so take it out",
        ),
        ({"f": jnp.sin}, TypeError, "'f' holds a "),
        ({"w": np.array(["a"])}, TypeError, "'w' has the dtype <U1; only numbers and booleans can be stored"),
        ({"n": 10**30}, TypeError, "'n' has the dtype object"),
        (jnp.ones(1), TypeError, "expected a pytree such as a TrainState, got a single ArrayImpl; put it into a dict"),
        ({"w": jax.ShapeDtypeStruct((2,), np.float32)}, TypeError, "'w' is a ShapeDtypeStruct, which has no values to store"),
    ],
)
def test_what_cannot_be_stored(tree, error, text):
    with pytest.raises(error, match=re.escape(text)):
        to_arrays(tree)


def test_values_that_are_no_arrays():
    with pytest.raises(ValueError, match=r"'w': found <U4 of shape \(\), but like has float32"):
        from_arrays({"w": "text"}, {"w": jnp.ones(1)})


def test_bfloat16_of_npz_needs_its_size():
    file = through_npz({"w": np.ones(3, ml_dtypes.bfloat16)})
    assert from_arrays(file, {"w": jnp.zeros(3, jnp.bfloat16)})["w"].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match=r"'w': found \|V2 of shape \(3,\), but like has float32"):
        from_arrays(file, {"w": jnp.zeros(3)})
