"""Parameters of FullyShardedDataParallel that are whole outside of forward and backward passes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from funnn.engine.tape.grad_mode import no_grad
from funnn.torch.distributed.fsdp._unit import Unit, units_of
from funnn.torch.distributed.tensor._dtensor import DTensor, part_of
from funnn.torch.distributed.tensor._layout import moved
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter


@contextlib.contextmanager
def summoned(module: Module, recurse: bool = True, writeback: bool = True, with_grads: bool = False) -> Iterator[None]:
    """Inside, the parameters of the units of a module are whole, with the types that they have; see ``summon_full_params``."""
    units = units_of(module) if recurse else [unit for unit in (module.__dict__.get("_fsdp_unit"),) if unit is not None]
    if any(unit.is_together for unit in units):
        raise AssertionError("Cannot manually unshard parameters during forward/backward")
    held = [_Summoned(unit, with_grads) for unit in units]
    try:
        yield
    finally:
        for one in held:
            one.end(writeback)


class _Summoned:
    """The whole parameters of one unit, in their places."""

    def __init__(self, unit: Unit, with_grads: bool):
        self._unit = unit
        self._pairs = [(part, self._whole(part, with_grads)) for part in unit.parameters()]
        by_part = {id(part): whole for part, whole in self._pairs}
        unit.put([[by_part[id(part)] for part in parts] for parts in unit.alike()])
        unit.is_summoned = True

    def _whole(self, part: DTensor, with_grads: bool) -> Parameter:
        with no_grad():
            together = self._unit.layout_together(part).placements
            whole = Parameter(part_of(part.detach().redistribute(placements=together)).clone(), part.requires_grad)
            grad: Any = part.grad
            if with_grads and grad is not None:
                whole.grad = part_of(grad.redistribute(placements=together))
        return whole

    def end(self, writeback: bool) -> None:
        """Put the parts back, with what was written."""
        self._unit.put_back()
        self._unit.is_summoned = False
        if writeback:
            with no_grad():
                for part, whole in self._pairs:
                    layout = part._layout
                    own = moved(part_of(whole.detach()), self._unit.layout_together(part), layout.placements)
                    part_of(part.detach()).copy_(own)
