"""Hooks of the trainer, a file each."""
