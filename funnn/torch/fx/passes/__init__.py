"""torch.fx.passes: what is done with graphs."""

from funnn.torch.fx.passes import shape_prop as shape_prop
