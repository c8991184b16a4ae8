#!/usr/bin/python3
"""validate.py FILE...: are these reports what they promise to be?

A .json file must fit the schema of docs/schema that it names, without properties that the schema does not list. A .xml
file must be well-formed and JUnit's: its counts must be those of the tests in it. A .html file must close what it
opens, its links within it must lead somewhere, and its charts must be JSON. A .svg file must be well-formed, with lines
that stay within the picture. Needs Debian's python3-jsonschema, and so Debian's python.
"""
import html.parser
import json
import pathlib
import re
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


class Page(html.parser.HTMLParser):
    VOID = {"br", "hr", "img", "link", "meta"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.charts = [], [], set(), 0

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag not in self.VOID:
            self.open.append((tag, attributes))
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if attributes.get("href", "").startswith("#"):
            self.links.add(attributes["href"][1:])

    def handle_endtag(self, tag):
        opened = self.open.pop()[0] if self.open else "nothing"
        assert opened == tag, f"line {self.getpos()[0]}: </{tag}> ends {opened}"

    def handle_data(self, data):
        if self.open and self.open[-1] == ("script", {"type": "application/json"}):
            json.loads(data, parse_constant=refuse_constant)
            self.charts += 1


def check_html(path):
    page = Page()
    page.feed(path.read_text("utf-8"))
    page.close()
    assert not page.open, f"<{page.open[-1][0]}> is not closed"
    assert len(page.ids) == len(set(page.ids)), f"an id twice: {page.ids}"
    assert page.links <= set(page.ids), f"links to nothing: {page.links - set(page.ids)}"
    return f"HTML, {page.charts} charts"


def check_svg(path):
    root = xml.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg", root.tag
    left, top, width, height = map(float, root.get("viewBox").split())
    number = r"(-?\d+(?:\.\d+)?)"
    paths = [element.get("d") for element in root.iter("{http://www.w3.org/2000/svg}path")]
    assert paths, "nothing is drawn"
    for steps in paths:
        assert re.fullmatch(rf"M{number} {number}(L{number} {number}|H{number})+", steps), f"no path: {steps}"
        for x, y in re.findall(rf"[ML]{number} {number}", steps):
            inside = left <= float(x) <= left + width and top <= float(y) <= top + height
            assert inside, f"{x} {y} lies outside of {root.get('viewBox')}"
    return "SVG"


CHECKS = {".html": check_html, ".json": check_json, ".svg": check_svg, ".xml": check_xml}


def main(files):
    for file in map(pathlib.Path, files):
        check = CHECKS[file.suffix]
        try:
            print(f"{file.name}: {check(file)}")
        except jsonschema.ValidationError as error:
            sys.exit(f"{file.name}: {error.json_path}: {error.message}")
        except Exception as error:
            sys.exit(f"{file.name}: {error}")


main(sys.argv[1:])
