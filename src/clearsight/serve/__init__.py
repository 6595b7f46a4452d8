"""The service: a bundle that answers over HTTP, and the page to try it."""
