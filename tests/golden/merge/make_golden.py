"""Makes the golden values of the merge rules, from the method's formulas and from nothing of the Rust code.

Needs: Python 3.11, numpy 2.4.6, scipy 1.17.1, mpmath 1.4.1. Run in this folder: `python make_golden.py`.

What needs many digits (divergences, entropies, log-Gamma) is computed with 50 of them in mpmath and rounded
once; what defines itself in f32 (merges of weights) is computed in numpy's f32 and stored as the integers of
its bits, so that a comparison can be exact.
"""

import json
from pathlib import Path

import mpmath as mp
import numpy as np
from scipy.special import betaln, logsumexp

mp.mp.dps = 50
HERE = Path(__file__).parent
F32 = np.float32


def save(name, value):
    """One case a line, so that a change of one case is a change of one line."""
    (HERE / f"{name}.json").write_text(lines(value, 2) + "\n")


def lines(value, depth):
    if depth == 0 or not isinstance(value, (dict, list)):
        return json.dumps(value)
    if isinstance(value, list):
        return "[\n" + ",\n".join(lines(v, 0) for v in value) + "\n]"
    return "{\n" + ",\n".join(f"{json.dumps(k)}: {lines(v, depth - 1)}" for k, v in value.items()) + "\n}"


# --- distributions -----------------------------------------------------------------------------------------

def softmax(z, temperature=1.0):
    exps = [mp.e ** (mp.mpf(float(v)) / mp.mpf(temperature)) for v in z]
    total = mp.fsum(exps)
    return [e / total for e in exps]


def entropy(p):
    return -mp.fsum(v * mp.log(v) for v in p if v > 0)


def js(p, q):
    m = [(a + b) / 2 for a, b in zip(p, q)]
    return entropy(m) - entropy(p) / 2 - entropy(q) / 2


def sigmoid(x):
    return 1 / (1 + mp.e ** (-x))


def guard(coefficient, h_pt, h_ft, n_classes, delta, tau):
    threshold = mp.mpf(tau) * mp.log(n_classes)
    step = 0
    if h_ft < threshold and h_ft < h_pt:
        step = 1
    elif h_pt < threshold and h_pt < h_ft:
        step = -1
    return step, min(max(coefficient + mp.mpf(delta) * step, mp.mpf(0)), mp.mpf(1))


def logits(rng, n_classes, scale):
    # Rounded to f32, so that a row of f32 logits is the same numbers.
    return [float(F32(v)) for v in rng.normal(0, scale, n_classes)]


def divergence_cases():
    rng = np.random.default_rng(20251)
    rows = [
        ([2, 0, 0, 0], [2, 0, 0, 0]),
        ([2, 0, 0, 0], [0, 2, 0, 0]),
        ([10, 0, 0, 0], [0, 10, 0, 0]),
        ([20, 18, 15, 10], [20, 25, 15, 10]),
        # A nearly certain model against an open one, both ways round, for the guard.
        ([30, 0, 0, 0], [1, 0, 0, 0]),
        ([1, 0, 0, 0], [30, 0, 0, 0]),
        # Far apart: what underflows must not become NaN.
        ([900, 0], [0, 900]),
        ([1e-4, 0], [0, 0]),
    ]
    for n_classes in (2, 4, 5, 8):
        for scale in (0.1, 1.0, 5.0, 40.0):
            z = logits(rng, n_classes, scale)
            rows.append((z, logits(rng, n_classes, scale)))
            # A neighbour, where the divergence is small.
            rows.append((z, [float(F32(v + d)) for v, d in zip(z, rng.normal(0, 1e-3, n_classes))]))
    cases = []
    for z_pt, z_ft in rows:
        p, q = softmax(z_pt), softmax(z_ft)
        nats = js(p, q)
        bits = nats / mp.log(2)
        h_pt, h_ft = entropy(p), entropy(q)
        weight = sigmoid(mp.mpf("0.5") * nats)
        step, guarded = guard(weight, h_pt, h_ft, len(z_pt), "0.1", "0.05")
        low, high = mp.mpf("0.2"), mp.mpf("0.9")
        steep = sigmoid(4 * bits)
        cases.append({
            "z_pt": [float(v) for v in z_pt],
            "z_ft": [float(v) for v in z_ft],
            "js_nats": float(nats),
            "js_bits": float(bits),
            "entropy_pt_nats": float(h_pt),
            "entropy_ft_nats": float(h_ft),
            "t3": float(weight),
            "t3_bits": float(sigmoid(mp.mpf("0.5") * bits)),
            "generalist": float(1 - weight),
            "centred": float(2 * weight - 1),
            # gamma 4 per bit between 0.2 and 0.9, centred and not, both directions.
            "steep": float(low + (high - low) * steep),
            "steep_centred": float(low + (high - low) * (2 * steep - 1)),
            "steep_centred_generalist": float(low + (high - low) * (1 - (2 * steep - 1))),
            "guard_step": step,
            "t3_guard": float(guarded),
        })
    return cases


