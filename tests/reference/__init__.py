"""Losses and rankings as plain loops, for comparison in tests and in the speed benchmark."""
