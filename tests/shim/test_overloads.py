"""Every overload that PyTorch's parsers have, called by the names of its arguments, by position, and with ``out=``; and calls that none of them takes.

The overloads are those of ``overloads.txt``, which is read from PyTorch. Arguments come from PyTorch's database of operations, or by their names and kinds from
``BY_NAME`` and ``BY_KIND``; what PyTorch takes must give the same here.
"""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from allowed import no_difference
from opinfo import dtype_of, op_db, to_shim
from twin import compare, run

import funnn.torch as shim
from funnn.engine.dispatch.overloads import Overload, Parameter, Refused, _lines, overloads

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(_lines())


def owners(name: str) -> list[tuple]:
    """The functions of both libraries that have the parser's name, and whether they are methods."""
    if name.startswith("nn."):
        name = name.removeprefix("nn.")
        return [(getattr(torch.nn.functional, name), getattr(shim.nn.functional, name), False)]
    space, _, rest = name.partition("_")
    pairs = []
    if space in ("linalg", "special", "fft") and rest:
        pairs.append((getattr(getattr(torch, space), rest, None), getattr(getattr(shim, space), rest, None), False))
    pairs.append((getattr(torch, name, None), getattr(shim, name, None), False))
    pairs.append((getattr(torch.Tensor, name, None), getattr(shim.Tensor, name, None), True))
    return [pair for pair in pairs if pair[0] is not None and pair[1] is not None]


@functools.cache
def operations() -> dict[str, list]:
    """The database's operations by the names of their functions and methods."""
    found: dict[str, list] = {}
    for op in op_db:
        if op.name.startswith(("_refs", "ops")) or not set(op.dtypes) & {torch.float32, torch.int64, torch.complex64, torch.bool}:
            continue
        names = {op.name, *(alias.name for alias in op.aliases)}
        for variant in (op.method_variant, op.inplace_variant):
            names.add(getattr(variant, "__name__", op.name))
        for name in names:
            found.setdefault(name.replace("nn.functional.", "nn.") if name.startswith("nn.") else name.replace(".", "_"), []).append(op)
    return found


def _random(*size: int) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(len(size))).abs()


#: Values by the name of an argument; several are tried.
BY_NAME = {
    "dim": [0, (0,)],
    "indices": [torch.tensor([0, 1]), [1], torch.tensor([0])],
    "index": [torch.tensor([0, 1]), torch.tensor([[0, 1]]), 0],
    "mask": [torch.tensor([[True, False], [False, True]])],
    "condition": [torch.tensor([[True, False], [False, True]])],
    "size": [(2, 2)],
    "sizes": [(2, 1)],
    "shape": [(4,)],
    "dims": [(0, 1), (0,)],
    "dims_self": [(1,)],
    "dims_other": [(0,)],
    "value": [torch.tensor(3.0), 3.0],
    "reduction": [1],
    "rounding_mode": ["floor"],
    "reduce": ["add", "sum"],
    "interpolation": ["linear"],
    "side": ["right"],
    "split_sizes": [(1, 1)],
    "split_size": [1],
    "split_size_or_sections": [(1, 1)],
    "sections": [2],
    "n": [1, 4],
    "start": [0],
    "end": [4],
    "step": [1],
    "q": [torch.tensor([0.5])],
    "p": [2.0, 0.0],
    "ord": [2, "fro"],
    "output_size": [(2,), 2],
    "equation": ["ij,jk"],
    "spacing": [1.0, (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]))],
    "count": [torch.tensor([3.0])],
    "data": [[1.0, 2.0]],
    "range": [None],
    "bins": [3, (3, 3)],
    "dtype": [torch.float64, torch.float32, torch.int32],
    "device": ["cpu"],
    "fill_value": [2],
    "lengths": [torch.tensor([1, 1])],
    "min": [0.25],
    "max": [0.75],
    "generator": [None],
    "axis0": [0],
    "axis1": [1],
    "dim0": [0],
    "dim1": [1],
    "dim2": [1],
    "destination": [1],
    "blank": [0],
    "input_lengths": [(3, 3), torch.tensor([3, 3])],
    "log_probs": [torch.log_softmax(_random(3, 2, 4), 2)],
    "targets": [torch.tensor([[1, 2], [1, 3]])],
    "target_lengths": [(2, 1), torch.tensor([2, 1])],
    "test_element": [1.0],
    "element": [1.0],
    "test_elements": [_random(2, 2)],
    "window_length": [5],
    "low": [0],
    "high": [5],
    "requires_grad": [False],
    "repeats": [torch.tensor([1, 2]), 2],
    "memory_format": [torch.contiguous_format],
    "layout": [torch.strided],
    "steps": [3],
    "padding_idx": [-1],
    "g": [_random(2, 1)],
    "other": [_random(2, 2), torch.tensor([[1, 2], [3, 1]]), 2],
    "exponent": [2],
    "kernel_size": [(2,), 2],
    "dimensions": [1],
    "tensors": [(_random(2, 2), _random(2, 2))],
    "matrices": [(_random(2, 2), _random(2, 2))],
    "tensors1": [(_random(2, 2), _random(2, 2))],
    "scalars": [(2.0, 0.5), torch.tensor([2.0, 0.5])],
    "weight": [_random(2, 2), None, _random(2, 2, 2), _random(1, 2, 2, 2, 2)],
    "to": [3],
    "from": [1],
}
BY_KIND = {
    "Tensor": [
        _random(2, 2),
        torch.tensor([[1, 2], [3, 1]]),
        torch.tensor([True, False]),
        _random(2, 4, 4),
        _random(2),
        _random(1, 2, 4, 4, 4),
    ],
    "Number": [2, 0.5],
    "Scalar": [2.0],
    "float": [0.5],
    "int": [1, 2],
    "bool": [True, False],
    "str": ["mean"],
    "torch.dtype": [torch.float32],
    "object": [[1.0, 2.0], 0],
}
ATTEMPTS = 6


