"""Rows of the table: recurrent sequences and cells."""

import numpy as np

import funnn.functional as F
from tests.cases._case import Given, case

SEQUENCE = (5, 2, 3)

LAYERS = [
    case("RNN", 3, 4, inputs=(SEQUENCE,), several_nodes_=True),
    case("RNN", 3, 4, nonlinearity="relu", bias=False, bidirectional=True, inputs=((3, 2, 3),), several_nodes_=True),
    case("RNN", 3, 4, batch_first=True, inputs=((2, 5, 3), (1, 2, 4)), several_nodes_=True),
    case("LSTM", 3, 4, inputs=(SEQUENCE,), several_nodes_=True),
    case(
        "LSTM",
        3,
        4,
        num_layers=2,
        dropout=0.4,
        batch_first=True,
        bidirectional=True,
        stochastic_=True,
        inputs=((2, 5, 3),),
        several_nodes_=True,
    ),
    case("LSTM", 3, 4, bias=False, inputs=((5, 3), [(1, 4), (1, 4)]), several_nodes_=True),
    case("LSTM", 3, 4, proj_size=2, num_layers=2, inputs=(SEQUENCE, [(2, 2, 2), (2, 2, 4)]), several_nodes_=True),
    case("GRU", 3, 4, inputs=(SEQUENCE,), several_nodes_=True),
    case("GRU", 3, 4, num_layers=2, bidirectional=True, inputs=(SEQUENCE, (4, 2, 4)), several_nodes_=True),
    case("GRU", 3, 4, bias=False, inputs=((5, 3),), several_nodes_=True),
    case("RNNCell", 3, 4, inputs=((2, 3),), several_nodes_=True),
    case("RNNCell", 3, 4, bias=False, nonlinearity="relu", inputs=((3,), (4,)), several_nodes_=True),
    case("LSTMCell", 3, 4, inputs=((2, 3), [(2, 4), (2, 4)]), several_nodes_=True),
    case("LSTMCell", 3, 4, bias=False, inputs=((3,),), several_nodes_=True),
    case("GRUCell", 3, 4, inputs=((2, 3), (2, 4)), several_nodes_=True),
    case("GRUCell", 3, 4, bias=False, inputs=((2, 3), Given(None)), several_nodes_=True),
]

_SETTINGS = (True, 1, 0.0, False, False, False)


def _sequence(name, gates):
    shapes = [(4, 2, 3), (gates * 2, 3), (gates * 2, 2), (gates * 2,), (gates * 2,)]
    return shapes, lambda x, *weights: getattr(F, name)(x, None, weights, *_SETTINGS, lengths=np.array([4, 2]))[0]


def _cell(name, gates):
    shapes = [(4, 3), (4, 2), (gates * 2, 3), (gates * 2, 2), (gates * 2,), (gates * 2,)]
    if name == "lstm_cell":
        return shapes, lambda x, h, *weights: F.lstm_cell(x, (h, 0.5 * h), *weights)[0]
    return shapes, lambda x, h, *weights: getattr(F, name)(x, h, *weights)


_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
FUNCTIONS = {
    **{name: _sequence(name, gates) for name, gates in _GATES.items()},
    **{f"{name}_cell": _cell(f"{name}_cell", gates) for name, gates in _GATES.items()},
}
