"""Search images of your own: vireid search index IMAGES, query IMAGE_OR_FOLDER, remove IMAGES."""

import argparse
from pathlib import Path

from vireid_plugins.cli._common import (
    RUN,
    add_config_of_run,
    path,
    path_text,
    positive,
    say,
    say_table,
    trained_config,
    write_json,
)
from vireid_plugins.escape import escaped


def index(args: argparse.Namespace) -> None:
    """Index a folder, or update its index: new images are added, missing ones removed."""
    from tqdm import tqdm

    from vireid_plugins.errors import DataError
    from vireid_plugins.search import Extractor
    from vireid_plugins.search.images import listed
    from vireid_plugins.search.search import index_images, not_read

    if args.weights:
        args.opts = ["MODEL.WEIGHTS", args.weights, *args.opts]
    extractor = Extractor(trained_config(args, args.device))
    with tqdm(unit="image", disable=None) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        done = index_images(extractor, args.images, args.index, args.modality, report)
    gallery = done.gallery
    for line in done.unsure:
        say(f"unsure  {line}")
    for unread in done.unread:
        say(f"not read  {unread}")
    if done.left_out:
        say(f"left out {done.left_out.total()} files that are no images: {listed(done.left_out)}")
    for folder, count in done.moved.items():
        say(
            f"{count} images are from '{folder}', which no longer exists; remove them: vireid search remove {folder} "
            f"--index {args.index}"
        )
    summary = ", ".join(f"{number} {what}" for what, number in done.counts.items())
    say(f"{summary}; {len(gallery)} images, {gallery.kind.value} index, recall@10 {gallery.recall:.3f} measured")
    say(f"wrote {args.index}; search it: vireid search query IMAGE --index {args.index}")
    if done.unread:
        raise DataError(f"{not_read(done.unread)}. The other images are in '{args.index}'")


def query(args: argparse.Namespace) -> None:
    """Print the nearest gallery images of an image, or of every image in a folder."""
    from tabulate import tabulate

    from vireid_plugins.data.datasets.base import MODALITIES
    from vireid_plugins.errors import DataError
    from vireid_plugins.search import Gallery
    from vireid_plugins.search.model_of import extractor_of
    from vireid_plugins.search.search import not_read, query_images
    from vireid_plugins.visualize._mpl import require_format, save
    from vireid_plugins.visualize.rank_lists import picture_of_hits

    if args.picture:
        require_format("--picture", args.picture)
    gallery = Gallery.load(args.index)
    extractor = extractor_of(gallery, args.device, args.weights)
    results, unread = query_images(gallery, extractor, args.images, args.modality, args.top)
    for one in results:
        guessed = f", {one.probability:.0%} sure" if args.modality == "auto" else ""
        say("", f"{one.query} ({MODALITIES[one.modality]}{guessed})")
        rows = [[hit.rank, f"{hit.similarity:.3f}", MODALITIES[hit.modality], escaped(hit.path)] for hit in one.hits]
        headers = ["rank", "cosine", "modality", "image"]
        say_table(tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True))
    if args.json:
        report = [{**one._asdict(), "hits": [hit._asdict() for hit in one.hits]} for one in results]
        write_json(args.json, {"index": str(args.index), "recall@10": gallery.recall, "queries": report})
    if args.picture:
        gone = next((hit.path for one in results for hit in one.hits if not Path(hit.path).exists()), None)
        if gone is not None:
            raise DataError(
                f"--picture: the gallery's image '{gone}' no longer exists; index its folder where it is now, and "
                "remove the images that are gone"
            )
        rows_of = [(one.query, [hit.path for hit in one.hits]) for one in results]
        note = save(picture_of_hits(rows_of, extractor.stretch), args.picture)
        say("", f"wrote {args.picture}{note}")
    if unread:
        raise DataError(not_read(unread))


def remove(args: argparse.Namespace) -> None:
    """Remove an image, or all images below a folder, from an index."""
    from vireid_plugins.search.search import remove_images

    gallery, removed = remove_images(args.index, args.images)
    say(f"removed {removed}; {len(gallery)} images")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    commands = parser.add_subparsers(required=True, metavar="{index,query,remove}")
    for command in (index, query, remove):
        one = commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
        one.set_defaults(command=command)
        one.add_argument("images", type=path, help="a folder of images, or one image")
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
        if command is query:
            one.add_argument("--top", type=positive, default=10, help="images per query (default %(default)s)")
            one.add_argument("--json", type=path, help="also write the results to this file")
            one.add_argument("--picture", type=path, help="also draw the queries and their nearest images")
            one.add_argument("--device", default="", help="cpu or cuda (default: as the index was built, or cpu)")
            one.add_argument(
                "--weights", type=path_text, default="", help="the checkpoint that made the index, if it has moved"
            )


def main(args: argparse.Namespace) -> None:
    """Index, query or remove."""
    args.command(args)
