"""torch.cuda.amp: the older names of torch.amp for 'cuda'."""

from funnn.torch.amp._older import names as _names

autocast, GradScaler, custom_fwd, custom_bwd = _names("cuda")
