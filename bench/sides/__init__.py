"""What is measured: one file a side. A side is a context manager that yields a `Running`."""
