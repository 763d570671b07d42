"""What readers of checkpoints raise."""


class CheckpointError(ValueError):
    """A checkpoint file is damaged, or holds what cannot be read; the message names the file, the place and the fix."""
