"""Why a model decided as it did: heatmaps by several methods, their test, and the confusions."""
