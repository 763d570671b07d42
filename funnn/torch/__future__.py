"""torch.__future__: how Modules convert their parameters. Here a parameter stays the same object in ``to``, ``half`` and ``load_state_dict``."""

from __future__ import annotations

_swap = False


def get_overwrite_module_params_on_conversion() -> bool:
    """Whether conversions put new parameters in place of the old ones; never."""
    return False


def set_overwrite_module_params_on_conversion(value: bool) -> None:
    """Only False is supported."""
    if value:
        raise NotImplementedError(
            "set_overwrite_module_params_on_conversion(True) is not supported: parameters stay the same objects; make new ones with copy.deepcopy"
        )


def get_swap_module_params_on_conversion() -> bool:
    """What was set; it changes nothing."""
    return _swap


def set_swap_module_params_on_conversion(value: bool) -> None:
    """Accepted: swapping keeps a parameter's identity, which it keeps anyway."""
    global _swap
    _swap = bool(value)
