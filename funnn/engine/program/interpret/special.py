"""Special functions, by SciPy's ufuncs, which are loaded when the first is translated."""

from __future__ import annotations

from typing import Any

import numpy as np

from funnn.engine.program.interpret.elementwise import common
from funnn.engine.program.interpret.writer import Rule, Step, Writer

#: SciPy's name of a primitive.
_NAMES = {
    "erf": "erf",
    "erfc": "erfc",
    "erf_inv": "erfinv",
    "lgamma": "gammaln",
    "igamma": "gammainc",
    "igammac": "gammaincc",
    "bessel_i0e": "i0e",
    "bessel_i1e": "i1e",
    "zeta": "zeta",
    "regularized_incomplete_beta": "betainc",
}


def _special(writer: Writer, step: Step) -> str:
    from scipy import special  # type: ignore[import-untyped]

    result, names = step.outputs[0], [value.name for value in step.inputs]
    result.thin = common(step.inputs, result)
    name = step.primitive.name
    if name == "digamma":
        text = f"{writer.use(digamma)}({writer.bind(special.psi)}, {names[0]})"
    elif name == "polygamma":
        text = f"{writer.use(polygamma)}({writer.bind(special)}, {', '.join(names)})"
    else:
        text = f"{writer.bind(getattr(special, _NAMES[name]))}({', '.join(names)})"
    return text


def digamma(psi: Any, x: Any) -> Any:
    """The derivative of lgamma, NaN at its poles."""
    return np.where((x <= 0) & (x == np.floor(x)), x.dtype.type(np.nan), psi(x))


def polygamma(special: Any, order: Any, x: Any) -> Any:
    """The derivatives of digamma, each from zeta as XLA computes it."""
    rising = np.where(order % 2 == 0, x.dtype.type(-1), x.dtype.type(1)) * special.gamma(order + 1) * special.zeta(order + 1, x)
    return np.where(order == 0, digamma(special.psi, x), rising)


RULES: dict[str, Rule] = {name: Rule(_special) for name in (*_NAMES, "digamma", "polygamma")}
