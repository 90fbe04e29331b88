#!/usr/bin/env python3
"""Cuts the published API descriptions of trackers down to what their connectors call.

    extract.py GITHUB JIRA ADF CARD     writes github.json, jira.json, adf.json and card.json beside this file

GITHUB  generated/api.github.com.json of the npm package @octokit/openapi (MIT)
JIRA    https://developer.atlassian.com/cloud/jira/platform/swagger-v3.v3.json (Apache 2.0)
ADF     dist/json-schema/v1/full.json of the npm package @atlaskit/adf-schema (Apache 2.0)
CARD    schemas/1.4.0/adaptive-card.json of https://github.com/microsoft/AdaptiveCards (MIT)

Each file says where it comes from. Of answers only the status codes are kept; descriptions and examples are left out.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WANTED = {
    "github": [
        ("/repos/{owner}/{repo}", "get"),
        ("/repos/{owner}/{repo}/issues", "get"),
        ("/repos/{owner}/{repo}/issues", "post"),
        ("/repos/{owner}/{repo}/issues/{issue_number}", "get"),
        ("/repos/{owner}/{repo}/issues/{issue_number}", "patch"),
        ("/repos/{owner}/{repo}/issues/{issue_number}/comments", "get"),
        ("/repos/{owner}/{repo}/issues/{issue_number}/comments", "post"),
    ],
    "jira": [
        ("/rest/api/3/issue", "post"),
        ("/rest/api/3/issue/{issueIdOrKey}", "get"),
        ("/rest/api/3/issue/{issueIdOrKey}/comment", "get"),
        ("/rest/api/3/issue/{issueIdOrKey}/comment", "post"),
        ("/rest/api/3/issue/{issueIdOrKey}/transitions", "get"),
        ("/rest/api/3/issue/{issueIdOrKey}/transitions", "post"),
        ("/rest/api/3/issue/createmeta/{projectIdOrKey}/issuetypes", "get"),
        ("/rest/api/3/issue/createmeta/{projectIdOrKey}/issuetypes/{issueTypeId}", "get"),
        ("/rest/api/3/mypermissions", "get"),
        ("/rest/api/3/myself", "get"),
        ("/rest/api/3/search/jql", "post"),
        ("/rest/api/3/user/assignable/search", "get"),
    ],
}
DROPPED = {"description", "summary", "example", "examples", "externalDocs", "x-github", "tags", "x-atlassian-oauth2-scopes"}


def slim(value, in_properties=False):
    if isinstance(value, dict):
        return {name: slim(below, name == "properties") for name, below in value.items()
                if in_properties or name not in DROPPED}
    if isinstance(value, list):
        return [slim(one) for one in value]
    return value


def used(value, into):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            into.add(value["$ref"])
        for below in value.values():
            used(below, into)
    elif isinstance(value, list):
        for one in value:
            used(one, into)


def named(document, ref):
    _, _, kind, name = ref.split("/")
    return document["components"][kind][name]


def cut(document, wanted, note):
    paths = {}
    for path, method in wanted:
        operation = slim(document["paths"][path][method])
        operation["responses"] = {code: {} for code in operation["responses"]}
        shared = document["paths"][path].get("parameters", [])
        given = slim(shared) + operation.get("parameters", [])
        operation["parameters"] = [slim(named(document, one["$ref"])) if "$ref" in one else one for one in given]
        paths.setdefault(path, {})[method] = {
            name: operation[name] for name in ("operationId", "parameters", "requestBody", "responses") if name in operation}
    components, open_, seen = {}, set(), set()
    used(paths, open_)
    while open_ - seen:
        for ref in sorted(open_ - seen):
            seen.add(ref)
            kind, name = ref.removeprefix("#/components/").split("/")
            part = slim(document["components"][kind][name])
            components.setdefault(kind, {})[name] = part
            used(part, open_)
    return {"extracted": note, "paths": paths, "components": components}


def write(name, value):
    (HERE / f"{name}.json").write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def main():
    github, jira, adf, card = (json.loads(Path(path).read_text(encoding="utf-8-sig")) for path in sys.argv[1:5])
    write("github", cut(github, WANTED["github"], {
        "from": "@octokit/openapi 23.0.2, generated/api.github.com.json", "version": github["info"]["version"],
        "licence": "MIT, Copyright (c) 2020 Octokit contributors; the description itself: MIT, GitHub"}))
    write("jira", cut(jira, WANTED["jira"], {
        "from": "https://developer.atlassian.com/cloud/jira/platform/swagger-v3.v3.json", "version": jira["info"]["version"],
        "licence": "Apache 2.0, Atlassian"}))
    adf["extracted"] = {"from": "@atlaskit/adf-schema 57.7.22, dist/json-schema/v1/full.json", "licence": "Apache 2.0, Atlassian"}
    write("adf", adf)
    card = slim(card)
    card["extracted"] = {"from": "https://github.com/microsoft/AdaptiveCards, schemas/1.4.0/adaptive-card.json",
                         "licence": "MIT, Copyright (c) 2017 Microsoft"}
    write("card", card)


main()
