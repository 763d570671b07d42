"""Answers ``import torchvision`` with funnn.torchvision, or with the installed one where there is one; see ``funnn/_answers/torch``."""

import torch  # noqa: F401 (which puts the finder into this process)

from funnn._import_torch import answer

answer(__name__)
