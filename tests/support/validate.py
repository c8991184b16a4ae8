#!/usr/bin/python3
"""validate.py FILE...: are these reports what they promise to be?

A .json file must fit the schema of docs/schema that it names, without properties that the schema does not list. A .xml
file must be well-formed and JUnit's: its counts must be those of the tests in it. Needs Debian's python3-jsonschema, and so
Debian's python.
"""
import json
import pathlib
import sys
import xml.etree.ElementTree as xml

import jsonschema

SCHEMAS = pathlib.Path(__file__).parents[2] / "docs" / "schema"


def strict(node):
    """The schema with every object closed: what is not documented is an error here, though users must expect it."""
    if isinstance(node, list):
        return [strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {key: strict(value) for key, value in node.items()}
    if closed.get("type") == "object" and isinstance(closed.get("properties"), dict):
        closed["additionalProperties"] = False
    return closed


def refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


def check_json(path):
    report = json.loads(path.read_text("utf-8"), parse_constant=refuse_constant)
    schemas = {file.name: strict(json.loads(file.read_text("utf-8"))) for file in SCHEMAS.glob("*.json")}
    name = report["schema"].replace("/", "-") + ".json"
    jsonschema.Draft202012Validator.check_schema(schemas[name])
    resolver = jsonschema.RefResolver(base_uri=name, referrer=schemas[name], store=schemas)
    jsonschema.Draft202012Validator(schemas[name], resolver=resolver).validate(report)
    return f"fits docs/schema/{name}"


def check_xml(path):
    root = xml.parse(path).getroot()
    assert root.tag == "testsuites", root.tag
    for suites in (root, *root):
        cases = list(suites.iter("testcase"))
        found = {"tests": len(cases)}
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            found[name] = sum(case.find(tag) is not None for case in cases)
        said = {name: int(suites.get(name)) for name in found}
        assert said == found, f"{suites.get('name')} says {said} and holds {found}"
        assert all(len(case) <= 1 and case.get("name") and case.get("classname") for case in cases)
    counts = ", ".join(f"{root.get(name)} {name}" for name in ("tests", "failures", "errors", "skipped"))
    return f"JUnit, {len(root)} suites: {counts}"


def main(files):
    for file in map(pathlib.Path, files):
        check = check_json if file.suffix == ".json" else check_xml
        try:
            print(f"{file.name}: {check(file)}")
        except jsonschema.ValidationError as error:
            sys.exit(f"{file.name}: {error.json_path}: {error.message}")
        except Exception as error:
            sys.exit(f"{file.name}: {error}")


main(sys.argv[1:])
