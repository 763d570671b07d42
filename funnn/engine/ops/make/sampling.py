"""Tensors of random numbers: made, drawn by the values of others, written in place. Eager draws are those of PyTorch's CPU generator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.inplace import assign, check_writable
from funnn.engine.dispatch.op import Op
from funnn.engine.ops.kit.table import FUNCTIONS, add_method, gather_sizes, publish, write_out
from funnn.engine.ops.make import reparameterised
from funnn.engine.ops.make.factories import factory, finish, like
from funnn.engine.program.outline import outlined
from funnn.engine.program.value import from_host
from funnn.engine.state import thread
from funnn.engine.tensor.generator import Generator, pick
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.device import check_pinned, wants_outline
from funnn.engine.types.dtype import as_dtype
from funnn.engine.types.layout import memory_order


def _values(tensor: Tensor) -> Any:
    """The numbers that a draw depends on: known ones for the generator, traced ones while a step is compiled."""
    return tensor.detach()._read() if thread.tracing is not None else tensor.detach()._host()


_ops: dict[str, Op] = {}


def _drawn(name: str, values: Any, *inputs: Any, pure: Callable | None = None) -> Tensor:
    """Random numbers as a result of tensors: their gradients are zero, or those of ``pure``, which gives back ``values``."""
    if name not in _ops:
        _ops[name] = Op(pure or (lambda values, *inputs: values), name)
    return call(_ops[name], (values, *(item for item in inputs if isinstance(item, Tensor))), {})


# -- new tensors


def _numbers(generator: Generator | None, device: Any, name: str, shape: tuple[int, ...], dtype: Any, *options: Any) -> Any:
    """Drawn numbers, or what is known of them on 'meta', where no generator moves."""
    return outlined(shape, dtype) if wants_outline(device) else pick(generator).draw(name, shape, dtype, *options)


@factory
def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any
) -> Tensor:
    """Values from U[0, 1)."""
    kind = _dtype.get_default_dtype() if dtype is None else as_dtype(dtype)
    return finish(_numbers(generator, device, "uniform", gather_sizes(size, named), kind.numpy), requires_grad, device)


@factory
def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False, **named: Any
) -> Tensor:
    """Values from N(0, 1)."""
    kind = _dtype.get_default_dtype() if dtype is None else as_dtype(dtype)
    return finish(_numbers(generator, device, "normal", gather_sizes(size, named), kind.numpy), requires_grad, device)


def _bounds(name: str, loose: list[int], low: int | None, high: int | None) -> tuple[int, int]:
    """(low, high) of ``name(high)``, ``name(low, high)``, and the same with names; low is 0 by default."""
    if low is None:
        low = loose.pop(0) if len(loose) == (2 if high is None else 1) else 0
    if high is None:
        if not loose:
            raise TypeError(f"{name}() missing the argument 'high'")
        high = loose.pop(0)
    if loose:
        raise TypeError(f"{name}() takes low, high and a size: got {loose[0]} too")
    return low, high


@factory
def randint(
    *bounds_and_size: Any,
    low: int | None = None,
    high: int | None = None,
    size: Sequence[int] | None = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Integers from low (0 by default) to high − 1: randint(high, size) or randint(low, high, size)."""
    bounds = list(bounds_and_size)
    if size is None and bounds:
        size = bounds.pop()
    if not isinstance(size, (tuple, list)):
        raise TypeError(f"randint(): argument 'size' must be tuple of ints, not {type(size).__name__}")
    low, high = _bounds("randint", bounds, low, high)
    kind = _dtype.int64 if dtype is None else as_dtype(dtype)
    shape = gather_sizes((size,))
    array = outlined(shape, kind.numpy) if wants_outline(device) else pick(generator).draw("randint", low, high, shape, kind.numpy)
    return finish(array, requires_grad, device)


