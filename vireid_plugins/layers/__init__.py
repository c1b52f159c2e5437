"""Network layers and tensor functions that depend only on tensors, modalities and views."""
