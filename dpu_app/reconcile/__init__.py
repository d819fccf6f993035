"""Makes targets have what the desired state says, and keeps it so (design section 4)."""
