"""funnn.torch.utils.data against torch.utils.data: the same seed gives the same batches, and leaves the generator where torch leaves it."""

import collections
import collections.abc
import importlib
import itertools
import warnings

import numpy as np
import pytest
import torch

import funnn.torch as ftorch

BOTH = (ftorch, torch)
Point = collections.namedtuple("Point", ["x", "y"])


def plain(value):
    """Nested Python data, with dtypes, for comparison across the two libraries."""
    if isinstance(value, BOTH_TENSORS):
        return str(value.dtype), tuple(value.shape), value.tolist()
    if isinstance(value, np.ndarray):
        return type(value), str(value.dtype), value.tolist()
    if isinstance(value, collections.abc.Mapping):
        return type(value).__name__, {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(item) for item in value]
    return value


BOTH_TENSORS = (ftorch.Tensor, torch.Tensor)


def agree(function):
    """``function(torch)`` gives the same plain data, or raises the same class with the same beginning of the text, in both."""
    results = []
    for library in BOTH:
        try:
            results.append(plain(function(library)))
        except Exception as error:
            results.append((type(error), str(error)[:29]))
    assert results[0] == results[1]
    return results[0]


def tensors(t, size=10):
    return t.utils.data.TensorDataset(t.arange(size * 6).reshape(size, 2, 3) / 8, t.arange(size))


def squares(t):
    class Squares(t.utils.data.Dataset):
        def __getitem__(self, index):
            return {"value": float(index), "square": index**2, "name": f"n{index}", "pair": (np.float32(index), [index, True])}

        def __len__(self):
            return 7

    return Squares()


def stream(t, length=None):
    class Stream(t.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(7))

    if length is not None:
        Stream.__len__ = lambda self: length
    return Stream()


LOADERS = {
    "sequential": lambda t, g: t.utils.data.DataLoader(tensors(t), batch_size=4),
    "shuffle": lambda t, g: t.utils.data.DataLoader(tensors(t), batch_size=4, shuffle=True),
    "drop_last": lambda t, g: t.utils.data.DataLoader(tensors(t), 4, True, drop_last=True, pin_memory=False, num_workers=0),
    "generator": lambda t, g: t.utils.data.DataLoader(tensors(t), 3, shuffle=True, generator=g),
    "single": lambda t, g: t.utils.data.DataLoader(tensors(t), batch_size=None, shuffle=True),
    "subset": lambda t, g: t.utils.data.DataLoader(t.utils.data.Subset(tensors(t), [5, 1, 3, 8, 2]), 2, shuffle=True),
    "split": lambda t, g: t.utils.data.DataLoader(t.utils.data.random_split(tensors(t), [0.65, 0.35])[0], 4, shuffle=True),
    "concat": lambda t, g: t.utils.data.DataLoader(tensors(t, 3) + tensors(t, 4), 3, shuffle=True),
    "dicts": lambda t, g: t.utils.data.DataLoader(squares(t), 3, shuffle=True),
    "subset of dicts": lambda t, g: t.utils.data.DataLoader(t.utils.data.Subset(squares(t), [4, 2, 6]), 2),
    "collate_fn": lambda t, g: t.utils.data.DataLoader(squares(t), 3, collate_fn=lambda batch: [item["square"] for item in batch]),
    "sampler": lambda t, g: t.utils.data.DataLoader(tensors(t), 3, sampler=t.utils.data.RandomSampler(range(10), True, 35)),
    "batch_sampler": lambda t, g: t.utils.data.DataLoader(tensors(t), batch_sampler=[[1, 2], [3], [9, 9, 0]]),
    "list": lambda t, g: t.utils.data.DataLoader([1.5, 2.5, 3.5], 2, shuffle=True),
    "numpy": lambda t, g: t.utils.data.DataLoader(np.arange(12, dtype=np.float32).reshape(6, 2), 4, shuffle=True),
    "strings": lambda t, g: t.utils.data.DataLoader(["a", "b", "c"], 2),
    "stack": lambda t, g: t.utils.data.DataLoader(t.utils.data.StackDataset(tensors(t, 7), squares(t)), 3, shuffle=True),
    "stack by name": lambda t, g: t.utils.data.DataLoader(t.utils.data.StackDataset(a=t.utils.data.Subset([5, 6, 7], [2, 0]), b="xy"), 2),
    "stream": lambda t, g: t.utils.data.DataLoader(stream(t), 3),
    "stream, drop_last": lambda t, g: t.utils.data.DataLoader(stream(t), 3, drop_last=True),
    "stream, single": lambda t, g: t.utils.data.DataLoader(stream(t), None),
    "chain": lambda t, g: t.utils.data.DataLoader(stream(t) + stream(t), 5),
}


