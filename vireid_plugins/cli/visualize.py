"""Draw what a trained model does: vireid visualize rank RUN --output FILE."""

import argparse
from collections.abc import Callable
from typing import Any

from vireid_plugins.cli._common import (
    BASELINE,
    add_trained,
    baseline_config,
    path,
    path_text,
    positive,
    say,
    trained_config,
)


def rank(args: argparse.Namespace) -> Any:
    """Draw queries and their nearest gallery images."""
    from vireid_plugins import visualize

    lists = visualize.rank_lists_of(trained_config(args), args.number)
    return visualize.rank_lists(
        lists
    ), "green: correct; red: wrong; blue: images from the query's own location, which the protocol excludes"


def tsne(args: argparse.Namespace) -> Any:
    """Draw t-SNE of test features, color = identity, marker = modality."""
    from vireid_plugins import visualize

    features = visualize.extract(trained_config(args))
    points = visualize.embedding_map(features, args.number)
    return visualize.draw_embedding_map(points), "circles are visible images, triangles infrared ones"


def cam(args: argparse.Namespace) -> Any:
    """Draw Grad-CAM of image pairs: the regions that contribute to their similarity."""
    from vireid_plugins import visualize

    return visualize.draw_pairs(
        visualize.pairs_of(trained_config(args), args.number)
    ), "red regions contribute most to the similarity"


def distances(args: argparse.Namespace) -> Any:
    """Draw histograms of the distances within and between identities, optionally next to a baseline's."""
    from vireid_plugins import visualize
    from vireid_plugins.engine.runs import run_title

    runs = [baseline_config(args.beside)] if args.beside else []
    runs.append(trained_config(args))
    rows = [(run_title(cfg), visualize.separation(visualize.extract(cfg))) for cfg in runs]
    return visualize.draw_separation(rows), "the farther apart, the better"


def training(args: argparse.Namespace) -> Any:
    """Draw the losses, learning rate and scores of a run."""
    from vireid_plugins import visualize
    from vireid_plugins.engine.runs import run_folder

    folder = run_folder(trained_config(args))
    return visualize.draw_training(visualize.read_run(folder), str(folder)), "from metrics.json"


# The function of each figure, and what --<things> counts with its default, if anything.
FIGURES: dict[str, tuple[Callable[[argparse.Namespace], Any], str, int]] = {
    "rank": (rank, "queries", 8),
    "tsne": (tsne, "identities", 12),
    "cam": (cam, "identities", 6),
    "distances": (distances, "", 0),
    "training": (training, "", 0),
}
# Those that are drawn with lines; the others are made of photographs.
DRAWN = ("tsne", "distances", "training")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    figures = parser.add_subparsers(required=True, metavar="{" + ",".join(FIGURES) + "}")
    for name, (draw, things, number) in FIGURES.items():
        figure = figures.add_parser(name, help=f"{draw.__doc__}", description=draw.__doc__)
        figure.set_defaults(draw=draw, vector=name in DRAWN)
        add_trained(figure)
        figure.add_argument(
            "--output",
            type=path,
            required=True,
            help=f"the picture to write: .png, .jpg{', .svg' * (name in DRAWN)} or .pdf",
        )
        if things:
            figure.add_argument(
                f"--{things}", dest="number", type=positive, default=number, help="number to draw (default %(default)s)"
            )
        if name == "distances":
            figure.add_argument("--beside", type=path_text, help=f"{BASELINE} to draw next to it")


def main(args: argparse.Namespace) -> None:
    """Draw the figure and write it."""
    from vireid_plugins.visualize._mpl import require_format, save

    require_format("--output", args.output, args.vector)
    picture, meaning = args.draw(args)
    note = save(picture, args.output)
    say(f"wrote {args.output}: {meaning}{note}")
