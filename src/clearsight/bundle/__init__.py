"""The bundle: its format, export, prediction from it, and the registry of its versions."""
