"""torch.cuda.amp: the older names of torch.amp for 'cuda'."""

from funnn.torch.amp._older import names as _names
from funnn.torch.cuda.amp import autocast_mode as autocast_mode
from funnn.torch.cuda.amp import common as common
from funnn.torch.cuda.amp import grad_scaler as grad_scaler

autocast, GradScaler, custom_fwd, custom_bwd = _names("cuda")
