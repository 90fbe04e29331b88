#!/usr/bin/env python3
"""Jira Cloud, GitHub, ServiceNow and a receiver of webhooks on loopback: they have state, and assert every request.
And a mail server: aiosmtpd.

    fake.py        prints {"port": N, "smtp": N, "secret": KEY}; then answers one JSON line for every JSON line on stdin, and ends with it

Every test has a site of its own: http://127.0.0.1:N/SITE/jira, /SITE/github, /SITE/servicenow, /SITE/webhook, and
channels: /SITE/slack, /SITE/teams.

    {"do": "tickets", "site": S, "tracker": T}          what stands there: [{"key", "open", "title", "body", "comments": [..]}];
                                                        of a channel, the messages
    {"do": "person", "site": S, "tracker": T, "key": K, "what": "close" | "reopen" | "delete" | "close-for-good"}
    {"do": "set", "site": S, "tracker": T, "to": {..}}  options of the site: Jira's {"search_sees": false}, and more below
    {"do": "fail", "site": S, "tracker": T, "method"?: M, "path"?: REGEX, "with": W, "times"?: 1, "skip"?: 0}
    {"do": "mend", "site": S, "tracker": T}             nothing fails any more
    {"do": "seen", "site": S, "tracker": T}             [METHOD path], of all requests
    {"do": "mails", "to": ADDRESS}                      mails that came: [{"from", "subject", "id", "auto", "text", "html", "user"}]
    {"do": "bounce", "to": ADDRESS, "says": "451 later", "times"?: 1}
    {"do": "wrong"}                                     every assertion that failed so far: empty after a good test

W is one of

    {"status": N, "headers"?: {..}, "html"?: true, "text"?: T, "body"?: {..}}   an error, before anything is done
    {"drop": true, "applied": BOOLEAN}                  the connection breaks off without an answer
    {"hang": SECONDS}                                   no answer for so long; nothing is done

GitHub and Jira are held against what they publish (github.json, jira.json, adf.json), ServiceNow against its manual:
https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html;
Slack against its SDK, Teams against the schema of cards (card.json);
webhooks against the package of the Standard Webhooks themselves.
"""

import asyncio
import base64
import email
import email.policy
import json
import re
import sys
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from standardwebhooks.webhooks import Webhook

HERE = Path(__file__).resolve().parent
GITHUB, JIRA, ADF, CARD = (json.loads((HERE / f"{name}.json").read_text()) for name in ("github", "jira", "adf", "card"))
LOCK = threading.RLock()
SITES, WRONG = {}, []
SECRET = "whsec_" + base64.b64encode(b"a key for the tests, 32 bytes ok").decode()


def wrong(text):
    WRONG.append(text)
    raise Refused(599, text)


