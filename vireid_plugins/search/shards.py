"""Index a folder with several processes, on one machine or on several that share the folder of the gallery.

Each process embeds its share of the images into a gallery of its own, in the folder `shards` of the gallery. When all
are done, the first one indexes as always, but takes the vectors of what the shards know from there, and removes them.
What a process has done before it is killed is used by the next call.
"""

import datetime
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vireid_plugins.errors import ConfigError
from vireid_plugins.search.engines import Kind
from vireid_plugins.search.extractor import Extractor
from vireid_plugins.search.gallery import Gallery, open_gallery
from vireid_plugins.search.gallery_folder import SHARDS, is_gallery, writing
from vireid_plugins.search.images import find_images
from vireid_plugins.search.indexing import Indexed, Work, add_images
from vireid_plugins.search.metadata import Metadata
from vireid_plugins.search.model_of import made_by, require_same

# torchrun ends all processes if one of them dies; until then they wait.
_PATIENCE = datetime.timedelta(days=30)


@dataclass(frozen=True)
class Share:
    """Which images a process embeds.

    Attributes:
        rank: number of the process, from 0.
        processes: how many there are.
        local_rank: number of the process on its machine, which is that of its device.
    """

    rank: int
    processes: int
    local_rank: int

    @classmethod
    def of_torchrun(cls) -> "Share | None":
        """Return the share of a process that torchrun has started; None if it has not, or alone.

        Raises:
            ConfigError: torchrun's variables are no numbers.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        if "TORCHELASTIC_RUN_ID" not in os.environ:
            return None
        try:
            share = cls(*(int(os.environ[name]) for name in names))
        except (KeyError, ValueError):
            raise ConfigError(f"{', '.join(names)}: start several processes with torchrun, which sets them") from None
        return share if share.processes > 1 else None

    def choose_device(self, device: str) -> None:
        """Let `cuda` be the device of this process's number."""
        if device == "cuda":
            import torch

            torch.cuda.set_device(self.local_rank)

    def wait(self) -> None:
        """Return when all processes have called this."""
        import torch.distributed as dist

        dist.init_process_group("gloo", timeout=_PATIENCE)
        try:
            dist.barrier()
        finally:
            dist.destroy_process_group()


def index_share(
    share: Share,
    extractor: Extractor,
    folder: Path,
    target: Path,
    way: str,
    report: Callable[[int, int], Any] | None = None,
    *,
    kind: Kind | None = None,
    links: bool = True,
) -> Indexed:
    """Embed the images of a share into its shard; the arguments are those of `index_images`.

    Raises:
        ConfigError: the gallery is an embedded database, which only one process can open.
        DataError: as `index_images`; above all, another model made the gallery.
    """
    kind, model = kind or Kind(), made_by(extractor)
    kind.require_several(target)
    # By its model: what another one has left is never opened for writing.
    place = target / SHARDS / f"{share.rank}-{hashlib.sha256(repr(sorted(model.items())).encode()).hexdigest()[:12]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with writing(place, patience=0), ExitStack() as stack:
        former = open_gallery(target)
        if former is not None:
            stack.enter_context(former)
            require_same(former, model, target)
        work = Work(open_gallery(place), model, place, Kind(dtype=kind.dtype))
        found = find_images(folder, links)
        known = {} if former is None else {one.key: one.stamp for one in former.records()}
        mine = found.images[share.rank :: share.processes]
        found.images = [one for one in mine if known.get(one.path) != one.stamp]
        done = Indexed(unread=found.unread)
        try:
            # What has only moved is in the gallery already.
            parts = [] if former is None else [former]
            add_images(work, extractor, found, way, folder, done, Metadata(), report, parts)
        finally:
            work.write()
            if work.gallery is not None:
                work.gallery.close()
    return done


@contextmanager
def opened_shards(target: Path, model: dict[str, str]) -> Iterator[list[Gallery]]:
    """Open the shards that a model has made, inside a `with` block; all shards are removed if it ends without an error.

    Args:
        target: folder of the gallery.
        model: the result of `made_by`.
    """
    folder = target / SHARDS
    with ExitStack() as stack:
        places = sorted(folder.iterdir()) if folder.is_dir() else []
        galleries = [stack.enter_context(Gallery.load(place)) for place in places if is_gallery(place)]
        yield [gallery for gallery in galleries if gallery.made_by == model]
    shutil.rmtree(folder, ignore_errors=True)
