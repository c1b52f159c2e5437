"""Search images of your own: features of any image, an index on disk, modalities given or guessed."""

from vireid_plugins.data.modality_guess import Guess, guess_modality
from vireid_plugins.search.extractor import Extractor
from vireid_plugins.search.gallery import Gallery, Hit
from vireid_plugins.search.index import IndexKind, choose_kind

__all__ = ["Extractor", "Gallery", "Guess", "Hit", "IndexKind", "choose_kind", "guess_modality"]
