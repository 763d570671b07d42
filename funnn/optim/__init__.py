"""torch.optim's update rules as optax transformations: same names, same defaults, same numbers.

A rule is written once, for one parameter array, and serves both worlds: :func:`transformation` maps it over a pytree for optax, and
funnn.torch's optimizers call it parameter by parameter. :mod:`funnn.optim.schedules` has torch's learning-rate schedules as functions of
the step. :func:`param_groups`, :func:`freeze`, :func:`scale_by_path` and :func:`decay_mask` choose parameters by path or by type of layer.
"""

from funnn.optim import schedules as schedules
from funnn.optim._rule import Rule as Rule
from funnn.optim._rule import RuleState as RuleState
from funnn.optim._rule import transformation as transformation
from funnn.optim.adadelta import adadelta as adadelta
from funnn.optim.adadelta import adadelta_rule as adadelta_rule
from funnn.optim.adafactor import adafactor as adafactor
from funnn.optim.adafactor import adafactor_rule as adafactor_rule
from funnn.optim.adagrad import adagrad as adagrad
from funnn.optim.adagrad import adagrad_rule as adagrad_rule
from funnn.optim.adam import adam as adam
from funnn.optim.adam import adam_rule as adam_rule
from funnn.optim.adam import adamw as adamw
from funnn.optim.adamax import adamax as adamax
from funnn.optim.adamax import adamax_rule as adamax_rule
from funnn.optim.asgd import asgd as asgd
from funnn.optim.asgd import asgd_rule as asgd_rule
from funnn.optim.groups import freeze as freeze
from funnn.optim.groups import param_groups as param_groups
from funnn.optim.groups import scale_by_path as scale_by_path
from funnn.optim.lbfgs import lbfgs as lbfgs
from funnn.optim.masks import decay_mask as decay_mask
from funnn.optim.masks import stacked_axes as stacked_axes
from funnn.optim.muon import muon as muon
from funnn.optim.muon import muon_rule as muon_rule
from funnn.optim.nadam import nadam as nadam
from funnn.optim.nadam import nadam_rule as nadam_rule
from funnn.optim.radam import radam as radam
from funnn.optim.radam import radam_rule as radam_rule
from funnn.optim.rmsprop import rmsprop as rmsprop
from funnn.optim.rmsprop import rmsprop_rule as rmsprop_rule
from funnn.optim.rprop import rprop as rprop
from funnn.optim.rprop import rprop_rule as rprop_rule
from funnn.optim.sgd import sgd as sgd
from funnn.optim.sgd import sgd_rule as sgd_rule
from funnn.optim.sparse_adam import sparse_adam as sparse_adam
from funnn.optim.sparse_adam import sparse_adam_rule as sparse_adam_rule
