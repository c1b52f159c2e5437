"""The gallery of a service, which others may change or make anew while it is served."""

import logging
from pathlib import Path

from vireid_plugins.errors import DataError
from vireid_plugins.search.gallery import Gallery
from vireid_plugins.search.gallery_folder import FRAMES, is_gallery
from vireid_plugins.search.model_of import require_same
from vireid_plugins.search.service.refusal import RefusedError

logger = logging.getLogger("fastreid." + __name__)


class Opened:
    """The gallery in a folder and the one of its tracks' images, for one thread at a time; to be closed after use.

    A gallery shows changes itself. If another one has taken its place, that one is opened.

    Args:
        folder: folder of the gallery.

    Raises:
        DataError: it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._gallery: Gallery | None = Gallery.load(folder)
        self._frames: Gallery | None = None
        self._model = self._gallery.made_by

    def gallery(self) -> Gallery:
        """Return the gallery that is in the folder now.

        Raises:
            DataError: there is none, or it cannot be read.
            RefusedError: another model made it.
        """
        if self._gallery is not None and not self._gallery.engine.replaced():
            return self._gallery
        self.close()
        gallery = Gallery.load(self.folder)
        try:
            require_same(gallery, self._model, self.folder)
        except DataError as error:
            gallery.close()
            logger.error("%s", error)
            raise RefusedError(503, "the index was made anew by another model; the service must be restarted") from None
        except BaseException:
            gallery.close()
            raise
        self._gallery = gallery
        return gallery

    def frames(self) -> Gallery | None:
        """Return the gallery of the images of its tracks as it is now; None if it has no tracks.

        Raises:
            DataError: it cannot be read.
        """
        if self._frames is not None and self._frames.engine.replaced():
            self._close_frames()
        if self._frames is None and is_gallery(self.folder / FRAMES):
            self._frames = Gallery.load(self.folder / FRAMES)
        return self._frames

    def close(self) -> None:
        """Close the galleries."""
        self._close_frames()
        if self._gallery is not None:
            gallery, self._gallery = self._gallery, None
            gallery.close()

    def _close_frames(self) -> None:
        if self._frames is not None:
            frames, self._frames = self._frames, None
            frames.close()
