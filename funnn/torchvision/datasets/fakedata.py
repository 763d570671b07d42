"""Images of random numbers."""

from __future__ import annotations

from typing import Any

import funnn.torch as torch
from funnn.torchvision.datasets.vision import Function, VisionDataset
from funnn.torchvision.transforms.functional import to_pil_image


class FakeData(VisionDataset):
    """Images of random numbers; each is the same at every time.

    Args:
      size: how many.
      image_size: channels, height and width.
      num_classes: how many classes there are.
      transform: a function of the image, one of Pillow's.
      target_transform: a function of the target, a number.
      random_offset: added to an image's number to give its seed.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Function | None = None,
        target_transform: Function | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(transform=transform, target_transform=target_transform)
        self.size, self.num_classes, self.image_size, self.random_offset = size, num_classes, image_size, random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        state = torch.get_rng_state()
        torch.manual_seed(index + self.random_offset)
        image = torch.randn(*self.image_size)
        target = int(torch.randint(0, self.num_classes, size=(1,), dtype=torch.long)[0])
        torch.set_rng_state(state)
        return self._transformed(to_pil_image(image), target)

    def __len__(self) -> int:
        return self.size
