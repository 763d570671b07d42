"""The table of torch's operations: a row makes the function ``torch.name``, the method ``Tensor.name`` and the in-place ``Tensor.name_``."""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable
from typing import Any

from funnn.engine.dispatch.autocast import uncast
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.inplace import assign, check_castable, check_overlap
from funnn.engine.dispatch.op import Op
from funnn.engine.dispatch.public import overridable, rename
from funnn.engine.ops.kit.out import exactly
from funnn.engine.ops.kit.out import write_out as write_out
from funnn.engine.ops.kit.tensor_arguments import tensors_of, tensors_only
from funnn.engine.program.graph import count_checks, settle_checks
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype

FUNCTIONS: dict[str, Callable] = {}
_CHECKED: set[str] = set()  # names of functions that look at their operands, or whose pure function does


def row(
    name: str,
    pure: Callable,
    grad: str | tuple | Callable | None = None,
    *,
    scalars: tuple[str, ...] = (),
    factors: tuple[str, ...] = (),
    wide_factors: bool = False,
    autocast: Any = None,
    sizes: int | None = None,
    differentiable: bool = True,
    node_in_place: str | None = None,
    **policies: Any,
) -> Callable:
    """Add an operation.

    Args:
      pure, grad, scalars, autocast: as in :class:`Op`.
      factors: the keyword arguments that are numbers of the result's type, and are refused beyond its range; ``wide_factors``: of float32, where
        it is one of 16 bits.
      sizes: the position from which on loose integers are gathered into one tuple (``x.permute(1, 0)``).
      differentiable: if not, the result never requires a gradient, though it is a floating-point one.
      node_in_place: torch's name of the node of the operation in place, where it is another.
      policies: as in :func:`publish`.
    """
    wanted = tensors_of(pure)
    scalars = tuple(scalar for scalar in scalars if scalar not in wanted)
    op = Op(tensors_only(name, pure, wanted), grad, scalars=scalars, autocast=autocast)
    run = _runner(op, sizes, policies.get("exact_out", False))
    if factors:
        run = _checking_factors(run, factors, wide_factors)
    dispatch = {"op": op, "op_args": sizes} if differentiable else {}
    if node_in_place is not None:
        policies["computes_in_place"] = functools.partial(call, Op(op.pure, node_in_place, scalars=scalars, autocast=autocast))
    return _enter(name, run if differentiable else _constant(run), pure, _public_signature(pure, sizes), **dispatch, **policies)


def publish(name: str, run: Callable, like: Callable | None = None, **policies: Any) -> Callable:
    """Put a function on Tensors under torch's names; ``like`` lends it docstring and signature.

    Args:
      name: torch's; one with a dot is of a namespace within torch, such as ``linalg.det``, and there are no methods of such names.
      function, method, inplace: where it appears: ``torch.name``, ``Tensor.name``, ``Tensor.name_`` (and ``torch.name_``).
      aliases: further names.
      computes_in_place: what ``Tensor.name_`` writes, ``f(args, kwargs)``, where that is recorded otherwise than what ``torch.name`` gives.
      exact_out: whether ``out`` must be of the result's own type; else results are converted to a type of the same or a higher category.
      elementwise: whether it computes element by element, so that the result lies in memory as the operands do; arrange: as in ``overridable``.
      small: what tries to compute the result of few numbers with NumPy first (see ``small_arrays``).
    """
    if "dim" in inspect.signature(run if like is None else like).parameters:
        run = _with_numpys_names(run)
    wanted = tensors_of(run if like is None else like)
    return _enter(name, tensors_only(name, exactly(run) if policies.get("exact_out") else run, wanted), like, **policies)


