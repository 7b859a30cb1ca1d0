"""Reads OTLP's JSON, one request a line, as OpenTelemetry's own messages, and counts spans by name; fails where a field is unknown.

In this JSON identifiers are hexadecimal, where that of protocol buffers has base64: the one difference, undone here.
"""

import base64
import collections
import json
import sys

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

counts, services = collections.Counter(), set()
for line in sys.stdin:
    request = json.loads(line)
    for resource in request["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                for key, n_bytes in (("traceId", 16), ("spanId", 8), ("parentSpanId", 8)):
                    raw = bytes.fromhex(span[key])
                    assert len(raw) == n_bytes, (key, span[key])
                    span[key] = base64.b64encode(raw).decode()
    message = json_format.ParseDict(request, ExportTraceServiceRequest())
    for resource in message.resource_spans:
        said = {one.key: one.value.string_value for one in resource.resource.attributes}
        services.add((said["service.name"], said["t3b.pipeline"]))
        for scope in resource.scope_spans:
            for span in scope.spans:
                assert span.start_time_unix_nano <= span.end_time_unix_nano and span.start_time_unix_nano > 0
                counts[span.name] += 1
for name in sorted(counts):
    print(name, counts[name])
for service in sorted(services):
    print(*service)
