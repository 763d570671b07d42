"""torch.fx.experimental: what libraries ask of tracers that are not here."""

from funnn.torch.fx.experimental import proxy_tensor as proxy_tensor
