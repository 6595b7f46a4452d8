"""The documents: numbers and references filled in, and what has drifted found."""