class Refused(Exception):
    def __init__(self, status, message, headers=None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


def nullable(schema):
    """OpenAPI 3.0's `nullable`, as JSON Schema says it."""
    if isinstance(schema, list):
        return [nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {name: nullable(value) for name, value in schema.items() if name != "nullable"}
    if schema.get("nullable") is True:
        return {"anyOf": [out, {"type": "null"}]}
    return out


def check(value, schema, components, what):
    whole = nullable({**schema, "components": components})
    errors = list(jsonschema.Draft202012Validator(whole).iter_errors(value))
    if errors:
        wrong(f"{what}: {errors[0].json_path}: {errors[0].message[:300]}")


def match(document, method, path):
    """The operation that answers a path, the parts of it, and whether the path is described at all."""
    for template, methods in sorted(document["paths"].items(), key=lambda pair: pair[0].count("{")):
        names = re.findall(r"{(\w+)}", template)
        found = re.fullmatch(re.sub(r"{\w+}", "([^/]+)", template), path)
        if found and method.lower() in methods:
            return methods[method.lower()], dict(zip(names, map(unquote, found.groups())))
    wrong(f"{method} {path} is not described")


def described(document, request):
    operation, parts = match(document, request.method, request.path)
    known = {one["name"]: one for one in operation.get("parameters", []) if one.get("in") == "query"}
    for name, text in request.query.items():
        if name not in known:
            wrong(f"{operation['operationId']}: no parameter is called {name}")
        schema = known[name].get("schema", {})
        if schema.get("type") == "integer" and not re.fullmatch(r"-?\d+", text):
            wrong(f"{operation['operationId']}: {name} is no number: {text}")
        if "enum" in schema and text not in schema["enum"]:
            wrong(f"{operation['operationId']}: {name} may not be {text}")
    for name, parameter in known.items():
        if parameter.get("required") and name not in request.query:
            wrong(f"{operation['operationId']}: {name} is missing")
    body = operation.get("requestBody")
    if body:
        if request.headers.get("content-type") != "application/json":
            wrong(f"{operation['operationId']}: the body is no JSON")
        check(request.body, body["content"]["application/json"]["schema"], document["components"], operation["operationId"])
    elif request.body is not None:
        wrong(f"{operation['operationId']} takes no body")
    return operation["operationId"], parts


class Request:
    def __init__(self, method, path, query, headers, body, raw):
        self.method, self.path, self.query, self.headers, self.body, self.raw = method, path, query, headers, body, raw

    def basic(self, user, password):
        expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        if self.headers.get("authorization") != expected:
            raise Refused(401, "Client must be authenticated to access this resource.")


def text_of(node):
    """An ADF document as plain text."""
    if node.get("type") == "text":
        return node["text"]
    if node.get("type") == "hardBreak":
        return "\n"
    inner = "".join(text_of(one) for one in node.get("content", []))
    return inner + ("\n" if node.get("type") in ("paragraph", "heading", "codeBlock", "listItem") else "")


class Jira:
    """https://developer.atlassian.com/cloud/jira/platform/rest/v3/"""

    STATUSES = {"To Do": "new", "In Progress": "indeterminate", "Done": "done"}
    FIELDS = {"summary": True, "description": False, "labels": False, "assignee": False, "duedate": False, "project": True,
              "issuetype": True, "customfield_10020": False, "priority": False, "reporter": True}

    def __init__(self, site):
        self.site, self.issues, self.options = site, {}, {"search_sees": True, "granted": True, "required": [], "visible": True}

    def answer(self, request):
        request.basic("amend@example.org", "jira-token")
        name, parts = described(JIRA, request)
        return getattr(self, name)(request, parts)

    def status(self, name):
        return {"name": name, "statusCategory": {"key": self.STATUSES[name]}}

    def issue(self, key):
        if key not in self.issues or not self.options["visible"]:
            raise Refused(404, "Issue does not exist or you do not have permission to see it.")
        return self.issues[key]

    def document(self, document):
        errors = list(jsonschema.Draft4Validator(ADF).iter_errors(document))
        if errors:
            deepest = max(errors, key=lambda error: len(error.absolute_path))
            wrong(f"no document of Atlassian's: {deepest.json_path}: {deepest.message[:400]}")
        return text_of(document)

    def getCurrentUser(self, request, parts):
        return 200, {"displayName": "Amend", "accountId": "5b10"}

    def getMyPermissions(self, request, parts):
        if request.query.get("projectKey") != "SEC" or not self.options["visible"]:
            raise Refused(404, "No project could be found with key")
        names = request.query["permissions"].split(",")
        granted = lambda name: self.options["granted"] or name != "TRANSITION_ISSUES"
        return 200, {"permissions": {name: {"key": name, "havePermission": granted(name)} for name in names}}

    def getCreateIssueMetaIssueTypes(self, request, parts):
        return 200, {"issueTypes": [{"id": "10001", "name": "Task"}, {"id": "10002", "name": "Bug"}], "total": 2}

    def getCreateIssueMetaIssueTypeId(self, request, parts):
        required = lambda name: self.FIELDS[name] or name in self.options["required"]
        return 200, {"fields": [{"fieldId": name, "key": name, "name": name, "required": required(name), "hasDefaultValue": False}
                                for name in self.FIELDS]}

    def findAssignableUsers(self, request, parts):
        people = {"ann@example.org": "acc-ann"}
        account = people.get(request.query.get("query"))
        return 200, [{"accountId": account}] if account else []

    def createIssue(self, request, parts):
        fields, errors = request.body["fields"], {}
        for name, value in fields.items():
            if name not in self.FIELDS:
                errors[name] = f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
        if not 0 < len(fields.get("summary", "")) <= 255:
            errors["summary"] = "Summary must be between 1 and 255 characters."
        if "\n" in fields.get("summary", ""):
            errors["summary"] = "The summary is invalid because it contains newline characters."
        if fields.get("project") != {"key": "SEC"}:
            errors["project"] = "valid project is required"
        if fields.get("issuetype") not in ({"name": "Task"}, {"name": "Bug"}):
            errors["issuetype"] = "Specify a valid issue type"
        for label in fields.get("labels", []):
            if " " in label:
                errors["labels"] = f"The label '{label}' contains spaces which is invalid."
        if "duedate" in fields and not re.fullmatch(r"\d{4}-\d\d-\d\d", fields["duedate"]):
            errors["duedate"] = "Error parsing date string"
        if errors:
            raise Refused(400, {"errorMessages": [], "errors": errors})
        body = self.document(fields["description"])
        key = f"SEC-{len(self.issues) + 1}"
        self.issues[key] = {"title": fields["summary"], "body": body, "status": "To Do", "comments": [], "fields": fields}
        return 201, {"id": str(10000 + len(self.issues)), "key": key, "self": "x"}

    def getIssue(self, request, parts):
        issue = self.issue(parts["issueIdOrKey"])
        return 200, {"key": parts["issueIdOrKey"], "fields": {"status": self.status(issue["status"])}}

    def searchAndReconsileIssuesUsingJqlPost(self, request, parts):
        found = re.fullmatch(r'project = "(\w+)" AND labels = "([\w-]+)" ORDER BY created ASC', request.body["jql"])
        if not found:
            wrong(f"JQL that this fake does not read: {request.body['jql']}")
        project, label = found.groups()
        if project != "SEC":
            raise Refused(400, {"errorMessages": ["The value does not exist for the field 'project'."]})
        hits = [(key, issue) for key, issue in self.issues.items()
                if label in issue["fields"].get("labels", []) and self.options["search_sees"]]
        return 200, {"isLast": True, "issues": [
            {"id": "1", "key": key, "fields": {"status": self.status(issue["status"])}} for key, issue in hits[:request.body["maxResults"]]]}

    def transitions(self, status):
        ways = {"To Do": ["In Progress", "Done"], "In Progress": ["To Do", "Done"], "Done": ["To Do", "In Progress"]}
        ids = {"To Do": "11", "In Progress": "21", "Done": "31"}
        ways = [to for to in ways[status] if to not in self.options.get("unreachable", [])]
        return [{"id": ids[to], "name": f"Move to {to}", "to": self.status(to)} for to in ways]

    def getTransitions(self, request, parts):
        return 200, {"transitions": self.transitions(self.issue(parts["issueIdOrKey"])["status"])}

    def doTransition(self, request, parts):
        issue = self.issue(parts["issueIdOrKey"])
        for way in self.transitions(issue["status"]):
            if way["id"] == request.body["transition"]["id"]:
                issue["status"] = way["to"]["name"]
                return 204, None
        raise Refused(400, {"errorMessages": ["It is not on the appropriate screen, or unknown."], "errors": {}})

    def addComment(self, request, parts):
        self.issue(parts["issueIdOrKey"])["comments"].append(self.document(request.body["body"]))
        return 201, {"id": "1"}

    def getComments(self, request, parts):
        comments = self.issue(parts["issueIdOrKey"])["comments"]
        return 200, {"comments": [{"body": {"type": "doc", "content": [{"type": "paragraph", "content": [
            {"type": "text", "text": text}]}]}} for text in reversed(comments)], "total": len(comments)}

    def tickets(self):
        return [{"key": key, "open": issue["status"] != "Done", "title": issue["title"], "body": issue["body"],
                 "comments": issue["comments"], "fields": issue["fields"]} for key, issue in self.issues.items()]

    def person(self, key, what):
        if what == "delete":
            del self.issues[key]
        else:
            self.issues[key]["status"] = "In Progress" if what == "reopen" else "Done"


class GitHub:
    """https://docs.github.com/rest/issues"""

    def __init__(self, site):
        self.site, self.issues, self.options = site, {}, {"writes": True, "visible": True}

    def answer(self, request):
        if request.headers.get("authorization") != "Bearer github-token":
            raise Refused(401, "Bad credentials")
        if not request.headers.get("user-agent"):
            raise Refused(403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
        name, parts = described(GITHUB, request)
        if (parts["owner"], parts["repo"]) != ("acme", "findings") or not self.options["visible"]:
            raise Refused(404, "Not Found")
        return getattr(self, name.split("/")[1].replace("-", "_"))(request, parts)

    def shown(self, issue):
        return {"number": issue["number"], "state": issue["state"], "title": issue["title"], "body": issue["body"],
                "html_url": f"https://github.com/acme/findings/issues/{issue['number']}"}

    def issue(self, parts):
        issue = self.issues.get(int(parts["issue_number"]))
        if issue is None:
            raise Refused(410, "This issue was deleted")
        return issue

    def get(self, request, parts):
        if "issue_number" in parts:
            return 200, self.shown(self.issue(parts))
        writes = self.options["writes"]
        return 200, {"has_issues": True, "archived": False, "permissions": {"pull": True, "triage": writes, "push": writes}}

    def list_for_repo(self, request, parts):
        query = request.query
        page, size = int(query.get("page", 1)), int(query.get("per_page", 30))
        hits = [issue for issue in self.issues.values()
                if issue and query.get("labels", "") in ["", *issue["labels"]]
                and query.get("state", "open") in ("all", issue["state"]) and issue["updated"] >= query.get("since", "")]
        return 200, [self.shown(issue) for issue in hits[(page - 1) * size:page * size]]

    def create(self, request, parts):
        body = request.body
        if len(body["title"]) > 256 or len(body.get("body") or "") > 65536:
            raise Refused(422, "Validation Failed")
        # As a server: now, whatever the clock of a test says.
        number = len(self.issues) + 1
        labels = [label if isinstance(label, str) else label["name"] for label in body.get("labels", [])]
        self.issues[number] = {"number": number, "state": "open", "title": body["title"], "body": body.get("body"),
                               "labels": labels, "updated": "2999-01-01T00:00:00Z", "comments": [], "fields": body}
        return 201, self.shown(self.issues[number])

    def update(self, request, parts):
        issue = self.issue(parts)
        issue.update({name: request.body[name] for name in ("state",) if name in request.body})
        return 200, self.shown(issue)

    def create_comment(self, request, parts):
        self.issue(parts)["comments"].append(request.body["body"])
        return 201, {"id": 1}

    def list_comments(self, request, parts):
        return 200, [{"body": text} for text in self.issue(parts)["comments"]]

    def tickets(self):
        return [{"key": str(number), "open": issue["state"] == "open", "title": issue["title"], "body": issue["body"],
                 "comments": issue["comments"], "fields": issue["fields"]} for number, issue in self.issues.items() if issue]

    def person(self, key, what):
        if what == "delete":
            self.issues[int(key)] = None
        else:
            self.issues[int(key)]["state"] = "open" if what == "reopen" else "closed"


class ServiceNow:
    """https://www.servicenow.com/docs/bundle/zurich-api-reference/page/integrate/inbound-rest/concept/c_TableAPI.html"""

    FIELDS = {"short_description": 160, "description": 4000, "correlation_id": 100, "correlation_display": 100, "due_date": 19,
              "state": 40, "close_code": 40, "close_notes": 4000, "work_notes": 4000, "assignment_group": 32, "urgency": 40}

    def __init__(self, site):
        self.site, self.rows, self.options = site, {}, {"hidden": [], "readable": True}

    def answer(self, request):
        request.basic("amend", "snow-password")
        for name in request.query:
            if name not in ("sysparm_query", "sysparm_fields", "sysparm_limit", "sysparm_exclude_reference_link"):
                wrong(f"ServiceNow: a parameter that this fake does not know: {name}")
        found = re.fullmatch(r"/api/now/table/(\w+)(?:/([0-9a-f]{32}))?", request.path)
        if not found:
            wrong(f"ServiceNow: {request.method} {request.path} is no path of the Table API")
        table, sys_id = found.groups()
        if table == "sys_user":
            raise Refused(403, {"error": {"message": "Insufficient rights to query records", "detail": "Security"}})
        if not self.options["readable"]:
            raise Refused(403, {"error": {"message": "User Not Authorized", "detail": "Failed API level ACL Validation"}})
        if request.method == "GET" and sys_id is None:
            return 200, {"result": [self.shown(row, request) for row in self.query(request)]}
        if request.method == "POST" and sys_id is None:
            number = f"INC{len(self.rows) + 1:07}"
            row = {"sys_id": f"{len(self.rows) + 1:032x}", "number": number, "state": "1", "journal": []}
            self.write(row, request.body)
            self.rows[row["sys_id"]] = row
            return 201, {"result": self.shown(row, request)}
        if request.method == "PATCH" and sys_id in self.rows:
            row = self.rows[sys_id]
            if row["state"] in "78":
                raise Refused(403, {"error": {"message": "Operation Failed", "detail": "ACL Exception Update Failed due to security constraints"}})
            changed = {**row, "journal": list(row["journal"])}
            self.write(changed, request.body)
            if changed["state"] == "6" and not (changed.get("close_code") and changed.get("close_notes")):
                raise Refused(403, {"error": {"message": "Operation Failed",
                                              "detail": "Data Policy Exception: The following fields are mandatory: Resolution code, Resolution notes"}})
            self.rows[sys_id] = changed
            return 200, {"result": self.shown(changed, request)}
        raise Refused(404, {"error": {"message": "No Record found", "detail": "Record doesn't exist or ACL restricts the record retrieval"}})

    def write(self, row, body):
        if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
            wrong(f"ServiceNow: a field that is no text: {body}")
        for name, value in body.items():
            # What it does not know, or the user may not write, is left out without a word; what is too long is cut.
            if name not in self.FIELDS or name in self.options["hidden"]:
                continue
            if name == "due_date" and not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", value):
                wrong(f"ServiceNow: no date and time: {value}")
            if name == "work_notes":
                row["journal"].append(value)
            else:
                row[name] = value[:self.FIELDS[name]]

    def query(self, request):
        rows = list(self.rows.values())
        for term in filter(None, request.query.get("sysparm_query", "").split("^")):
            if found := re.fullmatch(r"(\w+)=(.*)", term):
                rows = [row for row in rows if row.get(found[1], "") == found[2]]
            elif found := re.fullmatch(r"(\w+)NOT IN(.*)", term):
                rows = [row for row in rows if row.get(found[1], "") not in found[2].split(",")]
            elif not re.fullmatch(r"ORDERBY\w+", term):
                wrong(f"ServiceNow: a query that this fake does not read: {term}")
        return rows[:int(request.query.get("sysparm_limit", 10000))]

    def shown(self, row, request):
        names = request.query["sysparm_fields"].split(",")
        return {name: row.get(name, "") for name in names if name not in self.options["hidden"]}

    def tickets(self):
        return [{"key": row["number"], "open": row["state"] not in "678", "title": row.get("short_description"),
                 "body": row.get("description"), "comments": row["journal"], "fields": row} for row in self.rows.values()]

    def person(self, key, what):
        row = next(row for row in self.rows.values() if row["number"] == key)
        if what == "delete":
            del self.rows[row["sys_id"]]
        else:
            row["state"] = {"reopen": "2", "close": "6", "close-for-good": "7"}[what]


class Receiver:
    """A system that takes webhooks: it checks their signatures, and knows by their ids what it had."""

    def __init__(self, site):
        self.site, self.heard, self.options = site, {}, {"says": "json"}

    def answer(self, request):
        if request.method != "POST":
            wrong(f"webhook: {request.method}")
        # Signed by the standard's own package; the clocks of tests stand elsewhere, so the time is not compared.
        at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), timezone.utc)
        expected = Webhook(SECRET).sign(request.headers["webhook-id"], at, request.raw.decode())
        if request.headers["webhook-signature"] != expected:
            wrong("webhook: the signature does not fit")
        event = request.body
        if sorted(event) != ["data", "timestamp", "type"]:
            wrong(f"webhook: {sorted(event)}")
        self.heard.setdefault(request.headers["webhook-id"], event)
        if self.options["says"] == "text":
            return 200, "ok"
        return (204, None) if self.options["says"] == "nothing" else (200, {"key": "HOOK-" + event["data"]["id"][:6], "url": "https://hooks.example/1"})

    def tickets(self):
        tickets = {}
        for event in self.heard.values():
            data, kind = event["data"], event["type"]
            if kind == "ticket.opened":
                tickets[data["id"]] = {"key": data["id"], "title": data["title"], "body": data["body"], "comments": [], "fields": data}
            else:
                tickets[data["id"]]["comments"].append(data["comment"])
            tickets[data["id"]]["open"] = kind != "ticket.closed" if kind != "ticket.commented" else tickets[data["id"]]["open"]
        return list(tickets.values())

    def person(self, key, what):
        raise ValueError("nothing is read from it")


class Channel:
    """A channel that messages are posted to. What it says is what such an address says."""

    def __init__(self, site):
        self.site, self.messages, self.options = site, [], {}

    def answer(self, request):
        if request.method != "POST" or request.headers.get("content-type") != "application/json":
            wrong(f"channel: {request.method} {request.headers.get('content-type')}")
        self.check(request.body, len(request.raw))
        self.messages.append(request.body)
        return self.SAYS

    def tickets(self):
        return self.messages


class Slack(Channel):
    """https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks; blocks are held against Slack's own SDK."""

    SAYS = 200, "ok"

    def check(self, message, _):
        if sorted(message) != ["blocks", "text"] or not 0 < len(message["text"]) <= 3000:
            wrong(f"slack: {sorted(message)}")
        blocks = Block.parse_all(message["blocks"])
        if not 0 < len(blocks) <= 50:
            wrong(f"slack: {len(blocks)} blocks")
        for block, sent in zip(blocks, message["blocks"]):
            try:
                block.validate_json()
            except SlackObjectFormationError as error:
                wrong(f"slack: {error}: {sent}")
            if block.to_dict() != sent:
                wrong(f"slack: the SDK reads {block.to_dict()} of {sent}")


class Teams(Channel):
    """https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook, as workflows
    take them, too; cards are held against the schema of Adaptive Cards."""

    SAYS = 202, None

    def check(self, message, size):
        if size > 28 * 1024:
            wrong(f"teams: {size} bytes")
        if sorted(message) != ["attachments", "type"] or message["type"] != "message" or len(message["attachments"]) != 1:
            wrong(f"teams: {sorted(message)}")
        card = message["attachments"][0]
        if (sorted(card), card["contentType"]) != (["content", "contentType", "contentUrl"], "application/vnd.microsoft.card.adaptive"):
            wrong(f"teams: {sorted(card)}")
        content = dict(card["content"])
        # https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format#full-width-adaptive-card
        if content.pop("msteams", {"width": "Full"}) != {"width": "Full"}:
            wrong("teams: msteams")
        errors = list(jsonschema.Draft6Validator(CARD).iter_errors(content))
        if errors:
            worst = jsonschema.exceptions.best_match(errors)
            wrong(f"teams: {worst.json_path}: {worst.message[:300]}")


KINDS = {"slack": Slack, "teams": Teams, "jira": Jira, "github": GitHub, "servicenow": ServiceNow, "webhook": Receiver}


class Post:
    """A mail server that keeps what comes; it takes the password `mail-password`, and mails without one."""

    def __init__(self):
        self.mails, self.bounces = [], []

    def authenticate(self, server, session, envelope, mechanism, data):
        good = isinstance(data, LoginPassword) and data.password == b"mail-password"
        session.user = data.login.decode() if good else None
        return AuthResult(success=good, handled=False)

    async def handle_RCPT(self, server, session, envelope, address, options):
        with LOCK:
            for bounce in self.bounces:
                if bounce["to"] == address and bounce.setdefault("times", 1) > 0:
                    bounce["times"] -= 1
                    return bounce["says"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: mail.get_body((kind,)).get_content().replace("\r\n", "\n")
        with LOCK:
            self.mails.append({
                "to": envelope.rcpt_tos, "from": mail["from"], "subject": mail["subject"], "id": mail["message-id"],
                "auto": mail["auto-submitted"], "text": part("plain"), "html": part("html"),
                "user": getattr(session, "user", None)})
        return "250 OK"


POST = Post()


def tracker(site, kind):
    return SITES.setdefault((site, kind), {"it": KINDS[kind](site), "failures": [], "seen": []})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_all(self):
        length = int(self.headers.get("content-length") or 0)
        raw = self.rfile.read(length)
        url = urlsplit(self.path)
        _, site, kind, *rest = url.path.split("/", 3)
        path = "/" + (rest[0] if rest else "")
        body = json.loads(raw) if raw else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, dict(parse_qsl(url.query, keep_blank_values=True)), headers, body, raw)
        with LOCK:
            one = tracker(site, kind)
            one["seen"].append(f"{self.command} {path}")
            happens = None
            for failure in one["failures"]:
                fits = failure.get("method", self.command) == self.command and re.search(failure.get("path", ""), path)
                if fits and failure.get("skip", 0) > 0:
                    failure["skip"] -= 1
                elif fits and failure.setdefault("times", 1) > 0:
                    failure["times"] -= 1
                    happens = failure["with"]
                    break
            if happens and "hang" not in happens and not happens.get("applied"):
                pass
            elif not happens or happens.get("applied"):
                try:
                    status, answer = one["it"].answer(request)
                    headers = {}
                except Refused as refused:
                    status, headers = refused.status, refused.headers
                    answer = refused.message if isinstance(refused.message, dict) else {"message": refused.message}
        if happens and "hang" in happens:
            time.sleep(happens["hang"])
            self.close_connection = True
            return
        if happens and happens.get("drop"):
            self.close_connection = True
            return
        if happens and not happens.get("applied"):
            status, headers = happens["status"], happens.get("headers", {})
            answer = "<!doctype html><title>Sign in</title>" if happens.get("html") else {"message": "as the test wants it"}
            answer = happens.get("text", happens.get("body", answer))
        self.reply(status, headers, answer)

    def reply(self, status, headers, answer):
        raw = b"" if answer is None else answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        kind = "text/html" if isinstance(answer, str) and answer.startswith("<") else "text/plain" if isinstance(answer, str) else "application/json;charset=UTF-8"
        self.send_response(status)
        for name, value in {"content-type": kind, **headers, "content-length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_all


def command(line):
    do = line["do"]
    with LOCK:
        if do == "wrong":
            return WRONG
        if do == "mails":
            return [mail for mail in POST.mails if line["to"] in mail["to"]]
        if do == "bounce":
            return POST.bounces.append(line)
        one = tracker(line["site"], line["tracker"])
        if do == "tickets":
            return one["it"].tickets()
        if do == "person":
            return one["it"].person(line["key"], line["what"])
        if do == "set":
            return one["it"].options.update(line["to"])
        if do == "fail":
            return one["failures"].append(line)
        if do == "mend":
            return one["failures"].clear()
        if do == "seen":
            return one["seen"]
    raise ValueError(do)


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    loop = asyncio.new_event_loop()
    smtp = lambda: SMTP(POST, hostname="127.0.0.1", authenticator=POST.authenticate, auth_require_tls=False, loop=loop)
    post = loop.run_until_complete(loop.create_server(smtp, "127.0.0.1", 0))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    smtp = post.sockets[0].getsockname()[1]
    print(json.dumps({"port": server.server_address[1], "smtp": smtp, "secret": SECRET}), flush=True)
    for line in sys.stdin:
        try:
            answer = {"ok": command(json.loads(line))}
        except Exception as error:  # The test is told.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


main()