# --- entropy ratios ----------------------------------------------------------------------------------------

TEMPERATURES = {"ViT-B/32": ("0.9576", "0.9733"), "ViT-B/16": ("0.96", "1.0066"), "ViT-L/14": ("1.0767", "0.9545")}


def ratio(h_pt, h_ft, bias=mp.mpf(0), divisor=mp.mpf(2)):
    a, b = mp.e ** (-h_pt), mp.e ** (-h_ft)
    return (b + bias / divisor) / (a + b + bias)


def entropy_ratio_cases():
    rng = np.random.default_rng(20252)
    rows = [([2, 0, 0, 0], [4, 0, 0, 0]), ([20, 18, 15, 10], [20, 25, 15, 10])]
    rows += [(logits(rng, 5, s), logits(rng, 5, s)) for s in (0.5, 1, 2, 3, 8) for _ in range(4)]
    backbones = {}
    for backbone, (t_pt, t_ft) in {"none": ("1", "1"), **TEMPERATURES}.items():
        hs = [(entropy(softmax(a, t_pt)), entropy(softmax(b, t_ft))) for a, b in rows]
        n = len(hs)

        def summary(column):
            mean = mp.fsum(column) / n
            return mean, mp.sqrt(mp.fsum((h - mean) ** 2 for h in column) / (n - 1))

        (mean_pt, std_pt), (mean_ft, std_ft) = summary([h[0] for h in hs]), summary([h[1] for h in hs])
        bias = (std_pt / mean_pt + std_ft / mean_ft) / 2
        divisor = (mean_pt + mean_ft) / mean_pt
        plain = [ratio(*h) for h in hs]
        backbones[backbone] = {
            "entropy_pt_nats": [float(h[0]) for h in hs],
            "entropy_ft_nats": [float(h[1]) for h in hs],
            "dawin": [float(v) for v in plain],
            "dawin_offset": [float(ratio(*h, bias, divisor)) for h in hs],
            "batch_mean": float(mp.fsum(plain) / n),
            "bias": float(bias),
            "divisor": float(divisor),
        }
    return {"rows": [{"z_pt": [float(v) for v in a], "z_ft": [float(v) for v in b]} for a, b in rows],
            "backbones": backbones}


# --- counter-based random numbers --------------------------------------------------------------------------

MASK = (1 << 64) - 1


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def stream(seed, name):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return mix(mix(seed) ^ h)


def bits(key, counter):
    return mix((key + 0x9E3779B97F4A7C15 * (counter + 1)) & MASK)


def uniform(key, counter):
    return (bits(key, counter) >> 11) / 2.0**53


def random_cases():
    cases = []
    for seed, name in ((0, ""), (1, "m3"), (7, "visual.proj"), (MASK, "kmeans")):
        key = stream(seed, name)
        # 64-bit integers as text: not every JSON reader keeps them whole.
        cases.append({"seed": str(seed), "name": name, "bits": [str(bits(key, c)) for c in range(5)],
                      "uniform": [uniform(key, c) for c in range(5)]})
    return cases


