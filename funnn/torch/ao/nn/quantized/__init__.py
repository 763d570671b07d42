"""torch.ao.nn.quantized: what is there is Embedding, EmbeddingBag, and dynamic."""

from funnn.torch.ao.nn.quantized import dynamic as dynamic
from funnn.torch.ao.nn.quantized.modules import Embedding as Embedding
from funnn.torch.ao.nn.quantized.modules import EmbeddingBag as EmbeddingBag

__all__ = ["Embedding", "EmbeddingBag"]
