"""Which part of which array lives on which device: a mesh, and rules over the paths of a tree. Layers know nothing of it."""

from funnn.sharding._activations import constrain as constrain
from funnn.sharding._activations import constrain_outputs as constrain_outputs
from funnn.sharding._mesh import make_mesh as make_mesh
from funnn.sharding._pipeline import Pipeline as Pipeline
from funnn.sharding._ready import by_axes as by_axes
from funnn.sharding._ready import fsdp as fsdp
from funnn.sharding._ready import logical_axes as logical_axes
from funnn.sharding._ready import replicated as replicated
from funnn.sharding._ready import tensor_parallel as tensor_parallel
from funnn.sharding._ring import ring_attention as ring_attention
from funnn.sharding._rules import Rule as Rule
from funnn.sharding._rules import Rules as Rules
from funnn.sharding._rules import named_shardings as named_shardings
from funnn.sharding._rules import shard as shard
from funnn.sharding._rules import sharded as sharded
from funnn.sharding._visualize import Placement as Placement
from funnn.sharding._visualize import visualize as visualize