@factory
def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """0 … n − 1 in random order."""
    kind = _dtype.int64 if dtype is None else as_dtype(dtype)
    array = outlined((n,), kind.numpy) if wants_outline(device) else pick(generator).draw("randperm", n, kind.numpy)
    return finish(array, requires_grad, device)


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Values from N(mean, std²), where either may be a tensor, or both are numbers and ``size`` is given."""
    check_pinned(pin_memory)
    tensors = [item for item in (mean, std) if isinstance(item, Tensor)]
    if not tensors:
        if size is None and out is None:
            raise TypeError('normal() missing the argument "size": it is needed where mean and std are numbers')
        shape = tuple(out.shape) if size is None else gather_sizes((size,))
        kind = out.dtype if out is not None else _dtype.get_default_dtype() if dtype is None else as_dtype(dtype)
        result = finish(_numbers(generator, device, "normal", shape, kind.numpy, mean, std), requires_grad, device)
        return result if out is None else write_out(out, result)
    if size is not None:
        raise TypeError(
            f"normal() got the size {size} and a tensor for mean or std; with a tensor, the shape is that of mean + std: leave size out"
        )
    if isinstance(std, Tensor) and std.numel() and not std.is_meta and not std._operand().traced and bool((std.detach() < 0).any()):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    shaped = tensors[0].detach() if len(tensors) == 1 else mean.detach() + std.detach()
    scale = 1.0 if isinstance(std, Tensor) else std
    values = finish(_numbers(generator, shaped._meta(), "normal", tuple(shaped.shape), shaped.dtype.numpy, 0.0, scale))
    if isinstance(std, Tensor):
        values = values * std.detach()
    values = values + (mean.detach() if isinstance(mean, Tensor) else mean)
    name = f"NormalBackward{3 if len(tensors) == 2 else 1 if tensors[0] is mean else 2}"
    result = _drawn(name, values._operand(), *tensors)
    return result if out is None else write_out(out, result)


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Any = None) -> Tensor:
    """1 with the probability that ``input`` gives for the element (or with probability ``p``), else 0."""
    if input.is_meta:
        values = outlined(input._shape(), input.dtype.numpy)
    elif p is None:
        values = pick(generator).draw("bernoulli", _values(input), tuple(input.shape), input.dtype.numpy)
    else:
        values = pick(generator).draw("bernoulli", p, tuple(input.shape), input.dtype.numpy)
    result = _drawn("BernoulliBackward0", values, input)
    return result if out is None else write_out(out, result)


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None, out: Any = None
) -> Tensor:
    """``num_samples`` indices for each row of weights, drawn in proportion to them."""
    if input.is_meta:
        return finish(outlined((*input._shape()[:-1], num_samples), _dtype.int64.numpy), device=input.device)
    by_columns = {"by_columns": True} if thread.tracing is None and memory_order(input) == [1, 0] else {}
    result = finish(pick(generator).draw("multinomial", _values(input), num_samples, replacement, **by_columns))
    return result if out is None else write_out(out, result, exact=True)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """A number of events for each rate in ``input``."""
    return _drawn("PoissonBackward0", pick(generator).draw("poisson", _values(input)), input)


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """A number of successes in ``count`` trials of probability ``prob`` each; both of one floating-point type."""
    for name, tensor in (("count", count), ("prob", prob)):
        if not tensor.is_floating_point():
            raise ValueError(
                f"binomial only supports floating-point dtypes for {name}, got: {tensor.dtype.legacy}; convert it with .float()"
            )
    if count.dtype is not prob.dtype:
        raise RuntimeError(
            f"Found dtype {prob.dtype.legacy} but expected {count.dtype.legacy}: convert binomial()'s count, {count.dtype}, to prob's dtype"
        )
    return _drawn("BinomialBackward0", pick(generator).draw("binomial", _values(count), _values(prob)), count, prob)


def _standard_gamma(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Values from Gamma(input, 1), with the gradient of a value whose quantile is fixed."""
    values = pick(generator).draw("standard_gamma", _values(input))
    return _drawn("StandardGammaBackward0", values, input, pure=reparameterised.standard_gamma)