def _enter(
    name: str,
    run: Callable,
    like: Callable | None,
    signature: inspect.Signature | None = None,
    *,
    function: bool = True,
    method: bool = True,
    inplace: bool = False,
    computes_in_place: Callable | None = None,
    aliases: tuple[str, ...] = (),
    exact_out: bool = False,
    **dispatch: Any,
) -> Callable:
    made: dict[str, Callable] = {}
    for alias in (name, *aliases):
        function_of_alias = made[alias] = _named(run, alias, (name, *aliases), like, dispatch)
        _CHECKED.update((alias, f"{alias}_") if inplace else (alias,))
        if function:
            FUNCTIONS[alias] = function_of_alias
        if method and "." not in alias:
            setattr(Tensor, alias, function_of_alias)
        if inplace and "." not in alias:
            # what add_ calls leaves it to add_ to say which arguments it takes
            if computes_in_place is None:
                inner = overridable(run, public=function_of_alias, names=(), **dispatch)
            else:
                inner = overridable(_gathering(computes_in_place), public=function_of_alias, names=())
            write = overridable(_writer(inner, function_of_alias, f"{alias}_"), names=(f"{alias}_",))
            setattr(Tensor, f"{alias}_", write)
            if function:
                FUNCTIONS[f"{alias}_"] = write
        if signature is not None:
            function_of_alias.__signature__ = signature
    return made[name]


def _gathering(compute: Callable[[tuple, dict], Any]) -> Callable:
    return lambda *args, **kwargs: compute(args, kwargs)


def _named(run: Callable, name: str, names: tuple[str, ...], like: Callable | None, dispatch: dict[str, Any]) -> Callable:
    """What runs an operation, under one of its names; it takes the overloads of all."""
    known = inspect.signature(run if like is None else like)
    run = overridable(run, names=tuple(alias.replace(".", "_") for alias in names), **dispatch)
    if like is not None:
        functools.update_wrapper(run, like)
    if like is not None or "named" in known.parameters:  # which are the sizes: see gather_sizes
        run.__signature__ = known.replace(parameters=[item for key, item in known.parameters.items() if key != "named"])
    rename(run, name.replace(".", "_"))
    return run


def under_another_name(function: Callable, name: str) -> Callable:
    """A function of one namespace as one of another, whose name classes and modes are told."""
    made = overridable(function)
    rename(made, name)
    return made


def add_method(name: str, function: Callable, *, elementwise: bool = False) -> None:
    """Make a function on Tensors the method ``Tensor.name`` alone, which classes and modes may override as a row's."""
    made = overridable(function, names=(name,), elementwise=elementwise)
    rename(made, name)
    setattr(Tensor, name, made)


def add_property(name: str, get: Callable, put: Callable | None = None, doc: str | None = None) -> None:
    """Make functions on Tensors the property ``Tensor.name``; see ``engine.tensor.questions``, which names it."""
    setattr(Tensor, name, property(get, put, None, doc or get.__doc__))


def namespace(name: str) -> dict[str, Callable]:
    """The functions of ``torch.name``; of ``torch`` itself for ""."""
    found = {key: function for key, function in FUNCTIONS.items() if key.rpartition(".")[0] == name}
    return {key.rpartition(".")[2]: function if key in _CHECKED else _checked(key, function) for key, function in found.items()}


def _checked(name: str, function: Callable) -> Callable:
    """A function that was not made by a row; one of funnn.functional checks its arguments itself."""
    return function if hasattr(function, "pure") else tensors_only(name, function, tensors_of(function))


def _runner(op: Op, sizes: int | None, exact: bool) -> Callable:
    """How an operation runs with all kinds of arguments; a plain call goes to ``call`` directly."""

    def call_with_options(*args: Any, **kwargs: Any) -> Any:
        if sizes is not None and len(args) > sizes:
            args = (*args[:sizes], gather_sizes(args[sizes:]))
        if kwargs and not _NUMPYS_NAMES.keys().isdisjoint(kwargs):
            kwargs = _in_torchs_names(kwargs)
        if kwargs and "out" in kwargs:
            out = kwargs.pop("out")
            result = call(op, args, kwargs) if out is None else uncast(call, op, args, kwargs)
            return result if out is None else write_out(out, result, exact, args)
        return call(op, args, kwargs)

    return call_with_options


