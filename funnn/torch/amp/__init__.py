"""torch.amp: mixed precision."""

from funnn.torch.amp.autocast_mode import autocast as autocast
from funnn.torch.amp.autocast_mode import custom_bwd as custom_bwd
from funnn.torch.amp.autocast_mode import custom_fwd as custom_fwd
from funnn.torch.amp.autocast_mode import is_autocast_available as is_autocast_available
from funnn.torch.amp.grad_scaler import GradScaler as GradScaler