# --- merges of weights -------------------------------------------------------------------------------------

def to_bits(a):
    return [int(v) for v in np.asarray(a, F32).view(np.uint32)]


def ties_threshold(delta, keep):
    """kthvalue(d - int(d * keep)) of the magnitudes, as the original's topk_values_mask."""
    d = len(delta)
    return np.sort(np.abs(delta))[max(d - int(d * keep), 1) - 1]


def lerp(pt, ft, coefficient):
    if coefficient in (0.0, 1.0):
        return ft if coefficient else pt
    return pt + F32(coefficient) * (ft - pt)


def slerp(pt, ft, t):
    if t in (0.0, 1.0):
        return ft if t else pt
    a, b = pt.astype(np.float64), ft.astype(np.float64)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    if norms == 0:
        return F32(1 - t) * pt + F32(t) * ft
    angle = np.arccos(np.clip(a @ b / norms, -1 + 1e-6, 1 - 1e-6))
    return F32(np.sin((1 - t) * angle) / np.sin(angle)) * pt + F32(np.sin(t * angle) / np.sin(angle)) * ft


def dare(name, pt, ft, p, scale, seed):
    key = stream(seed, name)
    keep = np.array([uniform(key, i) >= p for i in range(len(pt))])
    return np.where(keep, pt + F32(scale / (1 - p)) * (ft - pt), pt)


def tensor_cases():
    rng = np.random.default_rng(20253)
    tensors = {}
    for name, n in (("visual.conv1.weight", 61), ("visual.ln.bias", 8), ("visual.proj", 130), ("one", 1)):
        pt = rng.normal(0, 0.05, n).astype(F32)
        tensors[name] = (pt, (pt + rng.normal(0, 0.01, n).astype(F32)).astype(F32))
    # Equal magnitudes of both signs on exact binary fractions, so that a threshold falls on a tie.
    grid = (np.arange(40) % 8).astype(F32) / F32(64)
    tensors["tied"] = (np.zeros(40, F32), np.where(np.arange(40) % 2, -grid, grid).astype(F32))
    tensors["untouched"] = (tensors["visual.proj"][0][:20].copy(), tensors["visual.proj"][0][:20].copy())
    tensors["zero"] = (np.zeros(5, F32), rng.normal(0, 1, 5).astype(F32))
    tensors["opposite"] = (tensors["visual.ln.bias"][0], -tensors["visual.ln.bias"][0])

    groups = {"model": ["visual.conv1.weight", "visual.ln.bias", "visual.proj", "one"], "tied": ["tied"],
              "untouched": ["untouched", "one"], "all": list(tensors)}
    ties = []
    for group, names in groups.items():
        for keep in (0.0, 0.05, 0.2, 0.5, 1.0):
            delta = np.concatenate([tensors[n][1] - tensors[n][0] for n in names])
            threshold = ties_threshold(delta, keep)
            kept = np.abs(delta) >= threshold
            merged = {}
            for n in names:
                pt, ft = tensors[n]
                trimmed = np.where(np.abs(ft - pt) >= threshold, ft - pt, F32(0))
                # Elected sign and disjoint mean, spelled out for one expert.
                sign = np.sign(trimmed)
                agreed = np.where((trimmed > 0) == (sign > 0), trimmed, F32(0))
                merged[n] = to_bits(np.where(agreed != 0, pt + F32(0.3) * agreed, pt))
            ties.append({"tensors": names, "keep": keep, "threshold": to_bits([threshold])[0],
                         "n_kept": int(kept.sum()), "merged": merged})
    return {
        "tensors": {n: {"pt": to_bits(a), "ft": to_bits(b)} for n, (a, b) in tensors.items()},
        "lerp": [{"tensor": n, "coefficient": c, "merged": to_bits(lerp(a, b, c))}
                 for n, (a, b) in tensors.items() for c in (0.0, 0.3, 0.5, 0.5857182222, 1.0)],
        "slerp": [{"tensor": n, "position": t, "merged": to_bits(slerp(a, b, t))}
                  for n, (a, b) in tensors.items() for t in (0.0, 0.25, 0.5, 1.0)],
        "dare": [{"tensor": n, "p": p, "scale": s, "seed": seed, "merged": to_bits(dare(n, a, b, p, s, seed))}
                 for n, (a, b) in tensors.items() for p, s, seed in ((0.0, 1.0, 1), (0.5, 1.0, 1), (0.9, 0.3, 2))],
        "ties": ties,
    }