def _checking_factors(run: Callable, names: tuple[str, ...], wide: bool) -> Callable:
    """``run`` with an error for a factor that its result's type cannot hold."""

    def checking(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        numbers = [kwargs[name] for name in names if isinstance(kwargs.get(name), (int, float, complex))]
        if not numbers:
            return run(*args, **kwargs) if out is None else run(*args, out=out, **kwargs)
        result = run(*args, **kwargs)
        check_factors(numbers, result.dtype, wide)
        return result if out is None else run(*args, out=out, **kwargs)

    return checking


def check_factors(numbers: Iterable[Any], kind: _dtype.dtype, wide: bool = False) -> None:
    """RuntimeError unless each number is in the range of the type; ``wide``: in that of float32, where it is a float of 16 bits."""
    kind = _dtype.float32 if wide and kind.is_floating_point and kind.itemsize == 2 else kind
    for number in numbers:
        _dtype.check_fits(number, kind)


def _public_signature(pure: Callable, sizes: int | None) -> inspect.Signature:
    """What a row's function takes: the arguments of ``pure``, loose integers from ``sizes`` on, and ``out``."""
    fields = list(inspect.signature(pure).parameters.values())
    if sizes is not None:
        fields[sizes] = fields[sizes].replace(kind=inspect.Parameter.VAR_POSITIONAL)
    behind = [field for field in fields if field.kind is field.VAR_KEYWORD]
    out = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)
    return inspect.Signature([*fields[: len(fields) - len(behind)], out, *behind])


_NUMPYS_NAMES = {"axis": "dim", "keepdims": "keepdim"}  # which torch takes as well


def _in_torchs_names(kwargs: dict) -> dict:
    return {_NUMPYS_NAMES.get(name, name): value for name, value in kwargs.items()}


def _with_numpys_names(function: Callable) -> Callable:
    @functools.wraps(function)
    def call_in_torchs_names(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **(_in_torchs_names(kwargs) if kwargs else kwargs))

    return call_in_torchs_names


def _constant(function: Callable) -> Callable:
    def call_without_gradient(*args: Any, **kwargs: Any) -> Any:
        recording = thread.grad
        try:
            thread.grad = False
            return function(*args, **kwargs)
        finally:
            thread.grad = recording

    return call_without_gradient


def gather_sizes(loose: tuple, named: dict[str, Any] | None = None, name: str = "size") -> tuple:
    """``(2, 3)`` from ``f(2, 3)``, ``f((2, 3))``, ``f(torch.Size([2, 3]))`` or, ``named`` being its further keywords, ``f(size=(2, 3))``."""
    if named:
        unknown = [key for key in named if key != name]
        if unknown:
            raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}; the sizes are {name!r}")
        if loose:
            raise TypeError(f"got {name!r} twice: {loose} and {name}={named[name]}")
        loose = (named[name],)
    if len(loose) == 1 and isinstance(loose[0], (tuple, list)):
        loose = loose[0]
    if any(type(size) is bool for size in loose):
        raise TypeError(f"{name} must be a tuple of ints, got a truth value: {loose}")
    return tuple([operator.index(size) for size in loose])


#: Operations in place that look at the type of their operands before they look at that of the result.
_CHECKED_FIRST = ("ge_", "greater_", "greater_equal_", "gt_", "le_", "less_", "less_equal_", "lt_", "clamp_", "clip_")


def _writer(run: Callable, public: Callable, name: str) -> Callable:
    def write(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        for value in args:
            if getattr(value, "_storage", None) is self._storage:
                check_overlap(self, args)
        checks = count_checks()
        try:
            result = run(self, *args, **kwargs) if thread.autocast is None else uncast(run, self, *args, **kwargs)
        except NotImplementedError:  # of the type in which it computes, which torch compares with this tensor's first
            if args and isinstance(args[0], (Tensor, int, float, complex)) and not name.startswith(_CHECKED_FIRST):
                check_castable(FUNCTIONS["result_type"](self, args[0]), self.dtype)
            raise
        if count_checks() > checks:  # of an index that is computed
            settle_checks("a tensor is written")
        return assign(self, result, name)

    functools.update_wrapper(write, public)
    write.__name__ = write.__qualname__ = name
    write.__doc__ = f"As ``{public.__name__}``, but the result is written into this tensor, which is returned."
    return write
