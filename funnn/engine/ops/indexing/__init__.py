"""Reading and writing by index, sorting, searching."""
