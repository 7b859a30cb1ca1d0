"""`t3b-ray`: finishes a run on a Ray cluster."""

import argparse
import sys

import ray

from .pool import Fatal, Pool, run


def main() -> int:
    """Reads the command line, connects to the cluster and runs; 0, or 1 with the program's message."""
    parser = argparse.ArgumentParser(prog="t3b-ray", description=__doc__)
    parser.add_argument("pipeline", help="the pipeline file, as every node sees it")
    parser.add_argument("--run-id", required=True)
    parser.add_argument("--output", required=True, help="output root, as every node sees it")
    parser.add_argument("--run-date", help="day of the run, YYYY-MM-DD; by default today (UTC)")
    parser.add_argument("--min-workers", type=int, default=1, help="that are kept until the run is published")
    parser.add_argument("--max-workers", type=int, default=2, help="that are asked for while there are partitions")
    parser.add_argument("--cpus", type=float, default=1.0, help="of one worker")
    parser.add_argument("--gpus", type=float, default=0.0, help="of one worker; a fraction shares a GPU")
    parser.add_argument("--retries", type=int, default=5, help="of one partition")
    parser.add_argument("--address", default="auto", help="of the cluster")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    ray.init(address=args.address, log_to_driver=False)
    pool = Pool(args.min_workers, args.max_workers, args.cpus, args.gpus, args.retries)
    more = tuple(word for pair in args.set for word in ("--set", pair))

    said = []

    def progress(told, n_partitions):
        n_done = told.committed + told.lost + told.found
        line = f"{n_done} of {n_partitions} partitions, {told.workers} workers, {told.restarts} restarts"
        if line not in said:
            said[:] = [line]
            print(line, file=sys.stderr, flush=True)

    try:
        told = run(
            args.pipeline,
            run_id=args.run_id,
            output=args.output,
            pool=pool,
            run_date=args.run_date,
            more=more,
            progress=progress,
        )
    except Fatal as error:
        print(f"t3b-ray: {error}", file=sys.stderr)
        return 1
    print(f"committed {told.committed}, lost {told.lost}, found {told.found}, restarts {told.restarts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
