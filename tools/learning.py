"""Trains every method and ablation on the same synthetic people: python tools/learning.py --rows learning.jsonl.

Each finished run adds a line to the file; a second call goes on with what is missing.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor, as_completed

from _run import positive, run


def main() -> None:
    """Parse, train what is missing and print the tables."""
    from pathlib import Path

    from tqdm import tqdm

    from vireid_plugins.benchmark import learning

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=Path("learning.jsonl"), help="(default %(default)s)")
    parser.add_argument("--root", type=Path, default=Path("learning"), help="where the trees are (default %(default)s)")
    parser.add_argument("--trees", nargs="+", choices=learning.TREES, default=list(learning.TREES))
    parser.add_argument("--only", default="", help="only variants whose name holds these words")
    parser.add_argument("--seeds", type=positive, default=3, help="(default %(default)s)")
    parser.add_argument("--epochs", type=positive, help="another budget than each tree's own")
    parser.add_argument("--jobs", type=positive, default=2, help="runs at a time (default %(default)s)")
    args = parser.parse_args()
    for name in args.trees:
        learning.make_tree(name, args.root)
    names = [name for name in learning.VARIANTS if args.only in name]
    finished = {row["key"] for row in learning.read_rows(args.rows)}
    missing = [
        one for one in learning.runs(args.trees, names, args.seeds, args.epochs or 0) if one.key() not in finished
    ]
    args.rows.parent.mkdir(parents=True, exist_ok=True)
    train_net = Path(__file__).resolve().parent / "train_net.py"
    with ThreadPoolExecutor(args.jobs) as pool, args.rows.open("a", encoding="utf-8") as file:
        waiting = [pool.submit(learning.train, one, args.root, train_net) for one in missing]
        try:
            for done in tqdm(as_completed(waiting), total=len(waiting), unit="run", disable=None):
                file.write(json.dumps(done.result()) + "\n")
                file.flush()
        finally:
            # After an error or Ctrl-C nothing more is started.
            pool.shutdown(wait=False, cancel_futures=True)
    for name in args.trees:
        print(f"{name}, {learning.TREES[name].protocol}:")
        print(learning.table(learning.read_rows(args.rows), name, args.epochs or 0))


if __name__ == "__main__":
    run(main)
