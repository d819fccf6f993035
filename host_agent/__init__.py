"""What runs on the GPU host: the worker in front of an engine, and (later) client and command line."""
