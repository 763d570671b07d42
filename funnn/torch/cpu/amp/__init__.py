"""torch.cpu.amp: the older names of torch.amp for 'cpu'."""

from funnn.torch.amp._older import names as _names
from funnn.torch.cpu.amp import autocast_mode as autocast_mode
from funnn.torch.cpu.amp import grad_scaler as grad_scaler

autocast, GradScaler, _, _ = _names("cpu")