@pytest.mark.parametrize("name", LOADERS)
def test_epochs_and_generator_as_in_torch(name):
    def run(t):
        t.manual_seed(11)
        generator = t.Generator().manual_seed(5)
        loader = LOADERS[name](t, generator)
        seen = []
        for _ in range(2):
            seen.append(list(loader))
            seen.append(t.rand(2))
        first = next(iter(loader))  # an epoch that is left early
        return [*seen, first, t.rand(2), t.rand(1, generator=generator)]

    kind, values = agree(run)
    assert kind == "list", values


SAMPLERS = {
    "random": lambda d, g: d.RandomSampler(range(9)),
    "random, fewer": lambda d, g: d.RandomSampler(range(9), num_samples=4),
    "random, more": lambda d, g: d.RandomSampler(range(9), num_samples=20),
    "random, generator": lambda d, g: d.RandomSampler(range(9), generator=g),
    "replacement": lambda d, g: d.RandomSampler(range(9), replacement=True),
    "replacement, 32": lambda d, g: d.RandomSampler(range(9), True, 32, g),
    "replacement, 70": lambda d, g: d.RandomSampler(range(9), True, 70, g),
    "subset": lambda d, g: d.SubsetRandomSampler([3, 1, 4, 1, 5], g),
    "weighted": lambda d, g: d.WeightedRandomSampler([0.1, 0.9, 0.4, 0.7, 3.0, 0.6], 5),
    "weighted, generator": lambda d, g: d.WeightedRandomSampler(np.arange(1.0, 5), 9, True, g),
    "weighted, once": lambda d, g: d.WeightedRandomSampler([0.9, 0.4, 0.05, 0.2, 0.3, 0.1], 5, replacement=False),
    "sequential": lambda d, g: d.SequentialSampler(range(4)),
    "batches": lambda d, g: d.BatchSampler(d.SequentialSampler(range(7)), 3, False),
    "batches, drop_last": lambda d, g: d.BatchSampler(d.RandomSampler(range(7)), 3, True),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers(name):
    def run(t):
        t.manual_seed(2)
        generator = t.Generator().manual_seed(7)
        sampler = SAMPLERS[name](t.utils.data, generator)
        return [list(sampler), list(sampler), len(sampler), t.rand(1), t.rand(1, generator=generator)]

    assert agree(run)[0] == "list"


@pytest.mark.parametrize("lengths", [(3, 7), (0.3, 0.7), (0.25, 0.25, 0.5), (0.33, 0.33, 0.34), (1.0,), (10,)])
def test_random_split(lengths):
    def run(t):
        t.manual_seed(1)
        parts = t.utils.data.random_split(range(10), lengths)
        seeded = t.utils.data.random_split(range(10), lengths, generator=t.Generator().manual_seed(42))
        return [[list(part.indices) for part in (*parts, *seeded)], [list(part) for part in parts], t.rand(2)]

    assert agree(run)[0] == "list"


def test_random_split_warns_of_an_empty_part():
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        ftorch.utils.data.random_split(range(3), [1.0, 0.0])


BATCHES = {
    "floats": lambda t: [1.0, 2.0],
    "ints": lambda t: [1, 2],
    "bools": lambda t: [True, False],
    "numpy scalars": lambda t: [np.float64(1), np.float64(2)],
    "numpy half": lambda t: [np.float16(1), np.float16(2)],
    "numpy dtypes": lambda t: [np.ones(2, np.float32), np.ones(2, np.int64)],
    "numpy shapes": lambda t: [np.ones(2), np.ones(3)],
    "mixed numbers": lambda t: [1, 2.5],
    "numpy arrays": lambda t: [np.arange(3), np.arange(3)],
    "tensors": lambda t: [t.ones(2), t.zeros(2)],
    "tuples": lambda t: [(1, 2.0), (3, 4.0)],
    "lists": lambda t: [[1, "a"], [2, "b"]],
    "dicts": lambda t: [{"a": 1, "b": [2.0]}, {"a": 3, "b": [4.0]}],
    "ordered": lambda t: [collections.OrderedDict(a=1), collections.OrderedDict(a=2)],
    "named tuples": lambda t: [Point(1, t.ones(1)), Point(2, t.zeros(1))],
    "bytes": lambda t: [b"x", b"y"],
    "unequal lengths": lambda t: [[1], [1, 2]],
    "unequal shapes": lambda t: [t.ones(1), t.ones(2)],
    "object": lambda t: [object(), object()],
    "None": lambda t: [None],
    "numpy strings": lambda t: [np.array(["a"])],
    "ranges": lambda t: [range(2), range(2)],
    "numpy's strings": lambda t: [np.str_("a"), np.str_("b")],
    "masked arrays": lambda t: [np.ma.array([1, 2]), np.ma.array([3, 4])],
    "arrays and lists": lambda t: [np.array([1, 2]), [3, 4]],
    "a tensor and a number": lambda t: [t.ones(2), 3],
    "a tensor and an array": lambda t: [t.ones(2), np.ones(2)],
    "mapping": lambda t: [collections.ChainMap({"a": 1}), collections.ChainMap({"a": 2})],
}


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("function", ["default_collate", "default_convert"])
def test_collate_and_convert(name, function):
    def run(t):
        data = BATCHES[name](t)
        return None if function == "default_convert" and name in ("object",) else getattr(t.utils.data, function)(data)

    agree(run)


def test_collating_further_types():
    """The second of the ways in the documentation of torch's default_collate."""

    def run(t):
        class Box:
            def __init__(self, value):
                self.value = value

        def boxes(batch, *, collate_fn_map=None):
            return "boxes", collate([box.value for box in batch], collate_fn_map=collate_fn_map)

        module = importlib.import_module(f"{t.__name__}.utils.data._utils.collate")
        collate, batch = module.collate, [(Box(t.ones(1)), {"n": Box(2)})] * 2
        seen = [collate([Box(1), Box(2)], collate_fn_map={**module.default_collate_fn_map, Box: boxes})]
        module.default_collate_fn_map.update({Box: boxes})
        try:
            seen += [t.utils.data.default_collate(batch), list(t.utils.data.DataLoader(batch, 2))]
        finally:
            del module.default_collate_fn_map[Box]
        return [*seen, t.utils.data.default_collate([Box(1)])]

    agree(run)


def test_pinning_where_there_is_no_accelerator():
    def run(t):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            batches = list(t.utils.data.DataLoader([1, 2], 2, pin_memory=True, pin_memory_device="cuda"))
        return batches, [(w.category, str(w.message)[:32]) for w in caught]

    agree(run)


def test_collate_keeps_gradients():
    weight = ftorch.ones(4, 2, requires_grad=True)
    (batch,) = next(iter(ftorch.utils.data.DataLoader(ftorch.utils.data.TensorDataset(weight), 3)))
    batch.sum().backward()
    assert weight.grad.tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]


