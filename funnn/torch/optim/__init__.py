"""torch.optim: optimizers as objects over the rules of ``funnn.optim``, and learning-rate schedulers."""

from funnn.torch.optim import lr_scheduler as lr_scheduler
from funnn.torch.optim import swa_utils as swa_utils
from funnn.torch.optim._adafactor import Adafactor as Adafactor
from funnn.torch.optim._muon import Muon as Muon
from funnn.torch.optim._stateless import swap_in_optimizer_params_and_state as swap_in_optimizer_params_and_state
from funnn.torch.optim.adadelta import Adadelta as Adadelta
from funnn.torch.optim.adagrad import Adagrad as Adagrad
from funnn.torch.optim.adam import Adam as Adam
from funnn.torch.optim.adamax import Adamax as Adamax
from funnn.torch.optim.adamw import AdamW as AdamW
from funnn.torch.optim.asgd import ASGD as ASGD
from funnn.torch.optim.lbfgs import LBFGS as LBFGS
from funnn.torch.optim.nadam import NAdam as NAdam
from funnn.torch.optim.optimizer import Optimizer as Optimizer
from funnn.torch.optim.radam import RAdam as RAdam
from funnn.torch.optim.rmsprop import RMSprop as RMSprop
from funnn.torch.optim.rprop import Rprop as Rprop
from funnn.torch.optim.sgd import SGD as SGD
from funnn.torch.optim.sparse_adam import SparseAdam as SparseAdam
