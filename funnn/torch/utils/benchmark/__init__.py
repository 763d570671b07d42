"""torch.utils.benchmark: how long statements take, with what they compute computed."""

from funnn.torch.utils.benchmark.utils.common import Measurement as Measurement
from funnn.torch.utils.benchmark.utils.common import TaskSpec as TaskSpec
from funnn.torch.utils.benchmark.utils.common import ordered_unique as ordered_unique
from funnn.torch.utils.benchmark.utils.common import select_unit as select_unit
from funnn.torch.utils.benchmark.utils.common import trim_sigfig as trim_sigfig
from funnn.torch.utils.benchmark.utils.common import unit_to_english as unit_to_english
from funnn.torch.utils.benchmark.utils.compare import Compare as Compare
from funnn.torch.utils.benchmark.utils.timer import Language as Language
from funnn.torch.utils.benchmark.utils.timer import Timer as Timer
from funnn.torch.utils.benchmark.utils.timer import timer as timer
