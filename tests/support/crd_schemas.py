"""JSON Schemas of custom resources, made of the Rust types that a crate generates from their CRDs.

The crate kube-custom-resources-rs 2024.11.1 holds the output of kopium over the CRDs of KubeRay, JobSet and Kueue: one struct a level, one
field a key, with its name, its type and whether it must be there. That is all that these schemas know: no pattern, no bound and no rule
between fields. setup.sh unpacks the crate into .cache/schemas. Keys that newer CRDs brought are unknown here; our files use none of them.
"""

import re
from functools import cache
from pathlib import Path

ROOT = Path(".cache/schemas/src")
FILES = {
    "RayJob": ("ray.io/v1", "ray_io/v1/rayjobs.rs"),
    "JobSet": ("jobset.x-k8s.io/v1alpha2", "jobset_x_k8s_io/v1alpha2/jobsets.rs"),
    "ResourceFlavor": ("kueue.x-k8s.io/v1beta1", "kueue_x_k8s_io/v1beta1/resourceflavors.rs"),
    "ClusterQueue": ("kueue.x-k8s.io/v1beta1", "kueue_x_k8s_io/v1beta1/clusterqueues.rs"),
    "LocalQueue": ("kueue.x-k8s.io/v1beta1", "kueue_x_k8s_io/v1beta1/localqueues.rs"),
}
PLAIN = {
    "String": {"type": "string"},
    "bool": {"type": "boolean"},
    "f64": {"type": "number"},
    "i32": {"type": "integer"},
    "i64": {"type": "integer"},
    "IntOrString": {"type": ["integer", "string"]},
    "Condition": {"type": "object"},
    "serde_json::Value": {},
}
ITEM = re.compile(r"pub (struct|enum) (\w+) \{\n(.*?)\n\}", re.DOTALL)
FIELD = re.compile(r"((?:^    #\[serde\([^\n]*\)\]\n)*)^    pub (?:r#)?(\w+): ([^\n]+),$", re.MULTILINE)
VARIANT = re.compile(r'(?:^    #\[serde\(rename = "([^"]*)"\)\]\n)?^    (\w+),$', re.MULTILINE)
# RayCronJob came with KubeRay 1.6, after the crate: by its documentation (RayCronJob Quickstart) a schedule, a RayJob's spec and a switch.
CRON = {
    "type": "object",
    "required": ["schedule", "jobTemplate"],
    "additionalProperties": False,
    "properties": {
        "schedule": {"type": "string", "pattern": r"^(@\w+|(\S+\s+){4}\S+)$"},
        "jobTemplate": {"$ref": "#/$defs/RayJobSpec"},
        "suspend": {"type": "boolean"},
    },
}


def is_there():
    """Whether the crate is unpacked; says so where it is not."""
    if not ROOT.is_dir():
        print("skipped: no .cache/schemas, run tests/support/setup.sh")
    return ROOT.is_dir()


def _type(text):
    for outer, made in [
        ("Option", _type),
        ("Vec", lambda inner: {"type": "array", "items": _type(inner)}),
        ("BTreeMap", lambda inner: {"type": "object", "additionalProperties": _type(inner.removeprefix("String, "))}),
    ]:
        if text.startswith(f"{outer}<"):
            return made(text[len(outer) + 1 : -1])
    return PLAIN[text] if text in PLAIN else {"$ref": f"#/$defs/{text}"}


def _struct(body):
    properties, required = {}, []
    for attributes, name, kind in FIELD.findall(body):
        renamed = re.search(r'rename = "([^"]*)"', attributes)
        name = renamed.group(1) if renamed else name
        properties[name] = _type(kind)
        if not kind.startswith("Option<") and "default" not in attributes:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


@cache
def definitions(kind):
    """Every type below a kind, by its name in the crate."""
    found = {}
    for what, name, body in ITEM.findall((ROOT / FILES[kind][1]).read_text()):
        names = [renamed or plain for renamed, plain in VARIANT.findall(body)]
        found[name] = {"enum": names} if what == "enum" else _struct(body)
    assert f"{kind}Spec" in found, kind
    return found


@cache
def schema(kind):
    """The schema of a whole object."""
    api_version, base = FILES["RayJob" if kind == "RayCronJob" else kind][0], "RayJob" if kind == "RayCronJob" else kind
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": definitions(base),
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", *([] if kind == "ResourceFlavor" else ["spec"])],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": api_version},
            "kind": {"const": kind},
            "metadata": {"type": "object", "required": ["name"]},
            "spec": CRON if kind == "RayCronJob" else {"$ref": f"#/$defs/{kind}Spec"},
        },
    }


def check(document):
    """Raises `jsonschema.ValidationError` where an object is not what its CRD takes."""
    from jsonschema import Draft202012Validator

    for error in Draft202012Validator(schema(document["kind"])).iter_errors(document):
        raise error