# --- Beta distribution and mixture -------------------------------------------------------------------------

def beta_cases():
    rng = np.random.default_rng(20254)
    xs = [1e-8, 1e-3, 0.1, 0.5, 0.9999, 1.0, 1.0001, 1.4616321449683623, 1.5, 2.0, 2.5, 3.0, 7.25, 9.999, 10.0, 10.001,
          12.5, 37.0, 100.0, 171.5, 1e3, 12345.678, 1e6, 1e9] + [float(v) for v in 10 ** rng.uniform(-2, 4, 16)]
    pairs = [(0.5, 0.5), (1.0, 1.0), (1e-3, 1e-3), (2.0, 3.0), (9.5, 9.9), (10.0, 10.0), (9.9, 10.1), (0.5, 1e4), (3.0, 1e6),
             (50.0, 50.0), (250.5, 249.5), (1e3, 1e3), (8e3, 7e3)]
    pairs += [tuple(float(v) for v in 10 ** rng.uniform(-1, 4, 2)) for _ in range(16)]
    densities = []
    for a, b in pairs:
        for x in (0.03125, 0.5, 0.53125, 0.96875):
            value = (mp.mpf(a) - 1) * mp.log(x) + (mp.mpf(b) - 1) * mp.log1p(-mp.mpf(x)) - log_beta(a, b)
            densities.append({"x": x, "a": a, "b": b, "value": float(value)})
    return {"ln_gamma": [{"x": x, "value": float(mp.loggamma(mp.mpf(x)))} for x in xs],
            "ln_beta": [{"a": a, "b": b, "value": float(log_beta(a, b))} for a, b in pairs],
            "ln_density": densities}


def log_beta(a, b):
    a, b = mp.mpf(a), mp.mpf(b)
    return mp.loggamma(a) + mp.loggamma(b) - mp.loggamma(a + b)


def kmeans(xs, k, seed):
    key = stream(seed, "kmeans")
    centres = [xs[int(uniform(key, 0) * len(xs))]]
    while len(centres) < k:
        squares = np.min([(xs - c) ** 2 for c in centres], axis=0)
        above = np.nonzero(np.cumsum(squares) > uniform(key, len(centres)) * np.cumsum(squares)[-1])[0]
        if len(above) == 0:
            break
        centres.append(xs[above[0]])
    labels = np.full(len(xs), -1)
    for _ in range(300):
        new = np.argmin([np.abs(xs - c) for c in centres], axis=0)
        if (new == labels).all():
            break
        labels = new
        centres = [xs[labels == j].mean() if (labels == j).any() else c for j, c in enumerate(centres)]
    return labels


def m_step(xs, shares):
    counts = shares.sum(axis=0)
    means = (shares * xs[:, None]).sum(axis=0) / counts
    variances = (shares * (xs[:, None] - means) ** 2).sum(axis=0) / counts
    room = means * (1 - means)
    s = room / (np.minimum(variances, room / 4) + 10 * np.finfo(float).eps + 1e-10) - 1
    return counts / len(xs), s * means, s * (1 - means)


def log_terms(xs, weights, a, b):
    x = xs[:, None]
    return np.log(weights) + (a - 1) * np.log(x) + (b - 1) * np.log1p(-x) - betaln(a, b)


