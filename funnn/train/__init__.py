"""Training as pure functions: one step of a layer, a loss and an optax transformation. The loop stays the caller's.

:func:`train_step` joins the three and compiles them. :class:`LossScale` is for float16, and :class:`MeanMetrics` averages metrics over an epoch.
"""

from funnn.train._ema import Ema as Ema
from funnn.train._loss_scale import LossScale as LossScale
from funnn.train._loss_scale import LossScaleState as LossScaleState
from funnn.train._mean import MeanMetrics as MeanMetrics
from funnn.train._step import TrainState as TrainState
from funnn.train._step import TrainStep as TrainStep
from funnn.train._step import train_step as train_step
