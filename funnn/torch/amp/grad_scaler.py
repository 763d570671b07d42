"""The scale of a loss whose gradients would vanish in float16; steps with an infinite gradient are skipped, and the scale halved."""

from __future__ import annotations

import enum
import warnings
from collections import defaultdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from funnn.engine.program.lift import lift
from funnn.engine.program.value import Value
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import device as _device
from funnn.engine.types import dtype as _dtype


class OptState(enum.Enum):
    """How far an optimizer is since the last ``update``."""

    READY = 0
    UNSCALED = 1
    STEPPED = 2


@lift
def _unscaled(grads: list, scale: jax.Array) -> tuple[list, jax.Array]:
    """The gradients over the scale, and 1.0 where any was not finite."""
    inverse = (1 / scale.astype(jnp.float64)).astype(jnp.float32)
    finite = jnp.stack([jnp.isfinite(grad).all() for grad in grads]).all()
    wide = [jnp.promote_types(grad.dtype, jnp.float32) for grad in grads]
    return [(grad.astype(kind) * inverse.astype(kind)).astype(grad.dtype) for grad, kind in zip(grads, wide, strict=True)], jnp.where(
        finite, jnp.float32(0), jnp.float32(1)
    )


@lift
def _next_scale(scale: jax.Array, tracker: jax.Array, found: list, growth: Any, backoff: Any, interval: Any) -> tuple[jax.Array, jax.Array]:
    """Scale and number of good steps since it grew: s·backoff, 0 after an infinite gradient; s·growth, 0 after ``interval`` good steps."""
    bad, good = sum(found) > 0, tracker + 1
    grown = (scale.astype(jnp.float64) * growth).astype(scale.dtype)
    full = good == interval
    better = jnp.where(full & jnp.isfinite(grown), grown, scale)
    shrunk = (scale.astype(jnp.float64) * backoff).astype(scale.dtype)
    return jnp.where(bad, shrunk, better), jnp.where(bad | full, 0, good).astype(tracker.dtype)


