"""Search in folders of one's own: features of any image, an index on disk, the modality told or guessed."""

from vireid_plugins.retrieval.extractor import Extractor
from vireid_plugins.retrieval.gallery import Gallery, Hit
from vireid_plugins.retrieval.index import IndexKind, choose_kind
from vireid_plugins.retrieval.modality import Guess, guess_modality

__all__ = ["Extractor", "Gallery", "Guess", "Hit", "IndexKind", "choose_kind", "guess_modality"]
