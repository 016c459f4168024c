"""The source's command: ``python -m local.cloud.source`` serves trip data, or writes one synthetic month.

python -m local.cloud.source --port 8090 --folder DIR
python -m local.cloud.source --port 8090 --synthetic CACHE_DIR --rows 100000
python -m local.cloud.source generate yellow 2021-01 OUT.csv.gz --rows 1440000
python -m local.cloud.source generate yellow 2021-01 OUT.parquet --defect far-year --defect cut-short
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from local.cloud.guard import add_allow_host
from local.cloud.settings import HOST
from local.cloud.source.datasets import DATASETS
from local.cloud.source.defects import DEFECTS, DefectError
from local.cloud.source.months import Month
from local.cloud.source.synthetic import write_month

DEFAULT_ROWS = 100_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with ``arguments``, by default those of this process."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["generate"]:
        _generate(words[1:])
    else:
        _serve(words)


def _generate(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m local.cloud.source generate",
        description="Write a synthetic month.",
        epilog="\n".join(["defects, and the file that results:", *_defect_lines()]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dataset", choices=list(DATASETS))
    parser.add_argument("month", type=Month.parse, help="YYYY-MM")
    parser.add_argument("path", type=Path, help="the file to write: .parquet, .csv, otherwise csv.gz")
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS)
    parser.add_argument(
        "--defect",
        action="append",
        default=[],
        choices=list(DEFECTS),
        metavar="NAME",
        help="add a drift or defect to the file, see below; can be repeated",
    )
    options = parser.parse_args(words)
    try:
        write_month(options.dataset, options.month, options.path, rows=options.rows, defects=options.defect)
    except DefectError as error:
        parser.error(str(error))


def _defect_lines() -> list[str]:
    width = max(map(len, DEFECTS)) + 2
    return [
        f"  {name:{width}}{defect.description} ({', '.join(sorted(each.value for each in defect.formats))})"
        for name, defect in DEFECTS.items()
    ]


def _serve(words: Sequence[str]) -> None:
    from local.cloud.source.server import Folder, Synthetic, serve  # imported here: writing a month needs no server

    parser = argparse.ArgumentParser(prog="python -m local.cloud.source", description="Serve trip data on 127.0.0.1.")
    parser.add_argument("--host", default=HOST, help=f"the address to listen on; default {HOST}")
    parser.add_argument("--port", type=int, required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--folder", type=Path, help="serve this folder, in the mirror's or the TLC's layout")
    what.add_argument("--synthetic", type=Path, metavar="CACHE_DIR", help="generate months and cache them here")
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS, help="number of rows in a synthetic month")
    add_allow_host(parser)
    options = parser.parse_args(words)
    serve(
        Folder(options.folder) if options.folder else Synthetic(options.synthetic, rows=options.rows),
        host=options.host,
        port=options.port,
        allow_hosts=options.allow_host,
    )


if __name__ == "__main__":
    main()
