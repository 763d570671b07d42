"""The walk over the recorded graph."""
