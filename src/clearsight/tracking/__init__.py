"""Tracking: a run's numbers, copied into MLflow, Weights & Biases or TensorBoard as it goes.

The run folder stays the truth: a tracker holds numbers and the folder's path, no files.
"""
