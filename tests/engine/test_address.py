"""Addresses of storages: memory that C may read, at one place for as long as the storage lives."""

import ctypes
import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from funnn.engine.memory import address
from funnn.engine.memory.address import address_of, readable_address
from funnn.engine.memory.storage import Storage


def floats_at(start, count):
    return list((ctypes.c_float * count).from_address(start))


@pytest.mark.parametrize("make", [lambda values: np.array(values, np.float32), lambda values: jnp.array(values, jnp.float32)])
def test_the_values_of_the_last_call_lie_there(make):
    storage = Storage(make([1, 2, 3]))
    start = readable_address(storage)
    assert start % 64 == 0 and floats_at(start, 3) == [1, 2, 3]
    storage.replace(make([4, 5, 6]))
    assert address_of(storage) == start and floats_at(start, 3) == [1, 2, 3]
    assert readable_address(storage) == start and floats_at(start, 3) == [4, 5, 6]
    ctypes.c_float.from_address(start).value = 9
    assert list(storage.array) == [4, 5, 6]


def test_the_order_in_memory_is_that_of_the_rows():
    storage = Storage(np.arange(6, dtype=np.float32).reshape(3, 2).T)
    assert floats_at(readable_address(storage), 6) == [0, 2, 4, 1, 3, 5]


def test_it_goes_with_the_storage_and_a_resized_one_gets_another():
    storage, other = Storage(np.zeros(4, np.float32)), Storage(np.zeros(4, np.float32))
    assert address_of(storage) != address_of(other)
    mirror = address._mirrors[storage]
    storage.replace(np.zeros(400, np.float32))
    assert readable_address(storage) == address._mirrors[storage].address and address._mirrors[storage] is not mirror
    count = len(address._mirrors)
    del storage
    gc.collect()
    assert len(address._mirrors) == count - 1


def test_a_traced_value_has_an_identity_and_nothing_to_read():
    def f(x):
        storage = Storage(x)
        assert readable_address(storage) == address_of(storage) and address._mirrors[storage].copied is None
        return x

    jax.jit(f)(jnp.ones(2))
