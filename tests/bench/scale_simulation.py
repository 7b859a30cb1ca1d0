#!/usr/bin/env python3
"""What a run of a thousand million images on a thousand workers would ask of its store, take and cost: a simulation by partition and by second.

usage: scale_simulation.py [--images N] [--workers N] [--sizes 1024,4096,...] [--helpers 1,10,...] [--seed N] [--set NAME=VALUE ...]

Request counts are those that the program makes (docs/scale.md says how they were counted). Limits, latencies, refusals and prices are named
with their source in ASSUMED; change them there or by --set and run again. Only the standard library is needed.
"""

import argparse
import heapq
import math
import random

ASSUMED = {
    # Amazon S3 user guide, "Best practices design patterns: optimizing Amazon S3 performance": at least 3,500 writes and 5,500 reads a second
    # and partitioned prefix. Listings are taken to count as reads.
    "write_limit_per_s": 3500.0,
    "read_limit_per_s": 5500.0,
    # An output root begins as one partitioned prefix; partitioning "can take from 30 to 60 minutes" (comment to the AWS knowledge centre's
    # "How can I scale my request rate to S3"). It doubles after so long a time of refusals.
    "prefixes": 1,
    "doubles_after_s": 45 * 60.0,
    # The same guide: "consistent latencies of roughly 100 to 200 ms" for small objects; lognormal, as object stores' latencies are (Spiral, "So you
    # want to use object storage", 2025), with these as the 10th and the 90th percentile.
    "latency_p10_s": 0.1,
    "latency_p90_s": 0.2,
    # S3 Standard, us-east-1: 0.005 $ for 1,000 writes and listings, 0.0004 $ for 1,000 reads (c3x.dev, s3-request-fees-explained). What is
    # refused is not counted as money.
    "write_price": 0.005 / 1000,
    "read_price": 0.0004 / 1000,
    # m7i.xlarge on demand, us-east-1 (c3x.dev, m5-vs-m6i-vs-m7i-cost-performance): four virtual processors.
    "worker_hour_price": 0.2016,
    # docs/performance.md: ViT-B/16, 2.15 images a processor second; both parents and the merged model on two real cores.
    "images_per_s": 2.15 * 2 / 3,
    # Chosen: one worker in a hundred dies in an hour and is replaced after two minutes; a tenth of the workers run at half speed.
    "deaths_per_hour": 0.01,
    "replaced_after_s": 120.0,
    "slow_share": 0.1,
    "slow_factor": 2.0,
    # Measured, five tables: 320 rows in one part each and in five; footers and schemas, then rows.
    "bytes_per_partition": 21_000,
    "bytes_per_row": 124,
    # A worker's bytes from and to the store while it joins parts: a tenth of the 12.5 Gbit/s of the machine (EC2's own figure, "up to").
    "join_bytes_per_s": 156e6,
}

# The program's requests, counted. A worker's beginning: head and footer of the frozen manifest, models, plan, first looks at images; its end a row.
START_READS, START_WRITES = 45, 1
# A scored partition beside its images: its rows of the manifest and a footer; five staged tables, each read back, claim, receipt; looks.
PARTITION_WRITES, PARTITION_READS = 7, 9 + 2
LISTINGS_PER_WORKER = 11
OBJECTS_PER_LISTING = 1000
CLAIM_FACTOR = 2
# Looks of a worker that waits for others: a quarter of the age at which claims are old, within these seconds,
# or a hundredth of that age where it is more.
LOOKS_S = (0.2, 10.0)
# Publishing, docs/machines.md: a span is 256 partitions, copied 16 parts at once or joined with four parts read ahead.
SPAN, AT_ONCE, JOIN_AHEAD, COMPACT_BYTES, TABLES = 256, 16, 4, 128 << 20, 5
SPAN_READS, SPAN_WRITES, SPAN_LISTINGS = 7, 2, 2
RECORDS_AT_ONCE = 4
# The gate of a worker's requests (src/store/throttle.rs): most at once, half of it after a refusal, one more after each round that was taken.
GATE = 1024


def latency_s():
    """Mean of the lognormal between the two percentiles."""
    low, high = ASSUMED["latency_p10_s"], ASSUMED["latency_p90_s"]
    sigma = math.log(high / low) / (2 * 1.2816)
    return math.sqrt(low * high) * math.exp(sigma**2 / 2)