def made(overload: Overload, attempt: int, every: bool) -> dict | None:
    """Values for the arguments that an overload requires, or for ``every`` one; None where there is none to try."""
    values = {}
    for item in overload.parameters:
        if item.name == "out" or not (every or is_required(item)):
            continue
        choices = BY_NAME.get(item.name) or BY_KIND.get(item.kind, ())
        fitting = [value for value in choices if item.takes(to_shim(value))]
        if not fitting and item.many:
            fitting = [(value,) * 2 for value in BY_KIND.get(item.kind, ()) if item.takes((to_shim(value),) * 2)]
        if fitting:
            values[item.name] = fitting[attempt % len(fitting)]
        elif is_required(item):
            return None
    return values


def is_required(item: Parameter) -> bool:
    return type(item.default) is object


def sampled(name: str) -> list[tuple[Overload, dict]]:
    """Overloads with values by name from the database: each with each set of names once."""
    torch.manual_seed(0)
    found = {}
    for op in operations().get(name, ()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            first = list(itertools.islice(op.sample_inputs("cpu", dtype_of(op)), 12))
        for sample in first:
            args, kwargs = (sample.input, *sample.args), sample.kwargs
            ours, named = to_shim(args), to_shim(kwargs)
            theirs = {id(mine): value for mine, value in zip((*ours, *named.values()), (*args, *kwargs.values()), strict=True)}
            for overload in overloads(name):
                try:
                    values = overload.bind(ours, named)
                except Refused:
                    continue
                values = {key: theirs.get(id(value), value) for key, value in values.items()}
                if not overload.deprecated and not _holds_shim(values.values()):
                    found.setdefault((overload.text, tuple(values)), (overload, values))
                break
    return list(found.values())


def _holds_shim(values) -> bool:
    return any(isinstance(value, shim.Tensor) or (isinstance(value, (list, tuple)) and _holds_shim(value)) for value in values)


def attempts(name: str) -> Iterator[tuple[Overload, dict]]:
    """The calls of the database, and values made up for overloads of which PyTorch took none."""
    yield from sampled(name)
    for overload in overloads(name):
        if not overload.deprecated and (name, overload.text) not in taken:
            tried = [made(overload, attempt, every) for every in (False, True) for attempt in range(ATTEMPTS)]
            yield from ((overload, values) for values in tried if values is not None)


def copied(value):
    if isinstance(value, torch.Tensor):
        return value.clone()
    return type(value)(map(copied, value)) if type(value) in (list, tuple) else value


def by_name(overload: Overload, values: dict, is_method: bool) -> tuple[tuple, dict]:
    first = next(iter(values)) if is_method else None
    return (() if first is None else (values[first],)), {key: value for key, value in values.items() if key != first}


def by_position(overload: Overload, values: dict, is_method: bool) -> tuple[tuple, dict]:
    return overload.call(values)


def outcome(library, function, args: tuple, kwargs: dict):
    library.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


#: What has no specified numbers.
UNSPECIFIED = ("empty", "new_empty", "resize", "new", "eig", "svd", "linalg_eig", "linalg_lstsq", "linalg_cholesky_ex")
TOLERANCE = {
    "polygamma": (1e-4, 1e-4),
    "polygamma_": (1e-4, 1e-4),
    "linalg": (1e-4, 1e-5),
    "special": (1e-4, 1e-4),
    **dict.fromkeys(("conv_transpose3d", "nn.conv_transpose3d"), (1e-4, 1e-4)),
}
#: Where an overload takes what is not tried here: it is refused, or depends on what PyTorch does not check.
LEFT_OUT = {
    "set_": no_difference("PyTorch lets a tensor of booleans take the memory of one of floats"),
    "embedding": no_difference("PyTorch takes a padding_idx out of range"),
    **dict.fromkeys(("rnn_relu_cell", "rnn_tanh_cell", "hinge_embedding_loss"), no_difference("PyTorch computes with integers")),
    "nn.batch_norm": no_difference("PyTorch takes one dimension without elements"),
    "nn.elu_": no_difference("of the function in C++ that PyTorch shows here, the scales are no arguments of F.elu"),
    "nn.triplet_margin_with_distance_loss": no_difference("its samples hold functions of PyTorch"),
    **dict.fromkeys(
        ("nn.rrelu_", "nn.embedding_bag", "_weight_norm", "lu_unpack", "_native_batch_norm_legit"),
        no_difference("PyTorch takes wrong operands"),
    ),
    **dict.fromkeys(
        ("fft_ihfft2", "fft_ihfftn", "split_copy", "split_with_sizes_copy"), no_difference("PyTorch leaves an out of no elements as it is")
    ),
    **dict.fromkeys(("map_", "map2_", "apply_"), no_difference("tests/shim/test_small_names.py has them")),
    **dict.fromkeys(
        ("is_shared", "pin_memory", "is_pinned", "data_ptr", "const_data_ptr", "storage", "cuda"), no_difference("of memory and devices")
    ),
}
taken: set[tuple[str, str]] = set()


def _call_each(name: str, ways: tuple) -> None:
    for overload, values in attempts(name):
        for theirs, ours, is_method in owners(name):
            for way in ways:
                args, kwargs = way(overload, values, is_method)
                try:
                    expected = outcome(torch, theirs, copied(args), {key: copied(value) for key, value in kwargs.items()})
                except Exception:
                    continue  # no call of PyTorch's
                mine = to_shim(copied(args)), {key: to_shim(copied(value)) for key, value in kwargs.items()}
                try:
                    got = outcome(shim, ours, *mine)
                    taken.add((name, overload.text))
                    if not any(name.startswith(word) for word in UNSPECIFIED):
                        compare(got, expected, tolerance=TOLERANCE.get(name, TOLERANCE.get(name.partition("_")[0])))
                except Exception as error:
                    error.add_note(f"{name}{overload.text}, {way.__name__}: {kwargs or args}")
                    raise


def _call_with_out(name: str) -> None:
    """The call by name with ``out``, of no elements and the result's types, which holds the result then and is returned."""
    for overload, values in attempts(name):
        if all(item.name != "out" for item in overload.parameters):
            continue
        for theirs, ours, is_method in owners(name):
            if is_method:
                continue
            kwargs = {key: value for key, value in values.items() if key != "out"}
            try:
                result = outcome(torch, theirs, (), kwargs)
                out = (
                    torch.empty(0, dtype=result.dtype)
                    if isinstance(result, torch.Tensor)
                    else tuple(torch.empty(0, dtype=r.dtype) for r in result)
                )
                expected = outcome(torch, theirs, (), {**kwargs, "out": out})
            except Exception:
                continue
            mine = to_shim({key: copied(value) for key, value in kwargs.items()})
            empty = to_shim(
                tuple(torch.empty(0, dtype=r.dtype) for r in result) if isinstance(out, tuple) else torch.empty(0, dtype=result.dtype)
            )
            try:
                got = outcome(shim, ours, (), {**mine, "out": empty})
                with_out.add((name, overload.text))
                assert type(got).__name__ == type(expected).__name__, f"{type(got)}, torch has {type(expected)}"
                if expected is None:
                    got, expected = empty, out
                assert all(a is b for a, b in zip(got, empty, strict=True)) if isinstance(out, tuple) else got is empty
                if not any(name.startswith(word) for word in UNSPECIFIED):
                    compare(got, expected, tolerance=TOLERANCE.get(name, TOLERANCE.get(name.partition("_")[0])))
            except Exception as error:
                error.add_note(f"{name}{overload.text}: {kwargs}")
                raise


with_out: set[tuple[str, str]] = set()
WITH_OUT = [
    name
    for name in NAMES
    if name not in LEFT_OUT and any(item.name == "out" for overload in overloads(name) for item in overload.parameters)
]


@pytest.mark.parametrize("name", WITH_OUT)
def test_out(name):
    _call_with_out(name)


# -- numbers first


OLDER = [(name, overload) for name in NAMES for overload in overloads(name) if overload.deprecated and "sspaddmm" not in name]
_SHAPES = {"mat": (2, 2), "mat1": (2, 2), "mat2": (2, 2), "vec": (2,), "vec1": (2,), "vec2": (2,), "batch1": (3, 2, 2), "batch2": (3, 2, 2)}
_FIRST = {"addmv": (2,), "baddbmm": (3, 2, 2)}


@pytest.mark.parametrize("name, overload", OLDER, ids=lambda item: item if isinstance(item, str) else str(len(item.parameters)))
def test_numbers_first(name, overload, monkeypatch):
    """The older order of arguments: the same result, and a warning that names the newer one, once."""
    monkeypatch.setattr("funnn.engine.dispatch.torch_reading._warned", False)

    def program(t):
        values = []
        for item in overload.positional:
            shape = _FIRST.get(name.strip("_"), (2, 2)) if item.name in ("self", "input") else _SHAPES.get(item.name, (2, 2))
            values.append(t.tensor(_random(*shape).tolist()) if item.kind == "Tensor" else 2.0)
        method = overload.is_method()
        return getattr(values[0], name)(*values[1:]) if method else getattr(t, name)(*values)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, _ = run(program, torch)
    with pytest.warns(UserWarning, match=rf"This overload of {name} is deprecated:\n\t{name}\(") as caught:
        got, _ = run(program, shim)
    compare(got, expected)
    assert len(caught) == 1 and caught[0].filename == __file__
    assert "Consider using one of the following signatures instead:" in str(caught[0].message)


def test_the_warning_is_pytorchs():
    """The whole text, in processes of their own, since it comes once."""
    program = "import warnings\nimport {} as torch\nwarnings.simplefilter('error')\ntorch.ones(2).add_(2, torch.ones(2))"
    texts = []
    for library in ("torch", "funnn.torch"):
        done = subprocess.run([sys.executable, "-c", program.format(library)], capture_output=True, text=True, cwd=ROOT, check=False)
        texts.append(done.stderr[done.stderr.index("UserWarning") :].partition(" (Triggered")[0].strip())
    assert texts[0] == texts[1]


# -- what no overload takes


class Stranger:
    """An argument of no kind that PyTorch knows."""


#: Where another error comes first, or what PyTorch looks at changes nothing here.
_TAKEN = (
    *(
        "_make_subclass",
        "is_tensor",
        "is_storage",
        "typename",
        "__eq__",
        "cpu",
        "cuda",
        "is_contiguous",
        "is_pinned",
        "is_set_to",
        "pin_memory",
        "set_",
    ),
    *("stft", "istft", "nn.alpha_dropout", "nn.feature_alpha_dropout", "unique", "unique_consecutive", "new_tensor"),
)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in _TAKEN])
def test_wrong_arguments(name):
    """A stranger in the place of each argument, and one argument too many or unknown: PyTorch's class, and its words where there is one overload."""
    for theirs, ours, is_method in owners(name):
        x, y = torch.ones(2), shim.ones(2)
        first = ((x,), (y,)) if is_method else ((), ())
        for args, kwargs in (((), {"unknown": 1}), ((Stranger(),), {}), ((Stranger(),) * 3, {})):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    theirs(*first[0], *args, **kwargs)
            except TypeError:
                with pytest.raises(TypeError), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    ours(*first[1], *args, **kwargs)
            except Exception:
                continue


