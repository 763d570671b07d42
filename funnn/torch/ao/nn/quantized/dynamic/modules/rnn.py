"""Recurrent modules that compute with integers of 8 bits."""

from __future__ import annotations

from typing import Any

from funnn.functional._int8 import quantize_tensor
from funnn.functional._int8_recurrent import dynamic_cell, dynamic_recurrent
from funnn.torch import _namespace as torch
from funnn.torch.nn._packed import takes_packed
from funnn.torch.nn.modules import _layer_classes as floats
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.modules.recurrent import RNNBase as FloatBase

__all__ = ["GRU", "LSTM", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]

_PARTS = ("int_weight", "weight_scale", "bias")


class _Integers(Module):
    """Weights as buffers: for each, integers ``int_weight…``, their scale ``weight_scale…``, and the bias beside it, ``bias…``."""

    def _register(self, dtype: Any, shapes: dict[str, tuple[int, int]]) -> None:
        if dtype is not torch.qint8:
            raise NotImplementedError(
                f"{self._get_name()} with dtype={dtype} is not supported: give torch.qint8, or call .half() on the model"
            )
        self.dtype, self._ends = dtype, tuple(shapes)
        for end, shape in shapes.items():
            for part, array in zip(_PARTS, (torch.zeros(*shape, dtype=torch.int8), torch.ones(()), torch.zeros(shape[0])), strict=True):
                self.register_buffer(part + end, array)

    def _draw(self, ends: tuple[str, str], biases_first: bool, scale: float) -> None:
        """PyTorch's initial numbers, which it draws also for a module that then gets those of another."""
        drawn: dict[str, Any] = {}
        for part in ("bias", "int_weight") if biases_first else ("int_weight", "bias"):
            for end in ends:
                drawn[part + end] = torch.randn(*getattr(self, part + end).shape)
        for name, array in drawn.items():
            setattr(self, name, (array / scale).round().clamp(-128, 127).to(torch.int8) if name.startswith("int") else array)
        for end in ends:
            setattr(self, "weight_scale" + end, torch.tensor(scale))

    def _params(self) -> list[Any]:
        return [getattr(self, part + end) for end in self._ends for part in _PARTS]

    def _take(self, mod: Any) -> Any:
        """The weights of ``mod``, quantised."""
        if not mod.bias:
            raise AssertionError("mod.bias must be True")
        with torch.no_grad():
            for end in self._ends:
                weight, bias = getattr(mod, "weight" + end), getattr(mod, "bias" + end)
                if weight.dtype is not torch.float32:
                    raise NotImplementedError(
                        f"quantize_dynamic takes weights of torch.float32, got {weight.dtype}; call .float() on the model"
                    )
                integers, scale = quantize_tensor(weight.detach())
                for part, array in zip(_PARTS, (integers, scale, bias.detach().clone()), strict=True):
                    setattr(self, part + end, array)
        return self


class RNNBase(_Integers):
    """What LSTM and GRU share: their arguments, which are those of nn.LSTM after ``mode``, 'LSTM' or 'GRU', and their checks.

    The buffers of each layer and direction are ``int_weight_ih_l0``, ``weight_scale_ih_l0``, ``bias_ih_l0`` and the same with ``hh``; PyTorch's packed
    parameters have no arrays here. Results have no gradient.
    """

    proj_size = 0
    check_input, check_hidden_size, check_forward_args = FloatBase.check_input, FloatBase.check_hidden_size, FloatBase.check_forward_args
    get_expected_hidden_size, get_expected_cell_size = FloatBase.get_expected_hidden_size, FloatBase.get_expected_cell_size
    permute_hidden, _state_shape, _permuted = FloatBase.permute_hidden, FloatBase._state_shape, staticmethod(FloatBase._permuted)

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = torch.qint8,
    ):
        super().__init__()
        if mode not in ("LSTM", "GRU"):
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode, self.input_size, self.hidden_size, self.num_layers, self.bias = mode, input_size, hidden_size, num_layers, bias
        self.batch_first, self.dropout, self.bidirectional = batch_first, float(dropout), bidirectional
        rows, outputs = (4 if mode == "LSTM" else 3) * hidden_size, hidden_size * (2 if bidirectional else 1)
        shapes = {}
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[: 2 if bidirectional else 1]:
                shapes[f"_ih_l{layer}{suffix}"] = rows, outputs if layer else input_size
                shapes[f"_hh_l{layer}{suffix}"] = rows, hidden_size
        self._register(dtype, shapes)
        for ends in zip(self._ends[::2], self._ends[1::2], strict=True):
            self._draw(ends, False, 0.1)
        self.training = False

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of an nn.LSTM or nn.GRU with float32 weights.

        Raises:
          AssertionError: another module, or one without biases.
          NotImplementedError: weights of another dtype, or an LSTM with projections.
        """
        if type(mod) not in _OF_SEQUENCES:
            raise AssertionError("nn.quantized.dynamic.RNNBase.from_float only works for nn.LSTM and nn.GRU")
        if mod.proj_size:
            raise NotImplementedError(
                f"quantize_dynamic of an LSTM with proj_size={mod.proj_size} is not supported: leave it out of qconfig_spec"
            )
        new = _OF_SEQUENCES[type(mod)](
            mod.input_size, mod.hidden_size, mod.num_layers, mod.bias, mod.batch_first, mod.dropout, mod.bidirectional
        )
        return new._take(mod)

    def _draws(self) -> bool:
        return False

    def _run(self, input: Any, hx: Any, lengths: Any) -> tuple:
        if self.training and self.dropout and self.num_layers > 1:
            raise NotImplementedError(f"{self._get_name()} has no dropout in training: call .eval() on the model")
        batch = input.size(0 if self.batch_first else 1) if input.dim() == 3 else 0
        if hx is None:
            state = torch.zeros(self.num_layers * (2 if self.bidirectional else 1), batch, self.hidden_size)
            hx = (state,) * (2 if self.mode == "LSTM" else 1)
        self.check_forward_args(input, hx if self.mode == "LSTM" else hx[0], None)
        with torch.no_grad():
            directions = 2 if self.bidirectional else 1
            return dynamic_recurrent(input, hx, self._params(), self.mode.lower(), directions, self.batch_first, lengths=lengths)

    def _get_name(self) -> str:
        return f"DynamicQuantized{self.mode}"

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0, "bidirectional": False}
        return text + "".join(f", {name}={getattr(self, name)}" for name, default in defaults.items() if getattr(self, name) != default)


class LSTM(RNNBase):
    """A long short-term memory whose products are of integers: ``(output, (h_n, c_n))`` of a batch or a PackedSequence.

    Source: torch.ao.nn.quantized.dynamic.LSTM, with the numbers of its engines x86, fbgemm and onednn.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("LSTM", *args, **kwargs)

    @takes_packed
    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        output, h, c = self._run(input, hx, lengths)
        return output, (h, c)


