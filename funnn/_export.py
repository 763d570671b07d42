"""A layer as a program in a file, which runs without the layer's code: ``funnn.export`` and ``funnn.load_exported``, over jax.export."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
from jax import export as jax_export

from funnn._types import Tree
from funnn.checkpoint import CheckpointError, flatten, load_pt, save_pt, unflatten
from funnn.checkpoint._replacing import replacing
from funnn.checkpoint._source import File
from funnn.errors import ExportError
from funnn.layers import Layer

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
#: The members of a file: what the other two are, JAX's program, and the arrays.
CONTENTS, PROGRAM, ARRAYS = "contents.json", "program", "arrays.pt"
_FORMAT = "funnn.export"


class Exported:
    """A program that :func:`export` made of a layer, or :func:`load_exported` has read: call it as a function of the layer's inputs.

    It may be called under jit; JAX compiles it once for each shape of its inputs.

    Attributes:
      program: the ``jax.export.Exported``, a function of (params, state, key data, *inputs) with params and state as flat dicts.
      params, state: the layer's, as nested dicts; None in a program that was saved without them.
      name: the name of the layer's class.
    """

    def __init__(self, program: jax_export.Exported, params: Tree | None, state: Tree | None, name: str):
        self.program, self.params, self.state, self.name = program, params, state, name
        self._call = jax.jit(program.call)
        args, _ = jax.tree.unflatten(program.in_tree, program.in_avals)
        self._expected = {"params": args[0], "state": args[1]}
        self._key, self._inputs = args[2], args[3:]

    @property
    def platforms(self) -> tuple[str, ...]:
        """What it runs on: some of "cpu", "cuda", "rocm" and "tpu"."""
        return tuple(self.program.platforms)

    def __call__(self, *inputs: Any, key: jax.Array | None = None) -> Any:
        """The layer's output, with the params and the state that are inside; a new state is dropped.

        Raises:
          ValueError: there are none inside.
        """
        if self.params is None or self.state is None:
            raise ValueError(f"the exported {self.name} has no parameters inside; use apply(params, state, *inputs)")
        return self.apply(self.params, self.state, *inputs, key=key)[0]

    def apply(self, params: Tree, state: Tree, *inputs: Any, key: jax.Array | None = None) -> tuple[Any, Tree]:
        """As ``layer.apply``: (output, new state), with these params and this state.

        Raises:
          ValueError: names, shapes or types are others than those at the time of the export; or a key is given or missing other than then.
        """
        flat = {"params": flatten(params), "state": flatten(state)}
        for what, tree in flat.items():
            self._check(what, tree)
        if (key is None) != (self._key is None):
            raise ValueError(f"the exported {self.name} {'takes no key' if self._key is None else 'draws random numbers: give key'}")
        data = None if key is None else jax.random.key_data(key)
        output, state = self._call(flat["params"], flat["state"], data, *inputs)
        return output, unflatten(state)

    def _check(self, what: str, tree: Mapping[str, Any]) -> None:
        expected = self._expected[what]
        parts = [
            f"{label} {sorted(names)}"
            for label, names in (("missing", expected.keys() - tree.keys()), ("unknown", tree.keys() - expected.keys()))
            if names
        ]
        parts += [
            f"{name!r} is {text} instead of {_text(aval)}"
            for name, aval in expected.items()
            if name in tree and (text := _text(tree[name])) != _text(aval)
        ]
        if parts:
            raise ValueError(f"{what} do not fit the exported {self.name}: {', '.join(parts)}")

    def save(self, file: File, *, params: bool = True, derivatives: int = 0) -> None:
        """Write it to a file for :func:`load_exported`.

        Args:
          file: a path, or a binary file open for writing.
          params: whether params and state are in the file; without, ``apply`` takes them.
          derivatives: how often the loaded program can be differentiated, in reverse mode; default 0.

        The file is a zip: ``program`` is what ``jax.export.deserialize`` reads, ``arrays.pt`` is a file of :func:`funnn.checkpoint.load_pt`. JAX reads
        programs for at least six months of later versions.

        Raises:
          ImportError: the package flatbuffers, which JAX writes programs with, is not installed.
          ExportError: the program has something that can't be written, such as a callback into Python.
        """
        try:
            program = self.program.serialize(vjp_order=derivatives)
        except ImportError as error:
            raise ImportError("saving an exported layer needs the package flatbuffers: pip install funnn[export]") from error
        except Exception as error:
            raise ExportError(f"the exported {self.name} can't be written to a file: {_first_line(error)}") from error
        members: dict[str, bytes] = {PROGRAM: bytes(program)}
        if params and self.params is not None:
            stream = io.BytesIO()
            save_pt({"params": flatten(self.params), "state": flatten(self.state)}, stream)
            members[ARRAYS] = stream.getvalue()
        contents = {"format": _FORMAT, "version": 1, "name": self.name, "platforms": self.platforms, "jax": jax.__version__}
        members[CONTENTS] = json.dumps(contents).encode()
        if isinstance(file, (str, os.PathLike)):
            with replacing(file) as target:
                _write(target, members)
        else:
            _write(file, members)

    def __repr__(self) -> str:
        inputs = ", ".join(_texts(self._inputs))
        outputs, _ = jax.tree.unflatten(self.program.out_tree, self.program.out_avals)
        results = ", ".join(_texts(outputs))
        inside = "" if self.params is not None else ", without parameters"
        return f"Exported({self.name}: ({inputs}) -> ({results}), platforms={self.platforms}{inside})"


def export(
    layer: Layer,
    params: Tree,
    state: Tree,
    *inputs: Any,
    shapes: Any = None,
    platforms: Sequence[str] | None = None,
    key: jax.Array | None = None,
    train: bool = False,
    method: str = "forward",
    **kwargs: Any,
) -> Exported:
    """A layer as a program that runs without its code, for batches of any size and on several platforms.

    Args:
      layer, params, state: as ``layer.apply`` takes them; the arrays go into the file, unless ``save(file, params=False)``.
      *inputs: examples of what it is called with; of arrays only shape and dtype count, so ``jax.ShapeDtypeStruct`` will do.
      shapes: which sizes are open, in the language of ``jax.export.symbolic_shape``: "batch, ..." is a first axis of any size, the same for all inputs, and
        the rest as in the example; "batch, time, _" has two. A tuple has one of them (or None) for each input. Default: all as in the examples.
      platforms: some of "cpu", "cuda", "rocm" and "tpu"; default where the program is now.
      key: an example of a key, if the layer draws random numbers.
      train, method, **kwargs: as ``layer.apply`` takes them; they are fixed in the program.

    Returns:
      An :class:`Exported`: call it, or ``save`` it for :func:`load_exported`. Source: jax.export, for programs; torch.export, for the idea.

    Raises:
      TypeError: it is no Layer.
      ValueError: an unknown platform, or shapes that don't fit the inputs.
      ExportError: the layer's code needs a size as a number where it is open, or does something else that no program can.

    >>> import jax.numpy as jnp
    >>> from funnn.layers import Linear, ReLU, Sequential
    >>> net = Sequential(Linear(4, 8), ReLU(), Linear(8, 2))
    >>> params, state = net.init(jax.random.key(0))
    >>> exported = export(net, params, state, jnp.ones((1, 4)), shapes="batch, ...", platforms=("cpu", "cuda"))
    >>> exported
    Exported(Sequential: (float32[batch,4]) -> (float32[batch,2]), platforms=('cpu', 'cuda'))
    >>> exported(jnp.ones((17, 4))).shape
    (17, 2)
    """
    if not isinstance(layer, Layer):
        way = "; take layer, params, state = torch.to_functional(module)" if hasattr(layer, "state_dict") else ""
        raise TypeError(f"export takes a funnn Layer, got {type(layer).__name__}{way}")
    if platforms is not None and (isinstance(platforms, str) or not platforms or any(name not in PLATFORMS for name in platforms)):
        raise ValueError(f"export: platforms must be some of {PLATFORMS}, such as ('cpu', 'cuda'), got {platforms!r}")
    implementation = None if key is None else str(jax.random.key_impl(key))

    def run(params: Tree, state: Tree, data: Any, *inputs: Any) -> tuple[Any, Tree]:
        drawn = None if data is None else jax.random.wrap_key_data(data, impl=cast(Any, implementation))
        output, new = layer.apply(unflatten(params), unflatten(state), *inputs, key=drawn, train=train, method=method, **kwargs)
        return output, flatten(new)

    examples = (flatten(params), flatten(state), None if key is None else jax.random.key_data(key), *inputs)
    specs = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(jax.numpy.shape(leaf), jax.dtypes.result_type(leaf)), examples)
    jax.eval_shape(run, *specs)  # what is wrong with the call itself, in its own words
    try:
        opened = specs[3:] if shapes is None else jax_export.symbolic_args_specs(specs[3:], _for_each(shapes))
    except Exception as error:
        raise ValueError(f"export: shapes={shapes!r} do not fit the inputs {_texts(specs[3:])}: {_first_line(error)}") from error
    try:
        program = jax_export.export(jax.jit(run), platforms=platforms)(*specs[:3], *opened)
    except Exception as error:
        sizes = f" with shapes={shapes!r}" if shapes is not None else ""
        way = "; leave fewer sizes open" if shapes is not None else ""
        way = "; no program can call back into Python" if "callback" in str(error) else way
        raise ExportError(f"{type(layer).__name__} can't be exported{sizes}: {_first_line(error)}{way}") from error
    return Exported(program, params, state, type(layer).__name__)


def load_exported(file: File) -> Exported:
    """Read what ``Exported.save`` wrote: a function that needs neither the layer's class nor its code.

    Args:
      file: a path, or a binary file open for reading.

    Raises:
      CheckpointError: (a ValueError) it is no such file, is damaged, or JAX can't read its program.
      ImportError: the package flatbuffers is not installed.
      OSError: it cannot be opened.

    A file of somebody else's holds a program that only computes: nothing in it is executed as Python.
    """
    name = repr(os.fspath(file)) if isinstance(file, (str, os.PathLike)) else "the file"
    try:
        with zipfile.ZipFile(file) as archive:
            members = {member: archive.read(member) for member in archive.namelist() if member in (CONTENTS, PROGRAM, ARRAYS)}
        contents = json.loads(members[CONTENTS])
        program, known = members[PROGRAM], (contents["format"], contents["version"]) == (_FORMAT, 1)
    except (zipfile.BadZipFile, KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{name} is no file of funnn.export, or is damaged: {_first_line(error)}") from error
    if not known:
        raise CheckpointError(
            f"{name} is of {contents['format']!r}, version {contents['version']}; this funnn reads {_FORMAT!r}, version 1"
        )
    try:
        loaded = jax_export.deserialize(bytearray(program))
    except ImportError as error:
        raise ImportError("reading an exported layer needs the package flatbuffers: pip install funnn[export]") from error
    except Exception as error:
        made = f"JAX {jax.__version__} can't read the program in {name}, which JAX {contents.get('jax')} wrote"
        raise CheckpointError(f"{made}: {_first_line(error)}") from error
    arrays = jax.tree.map(jax.numpy.asarray, load_pt(io.BytesIO(members[ARRAYS]))) if ARRAYS in members else None
    params, state = (None, None) if arrays is None else (unflatten(arrays["params"]), unflatten(arrays["state"]))
    return Exported(loaded, params, state, contents["name"])


def _for_each(shapes: Any) -> Any:
    """A tuple of shapes with "..." for None, which leaves an input as its example is."""
    return tuple("..." if item is None else item for item in shapes) if isinstance(shapes, (tuple, list)) else shapes


def _write(target: Any, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def _texts(specs: Any) -> list[str]:
    return [_text(spec) for spec in jax.tree.leaves(specs)]


def _text(array: Any) -> str:
    """An array's type and shape: float32[batch,4]."""
    return f"{jax.dtypes.result_type(array)}[{','.join(map(str, jax.numpy.shape(array)))}]"


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
