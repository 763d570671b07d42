"""An optimizer's step on parameters and state that are given."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


@contextlib.contextmanager
def swap_in_optimizer_params_and_state(
    optimizer: Optimizer, swapin_parameters: dict[str, Tensor], swapin_optim_state: dict[str, Any]
) -> Iterator[None]:
    """Within the block the optimizer has these parameters, in its order, and this state, as ``state_dict`` gives it; then its own again.

    In-place changes of the state's tensors stay in ``swapin_optim_state``; new entries and options do not.

    Raises:
      RuntimeError: the optimizer has no state yet, or what is given does not fit its groups.
    """
    if not optimizer.state:
        raise RuntimeError("swap_in_optimizer_params_and_state requires initialized optimizer state.")
    own, given = optimizer.param_groups, swapin_optim_state["param_groups"]
    if len(own) != len(given):
        raise RuntimeError("swapin_optim_state has a different number of parameter groups than the live optimizer.")
    for index, (group, swapin) in enumerate(zip(own, given, strict=True)):
        if len(group["params"]) != len(swapin["params"]):
            raise RuntimeError(
                f"swapin_optim_state param group {index} has a different number of params than the live optimizer param group."
            )
        if group.keys() != swapin.keys():
            raise RuntimeError(
                f"swapin_optim_state param group {index}: its keys must exactly match, and differ in {sorted(group.keys() ^ swapin.keys())}"
            )
    numbers = [number for group in given for number in group["params"]]
    params = list(swapin_parameters.values())
    if len(params) != len(numbers):
        raise RuntimeError(
            f"the explicit parameter state must match optimizer.param_groups: {len(params)} tensors for {len(numbers)} parameters"
        )
    state, groups = optimizer.state, [dict(group) for group in own]
    try:
        remaining = iter(params)
        for group, swapin in zip(own, given, strict=True):
            group.update({**swapin, "params": [next(remaining) for _ in swapin["params"]]})
        entries = [dict(swapin_optim_state["state"].get(number, {})) for number in numbers]
        optimizer.state = defaultdict(dict, zip(params, map(optimizer._completed, entries), strict=True))
        yield
    finally:
        optimizer.state = state
        for group, before in zip(own, groups, strict=True):
            group.clear()
            group.update(before)
