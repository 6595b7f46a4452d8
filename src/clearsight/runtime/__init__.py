"""The machine: device and precision, seeds, and what to record of it."""