def shared(n_units, mean_s, n_workers, dice, spread=0.1):
    """Units of work claimed one by one by workers that die and are slow: seconds to the last, executions, claims passed over, deaths, seconds waited."""
    a = ASSUMED
    bound_s, hazard = CLAIM_FACTOR * mean_s, a["deaths_per_hour"] / 3600
    n_slow = round(n_workers * a["slow_share"])
    speed = [a["slow_factor"] if worker < n_slow else 1.0 for worker in range(n_workers)]
    free = [(0.0, worker) for worker in range(n_workers)]
    unclaimed, claims, done_at, last = n_units, [], {}, 0.0
    executions = reissued = deaths = 0
    waited = 0.0
    while len(done_at) < n_units or unclaimed:
        now, worker = heapq.heappop(free)
        if unclaimed:
            unit, unclaimed = n_units - unclaimed, unclaimed - 1
        else:
            # The oldest claim without a receipt, once it is over the bound.
            while claims and done_at.get(claims[0][1], math.inf) <= now:
                heapq.heappop(claims)
            if not claims:
                if last <= now:
                    break
                waited += last - now
                heapq.heappush(free, (last, worker))
                continue
            claimed, unit = claims[0]
            if now < claimed + bound_s:
                # Until the claim is old or, before that, until everything is there.
                until = min(claimed + bound_s, max(now + 1.0, last if len(done_at) == n_units else math.inf))
                waited += until - now
                heapq.heappush(free, (until, worker))
                continue
            heapq.heappop(claims)
            reissued += 1
        heapq.heappush(claims, (now, unit))
        takes = mean_s * speed[worker] * dice.lognormvariate(0, spread)
        dies_after = dice.expovariate(hazard)
        executions += 1
        if dies_after < takes:
            deaths += 1
            heapq.heappush(free, (now + dies_after + a["replaced_after_s"], worker))
            continue
        done_at[unit] = min(now + takes, done_at.get(unit, math.inf))
        last = max(last, done_at[unit])
        heapq.heappush(free, (now + takes, worker))
    end = max(done_at.values())
    return {"seconds": end, "executions": executions, "reissued": reissued, "deaths": deaths, "waited_s": waited}


