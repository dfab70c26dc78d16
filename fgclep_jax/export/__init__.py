"""A checkpoint as a folder that can be passed on: files, model card."""
