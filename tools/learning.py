"""Trains every method and ablation on the same synthetic people: python tools/learning.py --rows learning.jsonl.

Each finished run adds a line to the file; a second call goes on with what is missing.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Lock

from _run import positive, run


def main() -> None:
    """Parse, train what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=Path("learning.jsonl"), help="(default %(default)s)")
    parser.add_argument("--root", type=Path, default=Path("learning"), help="where the trees are (default %(default)s)")
    parser.add_argument("--starts", nargs="+", metavar="NAME", help="initial weights (default all)")
    parser.add_argument("--trees", nargs="+", metavar="NAME", help="SYSUMM01, RegDB (default both)")
    parser.add_argument("--only", default="", help="only variants whose name contains this")
    parser.add_argument("--seeds", type=positive, default=3, help="(default %(default)s)")
    parser.add_argument("--epochs", type=positive, default=0, help="another budget than each tree's own")
    parser.add_argument("--jobs", type=positive, default=1, help="runs at a time (default %(default)s)")
    args = parser.parse_args()

    from tqdm import tqdm

    from vireid_plugins.benchmark import learning
    from vireid_plugins.errors import ConfigError, require_name

    args.starts, args.trees = args.starts or list(learning.STARTS), args.trees or list(learning.TREES)
    for start in args.starts:
        require_name("--starts", start, learning.STARTS)
    for tree in args.trees:
        require_name("--trees", tree, learning.TREES)
    names = [name for name in learning.VARIANTS if args.only in name]
    if not names:
        raise ConfigError(f"--only: no variant has '{args.only}' in its name; there are {'; '.join(learning.VARIANTS)}")
    if any(learning.STARTS[start].weights for start in args.starts):
        learning.imagenet_weights()
    for name in args.trees:
        learning.make_tree(name, args.root)
    finished = {row["key"] for row in learning.read_rows(args.rows)}
    wanted = learning.runs(args.starts, args.trees, names, args.seeds, args.epochs)
    missing = [one for one in wanted if one.key() not in finished]
    args.rows.parent.mkdir(parents=True, exist_ok=True)
    lock = Lock()

    def work(one: learning.Run) -> None:
        row = learning.train(one, args.root)
        with lock, args.rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    with ThreadPoolExecutor(args.jobs) as pool:
        waiting = [pool.submit(work, one) for one in missing]
        try:
            for done in tqdm(as_completed(waiting), total=len(waiting), unit="run", disable=None):
                done.result()
        finally:
            # After an error or Ctrl-C nothing more is started; what runs is finished and kept.
            pool.shutdown(wait=False, cancel_futures=True)
    for start in args.starts:
        for name in args.trees:
            print(f"{learning.STARTS[start].about}; {name}, {learning.TREES[name].protocol}:")
            print(learning.table(learning.read_rows(args.rows), start, name, args.epochs))


if __name__ == "__main__":
    run(main)
