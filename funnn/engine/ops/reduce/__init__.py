"""Sums, maxima, scans, statistics."""
