"""Desired state to plan: pure, the same input always gives the same plan."""
