"""Losses and rankings as plain loops: what tests compare values with, and the speed benchmark times."""
