"""What the tests of the translator share: a function compiled by XLA and the same one translated, and how near their values must be."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from funnn.engine.program.interpret import translate


def same(got: Any, wanted: Any, rtol: float | None = None, atol: float = 0.0, about: str = "") -> None:
    """Shapes and dtypes are equal; integers and what is only moved too, floats up to a few units in the last place."""
    wanted = np.asarray(wanted)
    assert type(got) is np.ndarray, f"{about}: a {type(got).__name__}"
    assert got.dtype == wanted.dtype and got.shape == wanted.shape, f"{about}: {got.dtype}{got.shape}, not {wanted.dtype}{wanted.shape}"
    if wanted.dtype.kind in "biu" or rtol == 0:
        np.testing.assert_array_equal(got, wanted, err_msg=about)
        if wanted.dtype.kind == "f":
            zeros = wanted == 0
            np.testing.assert_array_equal(np.signbit(got)[zeros], np.signbit(wanted)[zeros], err_msg=f"signs of zeros: {about}")
        return
    if rtol is None:
        rtol = 8 * float(np.finfo(wanted.dtype).eps)
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=atol, err_msg=about)


def translated(function: Any, arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The results of the function's translation, for arguments that must not be written into."""
    computed = translate(jax.make_jaxpr(function)(*arrays))
    given = [np.array(array) for array in arrays]
    for array in given:
        array.flags.writeable = False
    results = computed(*given)
    for array, before in zip(given, arrays, strict=True):
        np.testing.assert_array_equal(array, before)
    return results


def agree(cases: dict[str, tuple[Any, list[np.ndarray]]], rtol: float | None = None, atol: float = 0.0) -> None:
    """Each case, a function and its arguments, gives the same values compiled and translated; all are compiled as one program."""
    wanted = jax.jit(lambda every: {name: cases[name][0](*arrays) for name, arrays in every.items()})(
        {name: arrays for name, (_, arrays) in cases.items()}
    )
    wrong = []
    for name, (function, arrays) in cases.items():
        try:
            got = translated(function, arrays)
            leaves = jax.tree.leaves(wanted[name])
            assert len(got) == len(leaves)
            for result, leaf in zip(got, leaves, strict=True):
                same(result, leaf, rtol, atol, name)
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__} {error}")
    assert not wrong, "\n".join(wrong)
