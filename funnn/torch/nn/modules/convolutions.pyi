# Made by .ci/stubs.py from the live objects; write to the sources, and run it again.

from funnn.engine.tensor.tensor import Tensor as _Tensor
from funnn.engine.types.device import device as _device
from funnn.engine.types.dtype import dtype as _dtype
from funnn.torch.nn.modules.derived import LayerModule as _LayerModule
from funnn.torch.nn.parameter import Parameter as _Parameter
from typing import Any



class _ConvNd(_LayerModule):
    _reversed_padding_repeated_twice: Any
    bias: Any
    dilation: int | tuple[int, ...]
    dimensions: Any
    groups: int
    in_channels: int
    kernel_size: int | tuple[int, ...]
    out_channels: int
    output_padding: tuple[int, ...]
    padding: int | tuple[int, ...] | str
    padding_mode: str
    stride: int | tuple[int, ...]
    transposed: bool
    weight: _Parameter
    def __init__(self, in_channels: int, out_channels: int, kernel_size: int | tuple[int, ...], stride: int | tuple[int, ...] = 1, padding: int | tuple[int, ...] | str = 0, dilation: int | tuple[int, ...] = 1, groups: int = 1, bias: bool = True, padding_mode: str = 'zeros', device: _device | str | int | None = None, dtype: _dtype | None = None) -> None: ...
    def _adopt(self, layer: Any, *rest: Any, **options: Any) -> None: ...
    def _construct(self, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> tuple[Any, ...]: ...
    def _conv_forward(self, input: _Tensor, weight: _Tensor, bias: _Tensor | None) -> _Tensor: ...
    def _sides(self) -> tuple[int, ...]: ...
    def extra_repr(self) -> str: ...
    def forward(self, input: _Tensor) -> _Tensor: ...
    def reset_parameters(self) -> None: ...

class _ConvTransposeNd(_ConvNd):
    transposed: bool
    def _output_padding(self, input: Any, output_size: Any, stride: Any, padding: Any, kernel_size: Any, num_spatial_dims: int, dilation: Any = None) -> list[int]: ...
