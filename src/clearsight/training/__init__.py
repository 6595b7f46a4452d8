"""Training: phases, the loop, optimizers, schedules, stopping, checkpoints."""