class GRU(RNNBase):
    """A gated recurrent unit whose products are of integers: ``(output, h_n)`` of a batch or a PackedSequence.

    Source: torch.ao.nn.quantized.dynamic.GRU, with the numbers of its engines x86, fbgemm and onednn.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("GRU", *args, **kwargs)

    @takes_packed
    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        return self._run(input, None if hx is None else (hx,), lengths)


class RNNCellBase(_Integers):
    """What the cells share; ``num_chunks`` is the number of gates. Buffers as of RNNBase, with ``_ih`` and ``_hh``."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, num_chunks: int = 4, dtype: Any = torch.qint8):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        self._register(dtype, {"_ih": (num_chunks * hidden_size, input_size), "_hh": (num_chunks * hidden_size, hidden_size)})
        self._draw(("_ih", "_hh"), True, 1.0)

    @classmethod
    def from_float(cls, mod: Any, use_precomputed_fake_quant: bool = False) -> Any:
        """Of an nn.LSTMCell, nn.GRUCell or nn.RNNCell with float32 weights.

        Raises:
          AssertionError: another module, or one without biases.
          NotImplementedError: weights of another dtype.
        """
        if type(mod) not in _OF_STEPS:
            raise AssertionError("nn.quantized.dynamic.RNNCellBase.from_float only works for nn.LSTMCell, nn.GRUCell and nn.RNNCell")
        more = {"nonlinearity": mod.nonlinearity} if type(mod) is floats.RNNCell else {}
        return _OF_STEPS[type(mod)](mod.input_size, mod.hidden_size, mod.bias, **more)._take(mod)

    def check_forward_input(self, input: Any) -> None:
        """Refuse an input of another width."""
        if input.size(1) != self.input_size:
            raise RuntimeError(f"input has inconsistent input_size: got {input.size(1)}, expected {self.input_size}")

    def check_forward_hidden(self, input: Any, hx: Any, hidden_label: str = "") -> None:
        """Refuse a state of another batch or width."""
        if input.size(0) != hx.size(0):
            raise RuntimeError(f"Input batch size {input.size(0)} doesn't match hidden{hidden_label} batch size {hx.size(0)}")
        if hx.size(1) != self.hidden_size:
            raise RuntimeError(f"hidden{hidden_label} has inconsistent hidden_size: got {hx.size(1)}, expected {self.hidden_size}")

    def _run(self, input: Any, states: tuple | None, kind: str, labels: tuple[str, ...] = ("",)) -> tuple:
        self.check_forward_input(input)
        if states is None:
            states = (torch.zeros(input.size(0), self.hidden_size),) * len(labels)
        for state, label in zip(states, labels, strict=True):
            self.check_forward_hidden(input, state, label)
        with torch.no_grad():
            return dynamic_cell(input, states, self._params(), kind)

    def _get_name(self) -> str:
        return f"DynamicQuantized{type(self).__name__}"

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        kind = getattr(self, "nonlinearity", "tanh")
        return text if kind == "tanh" else f"{text}, nonlinearity={kind}"


class RNNCell(RNNCellBase):
    """A step of a plain recurrent network whose products are of integers; ``nonlinearity`` is 'tanh' or 'relu'. Source: torch.ao.nn.quantized.dynamic."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", dtype: Any = torch.qint8):
        super().__init__(input_size, hidden_size, bias, num_chunks=1, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._run(input, None if hx is None else (hx,), self.nonlinearity)[0]


class LSTMCell(RNNCellBase):
    """A step of a long short-term memory whose products are of integers: the new (h, c). Source: torch.ao.nn.quantized.dynamic.LSTMCell."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, num_chunks=4, **kwargs)

    def forward(self, input: Any, hx: Any = None) -> Any:
        return self._run(input, hx, "lstm", ("[0]", "[1]"))


class GRUCell(RNNCellBase):
    """A step of a gated recurrent unit whose products are of integers: the new h. Source: torch.ao.nn.quantized.dynamic.GRUCell."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = torch.qint8):
        super().__init__(input_size, hidden_size, bias, num_chunks=3, dtype=dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        return self._run(input, None if hx is None else (hx,), "gru")[0]


_OF_SEQUENCES: dict[Any, Any] = {floats.LSTM: LSTM, floats.GRU: GRU}
_OF_STEPS: dict[Any, Any] = {floats.LSTMCell: LSTMCell, floats.GRUCell: GRUCell, floats.RNNCell: RNNCell}
