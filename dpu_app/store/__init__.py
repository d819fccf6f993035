"""Desired state at rest: the file as people write it, and the numbered revisions on disk."""
