"""What the functions that make tensors have in common, and sizes that are loose, in one sequence, or given by their name."""

from __future__ import annotations

import warnings

import pytest
from twin import same, same_error

import funnn.torch as shim

#: Function -> positional arguments that make three numbers (a single one, for ``scalar_tensor``).
MAKERS = {
    "rand": (3,),
    "randn": (3,),
    "randint": (5, (3,)),
    "randperm": (3,),
    "normal": (0.0, 1.0, (3,)),
    "zeros": (3,),
    "ones": (3,),
    "full": ((3,), 2.0),
    "arange": (3,),
    "range": (0, 2),
    "linspace": (0, 1, 3),
    "logspace": (0, 1, 3),
    "eye": (1, 3),
    "scalar_tensor": (2,),
}
WITH_OUT = [name for name in MAKERS if name != "scalar_tensor"]


@pytest.fixture(autouse=True)
def without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch.range is deprecated
        yield


@pytest.mark.parametrize("name", MAKERS)
def test_results_and_dtypes(name):
    def program(t):
        make = getattr(t, name)
        results = [make(*MAKERS[name], **options) for options in ({}, {"dtype": t.float64}, {"layout": t.strided}, {"device": "cpu"})]
        return results, [result.dtype == t.float64 for result in results]

    same(program)


@pytest.mark.parametrize("name", WITH_OUT)
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_out(name, kind):
    def program(t):
        out = t.full((1, 3) if name == "eye" else (3,), -1.0, dtype=getattr(t, kind))
        result = getattr(t, name)(*MAKERS[name], out=out)
        return result is out, out, out.dtype == getattr(t, kind)

    same(program)


@pytest.mark.parametrize("name", [name for name in WITH_OUT if name != "normal"])
def test_out_of_another_dtype_is_refused(name):
    def program(t):
        getattr(t, name)(*MAKERS[name], out=t.zeros(3), dtype=t.float64)

    same_error(program, RuntimeError, "dtype Double does not match dtype of out parameter")


@pytest.mark.parametrize("name", [*MAKERS, "zeros_like", "rand_like", "randint_like", "full_like", "empty"])
def test_an_unknown_keyword_is_refused(name):
    """A misspelt ``dtype`` must not make numbers of another type."""

    def program(t):
        like = {"full_like": (t.zeros(2), 1.0), "randint_like": (t.zeros(2), 5), "empty": (2,)}
        getattr(t, name)(*MAKERS.get(name, like.get(name, (t.zeros(2),))), dytpe=t.float64)

    same_error(program, TypeError, "dytpe")


def test_another_layout_is_refused():
    same_error(lambda t: t.zeros(2, layout="sparse"), TypeError, "must be torch.layout, not str")
    same_error(lambda t: t.ones(2, layout=t.sparse_coo), RuntimeError, "layout")
    with pytest.raises(NotImplementedError, match=r"zeros\(\) makes tensors of layout torch.strided, got layout=torch.sparse_bsr"):
        shim.zeros(2, 2, layout=shim.sparse_bsr)


def test_scalar_tensor():
    same(lambda t: [t.scalar_tensor(value) for value in (1, 2.5, True, t.tensor(3))])
    same(lambda t: [t.scalar_tensor(value, dtype=t.int64) for value in (1, 2.5, True)])
    same_error(lambda t: t.scalar_tensor(1j), RuntimeError, "cannot be converted")
    same_error(lambda t: t.scalar_tensor([1]), TypeError, "must be Number, not list")


@pytest.mark.parametrize(
    "bounds, named", [((5,), {}), ((2, 5), {}), ((2,), {"high": 5}), ((), {"low": 2, "high": 5}), ((), {"high": 5})], ids=str
)
def test_bounds_of_random_integers(bounds, named):
    same(lambda t: t.randint(*bounds, **named, size=(20,)))
    same(lambda t: [t.randint_like(like, *bounds, **named) for like in (t.zeros(20), t.zeros(4, 5).t())])


@pytest.mark.parametrize("bounds", [(), (1, 2, 3)], ids=str)
def test_too_few_and_too_many_bounds(bounds):
    same_error(lambda t: t.randint(*bounds, size=(3,)), TypeError, r"randint\(\)")
    same_error(lambda t: t.randint_like(t.zeros(3), *bounds), TypeError, r"randint_like\(\)")


def test_arange_takes_its_bounds_by_name():
    same(lambda t: [t.arange(end=5), t.arange(2, end=5), t.arange(start=1, end=5, step=2), t.arange(1, 5, step=2)])


#: Function or method, the arguments before the sizes, the name of the sizes, and sizes.
SIZES = {
    "torch.permute": ("x", "dims", (0, 2, 1)),
    "torch.permute_copy": ("x", "dims", (0, 2, 1)),
    "torch.reshape": ("x", "shape", (3, 2)),
    "torch.tile": ("x", "dims", (2, 1, 1)),
    "torch.flip": ("x", "dims", (0, 2)),
    "torch.broadcast_to": ("x", "size", (2, 2, 3)),
    "torch.expand_copy": ("x", "size", (2, 2, 3)),
    "torch.view_copy": ("x", "size", (6,)),
    "torch.zeros": ("", "size", (2, 3)),
    "torch.ones": ("", "size", (2, 3)),
    "torch.rand": ("", "size", (2, 3)),
    "torch.randn": ("", "size", (2, 3)),
    "permute": ("x", "dims", (0, 2, 1)),
    "reshape": ("x", "shape", (3, 2)),
    "view": ("x", "size", (6,)),
    "expand": ("x", "size", (2, 2, 3)),
    "broadcast_to": ("x", "size", (2, 2, 3)),
    "repeat": ("x", "repeats", (2, 1, 1)),
    "tile": ("x", "dims", (2, 1, 1)),
    "flip": ("x", "dims", (0, 2)),
    "sum_to_size": ("x", "size", (1, 1, 3)),
    "resize_": ("x", "size", (3, 2)),
    "new_zeros": ("x", "size", (2, 3)),
    "new_ones": ("x", "size", (2, 3)),
}


def _of(t, name):
    operands, sizes, values = SIZES[name]
    tensor = t.arange(6.0).reshape(1, 2, 3)
    function = getattr(t, name.removeprefix("torch.")) if name.startswith("torch.") else getattr(tensor, name)
    return function, (tensor,) if operands and name.startswith("torch.") else (), sizes, values


@pytest.mark.parametrize("name", SIZES)
def test_sizes_by_name(name):
    def program(t):
        function, operands, sizes, values = _of(t, name)
        return function(*operands, **{sizes: values})

    same(program)


@pytest.mark.parametrize("name", SIZES)
def test_sizes_by_another_name_or_twice_are_refused(name):
    def another_name(t):
        function, operands, _, values = _of(t, name)
        function(*operands, extents=values)

    def twice(t):
        function, operands, sizes, values = _of(t, name)
        function(*operands, values, **{sizes: values})

    same_error(another_name, TypeError, "")
    same_error(twice, TypeError, "")


def test_a_view_has_a_shape_or_a_dtype():
    same_error(lambda t: t.zeros(2).view(size=(2,), dtype=t.int32), TypeError, "")
    same_error(lambda t: t.zeros(2).view(t.int32, extents=2), TypeError, "")


def test_adaptive_max_pool1d_gives_the_indices_too():
    same(lambda t: t.adaptive_max_pool1d(t.arange(6.0, requires_grad=True).reshape(1, 6), 3))
    same(lambda t: t.nn.functional.adaptive_max_pool1d(t.arange(6.0).reshape(1, 6), 3))
