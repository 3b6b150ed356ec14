"""Named values and secrets of specs: what they are, how they are encrypted, and the environment."""
