"""A bundle's model for other runtimes: one module each, and `convert`, which checks them all."""
