"""torch.cpu.amp: the older names of torch.amp for 'cpu'."""

from funnn.torch.amp._older import names as _names

autocast, GradScaler, _, _ = _names("cpu")
