#!/usr/bin/env python3
"""What a run of a thousand million images on a thousand workers would ask of its store, take and cost: a simulation by partition.

usage: scale_simulation.py [--images N] [--workers N] [--sizes 1024,4096,...] [--seed N]

Request counts are those that the program made (docs/scale.md says how they were counted). Limits, latencies and prices are named
with their source in ASSUMED; change them there or on the command line and run again. Only the standard library is needed.
"""

import argparse
import heapq
import math
import random

# Requests of the program, measured: of a worker at its start and end, of a scored partition beside its images, of a published one.
LISTINGS_PER_WORKER = 11
WRITES_PER_PARTITION = 7  # five staged tables, claim, receipt
READS_PER_PARTITION = 9  # each staged table read back, a look for a receipt, three for a record of withdrawal
PUBLISHED_WRITES = 5
PUBLISHED_READS = 16
PUBLISHED_AT_ONCE = 1
OBJECTS_PER_LISTING = 1000

ASSUMED = {
    # Amazon S3, "How do I scale my request rate", knowledge centre: 3,500 writes and 5,500 reads a second and partitioned prefix.
    "write_limit_per_s": 3500.0,
    "read_limit_per_s": 5500.0,
    # The same documentation's performance guide: 100 to 200 ms for small objects; the median is taken.
    "latency_s": 0.15,
    # S3 Standard, us-east-1: 0.005 $ for 1,000 writes and listings, 0.0004 $ for 1,000 reads (c3x.dev, s3-request-fees-explained).
    "write_price": 0.005 / 1000,
    "read_price": 0.0004 / 1000,
    # m7i.xlarge on demand, us-east-1 (c3x.dev, m5-vs-m6i-vs-m7i-cost-performance): four virtual processors.
    "worker_hour_price": 0.2016,
    # docs/performance.md: ViT-B/16, 2.15 images a processor second; both parents and the merged model on two real cores.
    "images_per_s": 2.15 * 2 / 3,
    # One worker in a hundred dies in an hour and is replaced after two minutes; a tenth of the workers run at half speed.
    "deaths_per_hour": 0.01,
    "replaced_after_s": 120.0,
    "slow_share": 0.1,
    "slow_factor": 2.0,
    # Measured: the peak of `t3b plan` over CSV manifests of 10,000 and 1,000,000 rows, 45 and 643 MiB.
    "bytes_per_row": 633,
}
CLAIM_FACTOR = 2


def scored(n_partitions, size, n_workers, dice):
    """Seconds to the last receipt, executions, and claims passed over, with workers that die and are slow."""
    a = ASSUMED
    mean_s = size / a["images_per_s"]
    bound_s = CLAIM_FACTOR * mean_s
    hazard = a["deaths_per_hour"] / 3600
    speed = [a["slow_factor"] if dice.random() < a["slow_share"] else 1.0 for _ in range(n_workers)]
    free = [(0.0, worker) for worker in range(n_workers)]
    heapq.heapify(free)
    unclaimed, claims, done_at = n_partitions, [], {}
    next_partition, executions, reissued, last = 0, 0, 0, 0.0
    while len(done_at) < n_partitions or unclaimed:
        now, worker = heapq.heappop(free)
        if unclaimed:
            partition, unclaimed, next_partition = next_partition, unclaimed - 1, next_partition + 1
        else:
            # The oldest claim without a receipt, once it is over the bound.
            while claims and done_at.get(claims[0][1], math.inf) <= now:
                heapq.heappop(claims)
            if not claims:
                if last <= now:
                    break
                heapq.heappush(free, (last, worker))
                continue
            claimed, partition = claims[0]
            if now < claimed + bound_s:
                heapq.heappush(free, (claimed + bound_s, worker))
                continue
            heapq.heappop(claims)
            reissued += 1
        heapq.heappush(claims, (now, partition))
        takes = mean_s * speed[worker] * dice.lognormvariate(0, 0.1)
        dies_after = dice.expovariate(hazard)
        executions += 1
        if dies_after < takes:
            heapq.heappush(free, (now + dies_after + a["replaced_after_s"], worker))
            continue
        end = now + takes
        done_at[partition] = min(end, done_at.get(partition, math.inf))
        last = max(last, done_at[partition])
        heapq.heappush(free, (end, worker))
    return max(done_at.values()), executions, reissued


def row(images, size, n_workers, seed):
    """One line of the table."""
    a, dice = ASSUMED, random.Random(seed)
    n_partitions = -(-images // size)
    score_s, executions, reissued = scored(n_partitions, size, n_workers, dice)
    pages = -(-n_partitions // OBJECTS_PER_LISTING)
    writes = executions * WRITES_PER_PARTITION
    reads = executions * READS_PER_PARTITION + executions * size
    # Half of a worker's listings are of receipts and half of claims; most of them are at the end, when all are there.
    listings = n_workers * LISTINGS_PER_WORKER * pages
    publish_requests = n_partitions * (PUBLISHED_WRITES + PUBLISHED_READS)
    publish_s = publish_requests * a["latency_s"] / PUBLISHED_AT_ONCE
    rate = (writes / score_s / a["write_limit_per_s"], reads / score_s / a["read_limit_per_s"])
    listing_s = LISTINGS_PER_WORKER * pages * a["latency_s"]
    money = {
        "workers": n_workers * score_s / 3600 * a["worker_hour_price"],
        "requests": (writes + listings) * a["write_price"] + reads * a["read_price"]
        + n_partitions * (PUBLISHED_WRITES * a["write_price"] + PUBLISHED_READS * a["read_price"]),
    }
    ideal_s = images / (a["images_per_s"] * sum(
        1 / f for f in [a["slow_factor"]] * round(n_workers * a["slow_share"]) + [1.0] * round(n_workers * (1 - a["slow_share"]))
    ))
    return (
        f"| {size} | {n_partitions:,} | {size / a['images_per_s'] / 60:.0f} | {score_s / 3600:.1f} | {score_s / ideal_s:.3f} "
        f"| {executions - n_partitions:,} | {reissued:,} | {rate[0]:.3f}, {rate[1]:.2f} | {listing_s / 60:.1f} "
        f"| {publish_s / 3600:.1f} | {money['workers']:,.0f} | {money['requests']:,.0f} |"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--sizes", default="1024,4096,16384,65536")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"{args.images:,} images, {args.workers:,} workers; manifest in each worker: "
          f"{args.images * ASSUMED['bytes_per_row'] / 2**30:,.0f} GiB\n")
    print("| partition size | partitions | minutes each | hours to score | over ideal | begun again | claims passed over "
          "| of the store's write, read limit | minutes of listings a worker | hours to publish | $ workers | $ requests |")
    print("|" + "---|" * 12)
    for size in args.sizes.split(","):
        print(row(args.images, int(size), args.workers, args.seed))


if __name__ == "__main__":
    main()
