"""Reads OpenLineage events, one a line, into the classes of OpenLineage's own package: what it does not know is an error."""

import json
import sys
import uuid

from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.generated import (
    error_message_run,
    input_statistics_input_dataset,
    job_type_job,
    output_statistics_output_dataset,
    processing_engine_run,
)

KNOWN = {
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "inputStatistics": input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
    "jobType": job_type_job.JobTypeJobFacet,
    "outputStatistics": output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
}


def check(facets):
    for name, facet in facets.items():
        body = {key: value for key, value in facet.items() if not key.startswith("_")}
        assert facet["_producer"] and facet["_schemaURL"], name
        if name in KNOWN:
            made = KNOWN[name](**body)
            assert made._get_schema().rsplit("/", 1)[-1] == facet["_schemaURL"].rsplit("/", 1)[-1], name
        else:
            assert name.startswith("t3b_"), name


for line in sys.stdin:
    event = json.loads(line)
    uuid.UUID(event["run"]["runId"])
    check(event["run"]["facets"])
    check(event["job"]["facets"])
    for place, kind in (("inputs", "inputFacets"), ("outputs", "outputFacets")):
        for dataset in event[place]:
            check(dataset[kind])
    made = RunEvent(
        eventType=RunState[event["eventType"]],
        eventTime=event["eventTime"],
        run=Run(runId=event["run"]["runId"]),
        job=Job(namespace=event["job"]["namespace"], name=event["job"]["name"]),
        inputs=[InputDataset(namespace=d["namespace"], name=d["name"]) for d in event["inputs"]],
        outputs=[OutputDataset(namespace=d["namespace"], name=d["name"]) for d in event["outputs"]],
        producer=event["producer"],
    )
    assert set(event) == {"eventType", "eventTime", "producer", "schemaURL", "run", "job", "inputs", "outputs"}
    print(made.eventType.name, made.job.name, len(made.outputs))
