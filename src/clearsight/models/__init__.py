"""Networks: a `Classifier` is preprocess ▸ backbone ▸ head; `registry.build` makes one by name."""
