"""What torch's recurrent modules have beyond the layers: their weights as lists, their checks, and bases to build others on."""

from __future__ import annotations

import inspect
from typing import Any

from funnn import layers
from funnn.engine.tensor.tensor import Tensor
from funnn.layers.recurrent import RNNBase as RecurrentLayer
from funnn.layers.recurrent import RNNCellBase as CellLayer
from funnn.torch.nn.modules._torch_files import publish
from funnn.torch.nn.modules.derived import Computed, LayerModule
from funnn.torch.nn.parameter import Parameter

_MODES = {
    "LSTM": (layers.LSTM, {}),
    "GRU": (layers.GRU, {}),
    "RNN_TANH": (layers.RNN, {"nonlinearity": "tanh"}),
    "RNN_RELU": (layers.RNN, {"nonlinearity": "relu"}),
}


class RNNBase(LayerModule, layer=RecurrentLayer, file="rnn"):
    """Base class of RNN, LSTM and GRU.

    By itself it takes a ``mode`` ('LSTM', 'GRU', 'RNN_TANH', 'RNN_RELU') before their arguments, and has no forward.
    """

    def _construct(self, args: tuple, kwargs: dict) -> tuple:
        if self._layer_type is RecurrentLayer:
            mode, args = (kwargs.pop("mode"), args) if "mode" in kwargs else (args[0], args[1:])
            if mode not in _MODES:
                raise ValueError(f"Unrecognized RNN mode: {mode}; expected one of {', '.join(_MODES)}")
            self._layer_type, options = _MODES[mode]
            self.mode, self.gates = mode, self._layer_type.gates
            names = [*inspect.signature(RecurrentLayer).parameters, "device", "dtype"]
            args, kwargs = (), {**dict(zip(names, args, strict=False)), **kwargs, **options}
        if self._layer_type is not layers.LSTM and "proj_size" in kwargs and kwargs.pop("proj_size"):
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        return super()._construct(args, kwargs)

    @Computed
    def mode(self) -> str:
        """'LSTM', 'GRU', 'RNN_TANH' or 'RNN_RELU'."""
        kind = self._layer_type.__name__
        return f"{kind}_{self.nonlinearity.upper()}" if kind == "RNN" else kind

    @Computed
    def _flat_weights_names(self) -> list[str]:
        return list(self._weight_shapes())

    @Computed
    def _flat_weights(self) -> list[Parameter]:
        """What runs, in its order; a program that computes some of the weights may assign the list."""
        return [getattr(self, name) for name in self._flat_weights_names]

    @Computed
    def _all_weights(self) -> list[list[str]]:
        names, count = self._flat_weights_names, self.num_layers * (2 if self.bidirectional else 1)
        size = len(names) // count
        return [names[i * size : (i + 1) * size] for i in range(count)]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of every layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def _weights(self) -> list[Parameter]:
        return self._flat_weights

    def flatten_parameters(self) -> None:
        """Does nothing: XLA lays the weights out by itself."""

    def __setattr__(self, name: str, value: Any) -> None:
        assigned = self.__dict__.get("_flat_weights")
        if assigned is not None and name in self._flat_weights_names:
            assigned[self._flat_weights_names.index(name)] = value
        super().__setattr__(name, value)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """Also of weights that were assigned as a list, which follow the attributes from then on."""
        super()._apply(fn, recurse)
        self.__dict__.pop("_flat_weights", None)
        return self

    # -- what a subclass's forward, written for torch, calls

    def check_input(self, input: Tensor, batch_sizes: Tensor | None) -> None:
        """Refuse an input of another width or number of axes; ``batch_sizes`` are those of packed data."""
        expected = 3 if batch_sizes is None else 2
        if input.dim() != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.dim()}")
        if self.input_size != input.size(-1):
            raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.size(-1)}")

    def get_expected_hidden_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape of the state h for an input."""
        return self._state_shape(input, batch_sizes, self.proj_size or self.hidden_size)

    def get_expected_cell_size(self, input: Tensor, batch_sizes: Tensor | None) -> tuple[int, int, int]:
        """The shape of LSTM's state c for an input."""
        return self._state_shape(input, batch_sizes, self.hidden_size)

    def _state_shape(self, input: Tensor, batch_sizes: Tensor | None, size: int) -> tuple[int, int, int]:
        batch = input.size(0 if self.batch_first else 1) if batch_sizes is None else int(batch_sizes[0])
        return self.num_layers * (2 if self.bidirectional else 1), batch, size

    def check_hidden_size(
        self, hx: Tensor, expected_hidden_size: tuple[int, int, int], msg: str = "Expected hidden size {}, got {}"
    ) -> None:
        """Refuse a state of another shape; ``msg`` is the error's text."""
        if tuple(hx.size()) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(expected_hidden_size, list(hx.size())))

    def check_forward_args(self, input: Tensor, hidden: Any, batch_sizes: Tensor | None) -> None:
        """Refuse an input and a state (for LSTM a pair) that do not fit."""
        self.check_input(input, batch_sizes)
        h, *c = hidden if isinstance(hidden, tuple) else (hidden,)
        of = "Expected hidden[{}] size {{}}, got {{}}".format if c else "Expected hidden size {{}}, got {{}}".format
        self.check_hidden_size(h, self.get_expected_hidden_size(input, batch_sizes), of(0))
        for cell in c:
            self.check_hidden_size(cell, self.get_expected_cell_size(input, batch_sizes), of(1))

    def permute_hidden(self, hx: Any, permutation: Tensor | None) -> Any:
        """The state with its batch in another order."""
        if permutation is None:
            return hx
        return tuple(map(self._permuted(permutation), hx)) if isinstance(hx, tuple) else self._permuted(permutation)(hx)

    @staticmethod
    def _permuted(permutation: Tensor) -> Any:
        return lambda state: state.index_select(1, permutation)


class RNNCellBase(LayerModule, layer=CellLayer, file="rnn"):
    """Base class of RNNCell, LSTMCell and GRUCell. By itself it takes ``num_chunks``, the number of gates, after ``bias``, and has no forward."""

    def _construct(self, args: tuple, kwargs: dict) -> tuple:
        if self._layer_type is not CellLayer:
            return super()._construct(args, kwargs)
        given = dict(zip(("input_size", "hidden_size", "bias", "num_chunks", "device", "dtype"), args, strict=False)) | kwargs
        gates = given.pop("num_chunks")
        layer, place = super()._construct((), given)
        layer.__dict__["gates"] = gates
        return layer, place


def apply_permutation(tensor: Tensor, permutation: Tensor, dim: int = 1) -> Tensor:
    """The tensor with ``dim`` in another order; deprecated by torch for ``tensor.index_select(dim, permutation)``."""
    return tensor.index_select(dim, permutation)


publish(apply_permutation, "rnn")
