"""The documents kept true: numbers and references filled in, and what has drifted found."""
