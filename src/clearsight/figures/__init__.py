"""Figures: functions from plain data to a matplotlib `Figure`; `save` writes one as PNG.

Only matplotlib's object-oriented interface is used, so no figure outlives its caller and nothing
of the user's own matplotlib set-up is changed.
"""
