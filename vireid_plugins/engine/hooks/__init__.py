"""Hooks of the trainer, one per file."""
