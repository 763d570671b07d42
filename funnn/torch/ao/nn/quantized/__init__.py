"""torch.ao.nn.quantized: what is there is dynamic.Linear."""

from funnn.torch.ao.nn.quantized import dynamic as dynamic
