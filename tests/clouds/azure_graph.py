"""Azure Resource Graph for azure_fake.py: the tables that a test fills, and as much of its query language as is used.

A query is a table and steps: `where COLUMN =~ 'TEXT'`, `where COLUMN in~ ('TEXT', ...)`, `project A, B, C = D.E`,
`order by COLUMN asc`. Any other is refused, and wrong: nobody has modelled what it does.
"""

import re
import time
import types
import uuid
from typing import Any, Callable

from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import RequestsTransport
from azure.mgmt.resourcegraph import ResourceGraphClient
from azure.mgmt.resourcegraph.models import QueryRequest, QueryRequestOptions

from azure_models import CREATES, problems

Json = dict[str, Any]
PATH, VERSIONS = "/providers/microsoft.resourcegraph/resources", {"2021-03-01", "2022-10-01", "2024-04-01"}
TABLES = {"resources", "resourcecontainers", "securityresources", "policyresources", "resourcechanges"}
TEXT = r"'((?:[^'\\]|\\.)*)'"


class Wrong(Exception):
    """A query that no correct client sends."""


def text_of(literal: str) -> str:
    return re.sub(r"\\(.)", r"\1", literal)


def column(row: Json, path: str) -> Any:
    for part in path.split("."):
        row = row.get(part) if isinstance(row, dict) else None
    return row


def step_of(step: str) -> Callable[[list[Json]], list[Json]]:
    """What a step does to rows."""
    if found := re.fullmatch(rf"where ([\w.]+) =~ {TEXT}", step):
        wanted = text_of(found[2]).lower()
        return lambda rows: [row for row in rows if str(column(row, found[1])).lower() == wanted]
    if found := re.fullmatch(rf"where ([\w.]+) in~ \(({TEXT}(?:, {TEXT})*)\)", step):
        among = {text_of(each).lower() for each in re.findall(TEXT, found[2])}
        return lambda rows: [row for row in rows if str(column(row, found[1])).lower() in among]
    if found := re.fullmatch(r"project (\w+(?: = [\w.]+)?(?:, \w+(?: = [\w.]+)?)*)", step):
        pairs = [(part.partition(" = ")[0], part.partition(" = ")[2] or part) for part in found[1].split(", ")]
        return lambda rows: [{name: column(row, source) for name, source in pairs} for row in rows]
    if found := re.fullmatch(r"order by (\w+) asc", step):
        return lambda rows: sorted(rows, key=lambda row: str(row[found[1]]).lower())
    raise Wrong(f"the step {step!r} is not modelled")


class Graph:
    def __init__(self, page: int) -> None:
        self.page = page
        self.rows: dict[str, list[Json]] = {table: [] for table in TABLES}
        self.groups: dict[str, set[str]] = {}  # the subscriptions of a management group
        self.quotas: dict[str, Json] = {}  # by subscription
        self.tokens: dict[str, tuple[Json, list[Json], int]] = {}

    def fill(self, table: str, rows: list[Json]) -> Json:
        for row in rows:
            row.setdefault("subscriptionId", row["id"].split("/")[2])
            self.rows[table] = [old for old in self.rows[table] if old["id"].lower() != row["id"].lower()] + [row]
            for group in (row.get("properties") or {}).get("managementGroupAncestorsChain") or []:
                self.groups.setdefault(group["name"].lower(), set()).add(row["subscriptionId"].lower())
        return {}

    def answer(self, body: Json) -> tuple[dict[str, str], Json]:
        """Headers and body of the answer to a query."""
        if wrong := list(problems(QueryRequest, body, CREATES)):
            raise Wrong("; ".join(wrong))
        options = body.get("options", {})
        if options.get("resultFormat", "objectArray") != "objectArray":
            raise Wrong("only objectArray is modelled")
        top, token = options.get("$top", 100), options.get("$skipToken")
        if not 1 <= top <= 1000:
            raise Wrong(f"$top is {top}: it is from 1 to 1000")
        subscriptions = {each.lower() for each in body.get("subscriptions", [])}
        if wrong := [each for each in subscriptions if not re.fullmatch(r"[0-9a-f-]{36}", each)]:
            raise Wrong(f"{wrong} are no ids of subscriptions")
        for group in body.get("managementGroups", []):
            subscriptions |= self.groups.get(group.lower(), set())
        headers = self.quota(subscriptions)
        question = {name: body.get(name) for name in ("query", "subscriptions", "managementGroups")}
        if token:
            if token not in self.tokens or self.tokens[token][0] != question:
                raise Wrong("the $skipToken was given for no such query")
            _, rows, start = self.tokens[token]
        else:
            rows, start = self.run(body["query"], subscriptions, "subscriptions" in body or "managementGroups" in body), 0
        end = start + min(top, self.page)
        answer: Json = {"totalRecords": len(rows), "count": len(rows[start:end]), "data": rows[start:end],
                        "facets": [], "resultTruncated": "false"}
        if end < len(rows):
            answer |= {"resultTruncated": "true"}
            # Without an id in the rows there is no next page.
            if "id" in rows[0]:
                answer["$skipToken"] = uuid.uuid4().hex
                self.tokens[answer["$skipToken"]] = question, rows, end
        return headers, answer

    def run(self, query: str, subscriptions: set[str], limited: bool) -> list[Json]:
        table, *steps = query.split(" | ")
        if table not in TABLES:
            raise Wrong(f"there is no table {table!r}")
        rows = [row for row in self.rows[table] if not limited or row["subscriptionId"].lower() in subscriptions]
        if not any(step.startswith("order by id") for step in steps):
            raise Wrong("the query has no order: its pages may overlap")
        for step in steps:
            rows = step_of(step)(rows)
        return rows

    def quota(self, subscriptions: set[str]) -> dict[str, str]:
        """The headers on throttling: of a subscription that a test gave a quota, the real ones."""
        headers = {"x-ms-user-quota-remaining": "14", "x-ms-user-quota-resets-after": "00:00:05"}
        for quota in filter(None, map(self.quotas.get, subscriptions)):
            if quota.get("limit_hit"):
                headers["x-ms-tenant-subscription-limit-hit"] = "true"
            if "left" not in quota:
                continue
            if time.monotonic() >= quota.get("until", 0):
                quota.update(now=quota["left"], until=time.monotonic() + quota["resets"])
            if not quota["now"]:
                raise Wrong("comes before the quota is there again")
            quota["now"] -= 1
            headers = {"x-ms-user-quota-remaining": str(quota["now"]),
                       "x-ms-user-quota-resets-after": f"00:00:{quota['resets']:02}"}
        return headers

    def by_client(self, port: int, token: str, query: str, subscriptions: list[str]) -> list[Json]:
        """The rows that the client of the package reads, over all pages."""
        class Token(SansIOHTTPPolicy):
            def on_request(self, request: Any) -> None:
                request.http_request.headers["Authorization"] = f"Bearer {token}"

        client = ResourceGraphClient(
            types.SimpleNamespace(get_token=None), base_url=f"http://127.0.0.1:{port}", authentication_policy=Token(),
            transport=RequestsTransport(use_env_settings=False), retry_total=0)
        rows, options = [], QueryRequestOptions(result_format="objectArray")
        while True:
            answer = client.resources(QueryRequest(query=query, subscriptions=subscriptions, options=options))
            rows += answer.data
            if not answer.skip_token:
                return rows
            options.skip_token = answer.skip_token
