"""Checks the files of deploy/ for engines against the engines' own schemas, and what they do at each exit code.

usage: validate_engines.py AGAIN PERSON, lists of exit codes. A schema whose package is not installed is named and left out.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import yaml

AGAIN = [int(code) for code in sys.argv[1].split(",")]
PERSON = json.loads(sys.argv[2])
DEPLOY = Path("deploy")


def has(module):
    """Whether a module can be imported; says so where it cannot."""
    found = importlib.util.find_spec(module) is not None
    if not found:
        print(f"skipped: no {module}, run tests/support/setup.sh")
    return found


def read(name):
    return [document for document in yaml.safe_load_all((DEPLOY / name).read_text()) if document]


def pod_failure_action(policy, code):
    """What Kubernetes does with a container that ended with `code`: the first rule that fits, else Count."""
    for rule in policy["rules"]:
        on = rule.get("onExitCodes")
        if on and (code in on["values"]) == (on["operator"] == "In"):
            return rule["action"]
    return "Count"


def check_job(name, spec):
    policy = spec["podFailurePolicy"]
    for code in AGAIN:
        assert pod_failure_action(policy, code) == "Count", (name, code)
    for code in PERSON:
        assert pod_failure_action(policy, code) == "FailJob", (name, code)
    assert pod_failure_action(policy, 137) == "Count", (name, "killed for memory")
    disrupted = [rule for rule in policy["rules"] if rule.get("onPodConditions")]
    assert [rule["action"] for rule in disrupted] == ["Ignore"], name


def kubernetes():
    from kubernetes_validate import ValidationError, validate

    job = read("k8s/workers.yaml")[0]
    documents = [("workers.yaml", job), *((f"nightly.yaml {one['kind']}", one) for one in read("k8s/nightly.yaml"))]
    check_job("workers.yaml", job["spec"])
    assert job["spec"]["completionMode"] == "Indexed" and job["spec"]["backoffLimitPerIndex"] > 0
    for replicated in read("k8s/workers-jobset.yaml")[0]["spec"]["replicatedJobs"]:
        name = f"workers-jobset.yaml {replicated['name']}"
        check_job(name, replicated["template"]["spec"])
        wrapped = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "one"}, **replicated["template"]}
        documents.append((name, wrapped))
    for file in RAY:
        cluster = ray_job(file)["rayClusterSpec"]
        for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, **group["template"]}
            documents.append((f"{file} pod", pod))
    for name, document in documents:
        validate(document, "1.33", strict=True)
        print(f"kubernetes 1.33, strict: {name} is valid")
    noticed("kubernetes", ValidationError, lambda broken: validate(broken, "1.33", strict=True), job, "backoffLimitPerIndex")


RAY = ("rayjob.yaml", "raycronjob.yaml")
CUSTOM = ("ray/rayjob.yaml", "ray/raycronjob.yaml", "k8s/workers-jobset.yaml", "k8s/queue.yaml")


def ray_job(file):
    """The spec of a RayJob, which a RayCronJob holds as its template."""
    spec = read(f"ray/{file}")[0]["spec"]
    return spec.get("jobTemplate", spec)


def noticed(engine, error, check, document, key):
    """A schema that takes any key says nothing: the same document with `key`, wherever it stands, misspelt must be refused."""

    def misspelt(value):
        if isinstance(value, dict):
            return {(f"{name}x" if name == key else name): misspelt(one) for name, one in value.items()}
        return [misspelt(one) for one in value] if isinstance(value, list) else value

    broken = misspelt(document)
    assert broken != document, (engine, key)
    try:
        check(broken)
    except error:
        return
    raise AssertionError(f"{engine}: {key}, misspelt, was not noticed")


def custom():
    import crd_schemas
    from jsonschema import ValidationError

    if not crd_schemas.is_there():
        return
    for name in CUSTOM:
        for document in read(name):
            crd_schemas.check(document)
            print(f"{document['apiVersion']} {document['kind']}: {name} is valid")
    for name, key in [
        ("ray/rayjob.yaml", "rayStartParams"), ("ray/rayjob.yaml", "maxReplicas"), ("ray/raycronjob.yaml", "schedule"),
        ("ray/raycronjob.yaml", "backoffLimit"), ("k8s/workers-jobset.yaml", "backoffLimitPerIndex"), ("k8s/queue.yaml", "nominalQuota"),
        ("k8s/queue.yaml", "nodeLabels"), ("k8s/queue.yaml", "clusterQueue"),
    ]:
        noticed(name, ValidationError, lambda broken: [crd_schemas.check(one) for one in broken], read(name), key)


def queues():
    """Whoever is labelled with a queue names one that stands in queue.yaml, and begins suspended where Kueue asks for that."""
    documents = read("k8s/queue.yaml")
    local = {one["metadata"]["name"]: one["spec"]["clusterQueue"] for one in documents if one["kind"] == "LocalQueue"}
    cluster = {one["metadata"]["name"]: one["spec"] for one in documents if one["kind"] == "ClusterQueue"}
    flavors = {one["metadata"]["name"] for one in documents if one["kind"] == "ResourceFlavor"}
    for name, queue in local.items():
        groups = cluster[queue]["resourceGroups"]
        assert all(flavor["name"] in flavors for group in groups for flavor in group["flavors"]), name
    for name in ("ray/rayjob.yaml", "ray/raycronjob.yaml", "k8s/workers-jobset.yaml"):
        document = read(name)[0]
        assert document["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] in local, name
    assert read("k8s/workers-jobset.yaml")[0]["spec"]["suspend"] is True
    nightly = {**ray_job("raycronjob.yaml"), "entrypoint": "", "activeDeadlineSeconds": 0}
    assert nightly == {**ray_job("rayjob.yaml"), "entrypoint": "", "activeDeadlineSeconds": 0}, "one cluster in both files"
    print("kueue: every label names a queue of queue.yaml")


def argo():
    from hera.workflows.models import Workflow
    from pydantic import BaseModel

    def unknown(model, value, path):
        """Keys that no field of the model takes; the models themselves leave such keys out without a word."""
        if isinstance(model, list):
            return [one for n, (inner, item) in enumerate(zip(model, value)) for one in unknown(inner, item, f"{path}[{n}]")]
        if hasattr(model, "root"):
            return unknown(model.root, value, path)
        if not isinstance(model, BaseModel):
            return []
        fields = {field.alias or name: name for name, field in type(model).model_fields.items()}
        wrong = [f"{path}.{key}" for key in value if key not in fields]
        return wrong + [
            one for key in value if key in fields for one in unknown(getattr(model, fields[key]), value[key], f"{path}.{key}")
        ]

    def check(document):
        wrong = unknown(Workflow.model_validate(document), document, "")
        if wrong:
            raise ValueError(f"no such keys: {wrong}")

    document = read("argo/workers.yaml")[0]
    check(document)
    for key in ("podSpecPatch", "retryPolicy", "withSequence", "volumeMounts", "resources"):
        noticed("argo", ValueError, check, document, key)
    worker = next(template for template in document["spec"]["templates"] if template["name"] == "worker")
    expression = worker["retryStrategy"]["expression"]
    listed = json.loads(expression[expression.index("[") : expression.index("]") + 1])
    assert listed == AGAIN, expression
    print("argo: workers.yaml is valid")


def batch():
    import botocore.session
    from botocore.validate import ParamValidator

    model = botocore.session.get_session().get_service_model("batch")
    for name, operation in [("job-definition.json", "RegisterJobDefinition"), ("submit-job.json", "SubmitJob")]:
        parameters = json.loads((DEPLOY / "aws-batch" / name).read_text())
        report = ParamValidator().validate(parameters, model.operation_model(operation).input_shape)
        assert not report.has_errors(), report.generate_report()
        print(f"aws batch: {name} is valid for {operation}")
    for key in ("evaluateOnExit", "onStatusReason", "attemptDurationSeconds"):
        definition = json.loads((DEPLOY / "aws-batch/job-definition.json").read_text())
        shape = model.operation_model("RegisterJobDefinition").input_shape

        def check(broken):
            report = ParamValidator().validate(broken, shape)
            if report.has_errors():
                raise ValueError(report.generate_report())

        noticed("aws batch", ValueError, check, definition, key)


def slurm():
    script = DEPLOY / "slurm" / "t3b-workers.sbatch"
    subprocess.run(["bash", "-n", str(script)], check=True)
    for code in [0, *AGAIN, *PERSON]:
        requeued = slurm_ends(script, code)
        assert requeued == (code in AGAIN), code
    print("slurm: t3b-workers.sbatch requeues what resumes and nothing else")


def slurm_ends(script, code):
    """Runs the script with a `t3b` that ends with `code`; whether it asked for its task to be requeued."""
    import os
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "asked"
        for name, text in [("t3b", f"exit {code}"), ("scontrol", f'echo "$@" > {asked}')]:
            program = Path(folder) / name
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
        environment = {
            "PATH": f"{folder}:{os.environ['PATH']}", "PIPELINE": "my.toml", "RUN": "r", "SLURM_JOB_ID": "9",
            "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3",
        }
        ended = subprocess.run(["bash", str(script)], env=environment, check=False)
        assert ended.returncode == code, (ended.returncode, code)
        if asked.exists():
            assert asked.read_text() == "requeue 7_3\n", asked.read_text()
        return asked.exists()


slurm()
queues()
if has("jsonschema"):
    custom()
if has("kubernetes_validate"):
    kubernetes()
if has("hera"):
    argo()
if has("botocore"):
    batch()
