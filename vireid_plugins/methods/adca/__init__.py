"""ADCA (ACM MM 2022). Importing this package registers its association; the rest of it is configuration."""

from vireid_plugins.methods.adca.association import CMA, associated_pairs

__all__ = ["CMA", "associated_pairs"]
