"""Images from files to splits: sources, a decoded cache, audits, augmentation, batches."""