def fit_mixture(xs, k, seed, rounds_max=1000, tolerance=1e-4, starts=3):
    xs = np.clip(np.asarray(xs, float), 1e-6, 1 - 1e-6)
    best = None
    for start in range(starts):
        labels = kmeans(xs, k, seed + start)
        parameters = m_step(xs, np.eye(labels.max() + 1)[labels])
        likelihood, rounds, converged = -np.inf, 0, False
        while rounds < rounds_max and not converged:
            before = likelihood
            terms = log_terms(xs, *parameters)
            totals = logsumexp(terms, axis=1)
            likelihood = totals.mean()
            parameters = m_step(xs, np.exp(terms - totals[:, None]))
            rounds += 1
            converged = bool(abs(likelihood - before) < tolerance)
        if best is None or likelihood > best[0]:
            best = (likelihood, rounds, converged, parameters)
    likelihood, rounds, converged, (weights, a, b) = best
    order = np.argsort(a / (a + b))
    weights, a, b = weights[order], a[order], b[order]
    labels = np.argmax(log_terms(xs, weights, a, b), axis=1)
    return {"mean_log_likelihood_nats": float(likelihood), "rounds": rounds, "converged": converged,
            "weights": weights.tolist(), "alpha": a.tolist(), "beta": b.tolist(),
            "coefficients": (a / (a + b)).tolist(), "labels": labels.tolist()}


def mixture_cases():
    rng = np.random.default_rng(20255)
    apart = np.concatenate([rng.beta(20, 80, 60), rng.beta(60, 60, 90), rng.beta(90, 10, 50)])
    # As T3 makes them: all within 0.5 ..= 0.5858.
    narrow = 1 / (1 + np.exp(-0.5 * np.concatenate([rng.beta(2, 12, 80), rng.beta(9, 6, 60), rng.beta(40, 3, 20)]) * np.log(2)))
    overlapping = rng.beta(2, 3, 150)
    # Bimodal at the ends: here the variance exceeds m (1 - m) / 4 and the cap decides.
    ends = np.concatenate([rng.beta(0.2, 0.2, 80)])
    cases = []
    for name, values, k, seed in (("apart", apart, 3, 1), ("narrow", narrow, 3, 1), ("overlapping", overlapping, 3, 5),
                                  ("ends", ends, 1, 1), ("ends_two", ends, 2, 3),
                                  ("two_values", np.array([0.25, 0.75] * 6), 3, 1), ("constant", np.full(9, 0.5), 3, 1)):
        values = rng.permutation(values)
        cases.append({"name": name, "n_components": k, "seed": seed, "values": values.tolist(),
                      **fit_mixture(values, k, seed)})
    return cases


# --- statistics --------------------------------------------------------------------------------------------

def statistics_cases():
    rng = np.random.default_rng(20256)
    cases = []
    for n, offset in ((2, 0.0), (5, 0.0), (100, 0.0), (37, 1e6)):
        x = rng.normal(offset, 1, n)
        y = 0.5 * x + rng.normal(0, 1, n)
        exact = [mp.mpf(v) for v in x]
        mean = mp.fsum(exact) / n
        squares = mp.fsum((v - mean) ** 2 for v in exact)
        cases.append({"x": x.tolist(), "y": y.tolist(), "mean": float(mean), "variance_unbiased": float(squares / (n - 1)),
                      "variance_population": float(squares / n), "pearson_r": float(np.corrcoef(x, y)[0, 1]),
                      "quantiles": {q: float(np.quantile(x, float(q))) for q in ("0", "0.05", "0.5", "0.95", "1")}})
    return cases


if __name__ == "__main__":
    save("divergence", divergence_cases())
    save("entropy_ratio", entropy_ratio_cases())
    save("random", random_cases())
    save("tensors", tensor_cases())
    save("beta", beta_cases())
    save("mixture", mixture_cases())
    save("statistics", statistics_cases())
