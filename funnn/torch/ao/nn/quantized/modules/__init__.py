"""torch.ao.nn.quantized.modules: tables of 8-bit integers."""

from funnn.torch.ao.nn.quantized.modules.embedding_ops import Embedding as Embedding
from funnn.torch.ao.nn.quantized.modules.embedding_ops import EmbeddingBag as EmbeddingBag

__all__ = ["Embedding", "EmbeddingBag"]
