"""Draw what a trained model does: vireid visualize rank RUN."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from vireid_plugins.cli._common import (
    BASELINE,
    add_trained,
    baseline_config,
    output_of,
    path,
    path_text,
    positive,
    say,
    trained_config,
)

# Names and configurations of runs, the one in question last.
Runs = list[tuple[str, Any]]


def rank(runs: Runs, args: argparse.Namespace) -> tuple[Any, str]:
    """Draw queries and their nearest gallery images, of several runs above one another."""
    from vireid_plugins import visualize
    from vireid_plugins.data.thermal import stretch_of

    found = [visualize.extract(cfg) for _, cfg in runs]
    _require_same([one.plan.protocols[0].name for one in found], "protocols")
    _require_same([str(one.dataset.folder) for one in found], "data sets")
    trials = [visualize.rank_trial(one, one.plan.protocols[0]) for one in found]
    rows = visualize.choose(trials[0], args.number, args.seed, args.query or ())
    lists = [trial.list_of(row, args.top_k) for row in rows for trial in trials]
    names = [name for name, _ in runs] if len(runs) > 1 else []
    sheet = visualize.rank_lists(lists, stretch=stretch_of(runs[-1][1]), style=_style(args), names=names)
    return sheet, (
        "blue with a tick: correct; orange with a cross: wrong; dashed gray: from the query's own location, which the "
        "protocol excludes"
    )


def cmc(runs: Runs, args: argparse.Namespace) -> tuple[Any, str]:
    """Draw the CMC curves of one run or several."""
    from vireid_plugins import visualize

    curves = [visualize.cmc_curve(name, visualize.extract(cfg), cfg.MODEL.DEVICE, args.number) for name, cfg in runs]
    return visualize.draw_cmc(curves, _style(args)), f"{curves[0].protocol}, mean of all trials, {curves[0].counted}"


def dir_(runs: Runs, args: argparse.Namespace) -> tuple[Any, str]:
    """Draw the DIR curves of one run or several: people found over unknown people let in."""
    from vireid_plugins import visualize

    curves = [visualize.dir_curve(name, visualize.extract(cfg), cfg.MODEL.DEVICE) for name, cfg in runs]
    return visualize.draw_dir(curves, _style(args)), f"{curves[0].protocol}, mean of all draws of enrolled identities"


def tsne(runs: Runs, args: argparse.Namespace) -> tuple[Any, str]:
    """Draw t-SNE of test features, color = identity, marker = modality."""
    from vireid_plugins import visualize

    ((name, cfg),) = runs
    points = visualize.embedding_map(visualize.extract(cfg), args.number, seed=args.seed or 0)
    figure = visualize.draw_embedding_map(points, f"t-SNE: {name}", _style(args))
    return figure, "circles are visible images, triangles infrared ones"


def cam(runs: Runs, args: argparse.Namespace) -> tuple[Any, str]:
    """Draw Grad-CAM of image pairs: the regions that contribute to their similarity."""
    from vireid_plugins import visualize

    maps = [visualize.pairs_of(cfg, args.number, args.seed, args.query or ()) for _, cfg in runs]
    names = [name for name, _ in runs] if len(runs) > 1 else []
    pairs = [pair for group in zip(*maps, strict=True) for pair in group]
    return visualize.draw_pairs(pairs, _style(args), names), "yellow regions contribute most to the similarity"


def distances(runs: Runs, args: argparse.Namespace) -> tuple[Any, str]:
    """Draw histograms of the distances within and between identities, of several runs next to each other."""
    from vireid_plugins import visualize

    rows = [(name, visualize.separation(visualize.extract(cfg))) for name, cfg in runs]
    for name, one in rows:
        say(
            f"{name}: same identity {one.intra_mean:.3f}, different {one.inter_mean:.3f}, "
            f"gap {one.inter_mean - one.intra_mean:.3f}, overlap {one.overlap:.1%}"
        )
    return visualize.draw_separation(rows, _style(args)), "the farther apart, the better"


def training(runs: Runs, args: argparse.Namespace) -> tuple[Any, str]:
    """Draw the losses, learning rate and scores of a run."""
    from vireid_plugins import visualize
    from vireid_plugins.engine.runs import run_folder, title_of_training

    ((_, cfg),) = runs
    curves = visualize.read_run(run_folder(cfg))
    return visualize.draw_training(curves, title_of_training(cfg), _style(args)), "from metrics.json"


class Figure(NamedTuple):
    """A figure: its function, what `--<things>` counts with its default, if anything, and which options it has."""

    draw: Callable[[Runs, argparse.Namespace], tuple[Any, str]]
    things: str = ""
    number: int = 0
    several: bool = False
    photographs: bool = False
    drawn: bool = False


FIGURES = {
    "rank": Figure(rank, "queries", 8, several=True, photographs=True, drawn=True),
    "cmc": Figure(cmc, "ranks", 20, several=True),
    "dir": Figure(dir_, several=True),
    "tsne": Figure(tsne, "identities", 12, drawn=True),
    "cam": Figure(cam, "identities", 6, several=True, photographs=True, drawn=True),
    "distances": Figure(distances, several=True),
    "training": Figure(training),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    figures = parser.add_subparsers(required=True, metavar="{" + ",".join(FIGURES) + "}")
    for name, kind in FIGURES.items():
        figure = figures.add_parser(name, help=f"{kind.draw.__doc__}", description=kind.draw.__doc__)
        figure.set_defaults(draw=kind.draw, page=f"{name}.pdf", beside=None, size=None, query=None, seed=None)
        add_trained(figure)
        text = f"the .pdf, .svg, .png or .jpg to write (default: {name}.pdf in the run's folder)"
        figure.add_argument("--output", type=path, help=text)
        if kind.several:
            figure.add_argument(
                "--beside",
                type=path_text,
                action="append",
                metavar="RUN",
                help=f"{BASELINE} to draw before it; several times for several",
            )
        _add_choice(figure, kind, name)
        _add_style(figure, kind)


def _add_choice(figure: argparse.ArgumentParser, kind: Figure, name: str) -> None:
    """Add the options that choose what is drawn."""
    if kind.things:
        figure.add_argument(
            f"--{kind.things}",
            dest="number",
            type=positive,
            default=kind.number,
            help="number to draw (default %(default)s)",
        )
    if kind.photographs:
        figure.add_argument(
            "--query",
            action="append",
            metavar="WORD",
            help="draw this: number of an identity, or path in the data set's folder; several times for several",
        )
    if kind.drawn:
        figure.add_argument(
            "--seed", type=int, help="draw at random what is shown, the same for a seed (default: spread evenly)"
        )
    if name == "rank":
        figure.add_argument("--top-k", type=positive, default=10, help="gallery images per query (default %(default)s)")


def _add_style(figure: argparse.ArgumentParser, kind: Figure) -> None:
    """Add the options of `Style`, which defines their defaults."""
    figure.add_argument("--width", type=float, metavar="CM", help="width of the figure; a column has about 8 cm")
    figure.add_argument("--font", help="a TrueType font that is installed")
    figure.add_argument("--font-size", type=float, metavar="POINTS", help="size of text")
    figure.add_argument("--dpi", type=int, help="resolution of photographs and of .png and .jpg")
    figure.add_argument("--columns", type=positive, help="panels, pairs or rank lists next to each other")
    if kind.photographs:
        figure.add_argument(
            "--size", type=float, nargs=2, metavar=("HEIGHT", "WIDTH"), help="size of a photograph in mm"
        )


def _style(args: argparse.Namespace) -> Any:
    """Return the look that the options ask for."""
    from vireid_plugins.visualize.style import Style

    names = ("width", "font", "font_size", "dpi", "columns", "size")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return Style(**given | ({"size": tuple(args.size)} if args.size else {}))


def _runs(args: argparse.Namespace) -> Runs:
    """Return the runs to draw."""
    from vireid_plugins.engine.runs import run_title

    loaded = [*(baseline_config(word) for word in args.beside or ()), trained_config(args)]
    return [(run_title(cfg), cfg) for cfg in loaded]


def _require_same(names: list[str], what: str) -> None:
    """Raise a `ConfigError` unless all runs have the same protocol or data set."""
    from vireid_plugins.errors import ConfigError

    if len(set(names)) > 1:
        raise ConfigError(f"the runs have different {what}, so their queries cannot be compared: {', '.join(names)}")


def main(args: argparse.Namespace) -> None:
    """Draw the figure and write it."""
    from vireid_plugins.visualize._mpl import require_format, save
    from vireid_plugins.visualize.style import require_font

    require_format("--output", args.output or Path(args.page))
    style = _style(args)
    require_font(style.font)
    runs = _runs(args)
    output = output_of(args, runs[-1][1], args.page)
    picture, meaning = args.draw(runs, args)
    note = save(picture, output, style)
    say(f"wrote {output}: {meaning}{note}")
