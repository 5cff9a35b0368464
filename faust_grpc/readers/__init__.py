"""Readers: the raw bytes of one call, bounded and cancellable."""
