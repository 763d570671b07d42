"""Batches on their way to devices."""

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import funnn.torch as ftorch
from funnn.data import prefetch, stack


def batches(count=4):
    for number in range(count):
        yield {"x": np.full((4, 2), number, np.float32), "name": "b", "pair": (number, np.arange(4))}


@pytest.mark.parametrize("size", [1, 2, 9])
def test_prefetch_keeps_the_batches_and_their_order(size):
    got = list(prefetch(batches(), size=size))
    assert [float(batch["x"][0, 0]) for batch in got] == [0, 1, 2, 3]
    assert all(isinstance(leaf, (jax.Array, str)) for leaf in jax.tree.leaves(got))
    assert got[2]["name"] == "b" and got[2]["pair"][0] == 2 and got[2]["pair"][1].tolist() == [0, 1, 2, 3]


def test_prefetch_is_ahead_by_its_size():
    drawn = []

    def counted():
        for number in range(6):
            drawn.append(number)
            yield np.zeros(1)

    iterator = prefetch(counted(), size=3)
    next(iterator)
    assert drawn == [0, 1, 2]
    next(iterator)
    assert drawn == [0, 1, 2, 3]


def test_prefetch_shards():
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:1]), ("data",)), PartitionSpec("data"))
    for given in (np.ones((4, 2), np.float32), jax.numpy.ones((4, 2))):
        (batch,) = prefetch([given], sharding)
        assert batch.sharding == sharding and batch.tolist() == given.tolist()


def test_a_loaders_batches():
    data = ftorch.utils.data
    tensors = next(prefetch(data.DataLoader(data.TensorDataset(ftorch.arange(6.0), ftorch.arange(6)), 3)))
    arrays = next(prefetch(data.DataLoader([(float(i), i) for i in range(6)], 3, collate_fn=stack)))
    for batch in (list(tensors), list(arrays)):
        assert [type(batch[0]).__module__.split(".")[0], batch[0].dtype, batch[1].dtype] == ["jaxlib", "float32", "int32"]
        assert [leaf.tolist() for leaf in batch] == [[0, 1, 2], [0, 1, 2]]


def test_errors():
    with pytest.raises(ValueError, match="size=0"):
        prefetch([], size=0)
    with pytest.raises(ValueError):
        stack([np.ones(2), np.ones(3)])
