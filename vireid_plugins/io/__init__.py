"""Atomic file writes, and weight files loaded without executing code."""
