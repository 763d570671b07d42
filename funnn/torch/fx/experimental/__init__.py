"""torch.fx.experimental: networks for inference, and questions of tracers that are not here."""

from funnn.torch.fx.experimental import optimization as optimization
from funnn.torch.fx.experimental import proxy_tensor as proxy_tensor
