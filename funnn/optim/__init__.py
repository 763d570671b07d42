"""torch.optim's update rules as optax transformations: same names, same defaults, same numbers.

A rule is written once, for one parameter array, and serves both worlds: :func:`transformation` maps it over a pytree for optax, and
funnn.torch's optimizers call it parameter by parameter.
"""

from funnn.optim._rule import Rule as Rule
from funnn.optim._rule import RuleState as RuleState
from funnn.optim._rule import transformation as transformation
from funnn.optim.adam import adam as adam
from funnn.optim.adam import adam_rule as adam_rule
from funnn.optim.sgd import sgd as sgd
from funnn.optim.sgd import sgd_rule as sgd_rule
