"""Trains, resumes or scores a method: python tools/train_net.py --config-file configs/SYSU/wrim.yml [KEY value ...]."""

from _run import run


def main() -> None:
    """Parse and train."""
    import vireid_plugins.engine as engine  # first: it makes fastreid importable
    from fastreid.engine import default_argument_parser  # isort: skip

    args = default_argument_parser().parse_args()
    engine.launch(engine.main, args, engine.read_config(args))


if __name__ == "__main__":
    run(main)
