"""What plans are programmed on. Every target passes the same contract suite (`tests/contract/test_target.py`)."""
