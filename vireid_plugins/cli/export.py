"""Export a trained method to ONNX, one file per modality: vireid export RUN."""

import argparse

from vireid_plugins.cli._common import add_trained, output_of, path, say, say_table, trained_config, write_json

FOLDER = "exported"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    add_trained(parser)
    text = f"folder for visible.onnx and infrared.onnx (default: {FOLDER} in the run's folder)"
    parser.add_argument("--output", type=path, help=text)
    parser.add_argument("--torch-export", action="store_true", help="also write visible.pt2 and infrared.pt2")
    parser.add_argument(
        "--compare", action="store_true", help="also write float16 and int8 files; compare size, speed and scores"
    )
    parser.add_argument("--json", type=path, help="also write the comparison to this file")


def main(args: argparse.Namespace) -> None:
    """Export, check and compare."""
    from vireid_plugins import engine, export
    from vireid_plugins.evaluation.plan import require_test_sets

    cfg = trained_config(args, "cpu")
    if args.compare:
        require_test_sets(cfg)
    folder = output_of(args, cfg, FOLDER)
    model = engine.load_model(cfg).eval()
    written = export.export_onnx(model, cfg, folder)
    if args.torch_export:
        written += export.export_program(model, cfg, folder)
    for one in written:
        size = one.bytes / 2**20
        say(f"wrote {one.file} ({size:.1f} MiB); features differ from the method's by {one.difference:.1e} at most")
    if cfg.TEST.METRIC != "cosine":
        say(
            "exported features are L2-normalized and compared by their cosine; this run's own scores are by "
            f"{cfg.TEST.METRIC} (TEST.METRIC) of features as they are, and may be others"
        )
    if args.compare:
        rows = export.compare(export.forms(model, cfg, folder), cfg)
        say_table(export.comparison_table(rows))
        if args.json:
            write_json(args.json, {"rows": rows})
