"""Cut boxes of a detector out of a video or images: vireid crop street.mp4 --boxes street.txt --output crops."""

import argparse
import math

from vireid_plugins.cli._common import path, positive, say


def _confidence(word: str) -> float:
    """Parse a finite number."""
    number = float(word)
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"must be a number, got {word}")
    return number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    text = "a video, a folder of images, a list of images (.txt, one path a line) or an image"
    parser.add_argument("source", type=path, metavar="SOURCE", help=text)
    text = "MOT's text, COCO's JSON, or a CSV file with a header (docs/crops.md names the columns)"
    parser.add_argument("--boxes", type=path, required=True, metavar="FILE", help=text)
    text = "folder for the crops and crops.csv; a former one of crops is replaced as a whole"
    parser.add_argument("--output", type=path, required=True, metavar="FOLDER", help=text)
    parser.add_argument("--camera", default="", metavar="NAME", help="name of the camera, for crops.csv")
    text = "number of the first frame in the boxes' file (default: 1, or the numbers in the names of images)"
    parser.add_argument("--first-frame", type=int, choices=(0, 1), help=text)
    text = "leave out boxes with less (default: take all)"
    parser.add_argument("--least-confidence", type=_confidence, metavar="NUMBER", help=text)
    text = "category of the boxes, where the file has categories (default: %(default)s)"
    parser.add_argument("--category", default="person", metavar="NAME", help=text)
    text = "frames from one crop of a track to the next (default: %(default)s)"
    parser.add_argument("--every", type=positive, default=1, metavar="N", help=text)
    text = "when the first frame of the video was taken, in ISO 8601, UTC unless it says otherwise"
    parser.add_argument("--start-time", default="", metavar="TIME", help=text)


def main(args: argparse.Namespace) -> None:
    """Crop, and say what became of the boxes."""
    from tqdm import tqdm

    from vireid_plugins.detections import Settings, crop
    from vireid_plugins.detections.moment import moment
    from vireid_plugins.detections.tracks import tracks_of

    settings = Settings(
        *(args.camera, args.first_frame, args.least_confidence, args.category, args.every),
        start=moment("--start-time", args.start_time) if args.start_time else None,
    )
    with tqdm(unit="frame", disable=None) as bar:
        done = crop(args.source, args.boxes, args.output, settings, lambda frames: bar.update(frames - bar.n))
    for reason, count in sorted(done.left_out.items()):
        say(f"boxes left out: {count} {reason}")
    if args.start_time and any(one.time is None for one in done.crops):
        say("times are empty: images, and videos without timestamps, have none")
    tracks = sum(bool(track.name) for track in tracks_of(done.crops))
    say(f"crops: {len(done.crops)}, tracks: {tracks}, decoded frames: {done.frames}")
    say(f"wrote {args.output}; index it: vireid search index {args.output} --index FOLDER --model RUN")
