"""Towers and alignments in Flax NNX.

Legend of shapes: B records, T samples a lead, N tokens of a record, U
statements, L word pieces of a statement, W width of a tower, E width of the
common embedding.
"""
