"""What `speed.py` measures and how: one module per subject."""
