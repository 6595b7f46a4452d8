"""Why a model decided as it did: Grad-CAM maps and the figures made of them."""
