"""The classes of torch.nn: ``_layer_classes`` derives those of layers, its neighbours are written; ``_torch_files`` lays them out as torch does."""

from funnn.torch.nn.modules import utils as utils
from funnn.torch.nn.modules._layer_classes import *  # noqa: F403
from funnn.torch.nn.modules._layer_classes import __all__ as _derived
from funnn.torch.nn.modules._normalizations import CrossMapLRN2d as CrossMapLRN2d
from funnn.torch.nn.modules.container import Container as Container
from funnn.torch.nn.modules.container import ModuleDict as ModuleDict
from funnn.torch.nn.modules.container import ModuleList as ModuleList
from funnn.torch.nn.modules.container import Sequential as Sequential
from funnn.torch.nn.modules.module import Module as Module
from funnn.torch.nn.modules.parameter_containers import ParameterDict as ParameterDict
from funnn.torch.nn.modules.parameter_containers import ParameterList as ParameterList

__all__ = [
    *_derived,
    *("Container", "CrossMapLRN2d", "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"),
]
