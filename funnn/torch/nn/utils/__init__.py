"""torch.nn.utils: gradient clipping."""

from funnn.torch.nn.utils.clip_grad import clip_grad_norm_ as clip_grad_norm_
from funnn.torch.nn.utils.clip_grad import clip_grad_value_ as clip_grad_value_
