"""torch.cpu.amp.autocast_mode."""

from funnn.torch.cpu.amp import autocast as autocast
