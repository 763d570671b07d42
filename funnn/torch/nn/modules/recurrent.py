"""What torch's recurrent modules have beyond the layers: their weights as lists."""

from __future__ import annotations

from funnn.torch.nn.modules.derived import LayerModule
from funnn.torch.nn.parameter import Parameter


class RNNBase(LayerModule, file="rnn"):
    """Base class of RNN, LSTM and GRU."""

    @property
    def mode(self) -> str:
        """'LSTM', 'GRU', 'RNN_TANH' or 'RNN_RELU'."""
        kind = self._layer_type.__name__
        return f"{kind}_{self.nonlinearity.upper()}" if kind == "RNN" else kind

    @property
    def _flat_weights_names(self) -> list[str]:
        return list(self._weight_shapes())

    @property
    def _flat_weights(self) -> list[Parameter]:
        return [getattr(self, name) for name in self._flat_weights_names]

    @property
    def _all_weights(self) -> list[list[str]]:
        names, count = self._flat_weights_names, self.num_layers * (2 if self.bidirectional else 1)
        size = len(names) // count
        return [names[i * size : (i + 1) * size] for i in range(count)]

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of every layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Does nothing: XLA lays the weights out by itself."""


class RNNCellBase(LayerModule, file="rnn"):
    """Base class of RNNCell, LSTMCell and GRUCell."""
