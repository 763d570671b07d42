"""Parts of torch that libraries mention: trees, benchmarks, the hub, futures, Sobol's points."""

import contextlib
import importlib
import io
import urllib.error
from collections import OrderedDict, defaultdict, deque, namedtuple

import numpy as np
import pytest
import torch
import torch.utils.benchmark
from twin import mask, same, same_error

import funnn.torch as shim

Pair = namedtuple("Pair", "a b")


class Box:
    def __init__(self, inside, label):
        self.inside, self.label = inside, label


def tree(t):
    return {
        "b": [1, (2, None)],
        "a": Pair(3, OrderedDict(x=4)),
        "d": defaultdict(list, {1: [5]}),
        "q": deque([6], maxlen=3),
        "s": t.ones(2, 3).shape,
        "m": t.arange(6.0).reshape(2, 3).max(0),
    }


def flat(t, value, **options):
    leaves, spec = t.utils._pytree.tree_flatten(value, **options)
    return leaves, mask(repr(spec)).replace("funnn.", ""), spec.num_leaves, spec.num_nodes, spec.num_children


TREES = {
    "flatten": lambda t: (flat(t, tree(t)), flat(t, 3), flat(t, ()), flat(t, {}), flat(t, t.ones(1)), flat(t, t.float32)),
    "is_leaf": lambda t: flat(t, [1, [2, [3]]], is_leaf=lambda value: value == [3]),
    "unflatten": lambda t: str(t.utils._pytree.tree_unflatten(list("abcdefghijk"), t.utils._pytree.tree_structure(tree(t)))),
    "map": lambda t: (
        t.utils._pytree.tree_map(lambda a, b: (a, b), [1, 2], [1, [2]]),
        t.utils._pytree.tree_map(lambda a, b: (a, b), {"a": 1, "b": 2}, OrderedDict(b=3, a=4)),
        t.utils._pytree.tree_map(lambda x: x * 2, (t.ones(2), [t.zeros(1)])),
        *(t.utils._pytree.tree_map_only(kind, lambda x: x + 1, [1, "a", 2.0]) for kind in (int, (int, float), lambda x: x == 1)),
        t.utils._pytree.tree_map_(print, [1, 2]),
    ),
    "all and any": lambda t: (
        t.utils._pytree.tree_all(bool, [1, 0]),
        t.utils._pytree.tree_any(bool, [1, 0]),
        t.utils._pytree.tree_all_only(int, bool, [1, ""]),
        t.utils._pytree.tree_any_only(int, bool, [0, "a"]),
        list(t.utils._pytree.tree_iter(tree(t)))[:7],
    ),
    "paths": lambda t: (
        [(t.utils._pytree.keystr(path), str(path), t.utils._pytree.key_get(tree(t), path)) for path, _ in t.utils._pytree.tree_leaves_with_path(tree(t))],
        t.utils._pytree.tree_map_with_path(lambda path, x: (t.utils._pytree.keystr(path), x), {"a": [1]}),
    ),
    "structures": lambda t: (
        t.utils._pytree.tree_structure(tree(t)) == t.utils._pytree.tree_structure(tree(t)),
        t.utils._pytree.tree_structure([1]) == t.utils._pytree.tree_structure((1,)),
        hash(t.utils._pytree.tree_structure({"a": 1})) == hash(t.utils._pytree.tree_structure({"a": 2})),
        t.utils._pytree.treespec_pprint(t.utils._pytree.tree_structure({"a": [1, (2,)]})),
        t.utils._pytree.tree_structure([1, [2]]).flatten_up_to([[3], (4)  and [5]]),
        t.utils._pytree.treespec_tuple([t.utils._pytree.treespec_leaf()]).is_leaf(),
    ),
    "texts": lambda t: (
        t.utils._pytree.treespec_dumps(t.utils._pytree.tree_structure({"a": [1, (2,)]})),
        *(
            t.utils._pytree.treespec_loads(t.utils._pytree.treespec_dumps(spec)) == spec
            for spec in map(t.utils._pytree.tree_structure, ({"a": [1]}, defaultdict(list, a=1), deque([1], 2), OrderedDict(b=3)))
        ),
    ),
    "broadcast": lambda t: [
        t.utils._pytree._broadcast_to_and_flatten(value, t.utils._pytree.tree_structure([1, [2, 3]])) for value in (1, [1, 2], [1, 2, 3], [1, [2, 3]])
    ],
    "questions": lambda t: [
        t.utils._pytree.is_namedtuple_instance(value) or t.utils._pytree.tree_is_leaf(value) for value in (Pair(1, 2), (1,), None, 3, {})
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_trees(name):
    same(TREES[name])


@pytest.mark.parametrize(
    ("program", "error", "text"),
    [
        (
            lambda p: p.tree_unflatten([1], p.tree_structure([1, 2])),
            ValueError,
            r"`leaves` has length 1 but the spec refers to a pytree that holds 2",
        ),
        (
            lambda p: p.tree_unflatten([1], 3),
            TypeError,
            r"Expected `treespec` to be an instance of PyTreeSpec but got item of type <class 'int'>",
        ),
        (lambda p: p.tree_map(print, [1, 2], [1]), ValueError, r"Node arity mismatch; expected 2, but got 1\."),
        (
            lambda p: p.tree_map(print, [1, 2], (1, 2)),
            ValueError,
            r"Node type mismatch; expected <class 'list'>, but got <class 'tuple'>\.",
        ),
        (
            lambda p: p.tree_map(print, {"a": 1}, {"c": 1}),
            ValueError,
            r"Node keys mismatch; missing key\(s\): \{'a'\}; extra key\(s\): \{'c'\}\.",
        ),
        (lambda p: p.register_pytree_node(dict, None, None), ValueError, r"<class 'dict'> is already registered as pytree node\."),
    ],
)
def test_errors_of_trees(program, error, text):
    same_error(lambda t: program(t.utils._pytree), error, text)


@pytest.mark.parametrize("library", [torch, shim], ids=["torch", "funnn"])
def test_registered_classes(library, monkeypatch):
    pytree = library.utils._pytree
    monkeypatch.setattr(pytree, "SUPPORTED_NODES", pytree.SUPPORTED_NODES)
    kind = type("Kept", (Box,), {})
    pytree.register_pytree_node(kind, lambda box: ([box.inside], box.label), lambda values, label: kind(values[0], label))
    leaves, spec = pytree.tree_flatten(kind([1, 2], "z"))
    assert leaves == [1, 2] and repr(spec) == "TreeSpec(Kept, z, [TreeSpec(list, None, [*,\n    *])])"
    doubled = pytree.tree_map(lambda x: x * 2, kind([1, 2], "z"))
    assert (doubled.inside, doubled.label) == ([2, 4], "z")
    with pytest.raises(ValueError, match="Did not find a flatten_with_keys_fn for type"):
        pytree.tree_flatten_with_path(kind(1, 2))
    with pytest.raises(NotImplementedError, match="No registered serialization name for"):
        pytree.treespec_dumps(spec)


# -- the benchmark

TIMES = [[1e-5, 1.1e-5, 1.2e-5, 0.9e-5], [1e-5, 3e-5, 5e-5, 0.9e-5], [1.5], [1e-9 * k for k in range(100, 120)], [4e-4] * 3]


def measured(library, times, number=10, **options):
    benchmark = importlib.import_module(f"{library.__name__}.utils.benchmark")
    spec = benchmark.TaskSpec(**{"stmt": "x+y", "setup": "pass", **options})
    return benchmark.Measurement(number_per_run=number, raw_times=times, task_spec=spec)


@pytest.mark.parametrize("number", range(len(TIMES)))
@pytest.mark.parametrize(
    "options",
    [{}, {"label": "L", "sub_label": "S", "num_threads": 4}, {"stmt": "for i in x:\n  y\n", "setup": "a=1\nb=2", "description": "D"}],
)
def test_measurements(number, options):
    def facts(t):
        each = measured(t, TIMES[number], **options)
        return (
            mask(repr(each)),
            each.significant_figures,
            each.has_warnings,
            each.title,
            each.as_row_name,
            each.env,
            [each.median, each.mean, each.iqr],
        )

    theirs, ours = facts(torch), facts(shim)
    assert ours[:-1] == theirs[:-1]
    np.testing.assert_allclose(ours[-1], theirs[-1], rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("trim", [False, True])
def test_tables_of_measurements(trim):
    def text(t):
        benchmark = importlib.import_module(f"{t.__name__}.utils.benchmark")
        rows = [(k, i, n) for k in range(2) for i in range(2) for n in (1, 4)]
        table = benchmark.Compare(
            [
                measured(t, [1e-4 * (k + 1) * (i + 1)] * 3, 1, label="L", sub_label=f"S{k}", description=f"D{i}", num_threads=n)
                for k, i, n in rows
            ]
        )
        if trim:
            table.trim_significant_figures()
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            table.print()
        return printed.getvalue()

    assert text(shim) == text(torch)


def test_timer_waits_for_what_is_computed():
    benchmark = importlib.import_module("funnn.torch.utils.benchmark")
    seen = []
    x = shim.ones(3)
    found = benchmark.Timer("seen.append(x * 2); seen[-1] + 1", globals={"seen": seen, "x": x}, label="L").timeit(5)
    assert found.number_per_run == 5 and len(found.times) == 1 and found.mean > 0 and seen[-1]._operand().array is not None
    assert benchmark.Timer("1").blocked_autorange(min_run_time=0.001).median > 0
    with pytest.raises(NotImplementedError, match="C\\+\\+"):
        benchmark.Timer("1", language="c++")


# -- Sobol's points


@pytest.mark.parametrize(("dimension", "scramble", "seed"), [(1, False, None), (3, False, None), (5, True, 3), (40, True, None)])
def test_sobol(dimension, scramble, seed):
    def points(t):
        engine = t.quasirandom.SobolEngine(dimension, scramble, seed)
        found = [
            engine.draw(1),
            engine.draw(4),
            engine.draw(2, dtype=t.float64),
            engine.num_generated,
            engine.quasi.clone(),
            engine.shift,
            engine.sobolstate,
        ]
        engine.reset().fast_forward(3)
        return [*found, engine.draw(3), t.quasirandom.SobolEngine(dimension, scramble, 1).draw_base2(3), repr(engine)]

    same(points, (0, 0))


def test_errors_of_sobol():
    same_error(lambda t: t.quasirandom.SobolEngine(0), ValueError, r"Supported range of dimensionality for SobolEngine is \[1, 21201\]")
    same_error(
        lambda t: (e := t.quasirandom.SobolEngine(2)).draw(3) is None or e.draw_base2(1),
        ValueError,
        "require n to be a power of 2. 3 points",
    )


# -- futures


def future_values(t):
    one, other, late = t.futures.Future(), t.futures.Future(), t.futures.Future()
    late.add_done_callback(lambda future: print("done", future.value()))
    one.set_result(3)
    other.set_result(4)
    late.set_result(5)
    return (
        one.done(),
        one.then(lambda future: future.wait() + 1).wait(),
        t.futures.wait_all([one, other]),
        len(t.futures.collect_all([one, late]).wait()),
    )


def test_futures():
    same(future_values)
    failed = lambda t: (future := t.futures.Future()).set_exception(ValueError("no")) or future  # noqa: E731
    same_error(lambda t: failed(t).wait(), ValueError, "no")
    same_error(
        lambda t: failed(t).then(lambda future: future.wait()).wait(), RuntimeError, "error when running the callback: ValueError: no"
    )
    same_error(lambda t: failed(t).set_result(1), RuntimeError, "mark a completed Future as complete again")
    same_error(lambda t: t.futures.Future().set_exception(3), AssertionError, "3 is of type <class 'int'>, not an Exception")


# -- the hub


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "hubconf.py").write_text(
        "dependencies = ['numpy']\nfrom parts_of_hub import make\ndef net(n, *, out=2):\n  'A net.'\n  return make(n, out)\ndef _hidden(): pass\n"
    )
    (tmp_path / "parts_of_hub.py").write_text("def make(*sizes): return sizes\n")
    return tmp_path


def test_hub_from_a_folder(repository):
    same(lambda t: t.hub.load(str(repository), "net", 3, source="local", out=4))
    same_error(lambda t: t.hub.load(str(repository), "no", source="local"), RuntimeError, "Cannot find callable no in hubconf")
    same_error(lambda t: t.hub.load(str(repository), "net", source="x"), ValueError, 'Unknown source: "x"')
    (repository / "hubconf.py").write_text("dependencies = ['no_such_package']\n")
    same_error(lambda t: t.hub.load(str(repository), "net", source="local"), RuntimeError, "Missing dependencies: no_such_package")


def test_hub_from_the_cache(repository, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    same(lambda t: t.hub.get_dir())
    folder = tmp_path / "home" / "hub"
    with pytest.raises(RuntimeError, match=r"'a/b' is not in the cache: put its files into .*a_b_main"):
        shim.hub.load("a/b", "net")
    folder.mkdir(parents=True)
    (folder / "a_b_v1").symlink_to(repository)
    assert shim.hub.load("a/b:v1", "net", 3) == (3, 2) and "Using cache found in" in capsys.readouterr().err
    assert shim.hub.list("a/b:v1") == ["make", "net"] and shim.hub.help("a/b:v1", "net") == "A net."
    (folder / "checkpoints").mkdir()
    torch.save({"w": torch.ones(2)}, folder / "checkpoints" / "x.pth")
    same(lambda t: t.hub.load_state_dict_from_url("http://127.0.0.1:9/files/x.pth?a=b"))
    same(lambda t: t.hub.load_state_dict_from_url("http://127.0.0.1:9/y.pth", file_name="x.pth", map_location="cpu", weights_only=True))
    with pytest.raises(urllib.error.URLError, match=r"y.pth is not in the cache: put the file to .*checkpoints/y.pth"):
        shim.hub.load_state_dict_from_url("http://127.0.0.1:9/y.pth")
    file = tmp_path / "served-0a1b.bin"
    file.write_bytes(b"content")
    shim.hub.download_url_to_file(file.as_uri(), str(tmp_path / "got"), "ed7002b4")
    assert (tmp_path / "got").read_bytes() == b"content"
    with pytest.raises(RuntimeError, match="invalid hash value"):
        shim.hub.download_url_to_file(file.as_uri(), str(tmp_path / "other"), "00")
    assert not [path for path in tmp_path.iterdir() if path.name in ("other",) or path.suffix == ".partial"]


def test_config():
    assert shim.__config__.show().startswith("PyTorch built with:\n  - ") and "cpu" in shim.__config__.parallel_info()
    assert importlib.import_module("funnn.torch.utils.model_zoo").load_url is shim.hub.load_state_dict_from_url
