"""Recurrent layers over sequences, and cells for one step."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import jax

from funnn import functional as F
from funnn import init
from funnn.layers._layer import Layer, Param, Spec

LSTMState = tuple[jax.Array, jax.Array]  # (h, c)


def _uniform(hidden_size: int) -> Any:
    """torch's initial values: U(−1/√hidden_size, 1/√hidden_size)."""
    bound = 1 / math.sqrt(hidden_size) if hidden_size > 0 else 0
    return partial(init.uniform, a=-bound, b=bound)


class RNNBase(Layer):
    """What RNN, LSTM and GRU share: their arguments, parameters and text."""

    gates: ClassVar[int]

    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
    ):
        given = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers, "proj_size": proj_size}
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
            if value < (0 if name == "proj_size" else 1):
                raise ValueError(f"{name} must be greater than zero, but got {name}={value}")
        for name, value in (("bias", bias), ("batch_first", batch_first), ("bidirectional", bidirectional)):
            if not isinstance(value, bool):
                raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed, "
                f"but got dropout={dropout!r}"
            )
        if proj_size >= hidden_size:
            raise ValueError(f"proj_size has to be smaller than hidden_size, but got proj_size={proj_size} and hidden_size={hidden_size}")
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers greater than 1, "
                f"but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=4,
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size

    def _weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """The parameters' shapes by name, in torch's order."""
        shapes: dict[str, tuple[int, ...]] = {}
        directions = 2 if self.bidirectional else 1
        out = self.proj_size or self.hidden_size
        rows = self.gates * self.hidden_size
        for layer in range(self.num_layers):
            for suffix in ("", "_reverse")[:directions]:
                end = f"_l{layer}{suffix}"
                shapes["weight_ih" + end] = (rows, out * directions if layer else self.input_size)
                shapes["weight_hh" + end] = (rows, out)
                if self.bias:
                    shapes["bias_ih" + end] = shapes["bias_hh" + end] = (rows,)
                if self.proj_size:
                    shapes["weight_hr" + end] = (self.proj_size, self.hidden_size)
        return shapes

    def spec(self) -> Spec:
        draw = _uniform(self.hidden_size)
        return {name: Param(shape, draw) for name, shape in self._weight_shapes().items()}

    def _arguments(self) -> tuple[list[jax.Array], bool, int, float, bool, bool, bool]:
        return self._weights(), self.bias, self.num_layers, self.dropout, self.training, self.bidirectional, self.batch_first

    def _weights(self) -> list[jax.Array]:
        return [getattr(self, name) for name in self._weight_shapes()]

    def _draws(self) -> bool:
        return self.dropout > 0 and self.num_layers > 1

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in (
            ("proj_size", 0),
            ("num_layers", 1),
            ("bias", True),
            ("batch_first", False),
            ("dropout", 0),
            ("bidirectional", False),
        ):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


