"""First examples of packages that others built on PyTorch, which print the same here and there; ``.ci/packages.py`` makes a page of them."""
