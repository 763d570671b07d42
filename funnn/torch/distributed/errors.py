"""What torch.distributed raises, by torch's names."""


class DistError(RuntimeError):
    """Something went wrong between processes."""


class DistBackendError(DistError):
    """A collective operation failed, or waited too long."""


class MismatchError(DistBackendError):
    """Processes called different operations; the group goes on."""


class ProcessGoneError(DistBackendError):
    """A process of the group has ended or left; ``has_failed`` says whether of an error."""

    def __init__(self, text: str, has_failed: bool):
        super().__init__(text)
        self.has_failed = has_failed


class DistNetworkError(DistError):
    """A process could not be reached."""


class DistStoreError(DistError):
    """A store did not have a key in time."""


class QueueEmptyError(DistStoreError):
    """A queue of a store has nothing."""


def killed(rank: int) -> str:
    """What an error says of a process that has ended without having failed or left."""
    return f"the process of rank {rank} has closed its connection without a word, as one does that is killed or crashes; see what it printed last"
