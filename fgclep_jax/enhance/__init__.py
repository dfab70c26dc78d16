"""Waveform enhancement: candidate features, and what the tracing shows."""
