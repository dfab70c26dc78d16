"""Looks over a raw archive before a long build."""
