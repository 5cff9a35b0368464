"""Measurements against named alternatives in the same run: ratios and CPU per event."""
