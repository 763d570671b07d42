"""What torch's convolutions have beyond the layers: attributes that programs read, and a base to build others on."""

from __future__ import annotations

from typing import Any

from funnn import layers
from funnn.layers.conv import ConvNd
from funnn.torch.nn.modules.derived import Computed, LayerModule

#: The arguments of torch's ``_ConvNd``; those from the seventh on are no layer's, or in another place there.
_ARGUMENTS = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "transposed", "output_padding"),
    *("groups", "bias", "padding_mode", "device", "dtype"),
)
_KINDS = {
    False: {1: layers.Conv1d, 2: layers.Conv2d, 3: layers.Conv3d},
    True: {1: layers.ConvTranspose1d, 2: layers.ConvTranspose2d, 3: layers.ConvTranspose3d},
}


class _ConvNd(LayerModule, layer=ConvNd, file="conv"):
    """Base class of all convolutions. By itself it takes torch's thirteen arguments, with kernel_size as a tuple, and has no forward."""

    transposed = False

    def _construct(self, args: tuple, kwargs: dict) -> tuple:
        if self._layer_type is ConvNd:
            given = dict(zip(_ARGUMENTS, args, strict=False)) | kwargs
            self.transposed, output_padding = given.pop("transposed"), given.pop("output_padding")
            self.dimensions = len(given["kernel_size"])
            self._layer_type = _KINDS[self.transposed][self.dimensions]
            args, kwargs = (), {**given, "output_padding": output_padding} if self.transposed else given
        return super()._construct(args, kwargs)

    def _adopt(self, layer: Any, *rest: Any, **options: Any) -> None:
        super()._adopt(layer, *rest, **options)
        self._reversed_padding_repeated_twice = layer._sides()

    def _sides(self) -> tuple[int, ...]:
        return self._reversed_padding_repeated_twice

    @Computed
    def output_padding(self) -> tuple[int, ...]:
        return (0,) * len(self.kernel_size)


class _ConvTransposeNd(_ConvNd):
    transposed = True

    def _output_padding(
        self, input: Any, output_size: Any, stride: Any, padding: Any, kernel_size: Any, num_spatial_dims: int, dilation: Any = None
    ) -> list[int]:
        """The output_padding that gives an output_size; None gives the module's own."""
        return list(self.output_padding if output_size is None else self._extra(input, output_size))
