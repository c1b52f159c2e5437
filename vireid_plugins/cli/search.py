"""Search images of your own: vireid search index IMAGES, query IMAGE_OR_FOLDER, calibrate FOLDER, remove IMAGES."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vireid_plugins.cli._common import (
    RUN,
    add_config_of_run,
    path,
    path_text,
    positive,
    say,
    trained_config,
    write_json,
)

if TYPE_CHECKING:
    from vireid_plugins.search import Condition
    from vireid_plugins.search.indexing import Indexed


def index(args: argparse.Namespace) -> None:
    """Index a folder, or update its index: new images are added, missing ones removed."""
    from functools import partial

    from tqdm import tqdm

    from vireid_plugins.errors import DataError
    from vireid_plugins.search import Extractor
    from vireid_plugins.search.embedding import not_read
    from vireid_plugins.search.engines import Kind
    from vireid_plugins.search.gallery_folder import FRAMES
    from vireid_plugins.search.indexing import index_images
    from vireid_plugins.search.metadata import Metadata
    from vireid_plugins.search.model_of import made_by
    from vireid_plugins.search.shards import Share, index_share, opened_shards
    from vireid_plugins.search.tracks import NONE, index_tracks, way_of

    if args.weights:
        args.opts = ["MODEL.WEIGHTS", args.weights, *args.opts]
    metadata = Metadata.read(args.metadata) if args.metadata else None
    tracks = way_of(args.index, args.tracks)
    share = Share.of_torchrun()
    cfg = trained_config(args, args.device)
    if share is not None:
        share.choose_device(cfg.MODEL.DEVICE)
    extractor = Extractor(cfg)
    target = args.index if tracks == NONE else args.index / FRAMES
    first = share is None or not share.rank
    with tqdm(unit="image", disable=None if first else True) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        given = (extractor, args.images, args.index, args.modality, report)
        how: dict[str, Any] = {"kind": Kind(args.engine, args.uri or "", args.dtype), "links": not args.no_links}
        if share is not None:
            mine = index_share(share, extractor, args.images, target, args.modality, report, **how)
            _say_unsure(mine.unsure, args.index)
            share.wait()
            if not first:
                return
        make = index_images if tracks == NONE else partial(index_tracks, how=tracks)
        with opened_shards(target, made_by(extractor)) as shards:
            done = make(*given, metadata=metadata, shards=shards, **how)
    if done.unknown:
        named = f"{len(done.unknown)} images that '{args.images}' does not have, the first '{done.unknown[0]}'"
        say(f"the metadata names {named}")
    _say_indexed(done, args.index)
    if done.unread:
        raise DataError(f"{not_read(done.unread)}. The other images are in '{args.index}'")


def _say_indexed(done: "Indexed", index: Path) -> None:
    from vireid_plugins.search.images import listed

    _say_unsure(done.unsure, index)
    for unread in done.unread:
        say(f"not read  {unread}")
    if done.left_out:
        say(f"left out {done.left_out.total()} files that are no images: {listed(done.left_out)}")
    for folder, count in done.moved.items():
        say(
            f"{count} images are from '{folder}', which no longer exists; remove them: vireid search remove {folder} "
            f"--index {index}"
        )
    shown = {"added": 0, "unchanged": 0, "removed": 0} | done.counts
    entries = "" if done.entries is None else f" in {done.entries} tracks and images without one"
    say(f"{', '.join(f'{number} {what}' for what, number in shown.items())}; {done.total} images{entries}")
    say(f"wrote {index}; search it: vireid search query IMAGE --index {index}")


def _say_unsure(images: Sequence[str], index: Path) -> None:
    for line in images:
        say(f"unsure  {line}")
    if images:
        say(
            f"{len(images)} images may be visible or infrared; if any of them is indexed as the wrong one: "
            f"vireid search index THOSE_IMAGES --index {index} --modality visible or infrared"
        )


def _uri(word: str) -> str:
    """Refuse an empty address, such as a variable that is not set: the server would silently be none."""
    if not word:
        raise argparse.ArgumentTypeError("is empty; write http://HOST:19530, or leave it out")
    return word


def _rate(word: str) -> float:
    """Parse a share."""
    number = float(word)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {word}")
    return number


def query(args: argparse.Namespace) -> None:
    """Print the nearest gallery images of an image, or of every image in a folder."""
    from vireid_plugins.cli._hits import print_hits
    from vireid_plugins.errors import DataError
    from vireid_plugins.search import Gallery
    from vireid_plugins.search.answers import as_json
    from vireid_plugins.search.calibration import thresholds_of
    from vireid_plugins.search.embedding import not_read
    from vireid_plugins.search.model_of import extractor_of
    from vireid_plugins.search.querying import Wanted, query_images
    from vireid_plugins.search.tracks import frames_of
    from vireid_plugins.visualize._mpl import require_format, save
    from vireid_plugins.visualize.rank_lists import picture_of_hits

    if args.picture:
        require_format("--picture", args.picture)
    wanted = Wanted(args.top, args.find, conditions(args), args.people)
    with Gallery.load(args.index) as gallery:
        extractor = extractor_of(gallery, args.device, args.weights)
        results, unread = query_images(gallery, extractor, args.images, args.modality, wanted)
        thresholds, images, frames = thresholds_of(gallery), len(gallery), frames_of(gallery)
    for one in results:
        print_hits(one, guessed=args.modality == "auto", people=args.people, thresholds=thresholds, frames=frames)
    if thresholds is not None and images > 2 * thresholds.images:
        say(
            "", f"the index had {thresholds.images} images when it was calibrated, and has {images}: calibrate it again"
        )
    if args.json:
        report = [as_json(one, thresholds, frames) for one in results]
        calibrated = None if thresholds is None else asdict(thresholds)
        write_json(args.json, {"index": str(args.index), "thresholds": calibrated, "queries": report})
    if args.picture:
        gone = next((hit.path for one in results for hit in one.hits if not Path(hit.path).exists()), None)
        if gone is not None:
            raise DataError(
                f"--picture: the gallery's image '{gone}' no longer exists; index its folder where it is now, and "
                "remove the images that are gone"
            )
        rows_of = [(one.query, [(hit.path, hit.cosine) for hit in one.hits]) for one in results]
        note = save(picture_of_hits(rows_of, extractor.stretch), args.picture)
        say("", f"wrote {args.picture}{note}")
    if unread:
        raise DataError(not_read(unread))


def calibrate(args: argparse.Namespace) -> None:
    """Set the thresholds of an index from images of people who are not in it, or from labeled pairs (--pairs)."""
    from vireid_plugins.errors import DataError
    from vireid_plugins.search import Gallery
    from vireid_plugins.search.calibration import keep, require_unknown, thresholds_from
    from vireid_plugins.search.embedding import not_read
    from vireid_plugins.search.model_of import extractor_of
    from vireid_plugins.search.pairs import MARKS, calibrate_with_pairs, read_pairs
    from vireid_plugins.search.querying import Wanted, query_images

    if (args.images is None) is (args.pairs is None):
        args.error("needs a folder of images of people who are not in the index, or --pairs")
    # A flag without a file: the marks that a service keeps in the index.
    pairs = None if args.pairs is None else read_pairs(args.pairs or args.index / MARKS)
    with Gallery.load(args.index) as gallery:
        extractor = extractor_of(gallery, args.device, args.weights)
        wanted = Wanted(1, args.find, conditions(args))
        if pairs is None:
            results, unread = query_images(gallery, extractor, args.images, args.modality, wanted)
            require_unknown(results)
            found = thresholds_from(results, len(gallery), args.rate)
        else:
            done = calibrate_with_pairs(gallery, extractor, pairs, args.modality, wanted, args.rate)
            found, unread = done.thresholds, done.unread
        keep(gallery, found)
    enough = found.queries >= found.least_queries
    few = "" if enough else f"; {found.queries} are too few for it, so none of them is one"
    queries = "images of unknown people" if pairs is None else "queries without an image of their person"
    say(
        f"match from {found.match:.6f} on, unsure from {found.unsure:.6f} on: of {found.queries} {queries} at most "
        f"{args.rate:.2%} are called a match{few}"
    )
    if pairs is not None:
        say(
            f"at or above a match: {done.same[1]} of {done.same[0]} pairs of one person, {done.different[1]} of "
            f"{done.different[0]} of different people"
        )
        if found.source == "pairs":
            say(
                f"the pairs do not tell what is nearest in the index: for its {done.searched} images the rate was "
                f"divided by {found.least_queries * args.rate:.0f}, and {found.least_queries:.0f} queries are enough"
            )
        if done.untold:
            say(f"left out: {done.untold} queries of which the nearest image, but for their person's, has no label")
    if unread:
        raise DataError(not_read(unread))


def conditions(args: argparse.Namespace) -> "tuple[Condition, ...]":
    """Return the conditions of --camera, --since, --until, --folder and --where."""
    from vireid_plugins.search.engines.where import narrowed
    from vireid_plugins.search.moved import one_spelling

    folders = [one_spelling(args.folder)] if args.folder else []
    return narrowed(args.camera, args.since, args.until, folders, args.where)


def remove(args: argparse.Namespace) -> None:
    """Remove an image, or all images below a folder, from an index."""
    from vireid_plugins.search.tracks import remove_from

    removed, left = remove_from(args.index, args.images)
    say(f"removed {removed}; {left} images")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    commands = parser.add_subparsers(required=True, metavar="{index,query,calibrate,remove}")
    for command in (index, query, calibrate, remove):
        one = commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
        one.set_defaults(command=command)
        count = "?" if command is calibrate else None
        one.add_argument("images", type=path, nargs=count, help="a folder of images, or one image")
        one.add_argument("--index", type=path, required=True, help="folder of the index")
        if command is not remove:
            ways = "visible, infrared, folder (from a folder's name) or auto (from the colors)"
            one.add_argument("--modality", default="auto", help=f"{ways}; default %(default)s")
        if command is index:
            one.add_argument("--model", dest="run", type=path_text, default="", metavar="RUN", help=RUN)
            add_config_of_run(one)
            one.add_argument(
                "--weights", type=path_text, default="", help="its checkpoint (default: the last in its output folder)"
            )
            one.add_argument("--device", default="", help="cpu or cuda (default: MODEL.DEVICE)")
            text = "overrides of the configuration; also KEY value"
            one.add_argument("--opts", nargs="+", default=[], metavar="KEY=value", help=text)
            text = "what is known of the images: a .csv or .json file with a column 'file'; docs/image_search.md"
            one.add_argument("--metadata", type=path, help=text)
            text = "numbers of a new index: float16 takes half the space (default %(default)s)"
            one.add_argument("--dtype", choices=("float32", "float16"), default="float32", help=text)
            text = "one entry for all images of a track: the mean of their vectors, or the best one's (default none)"
            one.add_argument("--tracks", choices=("mean", "best", "none"), help=text)
            text = "of a new index: faiss (files in the folder, the default) or milvus"
            one.add_argument("--engine", default="", metavar="faiss|milvus", help=text)
            text = "address of a Milvus server, http://HOST:19530; without it milvus is embedded in the folder"
            one.add_argument("--uri", type=_uri, help=text)
            one.add_argument("--no-links", action="store_true", help="do not follow linked folders")
        if command is calibrate:
            text = "share of queries for unknown people that may be called a match (default %(default)s)"
            one.add_argument("--rate", type=_rate, default=0.01, help=text)
            text = "in place of images: labeled pairs, a .csv file with query, file, same (marks.csv of the index)"
            one.add_argument("--pairs", nargs="?", type=path, const=False, metavar="FILE", help=text)
        if command is query:
            one.add_argument("--top", type=positive, default=10, help="images per query (default %(default)s)")
            one.add_argument("--people", action="store_true", help="one answer per track, and per near-duplicate")
            one.add_argument("--json", type=path, help="also write the results to this file")
            one.add_argument("--picture", type=path, help="also draw the queries and their nearest images")
        if command in (query, calibrate):
            text = "find images of this modality, or both, without the query itself; default: all images"
            one.add_argument("--find", default="", metavar="visible|infrared|both", help=text)
            one.add_argument("--camera", default="", metavar="NAME,...", help="only images of these cameras")
            one.add_argument("--since", default="", metavar="TIME", help="only from this time on: 2024-05-31T14:00")
            one.add_argument("--until", default="", metavar="TIME", help="only up to this time")
            one.add_argument("--folder", type=path_text, default="", help="only images below this folder")
            text = "only images with this: NAME=VALUE, or !=, <, <=, >, >=; may be repeated"
            one.add_argument("--where", action="append", default=[], metavar="CONDITION", help=text)
            one.add_argument("--device", default="", help="cpu or cuda (default: as the index was built, or cpu)")
            one.add_argument(
                "--weights", type=path_text, default="", help="the checkpoint that made the index, if it has moved"
            )


def main(args: argparse.Namespace) -> None:
    """Index, query, calibrate or remove."""
    args.command(args)
