"""The way from a jaxpr to a function: operands and results become values, inner jaxprs are inlined, and the rules write the source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.program.interpret import (
    blas_threads,
    casts,
    control,
    convolution,
    elementwise,
    indexing,
    layout,
    ordering,
    products,
    reductions,
    scattering,
    special,
    windows,
)
from funnn.engine.program.interpret.freed_memory import keep_freed_memory
from funnn.engine.program.interpret.writer import Rule, Writer

RULES: dict[str, Rule] = {}
for _module in (
    elementwise,
    special,
    casts,
    layout,
    reductions,
    ordering,
    indexing,
    scattering,
    products,
    convolution,
    windows,
    control,
):
    assert RULES.keys().isdisjoint(_module.RULES), RULES.keys() & _module.RULES.keys()
    RULES.update(_module.RULES)


def translate(closed: Any, symbols: tuple[str, ...] = (), silenced: bool = False) -> Callable[..., tuple[np.ndarray[Any, Any], ...]]:
    """A function ``(*sizes, *arrays) -> arrays`` that computes the jaxpr with NumPy.

    ``sizes`` are the values of the symbols, Python ints, and ``arrays`` NumPy arrays of the dtypes of the jaxpr's arguments. They are never
    written into; a result may be one of them, a view of one, or a constant of the jaxpr. The function silences NumPy's warnings, and holds BLAS to
    one thread in products that gain nothing by more. Its source is its attribute ``source``.

    Args:
      closed: a ``ClosedJaxpr``; its shapes may have dimensions of ``jax.export.symbolic_shape``.
      symbols: the names of their symbols.
      silenced: whether its callers silence NumPy's warnings themselves, for many such functions at once.

    Raises:
      Untranslatable: a primitive or a dtype has no rule.

    Example:
      >>> import jax, numpy as np
      >>> from jax import export
      >>> size = export.symbolic_shape("n")
      >>> closed = jax.make_jaxpr(lambda x: x * 2 + 1)(jax.ShapeDtypeStruct(size, np.float32))
      >>> translate(closed, ("n",))(3, np.arange(3, dtype=np.float32))
      (array([1., 3., 5.], dtype=float32),)
    """
    keep_freed_memory()
    writer = Writer(tuple(symbols), RULES)
    arguments = [writer.value(var.aval) for var in closed.jaxpr.invars]
    for argument in arguments:
        argument.kept = True
    writer.depth = 2
    steps, results = control.flatten(writer, closed.jaxpr, closed.consts, arguments)
    writer.steps(steps, results)
    given = "".join([f"{_result(writer, value)}, " for value in results])
    contexts = [*(["one_thread"] if writer.threads else []), *([] if silenced else ["np.errstate(all='ignore')"])]
    head = [
        f"def computed({', '.join([f'n_{symbol}' for symbol in symbols] + [argument.name for argument in arguments])}):",
        f"    with {', '.join(contexts)}:" if contexts else "    if True:",
    ]
    source = "\n".join([*head, *writer.lines, f"        return ({given})"])
    names = writer.names
    names["one_thread"] = blas_threads.one_thread
    exec(compile(source, "<translated jaxpr>", "exec"), names)
    computed: Callable[..., tuple[np.ndarray[Any, Any], ...]] = names["computed"]
    computed.source = source  # type: ignore[attr-defined]
    return computed


def _result(writer: Writer, value: Any) -> str:
    name = writer.array(value)
    return name if value.shape else f"np.asarray({name})"
