"""Judging a classifier: probabilities, metrics with intervals, predictions on disk, the report."""
