"""Recomputes the table `coefficients` from `signals` alone and compares: every method, to 1e-9.

Usage: recompute_coefficients.py FIRST_ROOT ROOT, where ROOT's whole-set rules read FIRST_ROOT's run. Shares no code with
the program; the mixture is the golden script's own. Temperatures are 1, so entropies say all that the rules need.
"""
import json
import sys
from pathlib import Path

import duckdb
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "golden" / "merge"))
from make_golden import fit_mixture, log_terms, stream, uniform  # noqa: E402

first_root, root = sys.argv[1:]
db = duckdb.connect()


def table(where, name):
    return f"read_parquet('{where}/tables/{name}/**/*.parquet', hive_partitioning = true)"


def columns(query):
    return {name: np.asarray(values) for name, values in db.execute(query).fetchnumpy().items()}


spec = json.loads(db.execute(f"select spec_json from {table(root, 'runs')}").fetchone()[0])
n_classes = len(spec["labels.names"])
here = columns(f"select * from {table(root, 'signals')} order by corruption, severity, batch, pos_in_batch")
# In the order of the table, on which the mixture's first centres depend.
in_order = f"read_parquet('{first_root}/tables/signals/**/*.parquet', filename = true, file_row_number = true)"
before = columns(f"select * from {in_order} order by filename, file_row_number")


def t3(rows, guarded):
    js = rows["js_nats"] / (np.log(2) if spec["merge.log_base"] == "bits" else 1)
    low, high = spec["merge.lambda_min"], spec["merge.lambda_max"]
    lam = low + (high - low) / (1 + np.exp(-spec["merge.gamma"] * js))
    step = np.zeros(len(lam))
    if guarded:
        pt, ft = rows["pt_entropy_nats"], rows["ft_entropy_nats"]
        threshold = spec["merge.guard.tau"] * np.log(n_classes)
        step = np.where((ft < threshold) & (ft < pt), 1, np.where((pt < threshold) & (pt < ft), -1, 0))
        lam = np.clip(lam + spec["merge.guard.delta"] * step, 0, 1)
    return lam, step


def ratio(rows, bias=0.0, divisor=1.0):
    a, b = np.exp(-rows["pt_entropy_nats"]), np.exp(-rows["ft_entropy_nats"])
    return (b + bias / divisor) / (a + b + bias)


def clustered(values, fitted_on):
    fit = fit_mixture(fitted_on, spec["merge.clusters.n_components"], spec["merge.clusters.seed"])
    weights, a, b = (np.array(fit[name]) for name in ("weights", "alpha", "beta"))
    labels = np.argmax(log_terms(np.clip(values, 1e-6, 1 - 1e-6), weights, a, b), axis=1)
    return (a / (a + b))[labels]


pt, ft = before["pt_entropy_nats"], before["ft_entropy_nats"]
bias = (pt.std(ddof=1) / pt.mean() + ft.std(ddof=1) / ft.mean()) / 2
divisor = (pt.mean() + ft.mean()) / pt.mean()
zero = np.zeros(len(here["js_nats"]))
constant = lambda value: (np.full(len(zero), float(value)), zero)
expected = {
    "wise_ft": constant(spec["merge.wise_ft.alpha"]),
    "task_arithmetic": constant(spec["merge.task_arithmetic.scale"]),
    "ties": constant(spec["merge.ties.scale"]),
    "dare": constant(spec["merge.dare.scale"]),
    "expo": constant(spec["merge.expo.scale"]),
    "slerp": constant(spec["merge.slerp.position"]),
    "m3": constant(uniform(stream(spec["run.seed"], "m3"), spec["merge.m3.draw"])),
    "constant": constant(t3(before, False)[0].mean()),
    "t3": t3(here, False), "t3_b": t3(here, False), "t3_guard": t3(here, True), "t3_b_guard": t3(here, True),
    "dawin": (ratio(here), zero), "entropy_ratio": (ratio(here), zero), "entropy_ratio_b": (ratio(here), zero),
    "dawin_offset": (ratio(here, bias, divisor), zero),
    "dawin_clusters": (clustered(ratio(here), ratio(before)), zero),
    "t3_clusters": (clustered(t3(here, False)[0], t3(before, False)[0]), zero),
    "t3_clusters_guard": (clustered(t3(here, True)[0], t3(before, True)[0]), t3(here, True)[1]),
}
merging = {row[0] for row in db.execute(f"select distinct method from {table(root, 'coefficients')}").fetchall()}
unmerged = {"pretrained", "expert", "ensemble", "ensemble_logits"}
assert merging == set(spec["merge.methods"]) - unmerged == set(expected), merging
found = {}
for row in db.execute(f"""select method, corruption, severity, batch, lambda_mean, lambda_std, lambda_min, lambda_max,
                          guard_plus, guard_minus from {table(root, 'coefficients')}""").fetchall():
    found[row[:4]] = row[4:]
places = list(zip(here["corruption"], here["severity"].tolist(), here["batch"].tolist()))
worst = {}
for place in sorted(set(places)):
    members = np.array([p == place for p in places])
    for method, (lam, step) in expected.items():
        lam, step = lam[members], step[members]
        want = [lam.mean(), lam.std(), lam.min(), lam.max(), (step > 0).sum(), (step < 0).sum()]
        have = found.pop((method, *place))
        worst[method] = max(worst.get(method, 0.0), float(np.abs(np.array(have, float) - want).max()))
assert not found, f"rows of no batch: {list(found)[:3]}"
for method, off in worst.items():
    print(f"{method:<18} {off:.1e}")
assert max(worst.values()) < 1e-9, worst
