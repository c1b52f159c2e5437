"""Cut boxes of a detector out of a video or images: vireid crop street.mp4 --boxes street.txt --output crops."""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from vireid_plugins.cli._common import path, positive, say

if TYPE_CHECKING:
    from vireid_plugins.detections.boxes import Boxes
    from vireid_plugins.detections.crops import Settings


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
    parser.add_argument("--boxes", type=path, metavar="FILE", help=text)
    text = "in place of --boxes: a detector of torchvision, such as fasterrcnn_resnet50_fpn_v2"
    parser.add_argument("--detector", default="", metavar="NAME", help=text)
    parser.add_argument(
        "--weights", type=path, metavar="FILE", help="with --detector: its weights; none are downloaded"
    )
    parser.add_argument("--device", default="cpu", help="with --detector: cpu or cuda (default: %(default)s)")
    text = "folder for the crops and crops.csv; a former one of crops is replaced as a whole"
    parser.add_argument("--output", type=path, required=True, metavar="FOLDER", help=text)
    parser.add_argument("--camera", default="", metavar="NAME", help="name of the camera, for crops.csv")
    text = "number of the first frame in the boxes' file (default: 1, or the numbers in the names of images)"
    parser.add_argument("--first-frame", type=int, choices=(0, 1), help=text)
    text = "leave out boxes with less (default: take all; 0.5 with --detector)"
    parser.add_argument("--least-confidence", type=_confidence, metavar="NUMBER", help=text)
    text = "category of the boxes, where the file has categories (default: %(default)s)"
    parser.add_argument("--category", default="person", metavar="NAME", help=text)
    text = "frames from one crop of a track to the next (default: %(default)s)"
    parser.add_argument("--every", type=positive, default=1, metavar="N", help=text)
    text = "when the first frame of the video was taken, in ISO 8601, UTC unless it says otherwise"
    parser.add_argument("--start-time", default="", metavar="TIME", help=text)


def _detected(args: argparse.Namespace, settings: "Settings") -> "tuple[Boxes, Settings]":
    """Return the boxes of a detector, and the settings that are left to do."""
    from dataclasses import replace

    from tqdm import tqdm

    from vireid_plugins.detections.crop_folder import require_replaceable
    from vireid_plugins.detections.detector import LEAST_CONFIDENCE, detect, load_detector
    from vireid_plugins.detections.frames import open_frames

    require_replaceable(args.output, args.source)
    detector = load_detector(args.detector, args.weights, args.device)
    least = LEAST_CONFIDENCE if args.least_confidence is None else args.least_confidence
    frames = open_frames(args.source, args.first_frame)
    with tqdm(unit="frame", disable=None, desc="detect") as bar:
        found = detect(frames, detector, least, args.every, args.device, lambda count: bar.update(count - bar.n))
    return found, replace(settings, every=1, least_confidence=None)


def main(args: argparse.Namespace) -> None:
    """Crop, and say what became of the boxes."""
    from tqdm import tqdm

    from vireid_plugins.detections import Settings, crop
    from vireid_plugins.detections.tracks import tracks_of
    from vireid_plugins.io.moment import moment

    settings = Settings(
        *(args.camera, args.first_frame, args.least_confidence, args.category, args.every),
        start=moment(args.start_time, "--start-time") if args.start_time else None,
    )
    if bool(args.boxes) == bool(args.detector) or bool(args.detector) != bool(args.weights):
        args.error("needs --boxes FILE, or --detector NAME with --weights FILE")
    boxes: Path | Boxes = args.boxes
    if args.detector:
        boxes, settings = _detected(args, settings)
    with tqdm(unit="frame", disable=None) as bar:
        done = crop(args.source, boxes, args.output, settings, lambda frames: bar.update(frames - bar.n))
    for reason, count in sorted(done.left_out.items()):
        say(f"boxes left out: {count} {reason}")
    if args.start_time and any(one.time is None for one in done.crops):
        say("times are empty: images, and videos without timestamps, have none")
    tracks = sum(bool(track.name) for track in tracks_of(done.crops))
    say(f"crops: {len(done.crops)}, tracks: {tracks}, decoded frames: {done.frames}")
    say(f"wrote {args.output}; index it: vireid search index {args.output} --index FOLDER --model RUN")
