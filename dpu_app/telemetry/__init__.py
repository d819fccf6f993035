"""Logs, metrics and health of a process. Used by the agent and by the entry of the fast path."""
