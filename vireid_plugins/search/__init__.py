"""Search images of your own: features of any image, an index on disk, modalities given or guessed."""

from vireid_plugins.data.modality_guess import Guess, guess_modality
from vireid_plugins.search.engines import Condition, Record, Where
from vireid_plugins.search.extractor import Extractor
from vireid_plugins.search.gallery import Gallery, Hit

__all__ = ["Condition", "Extractor", "Gallery", "Guess", "Hit", "Record", "Where", "guess_modality"]
