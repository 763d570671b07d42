"""state_dict and pytrees, and files: flat dicts under dotted keys, torch's .pt format, and checkpoints of training on Orbax."""

from funnn.checkpoint._arrays import from_arrays as from_arrays
from funnn.checkpoint._arrays import to_arrays as to_arrays
from funnn.checkpoint._checkpointer import Checkpointer as Checkpointer
from funnn.checkpoint._checkpointer import save as save
from funnn.checkpoint._flat import flatten as flatten
from funnn.checkpoint._flat import unflatten as unflatten
from funnn.checkpoint._orbax import Restored as Restored
from funnn.checkpoint._orbax import restore as restore
from funnn.checkpoint._state_dict import StateDictError as StateDictError
from funnn.checkpoint._state_dict import from_state_dict as from_state_dict
from funnn.checkpoint._state_dict import to_state_dict as to_state_dict
from funnn.checkpoint._torch_file import load_pt as load_pt
from funnn.checkpoint._torch_write import save_pt as save_pt
