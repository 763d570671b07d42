"""state_dict and pytrees, and files: flat dicts under dotted keys, torch's .pt format, safetensors, checkpoints of training on Orbax."""

from funnn.checkpoint._arrays import from_arrays as from_arrays
from funnn.checkpoint._arrays import to_arrays as to_arrays
from funnn.checkpoint._checkpointer import Checkpointer as Checkpointer
from funnn.checkpoint._checkpointer import save as save
from funnn.checkpoint._errors import CheckpointError as CheckpointError
from funnn.checkpoint._flat import flatten as flatten
from funnn.checkpoint._flat import unflatten as unflatten
from funnn.checkpoint._huggingface_names import GPT2 as GPT2
from funnn.checkpoint._huggingface_names import LLAMA as LLAMA
from funnn.checkpoint._huggingface_names import RESNET as RESNET
from funnn.checkpoint._huggingface_names import VIT as VIT
from funnn.checkpoint._lazy import LazyTensors as LazyTensors
from funnn.checkpoint._orbax import Restored as Restored
from funnn.checkpoint._orbax import restore as restore
from funnn.checkpoint._rename import Rule as Rule
from funnn.checkpoint._rename import rename as rename
from funnn.checkpoint._safetensors_read import load_safetensors as load_safetensors
from funnn.checkpoint._safetensors_read import safetensors_metadata as safetensors_metadata
from funnn.checkpoint._safetensors_write import save_safetensors as save_safetensors
from funnn.checkpoint._stack import stack_layers as stack_layers
from funnn.checkpoint._stack import unstack_layers as unstack_layers
from funnn.checkpoint._state_dict import StateDictError as StateDictError
from funnn.checkpoint._state_dict import from_state_dict as from_state_dict
from funnn.checkpoint._state_dict import to_state_dict as to_state_dict
from funnn.checkpoint._torch_file import load_pt as load_pt
from funnn.checkpoint._torch_write import save_pt as save_pt
