"""Search an index in a browser and over HTTP: vireid serve INDEX --port 8000."""

import argparse
import os
from typing import Any

from vireid_plugins.cli._common import path, path_text, positive, say

TOKEN = "VIREID_TOKEN"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the verb."""
    parser.add_argument("index", type=path, metavar="INDEX", help="folder of the index")
    text = "address to listen at; other machines reach all but that of this machine (default: %(default)s)"
    parser.add_argument("--host", default="127.0.0.1", help=text)
    text = "port to listen at; 0 takes a free one (default: %(default)s)"
    parser.add_argument("--port", type=int, default=8000, help=text)
    text = f"what a client must know, needed where other machines can reach it; better ${TOKEN}, which nobody else sees"
    parser.add_argument("--token", default="", help=text)
    text = "requests a minute and client; 0 does not count (default: %(default)s)"
    parser.add_argument("--rate", type=int, default=120, metavar="N", help=text)
    text = "size of an image that is sent, in MiB (default: %(default)s)"
    parser.add_argument("--upload", type=positive, default=16, metavar="MIB", help=text)
    text = "seconds for sending an image, and for an answer (default: %(default)s)"
    parser.add_argument("--seconds", type=positive, default=30, metavar="S", help=text)
    parser.add_argument("--device", default="", help="cpu or cuda (default: as the index was built, or cpu)")
    text = "the checkpoint that made the index, if it has moved"
    parser.add_argument("--weights", type=path_text, default="", help=text)


def main(args: argparse.Namespace) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    from vireid_plugins.search.gallery import Gallery
    from vireid_plugins.search.model_of import extractor_of
    from vireid_plugins.search.service.access import Access
    from vireid_plugins.search.service.limits import Limits
    from vireid_plugins.search.service.packages import require_packages

    require_packages()
    from vireid_plugins.search.service.app import create_app
    from vireid_plugins.search.service.desk import Desk
    from vireid_plugins.search.service.server import listening, run, url_of

    limits = Limits(args.upload * 2**20, args.rate, args.seconds)
    access = Access(args.host, args.token or os.environ.get(TOKEN, ""))

    def extractor(gallery: Gallery) -> Any:
        return extractor_of(gallery, args.device, args.weights)

    # Before the model, which takes seconds to load.
    with listening(args.host, args.port) as listener, Desk(args.index, extractor, limits) as desk:
        app = create_app(desk, access)
        token = "; it asks for the token" if access.token else ""

        def started() -> None:
            say(f"{desk.catalog.summary()['images']} images at {url_of(listener)}{token}; Ctrl-C stops", flush=True)

        run(app, listener, limits.seconds, started)
    say("stopped")
