"""The packet stage in plain Python, and the rig that replays captures against it and against the real targets."""
