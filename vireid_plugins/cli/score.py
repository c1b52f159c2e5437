"""Score the features of any code base: vireid score --features F.npz --protocol NAME --data-root DIR.

F.npz contains `features` (n, D) and `paths` (n,) relative to the data set's folder; for LLCM file names suffice.
"""

import argparse

from vireid_plugins.cli._common import path, say, say_table, write_json
from vireid_plugins.evaluation.choices import METRICS, RERANK_FORMS
from vireid_plugins.evaluation.protocols import PROTOCOLS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.set_defaults(error=parser.error)
    parser.add_argument("--features", type=path, help="the .npz file")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--protocol",
        nargs="+",
        metavar="NAME",
        help=f"one or more of {', '.join(PROTOCOLS)}; or patterns, such as 'sysu/*'",
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
    parser.add_argument("--device", default="cpu", help="device for distances: cpu or cuda (default %(default)s)")
    parser.add_argument("--json", type=path, metavar="OUT", help="also write the results to this file")
    parser.add_argument(
        "--merge", nargs="+", type=path, metavar="FILE", help="average the --json files of RegDB's splits"
    )


def main(args: argparse.Namespace) -> None:
    """Score features, or average earlier scores, and print them."""
    from vireid_plugins import evaluation
    from vireid_plugins.config.check import require_device
    from vireid_plugins.data.datasets.base import data_root
    from vireid_plugins.evaluation.evaluate import dataset_of, score
    from vireid_plugins.evaluation.features import require_split
    from vireid_plugins.evaluation.regdb_average import merge_splits, merged_table
    from vireid_plugins.evaluation.screen_table import screen_table

    if args.merge:
        merged = merge_splits(args.merge)
        say_table(merged_table(merged))
        if args.json:
            write_json(args.json, merged)
        return
    if not (args.features and (args.protocol or args.dataset)):
        args.error("needs --features and --protocol or --dataset, or only --merge")
    root = args.data_root or data_root()
    require_device("--device", args.device)
    protocols = evaluation.select_protocols(args.protocol, args.dataset)
    file = evaluation.load_features(args.features)
    require_split(file, args.split, args.features)
    post = evaluation.PostProcessing(rerank=args.rerank, expansions=args.expand)
    plan = evaluation.EvaluationPlan(dataset_of(protocols[0].dataset, root, args.split), protocols)
    results = score(file.features, file.paths, plan, post, args.device, args.metric, f"'{args.features}'")
    say(f"{plan.dataset.title}, {METRICS[args.metric]}, {post if post else 'no re-ranking'}; in percent:")
    say_table(screen_table(results))
    if args.json:
        write_json(args.json, {"results": [result.as_json() for result in results]})
