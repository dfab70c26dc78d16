"""Training: a pure step, and the program around it."""