def burst(n_workers, reads, writes, at_once, dice):
    """Workers that each have so many requests to make, all from the same second on: seconds to the last, and refusals.

    A store takes what its prefixes may in a second and refuses the rest; a worker that was refused halves its gate, and one that was not opens it
    by one. Each second is a round of so many latencies as fit into it.
    """
    a, latency = ASSUMED, latency_s()
    left = [[reads, writes] for _ in range(n_workers)]
    gates, prefixes, hot_s, second, refused = [min(GATE, at_once)] * n_workers, a["prefixes"], 0.0, 0, 0.0
    working = list(range(n_workers))
    while working:
        second += 1
        offered = [0.0, 0.0]
        asks = {}
        for worker in working:
            most, (r, w) = max(1.0, gates[worker] / latency), left[worker]
            share = min(1.0, most / (r + w))
            asks[worker] = (r * share, w * share)
            offered[0] += r * share
            offered[1] += w * share
        limits = (a["read_limit_per_s"] * prefixes, a["write_limit_per_s"] * prefixes)
        taken = [min(1.0, limit / asked) if asked else 1.0 for asked, limit in zip(offered, limits)]
        over = sum(asked * (1 - part) for asked, part in zip(offered, taken))
        refused += over
        hot_s = hot_s + 1 if over > 0.01 * sum(offered) else 0.0
        if hot_s >= a["doubles_after_s"]:
            prefixes, hot_s = prefixes * 2, 0.0
        for worker in working:
            r, w = asks[worker]
            left[worker][0] -= r * taken[0]
            left[worker][1] -= w * taken[1]
            unharmed = taken[0] ** r * taken[1] ** w
            gates[worker] = max(1, gates[worker] // 2) if dice.random() > unharmed else min(GATE, at_once, gates[worker] + 1)
        working = [worker for worker in working if sum(left[worker]) > 0.5]
    return second, refused


def scored(images, size, n_workers, dice):
    """The scoring of a run: time, requests and money."""
    a, latency, n_partitions = ASSUMED, latency_s(), -(-images // size)
    begin_s, begin_refused = burst(n_workers, START_READS, START_WRITES, AT_ONCE, dice)
    mean_s = size / a["images_per_s"] + (PARTITION_WRITES + PARTITION_READS) * latency
    told = shared(n_partitions, mean_s, n_workers, dice)
    pages = -(-n_partitions // OBJECTS_PER_LISTING)
    # Half of a worker's listings are of receipts and half of claims; most of them are late, when most names are there.
    listings = (n_workers + told["deaths"]) * LISTINGS_PER_WORKER * pages
    bound_s = CLAIM_FACTOR * mean_s
    look_s = min(max(LOOKS_S[1], bound_s / 100), max(LOOKS_S[0], bound_s / 4))
    waiting = told["waited_s"] * 2 * pages / (look_s + 2 * pages * latency)
    writes = told["executions"] * PARTITION_WRITES + (n_workers + told["deaths"]) * START_WRITES
    reads = told["executions"] * (PARTITION_READS + size) + (n_workers + told["deaths"]) * START_READS
    speeds = n_workers * (1 - a["slow_share"] + a["slow_share"] / a["slow_factor"])
    seconds = begin_s + told["seconds"]
    return {
        **told, "n_partitions": n_partitions, "mean_s": mean_s, "seconds": seconds, "begin_s": begin_s, "begin_refused": begin_refused,
        "over_ideal": seconds / (images / (a["images_per_s"] * speeds)), "pages": pages, "listings": listings, "waiting": waiting,
        "waiting_share": 2 * pages / (look_s + 2 * pages * latency) * n_workers / (a["read_limit_per_s"] * a["prefixes"]),
        "write_share": writes / seconds / a["write_limit_per_s"], "read_share": (reads + listings) / seconds / a["read_limit_per_s"],
        "dollars": n_workers * seconds / 3600 * a["worker_hour_price"],
        "request_dollars": (writes + listings + waiting) * a["write_price"] + reads * a["read_price"],
    }


def published(images, size, n_helpers, is_compact, dice):
    """Publishing in spans by helpers that work together, then the end by one of them."""
    a, latency, n_partitions = ASSUMED, latency_s(), -(-images // size)
    n_spans, part_bytes = -(-n_partitions // SPAN), a["bytes_per_partition"] + size * a["bytes_per_row"]
    in_span = min(SPAN, n_partitions)
    groups = math.ceil(in_span * part_bytes / COMPACT_BYTES)
    objects = groups * TABLES if is_compact else in_span * TABLES
    reads = in_span * (1 + TABLES * (1 if is_compact else 2)) + SPAN_READS + (TABLES * groups if is_compact else 0)
    writes = objects + SPAN_WRITES
    at_once = JOIN_AHEAD if is_compact else AT_ONCE
    alone_s = in_span / AT_ONCE * latency + (reads + writes - in_span) / at_once * latency
    if is_compact:
        alone_s += 2 * in_span * part_bytes / a["join_bytes_per_s"]
    n_working = min(n_helpers, n_spans)
    unhindered = shared(n_spans, alone_s, n_helpers, dice)
    each = n_spans / n_working
    hindered_s, refused = burst(n_working, reads * each, writes * each, at_once, dice)
    end_s = n_spans / RECORDS_AT_ONCE * latency + 20 * latency
    listings = n_spans * SPAN_LISTINGS * -(-n_spans // OBJECTS_PER_LISTING)
    return {
        "n_spans": n_spans, "objects": objects * n_spans, "refused": refused, "seconds": max(unhindered["seconds"], hindered_s) + end_s,
        "store_bound": refused > 0 and hindered_s > unhindered["seconds"],
        "request_dollars": (writes * n_spans + listings) * a["write_price"] + (reads + 1) * n_spans * a["read_price"],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--sizes", default="1024,4096,16384,65536")
    parser.add_argument("--helpers", default="1,10,100,1000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    for name, value in (pair.split("=") for pair in args.set):
        ASSUMED[name] = type(ASSUMED[name])(value)
    sizes = [int(size) for size in args.sizes.split(",")]
    print(f"{args.images:,} images, {args.workers:,} workers; a request takes {latency_s() * 1000:.0f} ms in the mean\n")
    print("| partition size | partitions | minutes each | hours to score | over ideal | begun again | all have begun after s, refused "
          "| of the store's write, read limit | waiting: hours of a worker, million listings, of the read limit | $ workers | $ requests |")
    print("|" + "---|" * 11)
    for size in sizes:
        one = scored(args.images, size, args.workers, random.Random(args.seed))
        print(f"| {size:,} | {one['n_partitions']:,} | {one['mean_s'] / 60:.0f} | {one['seconds'] / 3600:.1f} | {one['over_ideal']:.3f} "
              f"| {one['executions'] - one['n_partitions']:,} | {one['begin_s']}, {one['begin_refused']:,.0f} "
              f"| {one['write_share']:.3f}, {one['read_share']:.2f} "
              f"| {one['waited_s'] / 3600 / args.workers:.2f}, {one['waiting'] / 1e6:.1f}, {one['waiting_share']:.2f} "
              f"| {one['dollars']:,.0f} | {one['request_dollars']:,.0f} |")
    print("\n| partition size | files | objects | minutes to publish by " + ", ".join(f"{int(n):,}" for n in args.helpers.split(","))
          + " | refused by the store, millions | $ requests |")
    print("|" + "---|" * 6)
    for size in sizes:
        for is_compact in (False, True):
            ways = [published(args.images, size, int(n), is_compact, random.Random(args.seed)) for n in args.helpers.split(",")]
            times = ", ".join(f"{one['seconds'] / 60:,.0f}{'*' if one['store_bound'] else ''}" for one in ways)
            print(f"| {size:,} | {'compact' if is_compact else 'partition'} | {ways[0]['objects']:,} | {times} "
                  f"| {ways[-1]['refused'] / 1e6:.2f} | {ways[0]['request_dollars']:,.0f} |")
    print("\n* bound by the store's rate limits")


if __name__ == "__main__":
    main()
