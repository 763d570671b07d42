"""What a translated program writes over is never seen by another value, by an argument or by a result."""

from __future__ import annotations

import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from funnn.engine.program.interpret import blas_threads, translate
from funnn.engine.program.interpret.writer import Writer
from tests import exhaustive


def program(seed: int):
    """A function of two matrices and a row that does 14 things to what it has so far: views, writes, loops and branches."""
    choose = random.Random(seed)
    plan = [(choose.randrange(20), choose.random(), choose.random(), choose.randrange(3)) for _ in range(14)]

    def compute(x, y, row):
        x, y = jnp.asarray(x), jnp.asarray(y)
        have = [x, y, jnp.broadcast_to(row, (4, 4)), x + y]
        kept = []
        for what, first, second, number in plan:
            a, b = have[int(first * len(have))], have[int(second * len(have))]
            if what < 4:
                new = [a + b, a * b, a - b, jnp.maximum(a, b)][what]
            elif what < 8:
                new = [a.T, a[::-1], a.reshape(2, 8).reshape(4, 4), a.reshape(16)[::-1].reshape(4, 4)][what - 4]
            elif what == 8:
                left, right = jnp.split(a, 2, axis=1)
                new = jnp.concatenate([right * 2, left + right], 1)
            elif what == 9:
                new = jnp.where(a > b, a, b * 2)
            elif what == 10:
                new = a.at[number].set(b[0])
            elif what == 11:
                new = a.at[jnp.array([0, number, number])].add(b[:3])
            elif what == 12:
                new = lax.dynamic_update_slice(a, b[1:3, 1:3], (number, 1))
            elif what == 13:
                final, rows = lax.scan(lambda c, r: (c + r, c - r), a[number], b)
                new = rows + final
            elif what == 14:
                (p, q), _ = lax.scan(lambda c, r: ((c[1] + r, c[0]), None), (a, a if number else b), b)
                new = p - q
            elif what == 15:
                new = lax.fori_loop(0, 3, lambda i, s, b=b: s.at[i].add(b[i]), a)
            elif what == 16:
                new = lax.cond(a[0, 0] > b[0, 0], lambda a, b: a + b, (lambda a, b: a) if number % 2 else (lambda a, b: b), a, b)
            elif what == 17:
                new = lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] + s[1].T), (0, a))[1]
            elif what == 18:
                new = jnp.clip(-a, -3.0, 3.0) + row
            else:
                new = jnp.sum(a, 0, keepdims=True) + b[number]
                new = jnp.broadcast_to(new, (4, 4))
            have.append(new)
            if number == 0:
                kept.append(new)
        return (*kept, have[-1])

    return compute


def arguments():
    generator = np.random.default_rng(0)
    return tuple(generator.integers(-4, 5, shape).astype("float32") for shape in ((4, 4), (4, 4), (4,)))


def test_programs_have_the_values_of_jax():
    for seed in range(1000, 1002 if exhaustive.chosen() is None else 1030):
        for got, want in zip(
            translate(jax.make_jaxpr(program(seed))(*arguments()))(*arguments()), program(seed)(*arguments()), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-5, err_msg=str(seed))


def test_programs_that_write_over_nothing_give_the_same(monkeypatch):
    x, y, row = arguments()
    before = [a.copy() for a in (x, y, row)]
    for a in (x, y, row):
        a.flags.writeable = False
    for seed in range(30 if exhaustive.chosen() is None else 600):
        closed = jax.make_jaxpr(program(seed))(x, y, row)
        results = translate(closed)(x, y, row)
        with monkeypatch.context() as without:
            without.setattr(Writer, "overwritable", lambda *_: False)
            without.setattr(Writer, "ends", lambda *_: False)
            wanted = translate(closed)(x, y, row)
        for got, want in zip(results, wanted, strict=True):
            np.testing.assert_array_equal(got, want, err_msg=str(seed))
    for a, b in zip((x, y, row), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_temporaries_are_written_over_and_freed():
    closed = jax.make_jaxpr(lambda x: (jnp.exp(x * 2) + 1, x))(jnp.ones((100, 100)))
    source = translate(closed).source
    assert source.count("out=") == 2 and "del " in source


def test_results_may_be_arguments_and_constants_but_calls_do_not_disturb_each_other():
    table = np.arange(6, dtype="float32").reshape(2, 3)
    computed = translate(jax.make_jaxpr(lambda x: (x, jnp.asarray(table) * 1, jnp.asarray(table).T + x.sum()))(jnp.ones(3)))
    one, two = computed(np.ones(3, "float32")), computed(np.zeros(3, "float32"))
    np.testing.assert_array_equal(one[1], table)
    np.testing.assert_array_equal(one[2], table.T + 3)
    np.testing.assert_array_equal(two[2], table.T)


def test_the_threads_of_blas_are_as_before():
    found = blas_threads._openblas()
    if found is None:
        pytest.skip("NumPy has another BLAS")
    get, put = found
    before = get()
    x = np.ones((64, 64), "float32")
    try:
        for number in (1, 2):
            put(number)
            translate(jax.make_jaxpr(lambda x: x @ x)(x))(x)
            assert get() == number
            with blas_threads.one_thread, blas_threads.one_thread:
                assert get() == 1
                assert blas_threads.product(get_threads := (lambda: get()), blas_threads.LARGE) == number
                assert blas_threads.product(get_threads, 1) == 1
            assert get() == number
        with pytest.raises(ZeroDivisionError), blas_threads.one_thread:
            raise ZeroDivisionError
        assert get() == 2
    finally:
        put(before)


def test_no_warning_is_given():
    x = np.array([0.0, -1.0, 1e30, np.nan], "float32")
    computed = translate(jax.make_jaxpr(lambda x: (1 / x, jnp.log(x), jnp.exp(x), x.sum() * x[2], jax.nn.sigmoid(-x), x.astype(int)))(x))
    computed(x)
