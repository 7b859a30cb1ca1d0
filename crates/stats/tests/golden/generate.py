"""Golden values of t3b-stats from independent code. Needs numpy, scipy, scikit-learn, statsmodels, confidenceinterval and
medmnistc 0.1.0 (its eval.py and utils/baselines.py alone are imported). Run: python generate.py golden.json"""
import importlib.util, json, os, sys, tempfile, warnings
import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest, ks_2samp
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import (accuracy_score, balanced_accuracy_score, brier_score_loss, cohen_kappa_score, f1_score,
                             log_loss, precision_recall_fscore_support, roc_auc_score)
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint


def module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


def place(package):
    return os.path.dirname(importlib.util.find_spec(package).origin)


warnings.filterwarnings("ignore")
delong = module("delong", os.path.join(place("confidenceinterval"), "delong.py"))
# Its package imports ImageMagick for nothing that the evaluator needs.
medmnistc_home = os.environ.get("MEDMNISTC") or place("medmnistc")
for name in ["medmnistc", "medmnistc.utils"]:
    sys.modules[name] = type(sys)(name)
module("medmnistc.utils.baselines", os.path.join(medmnistc_home, "utils/baselines.py"))
evaluator = module("medmnistc.eval", os.path.join(medmnistc_home, "eval.py"))


def ece(conf, hit, bins=15):
    total = 0.0
    for k in range(bins):
        inside = (conf >= k / bins) & ((conf < (k + 1) / bins) | (k == bins - 1))
        if inside.any():
            total += inside.sum() / len(conf) * abs(hit[inside].mean() - conf[inside].mean())
    return total


def ece_adaptive(conf, hit, bins=15):
    order = np.lexsort((hit, conf))
    parts = np.array_split(order, bins)
    return sum(len(p) / len(conf) * abs(hit[p].mean() - conf[p].mean()) for p in parts if len(p))


def auc_ovr(labels, probs):
    c = probs.shape[1]
    if c == 2:
        return roc_auc_score(labels, probs[:, 1])
    present = [k for k in range(c) if 0 < (labels == k).sum() < len(labels)]
    return float(np.mean([roc_auc_score(labels == k, probs[:, k]) for k in present]))


def all_metrics(labels, probs):
    """Metrics of one set of rows, by scikit-learn wherever it has them."""
    c, p64, pred = probs.shape[1], probs.astype(np.float64), probs.argmax(1)
    conf, hit = p64[np.arange(len(labels)), pred], (pred == labels).astype(float)
    onehot = np.eye(c)[labels]
    clipped = np.clip(p64[np.arange(len(labels)), labels], np.finfo(np.float32).eps, 1.0)
    return {
        "top1": accuracy_score(labels, pred), "error": 1 - accuracy_score(labels, pred),
        "balanced_accuracy": balanced_accuracy_score(labels, pred),
        "macro_f1": f1_score(labels, pred, average="macro", zero_division=0),
        "kappa_quadratic": cohen_kappa_score(labels, pred, labels=np.arange(c), weights="quadratic"),
        "ece": ece(conf, hit), "ece_adaptive": ece_adaptive(conf, hit),
        "brier": float(((p64 - onehot) ** 2).sum(1).mean()), "nll": float(-np.log(clipped).mean()),
        "auc": auc_ovr(labels, probs),
    }


def make(rng, index):
    c, n = [2, 2, 3, 4, 5, 8, 9][index % 7], int(rng.integers(60, 500))
    labels = rng.integers(0, c, n)
    if index % 5 == 3:  # a class without rows
        labels[labels == c - 1] = 0
    logits = rng.normal(0, 1.5, (n, c)) + 2.0 * rng.random() * np.eye(c)[labels]
    if index % 4 == 1:  # many ties
        logits = np.round(logits, 0)
    probs = np.exp(logits * (1 + 2 * rng.random()))
    probs = (probs / probs.sum(1, keepdims=True)).astype(np.float32)
    if index % 6 == 5:  # saturated, as CLIP in single precision
        sure = rng.random(n) < 0.2
        probs[sure] = np.eye(c, dtype=np.float32)[probs[sure].argmax(1)]
    return labels, probs