def _sample_dirichlet(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Values from Dirichlet(input), with the gradient of values whose quantiles are fixed."""
    values = pick(generator).draw("dirichlet", _values(input))
    return _drawn("_DirichletBackward", values, input, pure=reparameterised.dirichlet)


for _function in (rand, randn, randint, randperm, normal, poisson, binomial, _standard_gamma, _sample_dirichlet):
    publish(_function.__name__, _function, method=False)
publish("bernoulli", bernoulli)
publish("multinomial", multinomial)


@factory
def _integers(
    size: Sequence[int],
    *bounds: int,
    low: int | None = None,
    high: int | None = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    low, high = _bounds("randint_like", list(bounds), low, high)
    return randint(low, high, size, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad)


def _write_integers(
    made: Tensor, *bounds: int, generator: Generator | None = None, low: int | None = None, high: int | None = None
) -> Tensor:
    return made.random_(*_bounds("randint_like", list(bounds), low, high), generator=generator)


FUNCTIONS["rand_like"] = like(rand, fill=lambda made, **options: made.uniform_(**options))
FUNCTIONS["randn_like"] = like(randn, fill=lambda made, **options: made.normal_(**options))
FUNCTIONS["randint_like"] = like(_integers, "randint", _write_integers)


# -- in place


def _write(name: str, arguments: Callable, grad: str | None = None) -> None:
    """``Tensor.name_``: ``arguments(tensor, …)`` gives those of the generator's draw."""
    grad = grad or f"{''.join(part.capitalize() for part in name.split('_'))}Backward0"

    def write(self: Tensor, *args: Any, generator: Generator | None = None, **kwargs: Any) -> Tensor:
        check_writable(self, write.__name__)
        if self.is_meta:
            values: Any = outlined(self._shape(), self.dtype.numpy)
        elif self._window is None or thread.tracing is not None or self.is_contiguous():
            values = pick(generator).draw(name, *arguments(self, *args, **kwargs)).reshape(self._shape())
        else:
            values = _in_memory_order(self, pick(generator), name, arguments, args, kwargs)
        return assign(self, _drawn(grad, values, self), write.__name__)

    write.__doc__ = arguments.__doc__
    write.__name__ = write.__qualname__ = name if name.endswith("_") else f"{name}_"
    add_method(write.__name__, write)


def _in_memory_order(tensor: Tensor, generator: Generator, name: str, arguments: Callable, args: tuple, kwargs: dict) -> Any:
    """The draw for a tensor that is not contiguous: in the order in which its elements lie in memory, and normals one by one."""
    order = memory_order(tensor)
    args = [item.detach().expand(tensor._shape()).permute(order) if isinstance(item, Tensor) else item for item in args]
    lies = tensor.detach().permute(order)
    one_by_one = {"contiguous": False} if name == "normal" else {}
    values = generator.draw(name, *arguments(lies, *args, **kwargs), **one_by_one).reshape(lies._shape())
    return from_host(values.transpose([order.index(dim) for dim in range(len(order))]))


def _first(name: str, value: Any, named: dict[str, Any]) -> Any:
    """The argument that torch calls ``from``, which is no name in Python."""
    value = named.pop("from", value)
    for key in named:
        raise TypeError(f"{name}() got an unexpected keyword argument '{key}'")
    return value


def _uniform(self, from_=0.0, to=1.0, **named):
    """Values from U[from, to), in place."""
    return tuple(self.shape), self.dtype.numpy, _first("uniform_", from_, named), to


def _normal(self, mean=0.0, std=1.0):
    """Values from N(mean, std²), in place."""
    return tuple(self.shape), self.dtype.numpy, mean, std


def _random(self, from_=None, to=None, **named):
    """Integers from ``from_`` to ``to`` − 1 (random_(to): from 0; random_(): all that the dtype represents), in place."""
    from_ = _first("random_", from_, named)
    if to is None and from_ is not None:
        from_, to = 0, from_
    return tuple(self.shape), self.dtype.numpy, from_, to


def _bernoulli(self, p=0.5):
    """1 with probability ``p``, else 0, in place."""
    return _values(p) if isinstance(p, Tensor) else p, tuple(self.shape), self.dtype.numpy


def _exponential(self, lambd=1.0):
    """Values of density lambd·exp(−lambd·x), in place."""
    return tuple(self.shape), self.dtype.numpy, lambd


def _cauchy(self, median=0.0, sigma=1.0):
    """Values from the Cauchy distribution around ``median`` of the scale ``sigma``, in place."""
    return tuple(self.shape), self.dtype.numpy, median, sigma


def _log_normal(self, mean=1.0, std=2.0):
    """exp of values from N(mean, std²), in place."""
    return tuple(self.shape), self.dtype.numpy, mean, std


def _geometric(self, p):
    """The number of trials up to the first success, which has probability ``p``, in place."""
    return tuple(self.shape), p, self.dtype.numpy


_write("uniform", _uniform)
_write("normal", _normal)
_write("random_", _random)
_write("bernoulli", _bernoulli, "BernoulliBackward2")
_write("exponential", _exponential)
_write("cauchy", _cauchy)
_write("log_normal", _log_normal)
_write("geometric", _geometric)
