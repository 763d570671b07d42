"""torch.optim.lr_scheduler: learning rates that change with the steps."""

from funnn.torch.optim.lr_scheduler._base import LRScheduler as LRScheduler
from funnn.torch.optim.lr_scheduler._base import _LRScheduler as _LRScheduler
from funnn.torch.optim.lr_scheduler._chainable import ConstantLR as ConstantLR
from funnn.torch.optim.lr_scheduler._chainable import CosineAnnealingLR as CosineAnnealingLR
from funnn.torch.optim.lr_scheduler._chainable import ExponentialLR as ExponentialLR
from funnn.torch.optim.lr_scheduler._chainable import LambdaLR as LambdaLR
from funnn.torch.optim.lr_scheduler._chainable import LinearLR as LinearLR
from funnn.torch.optim.lr_scheduler._chainable import MultiplicativeLR as MultiplicativeLR
from funnn.torch.optim.lr_scheduler._chainable import MultiStepLR as MultiStepLR
from funnn.torch.optim.lr_scheduler._chainable import PolynomialLR as PolynomialLR
from funnn.torch.optim.lr_scheduler._chainable import StepLR as StepLR
from funnn.torch.optim.lr_scheduler._composed import ChainedScheduler as ChainedScheduler
from funnn.torch.optim.lr_scheduler._composed import SequentialLR as SequentialLR
from funnn.torch.optim.lr_scheduler._cycles import CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts
from funnn.torch.optim.lr_scheduler._cycles import CyclicLR as CyclicLR
from funnn.torch.optim.lr_scheduler._cycles import OneCycleLR as OneCycleLR
from funnn.torch.optim.lr_scheduler._plateau import ReduceLROnPlateau as ReduceLROnPlateau

for _class in list(globals().values()):  # errors, pickles and prints name the public module
    if isinstance(_class, type):
        _class.__module__ = __name__
