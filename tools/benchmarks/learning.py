"""Train every method and ablation on the same people: python tools/benchmarks/learning.py --rows learning.jsonl.

Each finished run adds a line to the file; a second call trains only what is missing.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Lock

import _paths  # noqa: F401  makes _run importable
from _run import path, positive, run


def main() -> None:
    """Parse, train what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=path, default=Path("learning.jsonl"), help="file of finished runs (default %(default)s)"
    )
    parser.add_argument(
        "--root", type=path, default=Path("learning"), help="data root of the trees (default %(default)s)"
    )
    parser.add_argument("--starts", nargs="+", metavar="NAME", help="initial weights (default: all)")
    parser.add_argument("--trees", nargs="+", metavar="NAME", help="data sets, such as SYSUMM01 (default: all)")
    parser.add_argument("--only", default="", help="train only variants whose name contains this")
    parser.add_argument("--seeds", type=positive, default=3, help="number of seeds (default %(default)s)")
    parser.add_argument("--epochs", type=positive, default=0, help="epochs (default: those of each tree)")
    parser.add_argument("--jobs", type=positive, default=1, help="concurrent runs (default %(default)s)")
    args = parser.parse_args()

    from learning_parts.rows import read_rows
    from learning_parts.runs import Run, runs
    from learning_parts.starts import STARTS
    from learning_parts.tables import table
    from learning_parts.training import train
    from learning_parts.trees import TREES, make_tree
    from learning_parts.variants import VARIANTS
    from learning_parts.weights import imagenet_weights
    from tqdm import tqdm

    from vireid_plugins.errors import ConfigError, require_name

    args.starts, args.trees = args.starts or list(STARTS), args.trees or list(TREES)
    for start in args.starts:
        require_name("--starts", start, STARTS)
    for tree in args.trees:
        require_name("--trees", tree, TREES)
    names = [name for name in VARIANTS if args.only in name]
    if not names:
        raise ConfigError(f"--only: no variant has '{args.only}' in its name; available: {'; '.join(VARIANTS)}")
    if any(STARTS[start].weights for start in args.starts):
        imagenet_weights()
    for name in args.trees:
        make_tree(name, args.root)
    finished = {row["key"] for row in read_rows(args.rows)}
    wanted = runs(args.starts, args.trees, names, args.seeds, args.epochs)
    missing = [one for one in wanted if one.key() not in finished]
    args.rows.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock()

    def work(one: Run) -> None:
        row = train(one, args.root)
        with lock, args.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    with ThreadPoolExecutor(args.jobs) as pool:
        waiting = [pool.submit(work, one) for one in missing]
        try:
            for done in tqdm(as_completed(waiting), total=len(waiting), unit="run", disable=None):
                done.result()
        finally:
            # After an error or Ctrl-C no new run starts; running ones are finished and kept.
            pool.shutdown(wait=False, cancel_futures=True)
    for start in args.starts:
        for name in (name for name in args.trees if start in TREES[name].epochs):
            print(f"{STARTS[start].about}; {name}, {TREES[name].protocol}:")
            print(table(read_rows(args.rows), start, name, args.epochs))


if __name__ == "__main__":
    run(main)
