"""A training step compiled for chips that are not there, and its costs."""
