"""Whether TOML files are valid by a JSON Schema: schema.json, then files; one line a file, `ok` or the first error's path."""

import json
import sys
import tomllib

import jsonschema

schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
for name in sys.argv[2:]:
    errors = sorted(validator.iter_errors(tomllib.load(open(name, "rb"))), key=lambda error: list(error.path))
    print(".".join(map(str, errors[0].path)) + ": " + errors[0].message if errors else "ok")
