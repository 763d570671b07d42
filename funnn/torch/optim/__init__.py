"""torch.optim: optimizers as objects over the rules of ``funnn.optim``."""

from funnn.torch.optim.adam import Adam as Adam
from funnn.torch.optim.optimizer import Optimizer as Optimizer
from funnn.torch.optim.sgd import SGD as SGD
