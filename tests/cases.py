"""The one table of layers: each public layer with arguments and inputs; the cross-cutting tests run over all of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """A layer's name (funnn's and torch's), constructor arguments, and its inputs: float shapes, or ("int", shape, below)."""

    name: str
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    inputs: tuple = ((4, 3),)

    def __str__(self) -> str:
        options = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.name}({', '.join(options)})-{'x'.join(map(str, self.inputs[0])) if self.inputs else ''}"

    @property
    def stochastic(self) -> bool:
        return self.name == "Dropout"

    def arrays(self, seed: int = 0) -> list[np.ndarray]:
        """The inputs, float64 or int64."""
        rng = np.random.default_rng(seed)
        return [rng.integers(0, spec[2], spec[1]) if spec and spec[0] == "int" else rng.standard_normal(spec) for spec in self.inputs]

    def layer(self) -> Any:
        """funnn's layer."""
        from funnn import layers

        return getattr(layers, self.name)(*self.args, **self.kwargs)

    def module(self, torch: Any, **extra: Any) -> Any:
        """The Module, of whichever torch."""
        convert = {name: torch.tensor(value) if isinstance(value, np.ndarray) else value for name, value in self.kwargs.items()}
        return getattr(torch.nn, self.name)(*self.args, **convert, **extra)


def _case(name: str, *args: Any, inputs: tuple = ((4, 3),), **kwargs: Any) -> Case:
    return Case(name, args, kwargs, inputs)


_weights = np.array([0.5, 1.0, 2.0, 0.25, 3.0], np.float32)
_image, _signal, _volume = (2, 3, 8, 7), (2, 3, 9), (2, 2, 5, 6, 4)
_logits = ((4, 5), ("int", (4,), 5))

CASES = [
    _case("Linear", 3, 5),
    _case("Linear", 3, 5, bias=False, inputs=((2, 4, 3),)),
    _case("Linear", 3, 5, inputs=((3,),)),
    _case("Identity"),
    _case("Conv1d", 3, 4, 3, padding=1, inputs=(_signal,)),
    _case("Conv1d", 3, 6, 2, stride=2, groups=3, bias=False, inputs=((3, 9),)),
    _case("Conv2d", 3, 6, 3, inputs=(_image,)),
    _case("Conv2d", 3, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=3, inputs=(_image,)),
    _case("Conv2d", 3, 4, 3, padding="same", inputs=((3, 8, 7),)),
    _case("Conv3d", 2, 3, 2, inputs=(_volume,)),
    _case("MaxPool1d", 3, inputs=(_signal,)),
    _case("MaxPool2d", 2, inputs=((2, 3, 8, 6),)),
    _case("MaxPool2d", 3, stride=2, padding=1, ceil_mode=True, inputs=(_image,)),
    _case("MaxPool3d", 2, inputs=(_volume,)),
    _case("AvgPool1d", 2, inputs=(_signal,)),
    _case("AvgPool2d", 3, stride=2, padding=1, count_include_pad=False, inputs=(_image,)),
    _case("AvgPool2d", 2, divisor_override=3, inputs=(_image,)),
    _case("AvgPool3d", 2, inputs=(_volume,)),
    _case("ReLU"),
    _case("Tanh"),
    _case("Sigmoid"),
    _case("Softmax", dim=1),
    _case("LogSoftmax", dim=-1),
    _case("Dropout", 0.3, inputs=((20, 30),)),
    _case("BatchNorm1d", 3),
    _case("BatchNorm1d", 3, momentum=None, inputs=((4, 3, 5),)),
    _case("BatchNorm2d", 3, affine=False, inputs=(_image,)),
    _case("BatchNorm2d", 3, track_running_stats=False, inputs=(_image,)),
    _case("BatchNorm3d", 2, eps=1e-3, momentum=0.3, inputs=(_volume,)),
    _case("LayerNorm", 3),
    _case("LayerNorm", (4, 3), elementwise_affine=False, inputs=((2, 4, 3),)),
    _case("LayerNorm", 3, bias=False),
    _case("Embedding", 7, 4, inputs=(("int", (2, 5), 7),)),
    _case("Embedding", 7, 4, padding_idx=-2, inputs=(("int", (6,), 7),)),
    _case("Flatten", inputs=((2, 3, 4),)),
    _case("Flatten", 0, 1, inputs=((2, 3, 4),)),
    _case("Unflatten", 1, (3, 2), inputs=((2, 6),)),
    _case("MSELoss", inputs=((4, 3), (4, 3))),
    _case("MSELoss", reduction="sum", inputs=((4, 3), (4, 3))),
    _case("L1Loss", reduction="none", inputs=((4, 3), (4, 3))),
    _case("NLLLoss", inputs=_logits),
    _case("NLLLoss", weight=_weights, ignore_index=2, inputs=((4, 5, 3), ("int", (4, 3), 5))),
    _case("CrossEntropyLoss", inputs=_logits),
    _case("CrossEntropyLoss", weight=_weights, label_smoothing=0.1, inputs=_logits),
    _case("CrossEntropyLoss", reduction="sum", inputs=((4, 5), (4, 5))),
]

#: Public names of funnn.layers that are no layers with inputs of their own; their tests are in test_contract.py.
OTHERS = {"Buffer", "Layer", "LayerList", "Param", "Sequential"}
