"""What torch's embeddings have beyond the layers: a table from elsewhere."""

from __future__ import annotations

import inspect
from typing import Any

from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.generator import default_generator
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.nn.modules.derived import LayerModule
from funnn.torch.nn.parameter import Parameter

_PLACE = 7  # of ``_weight`` among the arguments of torch's constructors


class _Table(LayerModule, file="sparse"):
    _beyond: tuple[str, ...] = ("_weight",)  # the constructor's arguments beyond the layer's

    def __init_subclass__(cls, layer: Any = None, **kwargs: Any) -> None:
        super().__init_subclass__(layer=layer, **kwargs)
        if layer is not None:
            fields = list(cls.__signature__.parameters.values())
            kind, defaults = inspect.Parameter.POSITIONAL_OR_KEYWORD, {"_weight": None, "_freeze": False}
            fields[_PLACE:_PLACE] = [inspect.Parameter(name, kind, default=defaults[name]) for name in cls._beyond]
            cls.__signature__ = inspect.Signature(fields)

    def __init__(self, *args: Any, **kwargs: Any):
        super(LayerModule, self).__init__()
        behind = _PLACE + len(self._beyond)
        given = dict(zip(self._beyond, args[_PLACE:behind], strict=False))
        given.update({name: kwargs.pop(name) for name in ("_weight", "_freeze") if name in kwargs})
        weight, trained = given.get("_weight"), not given.get("_freeze", False)
        layer, place = self._construct(args[:_PLACE] + args[behind:], kwargs)
        if weight is None:
            self._start(layer, place)
            self.weight.requires_grad_(trained)
            return
        self._adopt(layer, place.dtype, default_generator, drawn=False)
        if tuple(weight.shape) != (self.num_embeddings, self.embedding_dim):
            raise AssertionError(
                f"Shape of weight does not match num_embeddings and embedding_dim: {list(weight.shape)} is not "
                f"[{self.num_embeddings}, {self.embedding_dim}]"
            )
        self.weight = Parameter(weight, requires_grad=trained)

    def _fill_padding_idx_with_zero(self) -> None:
        """What a subclass's ``reset_parameters`` calls when it has drawn."""
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].fill_(0)

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, *options: Any, **named: Any) -> Any:
        """A Module on a table that exists, and that it shares; frozen unless ``freeze`` is False. The options are the constructor's."""
        if embeddings.dim() != 2:
            raise AssertionError(f"Embeddings parameter is expected to be 2-dimensional, but got {list(embeddings.shape)}")
        return cls(*embeddings.shape, *options, **named, _weight=embeddings, _freeze=freeze)
