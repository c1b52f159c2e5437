"""Parts of networks that know tensors and modalities alone."""
