"""torch.utils.model_zoo: torch.hub's function under its first name."""

from funnn.torch.hub import load_state_dict_from_url as load_url

__all__ = ["load_url"]
