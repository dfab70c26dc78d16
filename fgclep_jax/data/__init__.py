"""From built datasets to batches."""
