"""torch.cpu.amp.grad_scaler."""

from funnn.torch.amp._older import names as _names
from funnn.torch.amp.grad_scaler import OptState as OptState

_, GradScaler, _, _ = _names("cpu")
