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
    for replicated in read("k8s/workers-jobset.yaml")[0]["spec"]["replicatedJobs"]:
        name = f"workers-jobset.yaml {replicated['name']}"
        check_job(name, replicated["template"]["spec"])
        wrapped = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "one"}, **replicated["template"]}
        documents.append((name, wrapped))
    cluster = read("ray/rayjob.yaml")[0]["spec"]["rayClusterSpec"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, **group["template"]}
        documents.append(("rayjob.yaml pod", pod))
    for name, document in documents:
        validate(document, "1.33", strict=True)
        print(f"kubernetes 1.33, strict: {name} is valid")
    broken = {**job, "spec": {**job["spec"], "backofLimitPerIndex": 1}}
    try:
        validate(broken, "1.33", strict=True)
    except ValidationError:
        return
    raise AssertionError("a misspelt key was not noticed")


def argo():
    from hera.workflows.models import Workflow

    document = read("argo/workers.yaml")[0]
    workflow = Workflow.model_validate(document) if hasattr(Workflow, "model_validate") else Workflow.parse_obj(document)
    worker = next(template for template in workflow.spec.templates if template.name == "worker")
    expression = worker.retry_strategy.expression
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
if has("kubernetes_validate"):
    kubernetes()
if has("hera"):
    argo()
if has("botocore"):
    batch()