class RNN(RNNBase):
    """A plain recurrent network over (T, B, input_size), (B, T, input_size) with ``batch_first``, or (T, input_size).

    h_t = tanh (or relu) of W_ih x_t + b_ih + W_hh h_{t−1} + b_hh.

    Args:
      input_size, hidden_size: sizes of the last axis of the input and of the state.
      num_layers: layers on top of each other.
      nonlinearity: 'tanh' or 'relu'.
      bias: whether there are biases, two a layer as torch has them.
      batch_first: whether the batch is the first axis of input and output.
      dropout: probability of dropping an element of each layer's output but the last one's in training; ``apply`` then needs ``key``.
      bidirectional: whether to run backwards too; outputs are concatenated.

    ``forward(input, hx=None, *, lengths=None)`` gives (output, h_n); states have shape (num_layers · directions, B, size). ``lengths`` are the
    sequences' lengths where they differ: what is behind them does not count, and its output is 0.

    Parameters: ``weight_ih_l0`` (hidden_size, input_size), ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``, … (``_reverse`` for the other
    direction), all from U(−k, k) with k = 1/√hidden_size. Source: Elman, 1990; torch.nn.RNN.

    Raises:
      TypeError, ValueError: an argument of the wrong type or out of range.
    """

    gates = 1

    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ):
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity = nonlinearity

    def forward(self, input: jax.Array, hx: jax.Array | None = None, *, lengths: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        run = F.rnn_tanh if self.nonlinearity == "tanh" else F.rnn_relu
        return run(input, hx, *self._arguments(), lengths=lengths, key=self.make_key() if self._draws() else None)


class LSTM(RNNBase, init=False):
    """A long short-term memory over (T, B, input_size), (B, T, input_size) with ``batch_first``, or (T, input_size).

    Args:
      input_size, hidden_size: sizes of the last axis of the input and of the state.
      num_layers: layers on top of each other.
      bias: whether there are biases, two a layer as torch has them.
      batch_first: whether the batch is the first axis of input and output.
      dropout: probability of dropping an element of each layer's output but the last one's in training; ``apply`` then needs ``key``.
      bidirectional: whether to run backwards too; outputs are concatenated.
      proj_size: if positive, h is projected to that many values by ``weight_hr_l0`` (proj_size, hidden_size).

    ``forward(input, hx=None, *, lengths=None)`` gives (output, (h_n, c_n)); states have shape (num_layers · directions, B, size). ``lengths`` are the
    sequences' lengths where they differ: what is behind them does not count, and its output is 0.

    Parameters: ``weight_ih_l0`` (4·hidden_size, input_size), ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``, … (``_reverse`` for the other
    direction), all from U(−k, k) with k = 1/√hidden_size. Source: Hochreiter and Schmidhuber, 1997; torch.nn.LSTM.

    Raises:
      TypeError, ValueError: an argument of the wrong type or out of range.
    """

    gates = 4

    def forward(self, input: jax.Array, hx: LSTMState | None = None, *, lengths: jax.Array | None = None) -> tuple[jax.Array, LSTMState]:
        y, h, c = F.lstm(input, hx, *self._arguments(), lengths=lengths, key=self.make_key() if self._draws() else None)
        return y, (h, c)


class GRU(RNNBase):
    """A gated recurrent unit over (T, B, input_size), (B, T, input_size) with ``batch_first``, or (T, input_size).

    Args:
      input_size, hidden_size: sizes of the last axis of the input and of the state.
      num_layers: layers on top of each other.
      bias: whether there are biases, two a layer as torch has them.
      batch_first: whether the batch is the first axis of input and output.
      dropout: probability of dropping an element of each layer's output but the last one's in training; ``apply`` then needs ``key``.
      bidirectional: whether to run backwards too; outputs are concatenated.

    ``forward(input, hx=None, *, lengths=None)`` gives (output, h_n); states have shape (num_layers · directions, B, size). ``lengths`` are the
    sequences' lengths where they differ: what is behind them does not count, and its output is 0.

    Parameters: ``weight_ih_l0`` (3·hidden_size, input_size), ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0``, … (``_reverse`` for the other
    direction), all from U(−k, k) with k = 1/√hidden_size. Source: Cho et al., 2014; torch.nn.GRU.

    Raises:
      TypeError, ValueError: an argument of the wrong type or out of range.
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ):
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)

    def forward(self, input: jax.Array, hx: jax.Array | None = None, *, lengths: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        return F.gru(input, hx, *self._arguments(), lengths=lengths, key=self.make_key() if self._draws() else None)


# -- single steps


class RNNCellBase(Layer):
    """What the cells share.

    Parameters: ``weight_ih`` (gates·hidden_size, input_size), ``weight_hh`` (gates·hidden_size, hidden_size), ``bias_ih`` and ``bias_hh``, all from
    U(−k, k) with k = 1/√hidden_size.
    """

    gates: ClassVar[int]
    function: ClassVar[Any]

    input_size: int
    hidden_size: int
    bias: bool = True

    def spec(self) -> Spec:
        draw, rows = _uniform(self.hidden_size), self.gates * self.hidden_size
        return {
            "weight_ih": Param((rows, self.input_size), draw),
            "weight_hh": Param((rows, self.hidden_size), draw),
            "bias_ih": Param((rows,), draw) if self.bias else None,
            "bias_hh": Param((rows,), draw) if self.bias else None,
        }

    def _step(self, function: Callable[..., Any], input: jax.Array, hx: Any) -> Any:
        return function(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        text = text if self.bias is True else f"{text}, bias={self.bias}"
        kind = getattr(self, "nonlinearity", "tanh")
        return text if kind == "tanh" else f"{text}, nonlinearity={kind}"


class RNNCell(RNNCellBase):
    """One step h' = tanh (or relu) of W_ih x + b_ih + W_hh h + b_hh: ``forward(input, hx=None)``.

    Input (B, input_size) or (input_size,), hx (B, hidden_size) or (hidden_size,), zeros by default. Source: torch.nn.RNNCell.

    Parameters: ``weight_ih`` (hidden_size, input_size), ``weight_hh`` (hidden_size, hidden_size), ``bias_ih`` and ``bias_hh``, all from
    U(−k, k) with k = 1/√hidden_size.
    """

    gates = 1

    nonlinearity: str = "tanh"

    def __post_init__(self) -> None:
        if self.nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{self.nonlinearity}'. Select from 'tanh' or 'relu'.")

    def forward(self, input: jax.Array, hx: jax.Array | None = None) -> jax.Array:
        return self._step(F.rnn_tanh_cell if self.nonlinearity == "tanh" else F.rnn_relu_cell, input, hx)


class LSTMCell(RNNCellBase):
    """One step of a long short-term memory: ``forward(input, (h, c)=None)`` gives (h', c').

    Input (B, input_size) or (input_size,), h and c (B, hidden_size) or (hidden_size,), zeros by default. Source: torch.nn.LSTMCell.

    Parameters: ``weight_ih`` (4·hidden_size, input_size), ``weight_hh`` (4·hidden_size, hidden_size), ``bias_ih`` and ``bias_hh``, all from
    U(−k, k) with k = 1/√hidden_size.
    """

    gates = 4

    def forward(self, input: jax.Array, hx: LSTMState | None = None) -> LSTMState:
        return self._step(F.lstm_cell, input, hx)


class GRUCell(RNNCellBase):
    """One step of a gated recurrent unit: ``forward(input, hx=None)``.

    Input (B, input_size) or (input_size,), hx (B, hidden_size) or (hidden_size,), zeros by default. Source: torch.nn.GRUCell.

    Parameters: ``weight_ih`` (3·hidden_size, input_size), ``weight_hh`` (3·hidden_size, hidden_size), ``bias_ih`` and ``bias_hh``, all from
    U(−k, k) with k = 1/√hidden_size.
    """

    gates = 3

    def forward(self, input: jax.Array, hx: jax.Array | None = None) -> jax.Array:
        return self._step(F.gru_cell, input, hx)
