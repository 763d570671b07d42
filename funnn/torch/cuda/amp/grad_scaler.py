"""torch.cuda.amp.grad_scaler."""

from funnn.torch.amp.grad_scaler import OptState as OptState
from funnn.torch.cuda.amp import GradScaler as GradScaler