def test_a_subclass_with_its_own_samples_is_not_gathered():
    def run(t):
        class Doubled(t.utils.data.TensorDataset):
            def __getitem__(self, index):
                return tuple(2 * item for item in super().__getitem__(index))

        return list(t.utils.data.DataLoader(Doubled(t.arange(4)), 3))

    assert agree(run)[0] == "list"


def test_getitems_is_used():
    def run(t):
        class Batched(t.utils.data.Dataset):
            def __len__(self):
                return 5

            def __getitems__(self, indices):
                return [10 * index for index in indices]

        return list(t.utils.data.DataLoader(Batched(), 2))

    assert agree(run)[0] == "list"


ERRORS = {
    "num_workers": lambda t: t.utils.data.DataLoader([1], num_workers=-1),
    "timeout": lambda t: t.utils.data.DataLoader([1], timeout=-1),
    "prefetch_factor": lambda t: t.utils.data.DataLoader([1], prefetch_factor=2),
    "persistent_workers": lambda t: t.utils.data.DataLoader([1], persistent_workers=True),
    "multiprocessing_context": lambda t: t.utils.data.DataLoader([1], multiprocessing_context="fork"),
    "sampler and shuffle": lambda t: t.utils.data.DataLoader([1], shuffle=True, sampler=[0]),
    "batch_sampler and batch_size": lambda t: t.utils.data.DataLoader([1], batch_size=2, batch_sampler=[[0]]),
    "no batches, drop_last": lambda t: t.utils.data.DataLoader([1], batch_size=None, drop_last=True),
    "multiprocessing_context, name": lambda t: t.utils.data.DataLoader([1], num_workers=1, multiprocessing_context="thread"),
    "multiprocessing_context, type": lambda t: t.utils.data.DataLoader([1], num_workers=1, multiprocessing_context=3),
    "prefetch_factor, sign": lambda t: t.utils.data.DataLoader([1], num_workers=1, prefetch_factor=-1),
    "workers' default": lambda t: t.utils.data.DataLoader([1], num_workers=1).prefetch_factor,
    "stack nothing": lambda t: t.utils.data.StackDataset(),
    "stack both": lambda t: t.utils.data.StackDataset([1], a=[1]),
    "stack sizes": lambda t: t.utils.data.StackDataset([1], [1, 2]),
    "weights": lambda t: t.utils.data.WeightedRandomSampler([[1.0]], 1),
    "weighted num_samples": lambda t: t.utils.data.WeightedRandomSampler([1.0], 0),
    "weighted replacement": lambda t: t.utils.data.WeightedRandomSampler([1.0], 1, 1),
    "batch_size 0": lambda t: t.utils.data.DataLoader([1], batch_size=0),
    "batch_size 1.5": lambda t: t.utils.data.DataLoader([1], batch_size=1.5),
    "drop_last": lambda t: t.utils.data.DataLoader([1], drop_last=1),
    "shuffle of nothing": lambda t: t.utils.data.DataLoader([], shuffle=True),
    "no sampler's length": lambda t: len(t.utils.data.DataLoader([1, 2], sampler=iter([0]))),
    "set batch_size": lambda t: setattr(t.utils.data.DataLoader([1]), "batch_size", 2),
    "stream, shuffle": lambda t: t.utils.data.DataLoader(stream(t), shuffle=True),
    "stream, sampler": lambda t: t.utils.data.DataLoader(stream(t), sampler=[1]),
    "stream, batch_sampler": lambda t: t.utils.data.DataLoader(stream(t), batch_sampler=[[1]]),
    "stream, length": lambda t: len(t.utils.data.DataLoader(stream(t))),
    "stream, given length": lambda t: len(t.utils.data.DataLoader(stream(t, 7), 3)),
    "sizes": lambda t: t.utils.data.TensorDataset(t.ones(2), t.ones(3)),
    "index": lambda t: list(t.utils.data.DataLoader(tensors(t), sampler=[10])),
    "concat nothing": lambda t: t.utils.data.ConcatDataset([]),
    "concat a stream": lambda t: t.utils.data.ConcatDataset([stream(t)]),
    "concat index": lambda t: (tensors(t) + tensors(t))[-21],
    "chain": lambda t: list(t.utils.data.ChainDataset([[1]])),
    "split": lambda t: t.utils.data.random_split(range(3), [1, 1]),
    "split fraction": lambda t: t.utils.data.random_split(range(3), [1.5, -0.5]),
    "replacement": lambda t: t.utils.data.RandomSampler([1], replacement=1),
    "num_samples": lambda t: t.utils.data.RandomSampler([1], num_samples=0),
    "dataset": lambda t: t.utils.data.Dataset()[0],
    "sampler": lambda t: iter(t.utils.data.Sampler()) and None,
    "subset": lambda t: type("Half", (t.utils.data.Subset,), {"__getitem__": lambda self, i: 0})([1], [0]),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_and_lengths(name):
    if name == "sampler":  # torch's NotImplementedError has no text
        with pytest.raises(NotImplementedError, match="define one that yields indices"):
            ERRORS[name](ftorch)
    else:
        agree(ERRORS[name])


def test_a_timeout_needs_workers():
    for t in BOTH:
        with pytest.raises(AssertionError, match="requires timeout == 0"):
            iter(t.utils.data.DataLoader([1], timeout=1))


def test_a_stream_longer_than_announced_warns():
    loader = ftorch.utils.data.DataLoader(stream(ftorch, 2), batch_size=1)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="was reported to be 2"):
        next(itertools.islice(loader, 2, None))


def test_names_of_the_submodules():
    from funnn.torch.utils.data.dataloader import DataLoader
    from funnn.torch.utils.data.dataset import Dataset, TensorDataset
    from funnn.torch.utils.data.sampler import Sampler

    data = ftorch.utils.data
    assert (DataLoader, Dataset, TensorDataset, Sampler) == (data.DataLoader, data.Dataset, data.TensorDataset, data.Sampler)
    assert Dataset[int] and DataLoader[int] and data.get_worker_info() is None
