"""PMT (AAAI 2023). Importing this package registers its losses; the rest of it is configuration."""

from vireid_plugins.methods.pmt.losses import DCL, MSEL, ModalityTriplet, dcl, modality_triplet, msel

__all__ = ["DCL", "MSEL", "ModalityTriplet", "dcl", "modality_triplet", "msel"]
