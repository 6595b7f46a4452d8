"""Settings: their schema, the recipes that fill them in, and what help says of them."""
