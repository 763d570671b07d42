"""What is learnt of a call while its form is traced."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax.extend.core import Jaxpr, Var


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Note:
    """What is known of a call when its form is traced.

    Attributes:
      kind: the type of the results together; None for a single one.
      smooth: of each result whether it has a gradient; None where no vjp was asked for, or there is no gradient.
      saved: the inputs that the vjp keeps, and ~ of the outputs; residuals: whether it keeps anything at all.
      tracked: the inputs with a gradient; linear: whether nothing that is kept depends on them.
      warned: what the function warned of, (text, category, whether once) of each.
    """

    kind: type | None
    smooth: tuple[bool, ...] | None = None
    saved: tuple[int, ...] = ()
    residuals: bool = False
    tracked: tuple[int, ...] = ()
    linear: bool = False
    warned: tuple[tuple[str, type[Warning], bool], ...] = ()

    def refined(self, jaxpr: Jaxpr) -> Note:
        """The note with ``linear``, which only the whole trace tells."""
        if self.smooth is None:
            return self
        known: dict[Any, frozenset[int]] = {variable: frozenset({number}) for number, variable in enumerate(jaxpr.invars)}
        for equation in jaxpr.eqns:
            found = frozenset().union(*[known.get(item, frozenset()) for item in equation.invars if isinstance(item, Var)])
            known.update((variable, found) for variable in equation.outvars)
        kept = [known.get(item, frozenset()) for item in jaxpr.outvars[len(self.smooth) :] if isinstance(item, Var)]
        return dataclasses.replace(self, linear=all(found.isdisjoint(self.tracked) for found in kept))
