"""torch.cuda.amp.autocast_mode."""

from funnn.torch.cuda.amp import autocast as autocast
from funnn.torch.cuda.amp import custom_bwd as custom_bwd
from funnn.torch.cuda.amp import custom_fwd as custom_fwd