WORDS = {
    "type of a tensor": lambda t: t.add(t.ones(2), object()),
    "type of a list": lambda t: t.cat(object()),
    "element of a list": lambda t: t.permute(t.ones(2, 2), (0, 1.5)),
    "missing": lambda t: t.erf(),
    "two missing": lambda t: t.dist(),
    "too many": lambda t: t.erf(t.ones(2), 1),
    "unknown": lambda t: t.erf(t.ones(2), there=1),
    "twice": lambda t: t.erf(t.ones(2), input=t.ones(2)),
    "by name": lambda t: t.cumsum(t.ones(2), dim="a"),
    "element of a list of tensors": lambda t: t.cat([t.ones(2), 1]),
    "first element": lambda t: t.permute(t.ones(2, 2), ("a", 1)),
    "linear of a list": lambda t: t.nn.Linear(2, 2)([1.0, 2.0]),
    "linear of an ndarray": lambda t: t.nn.Linear(2, 2)(t.ones(2).numpy()),
    "linear of a list and a tensor": lambda t: t.nn.functional.linear([1.0], t.ones(1, 1)),
    "several": lambda t: t.sum(t.ones(2), dim="a"),
}


@pytest.mark.parametrize("name", WORDS)
def test_words(name):
    """The whole text of PyTorch's error, but for the lines that explain each overload."""
    texts = []
    for library in (torch, shim):
        with pytest.raises(TypeError) as error:
            WORDS[name](library)
        texts.append("\n".join(line.rstrip() for line in str(error.value).splitlines() if "didn't match" not in line).strip())
    assert texts[0] == texts[1]


def test_the_file_is_current():
    done = subprocess.run([sys.executable, ".ci/overloads.py", "--check"], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


CALLED = [name for name in NAMES if name not in LEFT_OUT]


@pytest.mark.parametrize("name", CALLED)
def test_by_name_and_position(name):
    _call_each(name, (by_name, by_position))
