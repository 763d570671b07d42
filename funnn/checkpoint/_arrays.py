"""Any pytree, such as a whole TrainState, as a flat dict of plain arrays under dotted keys, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from funnn.checkpoint._state_dict import as_array

#: The shape and the name of the dtype of a stored array.
Spec = tuple[tuple[int, ...], str]
_NUMBERS = (bool, int, float, complex)
_FIX_STRUCTURE = "Make like with the layer and the optimizer that were saved, or read a part of them with partial=True."
_FIX_SHAPE = "Make like with the sizes that were saved."
_FIX_DTYPE = "Nothing is cast: make like with the dtype that was saved, and cast the result."
_FIX_KEY = "Make like's key as the saved one was made: jax.random.key(seed, impl=...), or jax.random.PRNGKey(seed) for a raw one."


class Entry(NamedTuple):
    """How a leaf of a pytree is stored.

    Attributes:
      path: its path, joined by dots, as rules of ``funnn.sharding`` see it.
      name: the key of its array: the path, and for a typed random key the name of its implementation too.
      leaf: the leaf itself, which may be a ``jax.ShapeDtypeStruct``.
      shape, dtype: of its array.
      impl: the implementation of a typed random key, None for other leaves.
    """

    path: str
    name: str
    leaf: Any
    shape: tuple[int, ...]
    dtype: np.dtype
    impl: str | None = None

    @property
    def spec(self) -> Spec:
        """Shape and dtype, as files know them."""
        return self.shape, str(self.dtype)


def to_arrays(tree: Any) -> dict[str, Any]:
    """The leaves of any pytree as plain arrays in a flat dict, which ``save_pt``, ``numpy.savez`` or safetensors can write.

    Args:
      tree: a pytree, such as a TrainState, of JAX and NumPy arrays, random keys and Python's numbers. Its containers may be dicts, tuples,
        lists, NamedTuples as those of optax, and whatever else is registered with JAX.

    Returns:
      ``{"path.to.leaf": array}`` in the order of ``jax.tree.leaves``. A JAX array is the same object, and a number becomes a NumPy array. A
      typed key becomes its data, ``jax.random.key_data``, under its path and the name of its implementation: "key.threefry2x32". None and empty
      containers leave no trace.

    Raises:
      TypeError: a leaf is neither an array nor a number, or the tree is a single leaf.
      ValueError: two leaves have the same dotted path, as in ``{"a.b": x, "a": {"b": y}}``.

    Example:
      >>> import optax
      >>> params = {"fc": {"weight": jnp.ones((3, 2))}}
      >>> list(to_arrays({"params": params, "opt_state": optax.sgd(0.1, momentum=0.9).init(params), "key": jax.random.key(0)}))
      ['key.threefry2x32', 'opt_state.0.trace.fc.weight', 'params.fc.weight']
    """
    return {name: _stored(entry) for name, entry in entries_of(tree).items()}


def from_arrays(arrays: Mapping[str, Any], like: Any, *, sharding: Any = None, partial: bool = False) -> Any:
    """The inverse of :func:`to_arrays`: a pytree with the structure of ``like`` and the values of ``arrays``, bit for bit.

    Args:
      arrays: values by the keys that ``to_arrays`` gave: what ``load_pt`` or ``numpy.load`` returned, or JAX arrays. They are copied.
      like: a pytree as it was saved, with arrays, numbers or ``jax.ShapeDtypeStruct`` as leaves (``jax.eval_shape(init, key)`` makes them for
        free). A leaf becomes what it is in ``like``: a JAX array (never weakly typed), a NumPy array, a number, a typed key.
      sharding: where JAX arrays go: a ``jax.sharding.Sharding`` for all, or a pytree of them with the structure of ``like``
        (``funnn.sharding.named_shardings(like, mesh, rules)``). None: where those of ``like`` are, if ``like`` says it, else the default device.
      partial: if True, ``arrays`` may hold more than ``like`` asks for.

    Raises:
      ValueError: lists every leaf that is missing, unexpected, or of another shape, dtype or implementation of keys. Nothing is cast.
        Also when ``sharding`` has another structure than ``like``.
      TypeError: as in ``to_arrays``, for ``like``.

    Example:
      >>> like = {"weight": jax.ShapeDtypeStruct((2,), jnp.float32), "key": jax.random.key(1)}
      >>> tree = from_arrays({"weight": np.ones(2, np.float32), "key.threefry2x32": np.array([0, 7], np.uint32)}, like)
      >>> bool(tree["key"] == jax.random.key(7))
      True
      >>> from_arrays({"weight": np.ones(3, np.float32), "key.threefry2x32": np.array([0, 7], np.uint32)}, like)
      Traceback (most recent call last):
        ...
      ValueError: The arrays do not fit `like`:
        'weight': found float32 of shape (3,), but like has float32 of shape (2,)
      Make like with the sizes that were saved.
    """
    entries = entries_of(like)
    found = {name: _reinterpreted(value, entries.get(name)) for name, value in arrays.items()}
    check_fit({name: _spec_of(value) for name, value in found.items()}, entries, "The arrays do not fit `like`", partial)
    targets = targets_of(entries, like, sharding)
    leaves = [finish(entry, place(entry, found[name], targets[name])) for name, entry in entries.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


# -- how leaves are stored


def entries_of(tree: Any) -> dict[str, Entry]:
    """How each leaf of a tree is stored, by the name of its array and in the order of its leaves."""
    entries: dict[str, Entry] = {}
    for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
        path = jax.tree_util.keystr(keys, simple=True, separator=".")
        if not path:
            raise TypeError(f"expected a pytree such as a TrainState, got a single {type(leaf).__name__}; put it into a dict")
        entry = _entry(path, leaf)
        if entry.name in entries:
            raise ValueError(f"two leaves have the path {entry.name!r}; rename one of them")
        entries[entry.name] = entry
    return entries


def _entry(path: str, leaf: Any) -> Entry:
    if isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct)) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        impls: list[str] = []

        def data_of(key: jax.Array) -> jax.Array:
            impls.append(str(jax.random.key_impl(key)))
            return jax.random.key_data(key)

        data = jax.eval_shape(data_of, jax.ShapeDtypeStruct(leaf.shape, leaf.dtype))
        return Entry(path, f"{path}.{impls[0]}", leaf, data.shape, data.dtype, impls[0])
    if isinstance(leaf, _NUMBERS):
        leaf_array: Any = np.asarray(leaf)
    elif isinstance(leaf, (jax.Array, jax.ShapeDtypeStruct, np.ndarray, np.generic)):
        leaf_array = leaf
    else:
        raise TypeError(f"{path!r} holds a {type(leaf).__name__}; only arrays, random keys and numbers can be stored, so take it out")
    dtype = np.dtype(leaf_array.dtype)
    if not jnp.issubdtype(dtype, np.number) and dtype != np.bool_:
        raise TypeError(f"{path!r} has the dtype {dtype}; only numbers and booleans can be stored, so take it out")
    return Entry(path, path, leaf, tuple(leaf_array.shape), dtype)


def _stored(entry: Entry) -> Any:
    if isinstance(entry.leaf, jax.ShapeDtypeStruct):
        raise TypeError(f"{entry.path!r} is a ShapeDtypeStruct, which has no values to store; give arrays")
    if entry.impl is not None:
        return jax.random.key_data(entry.leaf)
    return entry.leaf if isinstance(entry.leaf, jax.Array) else np.asarray(entry.leaf)


# -- what fits


def check_fit(stored: Mapping[str, Spec], entries: Mapping[str, Entry], title: str, partial: bool) -> None:
    """Raise a ValueError that lists all differences between what is stored and what is expected.

    A random key that is stored in another form than expected is told as such, and not as one missing and one unexpected array.
    """
    problems: list[str] = []
    fixes: dict[str, None] = {}  # a set in the order in which they came
    unexpected = dict.fromkeys(name for name in stored if name not in entries)
    for name, entry in entries.items():
        if name in stored:
            shape, dtype = stored[name]
            if (shape, dtype) == entry.spec:
                continue
            problems.append(f"{entry.path!r}: found {_text(shape, dtype)}, but like has {_text(*entry.spec)}")
            fixes |= {_FIX_SHAPE: None} if shape != entry.shape else {}
            fixes |= {_FIX_DTYPE: None} if dtype != entry.spec[1] else {}
            continue
        other = _other_form(entry, unexpected, stored)
        if other is None:
            problems.append(f"{name!r}: not found, but like has {_text(*entry.spec)}")
            fixes[_FIX_STRUCTURE] = None
        else:
            del unexpected[other]
            problems.append(f"{entry.path!r}: found {_form(entry.path, other)}, but like has {_form(entry.path, name)}")
            fixes[_FIX_KEY] = None
    if not partial:
        problems += [f"{name!r}: found {_text(*stored[name])}, but like has no such leaf" for name in unexpected]
        fixes |= {_FIX_STRUCTURE: None} if unexpected else {}
    if problems:
        raise ValueError("\n".join([f"{title}:", *(f"  {problem}" for problem in problems), " ".join(fixes)]))


def _other_form(entry: Entry, names: Iterable[str], stored: Mapping[str, Spec]) -> str | None:
    """The array that holds a random key in another form: raw instead of typed, or of another implementation."""
    for name in names:
        suffix = name.removeprefix(f"{entry.path}.")
        if stored[name][1] == entry.spec[1] == "uint32" and (name == entry.path or (suffix != name and "." not in suffix)):
            return name
    return None


def _form(path: str, name: str) -> str:
    return "a raw array of uint32" if name == path else f"a random key of {name.removeprefix(f'{path}.')}"


def _text(shape: tuple[int, ...], dtype: str) -> str:
    return f"{dtype} of shape {shape}"


def _spec_of(value: Any) -> Spec:
    return tuple(value.shape), str(value.dtype)


def _reinterpreted(value: Any, entry: Entry | None) -> Any:
    """The value as an array. NumPy writes bfloat16 and the like as bytes without a type (V2), which get their type back from ``like``."""
    if isinstance(value, np.ndarray) and value.dtype.type is np.void and entry is not None and value.itemsize == entry.dtype.itemsize:
        return value.view(entry.dtype)
    array = as_array(value)
    return np.asarray(value) if array is None else array


# -- where leaves go


def targets_of(entries: Mapping[str, Entry], like: Any, sharding: Any) -> dict[str, jax.sharding.Sharding | None]:
    """The sharding of each JAX array, by name; None for one that shall be on the default device, uncommitted, and for other leaves."""
    structure: Any = jax.tree.structure(like)
    if sharding is None:
        return {name: _sharding_of(entry.leaf) for name, entry in entries.items()}
    if isinstance(sharding, jax.sharding.Sharding):
        chosen = [sharding] * len(entries)
    elif jax.tree.structure(sharding) == structure:
        chosen = jax.tree.leaves(sharding)
    else:
        raise ValueError(
            "sharding must be a jax.sharding.Sharding or a pytree of them with the structure of like, got the structure"
            f" {jax.tree.structure(sharding)}; funnn.sharding.named_shardings(like, mesh, rules) makes one"
        )
    return {
        name: target if isinstance(entry.leaf, (jax.Array, jax.ShapeDtypeStruct)) else None
        for (name, entry), target in zip(entries.items(), chosen, strict=True)
    }


def _sharding_of(leaf: Any) -> jax.sharding.Sharding | None:
    told = isinstance(leaf, jax.ShapeDtypeStruct) or (isinstance(leaf, jax.Array) and leaf.committed)
    sharding: jax.sharding.Sharding | None = leaf.sharding if told else None
    return sharding


def place(entry: Entry, value: Any, target: jax.sharding.Sharding | None) -> Any:
    """A copy of a stored array: for a JAX array on its devices, else NumPy's."""
    if not isinstance(entry.leaf, (jax.Array, jax.ShapeDtypeStruct)):
        return np.array(value)
    with jax.enable_x64(True):  # 64 bits stay so in every mode
        array = jnp.array(value)
        return array if target is None else jax.device_put(array, target)


def finish(entry: Entry, array: Any) -> Any:
    """The leaf from its array, which is on its devices: a typed key, a number, or the array itself."""
    if entry.impl is not None:
        return jax.random.wrap_key_data(array, impl=entry.impl)
    if isinstance(entry.leaf, _NUMBERS):
        return type(entry.leaf)(array.item())
    return array[()] if isinstance(entry.leaf, np.generic) else array
