"""The Modules of the layers: one line each, for everything comes from the Layer."""

from funnn import layers
from funnn.layers import Buffer
from funnn.torch.nn.modules.derived import LayerModule


class Linear(LayerModule, layer=layers.Linear): ...


class Identity(LayerModule, layer=layers.Identity): ...


class Conv1d(LayerModule, layer=layers.Conv1d): ...


class Conv2d(LayerModule, layer=layers.Conv2d): ...


class Conv3d(LayerModule, layer=layers.Conv3d): ...


class MaxPool1d(LayerModule, layer=layers.MaxPool1d): ...


class MaxPool2d(LayerModule, layer=layers.MaxPool2d): ...


class MaxPool3d(LayerModule, layer=layers.MaxPool3d): ...


class AvgPool1d(LayerModule, layer=layers.AvgPool1d): ...


class AvgPool2d(LayerModule, layer=layers.AvgPool2d): ...


class AvgPool3d(LayerModule, layer=layers.AvgPool3d): ...


class ReLU(LayerModule, layer=layers.ReLU): ...


class Tanh(LayerModule, layer=layers.Tanh): ...


class Sigmoid(LayerModule, layer=layers.Sigmoid): ...


class Softmax(LayerModule, layer=layers.Softmax): ...


class LogSoftmax(LayerModule, layer=layers.LogSoftmax): ...


class Dropout(LayerModule, layer=layers.Dropout): ...


class _BatchNorm(LayerModule):
    _version = 2  # of the state_dict, since it has num_batches_tracked

    def reset_running_stats(self) -> None:
        """The running statistics as they were in the beginning."""
        self._reset(Buffer)


class BatchNorm1d(_BatchNorm, layer=layers.BatchNorm1d): ...


class BatchNorm2d(_BatchNorm, layer=layers.BatchNorm2d): ...


class BatchNorm3d(_BatchNorm, layer=layers.BatchNorm3d): ...


class LayerNorm(LayerModule, layer=layers.LayerNorm): ...


class Embedding(LayerModule, layer=layers.Embedding): ...


class Flatten(LayerModule, layer=layers.Flatten): ...


class Unflatten(LayerModule, layer=layers.Unflatten): ...


class MSELoss(LayerModule, layer=layers.MSELoss): ...


class L1Loss(LayerModule, layer=layers.L1Loss): ...


class NLLLoss(LayerModule, layer=layers.NLLLoss): ...


class CrossEntropyLoss(LayerModule, layer=layers.CrossEntropyLoss): ...
