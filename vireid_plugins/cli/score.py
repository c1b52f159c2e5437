"""Score the features of any code base: vireid score --features F.npz --protocol NAME --data-root DIR.

F.npz contains `features` (n, D) and `paths` (n,) relative to the data set's folder; for LLCM file names suffice.
Without a protocol, labels are given: vireid score --features F.npy --ids ids.txt --modalities modalities.txt, or
vireid score --distance D.npy --query-ids q.txt --gallery-ids g.txt.
"""

import argparse
from typing import Any

from vireid_plugins.cli._common import path, say, say_table, write_json
from vireid_plugins.cli._labels import add_labels, given, read_labelled
from vireid_plugins.cli._own import OWN, add_own_options, own_options
from vireid_plugins.evaluation.choices import METRICS, RERANK_FORMS
from vireid_plugins.evaluation.protocols import PROTOCOLS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("--features", type=path, metavar="FILE", help="the .npz file, or a .npy or .mat file")
    parser.add_argument("--paths", type=path, metavar="FILE", help="paths of the rows, if --features has none")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--protocol",
        nargs="+",
        metavar="NAME",
        help=f"one or more of {', '.join(PROTOCOLS)}; each also as NAME/open; or patterns, such as 'sysu/*'",
    )
    names = sorted({protocol.dataset for protocol in PROTOCOLS.values()})
    chosen.add_argument("--dataset", choices=names, help="use every protocol of this data set")
    parser.add_argument(
        "--data-root", type=path, help="the data root, or the data set's folder itself (default: $FASTREID_DATASETS)"
    )
    parser.add_argument("--split", type=int, help="RegDB: the split that the model was trained on, 1 to 10")
    parser.add_argument("--metric", choices=METRICS, default="cosine", help="distance of features (default cosine)")
    parser.add_argument(
        "--rerank", choices=RERANK_FORMS, default="", help="k-reciprocal re-ranking; printed with the scores"
    )
    parser.add_argument(
        "--expand", type=int, default=0, metavar="TIMES", help="query expansion; printed with the scores"
    )
    parser.add_argument(
        "--aim",
        nargs="*",
        type=int,
        metavar="K",
        help="affinity inference, with k1 and k2 if given, else those that SAAI runs; printed with the scores",
    )
    parser.add_argument("--device", default="cpu", help="device for distances: cpu or cuda (default %(default)s)")
    parser.add_argument("--json", type=path, metavar="OUT", help="also write the results to this file")
    parser.add_argument(
        "--merge", nargs="+", type=path, metavar="FILE", help="average the --json files of RegDB's splits"
    )
    add_labels(parser)
    add_own_options(parser)


def main(args: argparse.Namespace) -> None:
    """Score features, or average earlier scores, and print them."""
    from vireid_plugins.config.check import require_device
    from vireid_plugins.evaluation.regdb_average import merge_splits, merged_table
    from vireid_plugins.evaluation.screen_table import screen_table

    if args.merge:
        merged = merge_splits(args.merge)
        say_table(merged_table(merged))
        if args.json:
            write_json(args.json, merged)
        return
    labels, named = given(args), bool(args.protocol or args.dataset)
    if named and labels:
        args.error(f"{labels[0]} is for labels of your own; a protocol brings its labels along")
    if named and not args.features:
        args.error("needs --features and --protocol or --dataset, or only --merge")
    if not (args.features or labels):
        args.error("needs --features and --protocol, --dataset or labels; or --distance and labels; or only --merge")
    require_device("--device", args.device)
    title, results = _of_protocols(args) if named else _of_labels(args)
    say(f"{title}; in percent:")
    say_table(screen_table(results))
    if args.json:
        write_json(args.json, {"results": [result.as_json() for result in results]})


def _of_protocols(args: argparse.Namespace) -> tuple[str, list[Any]]:
    """Return the title and the results of the protocols of a data set."""
    from vireid_plugins import evaluation
    from vireid_plugins.data.datasets.base import data_root
    from vireid_plugins.evaluation.evaluate import dataset_of, score
    from vireid_plugins.evaluation.features import require_split

    root = args.data_root or data_root()
    protocols = evaluation.select_protocols(args.protocol, args.dataset)
    file = evaluation.load_features(args.features, args.paths)
    require_split(file, args.split, args.features)
    post = _postprocessing(args)
    options = own_options(args.opts) if protocols[0].dataset == OWN else {}
    plan = evaluation.EvaluationPlan(dataset_of(protocols[0].dataset, root, args.split, options), protocols)
    results = score(file.features, file.paths, plan, post, args.device, args.metric, f"'{args.features}'")
    return f"{plan.dataset.title}, {METRICS[args.metric]}, {post if post else 'no re-ranking'}", results


def _of_labels(args: argparse.Namespace) -> tuple[str, list[Any]]:
    """Return the title and the results of labels that are given."""
    from vireid_plugins.errors import ConfigError, DataError, FeatureError
    from vireid_plugins.evaluation.labelled import GIVEN, NOTE, Scoring, score_labelled

    if args.paths or args.split is not None or args.data_root:
        raise ConfigError("--paths, --split and --data-root belong to a --protocol or --dataset; name one")
    arrays = read_labelled(args)
    how = (args.drop or "none", args.cmc or "ordinary", args.metric, _postprocessing(args), args.device)
    scoring = Scoring(*how, open_set=bool(args.open))
    try:
        results = score_labelled(arrays, scoring)
    except (DataError, FeatureError) as error:
        where = args.features or args.distance or args.query_features
        raise type(error)(f"'{where}': {error}") from None
    metric = METRICS.get(results[0].metric, f"distances {GIVEN}")
    drop = "no camera rule" if scoring.drop == "none" else f"camera rule {scoring.drop}"
    return f"{NOTE}, {drop}, {metric}, {results[0].postprocessing or 'no re-ranking'}", results


def _postprocessing(args: argparse.Namespace) -> Any:
    from vireid_plugins.config.shared_keys import AIM_NEIGHBORS
    from vireid_plugins.evaluation.postprocess import PostProcessing

    affinity: Any = ()
    if args.aim is not None:
        if len(args.aim) not in (0, 2):
            args.error(f"--aim takes k1 and k2, or nothing; got {len(args.aim)} numbers")
        affinity = (("*", *args.aim),) if args.aim else AIM_NEIGHBORS
    return PostProcessing(rerank=args.rerank, expansions=args.expand, affinity=affinity)