class GradScaler:
    """Scales a loss before ``backward`` and the gradients back before ``step``; see torch.amp.GradScaler.

    Args:
      device: where the scale lives; 'cuda' without a GPU switches the scaler off, with a warning.
      init_scale: the first scale.
      growth_factor, growth_interval: the scale grows by this factor after so many steps without an infinite or NaN gradient.
      backoff_factor: the scale shrinks by it after a step that was skipped because of one.
      enabled: if False, all methods pass through what they get.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ):
        self._device, self._enabled = device, enabled
        if enabled and device == "cuda" and not _device.accelerated():
            warnings.warn("torch.cuda.amp.GradScaler is enabled, but CUDA is not available.  Disabling.", stacklevel=2)
            self._enabled = False
        if self._enabled:
            assert growth_factor > 1.0, f"The growth factor must be > 1.0, got {growth_factor}"
            assert backoff_factor < 1.0, f"The backoff factor must be < 1.0, got {backoff_factor}"
            self._init_scale, self._init_growth_tracker = init_scale, 0
            self._growth_factor, self._backoff_factor, self._growth_interval = growth_factor, backoff_factor, growth_interval
            self._scale: Tensor | None = None
            self._growth_tracker: Tensor | None = None
            self._forget_optimizers()

    def _forget_optimizers(self) -> None:
        self._per_optimizer_states: dict[int, dict[str, Any]] = defaultdict(lambda: {"stage": OptState.READY, "found_inf_per_device": {}})

    def _make_scale(self) -> None:
        """The tensors of the state."""
        self._scale = Tensor._wrap(np.float32(self._init_scale))
        self._growth_tracker = Tensor._wrap(np.int32(self._init_growth_tracker))

    def _state_for(self, method: str) -> tuple[Tensor, Tensor]:
        assert self._scale is not None, (
            f"Attempted {method} but _scale is None.  This may indicate your script did not use scaler.scale(loss or outputs) earlier in the "
            "iteration."
        )
        return self._scale, self._growth_tracker

    def scale(self, outputs: Any) -> Any:
        """A Tensor, or the Tensors in an iterable, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            if self._scale is None:
                self._make_scale()
            return outputs * self._scale
        if isinstance(outputs, (list, tuple)):
            scaled = [self.scale(output) for output in outputs]
            return type(outputs)(*scaled) if hasattr(outputs, "_fields") else type(outputs)(scaled)
        if not hasattr(outputs, "__iter__"):
            raise ValueError(f"outputs must be a Tensor or an iterable of Tensors, got {type(outputs).__name__}")
        return map(self.scale, outputs)

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, in place; once between updates, before clipping them."""
        if not self._enabled:
            return
        scale, _ = self._state_for("unscale_")
        state = self._seen(optimizer)
        if state["stage"] is OptState.UNSCALED:
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("unscale_() is being called after step().")
        state["found_inf_per_device"] = self._unscale_grads(optimizer, scale, refused=_dtype.float16)
        state["stage"] = OptState.UNSCALED

    def _seen(self, optimizer: Any) -> dict[str, Any]:
        """What is known of an optimizer."""
        return self._per_optimizer_states[id(optimizer)]

    def _unscale_grads(self, optimizer: Any, scale: Tensor, refused: Any = None, keep: bool = False) -> dict[Any, Tensor]:
        """Device -> whether a gradient was infinite; empty if there are no gradients. The gradients change unless ``keep``."""
        grads = [param.grad for group in optimizer.param_groups for param in group["params"] if param.grad is not None]
        if any(grad.dtype is refused for grad in grads):
            raise ValueError("Attempting to unscale FP16 gradients: keep the parameters in float32 and compute under torch.autocast")
        if not grads:
            return {}
        new, found = _unscaled([grad._operand() for grad in grads], scale._operand())
        if not keep:
            for grad, array in zip(grads, new, strict=True):
                grad._write(array)
        anywhere = Tensor._wrap(found)
        for grad in {
            grad.device_mesh: grad for grad in grads if hasattr(grad, "_anywhere")
        }.values():  # of DTensors each process has a part
            anywhere = grad._anywhere(anywhere)
        return {grads[0].device: anywhere}

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step(*args, **kwargs)`` with gradients that were scaled back, unless one of them is infinite or NaN; what it returns."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError(
                "Closure use is not currently supported if GradScaler is enabled: call backward before scaler.step(optimizer)"
            )
        self._state_for("step")
        state = self._seen(optimizer)
        if state["stage"] is OptState.STEPPED:
            raise RuntimeError("step() has already been called since the last update().")
        if state["stage"] is OptState.READY:
            self.unscale_(optimizer)
        assert state["found_inf_per_device"], "No inf checks were recorded for this optimizer: none of its parameters has a gradient."
        found = any(value.known().item() for value in self._found(state))
        result = None if found else optimizer.step(*args, **kwargs)
        state["stage"] = OptState.STEPPED
        return result

    @staticmethod
    def _found(state: dict[str, Any]) -> list[Value]:
        return [found._operand() for found in state["found_inf_per_device"].values()]

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """The next scale, from whether steps were skipped since the last update, or the given one; once at the end of an iteration."""
        if not self._enabled:
            return
        scale, tracker = self._state_for("update")
        if isinstance(new_scale, Tensor):
            assert new_scale.dtype is _dtype.float32 and new_scale.numel() == 1 and not new_scale.requires_grad, (
                "new_scale should be a float or a 1-element torch.FloatTensor with requires_grad=False, "
                f"got {new_scale.dtype} of shape {list(new_scale.shape)}"
            )
            scale.copy_(new_scale)
        elif new_scale is not None:
            scale.fill_(new_scale)
        else:
            found = [item for state in self._per_optimizer_states.values() for item in self._found(state)]
            assert found, "No inf checks were recorded prior to update."
            numbers = self._growth_factor, self._backoff_factor, self._growth_interval
            values = _next_scale(scale._operand(), tracker._operand(), found, *numbers)
            scale._write(values[0])
            tracker._write(values[1])
        self._forget_optimizers()

    # -- what is set and saved

    def get_scale(self) -> float:
        """The scale; 1.0 if disabled."""
        return (self._init_scale if self._scale is None else self._scale.item()) if self._enabled else 1.0

    def _get_growth_tracker(self) -> int:
        return (self._init_growth_tracker if self._growth_tracker is None else self._growth_tracker.item()) if self._enabled else 0

    def get_growth_factor(self) -> float:
        """By what the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set by what the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By what the scale shrinks."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set by what the scale shrinks."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many good steps the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many good steps the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether the scaler does anything."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors and the number of good steps; empty if disabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from what ``state_dict`` gave, here or in PyTorch."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler; make this one with "
                "enabled=False too"
            )
        self._init_scale, self._init_growth_tracker = state_dict["scale"], state_dict["_growth_tracker"]
        if self._scale is not None:
            self._scale.fill_(state_dict["scale"])
            self._growth_tracker.fill_(state_dict["_growth_tracker"])
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if self._enabled:
            assert not self._per_optimizer_states, (
                "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after scaler.update()."
            )
            state.update(_init_scale=self.get_scale(), _init_growth_tracker=self._get_growth_tracker(), _scale=None, _growth_tracker=None)
            del state["_per_optimizer_states"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._enabled:
            self._forget_optimizers()

    def _check_inf_per_device(self, optimizer: Any) -> dict[Any, Tensor]:
        """Look for infinite gradients without changing them."""
        scale, _ = self._state_for("_check_inf_per_device")
        found = self._unscale_grads(optimizer, scale, keep=True)
        self._per_optimizer_states[id(optimizer)]["found_inf_per_device"] = found
        return found

    def _found_inf_per_device(self, optimizer: Any) -> dict[Any, Tensor]:
        return self._per_optimizer_states[id(optimizer)]["found_inf_per_device"]
