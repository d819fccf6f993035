"""Desired state and plan as values: what people write, and what targets are programmed with. No I/O."""
