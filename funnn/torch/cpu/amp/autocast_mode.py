"""torch.cpu.amp.autocast_mode."""

from funnn.torch.amp._older import names as _names

autocast, _, _, _ = _names("cpu")
