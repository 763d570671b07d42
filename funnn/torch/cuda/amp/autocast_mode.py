"""torch.cuda.amp.autocast_mode."""

from funnn.torch.amp._older import names as _names

autocast, _, custom_fwd, custom_bwd = _names("cuda")
