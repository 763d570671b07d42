"""Addresses of storages: memory that C may read and write, at one place for as long as the storage lives."""

import ctypes
import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from funnn.engine.memory import address
from funnn.engine.memory.address import address_of
from funnn.engine.memory.storage import Storage
from funnn.engine.program.region import Region


def floats_at(start, count):
    return list((ctypes.c_float * count).from_address(start))


@pytest.mark.parametrize("make", [lambda values: np.array(values, np.float32), lambda values: jnp.array(values, jnp.float32)])
def test_the_values_lie_there(make):
    storage = Storage(make([1, 2, 3]))
    start = address_of(storage)
    assert start % 64 == 0 and floats_at(start, 3) == [1, 2, 3]
    storage.replace(make([4, 5, 6]))
    assert floats_at(start, 3) == [4, 5, 6] and address_of(storage) == start
    ctypes.c_float.from_address(start).value = 9
    assert list(storage.array) == [9, 5, 6]


def test_the_order_in_memory_is_that_of_the_rows():
    storage = Storage(np.arange(6, dtype=np.float32).reshape(3, 2).T)
    assert floats_at(address_of(storage), 6) == [0, 2, 4, 1, 3, 5]


def test_it_goes_with_the_storage_and_a_resized_one_gets_another():
    storage, other = Storage(np.zeros(4, np.float32)), Storage(np.zeros(4, np.float32))
    start = address_of(storage)
    assert start != address_of(other)
    storage.replace(np.zeros(400, np.float32))
    assert floats_at(address_of(storage), 400) == [0] * 400


def test_an_address_that_was_asked_for_inside_stays():
    """Inside a function that is being compiled there are no numbers yet."""
    storage = Storage(np.ones(3, np.float32))
    with Region("f", False):
        start = address_of(storage)
    assert floats_at(address_of(storage), 3) == [1, 1, 1] and address_of(storage) == start


def test_a_traced_value_has_an_identity_and_nothing_to_read():
    def f(x):
        storage = Storage(x)
        start = address_of(storage)
        assert start == address_of(storage) and address._reserved[storage].copied is None
        count = len(address._reserved)
        del storage
        gc.collect()
        assert len(address._reserved) == count - 1
        return x

    jax.jit(f)(jnp.ones(2))