rng = np.random.default_rng(20261128)
sets = []
for index in range(20):
    labels, probs = make(rng, index)
    n, c = probs.shape
    pred = probs.argmax(1)
    precision, recall, f1, support = precision_recall_fscore_support(labels, pred, labels=np.arange(c), zero_division=0)
    k = int((pred == labels).sum())
    weights = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(8)]
    replicates = [all_metrics(np.repeat(labels, w), np.repeat(probs, w, axis=0)) for w in weights]
    item = {
        "n_classes": c, "labels": labels.tolist(), "probs": [float(str(p)) for p in probs.ravel()],
        "metrics": all_metrics(labels, probs),
        "classes": [[float(a), float(b), float(d), int(s)] for a, b, d, s in zip(precision, recall, f1, support)],
        "wilson": list(map(float, proportion_confint(k, n, 0.05, "wilson"))),
        "weights": [w.tolist() for w in weights],
        "replicates": replicates,
        "percentile": list(np.percentile([r["top1"] for r in replicates], [2.5, 97.5])),
        # Checks of the short definitions against scikit-learn's own, where both have an answer.
        "sklearn_brier": float(brier_score_loss(labels, probs.astype(np.float64) / probs.sum(1, dtype=np.float64, keepdims=True), labels=np.arange(c), scale_by_half=False)),
    }
    assert abs(item["sklearn_brier"] - item["metrics"]["brier"]) < 1e-6
    del item["sklearn_brier"]
    aucs = []
    for j in range(c):
        y = (labels == j).astype(int)
        if 0 < y.sum() < n:
            value, variance = delong.delong_roc_variance(y, probs[:, j].astype(np.float64))
            aucs.append([float(roc_auc_score(y, probs[:, j])), float(np.asarray(variance))])
        else:
            aucs.append(None)
    item["auc_by_class"] = aucs
    # DeLong's variance of the mean of one-vs-rest areas, by the definition over all pairs.
    if c > 2:
        present = [j for j in range(c) if aucs[j]]
        influence = np.zeros(n)
        for j in present:
            y, s = labels == j, probs[:, j].astype(np.float64)
            compare = (s[y][:, None] > s[~y][None]) + 0.5 * (s[y][:, None] == s[~y][None])
            v, w = compare.mean(1), compare.mean(0)
            m, q = y.sum(), (~y).sum()
            influence[y] += (v - v.mean()) / np.sqrt(m * max(m - 1, 1))
            influence[~y] += (w - w.mean()) / np.sqrt(q * max(q - 1, 1))
        item["auc_macro_variance"] = float((influence ** 2).sum() / len(present) ** 2)
    sets.append(item)

mcnemars = []
for b, c in [(0, 0), (5, 0), (6, 0), (7, 1), (12, 12), (30, 14), (200, 150), (3000, 2800), (1, 40)]:
    value = float(mcnemar([[0, b], [c, 0]], exact=True).pvalue)
    if b + c:
        assert abs(value - binomtest(b, b + c).pvalue) < 1e-12
    mcnemars.append([b, c, value])

holms = []
for size in [1, 3, 7, 12]:
    p = rng.random(size) ** 3
    holms.append([p.tolist(), multipletests(p, method="holm")[1].tolist()])

isotonics = []
for n in [5, 40, 300]:
    x = np.round(rng.random(n), 2).astype(np.float64)
    y = (rng.random(n) < x).astype(float)
    at = np.linspace(-0.1, 1.1, 25)
    isotonics.append([x.tolist(), y.tolist(), at.tolist(),
                      IsotonicRegression(out_of_bounds="clip").fit(x, y).predict(at).tolist()])

drifts = []
for n, m, k in [(200, 300, 10), (5000, 400, 10), (50, 50, 7)]:
    a, b = rng.integers(0, k, n), np.minimum(rng.integers(0, k + 2, m), k - 1)
    ca, cb = np.bincount(a, minlength=k), np.bincount(b, minlength=k)
    sa, sb = (ca + 0.5) / (n + 0.5 * k), (cb + 0.5) / (m + 0.5 * k)
    drifts.append({"a": ca.tolist(), "b": cb.tolist(), "ks": float(ks_2samp(a, b).statistic),
                   "js": float(jensenshannon(ca / n, cb / m) ** 2), "psi": float(((sb - sa) * np.log(sb / sa)).sum())})

assignments = []
for n in [1, 2, 4, 9, 20]:
    m = np.round(rng.random((n, n)) * 50)
    rows, cols = linear_sum_assignment(m, maximize=True)
    assignments.append([m.tolist(), float(m[rows, cols].sum())])

baselines = sys.modules["medmnistc.utils.baselines"].BASELINES
corrupted = []
for name in ["bloodmnist", "pneumoniamnist", "retinamnist"]:
    task = "binary-class" if name == "pneumoniamnist" else "multi-class"
    c, n = (2, 120) if task == "binary-class" else (5, 150)
    labels = rng.integers(0, c, n)
    kinds = list(baselines[name]["raw_scores"])
    def scores(strength, size):
        z = rng.normal(0, 1, (size, c)) + strength * np.eye(c)[np.resize(labels, size)]
        e = np.exp(z)
        return e / e.sum(1, keepdims=True)
    with tempfile.TemporaryDirectory() as folder:
        e = evaluator.Evaluator(name, labels[:, None], kinds, folder, "x", task, "0")
        clean = scores(2.0, n)
        e.evaluate_clean(clean)
        errors = {}
        for kind in kinds:
            p = scores(rng.random() * 2, 5 * n)
            e.evaluate(p, kind)
            errors[kind] = [1 - balanced_accuracy_score(labels, p[s * n:(s + 1) * n].argmax(1)) for s in range(5)]
        e.dump_summary()
        said = json.load(open(os.path.join(folder, f"{name}_x_0.json")))
    corrupted.append({"set": name, "clean": 1 - balanced_accuracy_score(labels, clean.argmax(1)), "errors": errors,
                      "said": said})

def finite(value):
    """NaN (an undefined figure) as null."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


json.dump(finite({"sets": sets, "mcnemar": mcnemars, "holm": holms, "isotonic": isotonics, "drift": drifts,
           "assignment": assignments, "medmnistc": corrupted,
           "normal": [[p, float(__import__("scipy.stats").stats.norm.ppf(p))] for p in [0.9, 0.95, 0.975, 0.995, 0.8]]}),
          open(sys.argv[1], "w"))
