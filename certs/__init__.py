"""Scripts that make certificates for development; what they write is ignored by git."""
