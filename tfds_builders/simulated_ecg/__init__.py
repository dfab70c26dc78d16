"""Simulated 12-lead ECGs whose every waveform feature is known."""
