"""torch's warnings: every time, or once in a program unless ``torch.set_warn_always`` says otherwise."""

from __future__ import annotations

from funnn.functional._warn import left_to_collector, warn_at_users_line

_said: set[str] = set()
#: Whether what is said once is said always; ``torch.set_warn_always``.
always = False


def warn(text: str, category: type[Warning] = UserWarning, once: bool = False) -> None:
    """Say it at the line that called into funnn, or leave it to whoever traces, who says it at every call."""
    if not left_to_collector(text, category, once):
        say(text, category, once)


def say(text: str, category: type[Warning] = UserWarning, once: bool = False) -> None:
    """As ``warn``, whoever traces."""
    if once:
        if text in _said and not always:
            return
        _said.add(text)
    warn_at_users_line(text, category)
