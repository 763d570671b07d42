"""What torch's embeddings have beyond the layers: a table from elsewhere."""

from __future__ import annotations

from typing import Any

from funnn.torch._random import default_generator
from funnn.torch._tensor import Tensor
from funnn.torch.nn.modules.derived import LayerModule, Undrawn
from funnn.torch.nn.parameter import Parameter


class _Table(LayerModule, file="sparse"):
    def __init__(self, *args: Any, _weight: Tensor | None = None, _freeze: bool = False, **kwargs: Any):
        super(LayerModule, self).__init__()
        layer, dtype = self._construct(args, kwargs)
        self._adopt(layer, dtype, default_generator if _weight is None else Undrawn())
        if _weight is None:
            self.weight.requires_grad_(not _freeze)
            return
        if tuple(_weight.shape) != (self.num_embeddings, self.embedding_dim):
            raise AssertionError(
                f"Shape of weight does not match num_embeddings and embedding_dim: {list(_weight.shape)} is not "
                f"[{self.num_embeddings}, {self.embedding_dim}]"
            )
        self.weight = Parameter(_weight, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, *options: Any, **named: Any) -> Any:
        """A Module on a table that exists, and that it shares; frozen unless ``freeze`` is False. The options are the constructor's."""
        if embeddings.dim() != 2:
            raise AssertionError(f"Embeddings parameter is expected to be 2-dimensional, but got {list(embeddings.shape)}")
        return cls(*embeddings.shape, *options, **named, _weight=embeddings, _freeze=freeze)
