"""``python -m funnn check``: which names of torch programs use, and what becomes of each on funnn.torch; the programs are read, not run."""
