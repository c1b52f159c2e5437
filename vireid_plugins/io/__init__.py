"""Files: written whole or not at all, and weight files that run nothing."""
