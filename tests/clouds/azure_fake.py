#!/usr/bin/env python3
"""A small Azure Resource Manager on loopback that has state and asserts every request, for end-to-end tests.

    azure_fake.py serve [--page N]

prints {"port": N}; also gives out tokens at /msi/token, as App Service does; then it answers one JSON line for every JSON line on stdin, and ends with it:

    {"do": "list"}                                  the fixes and their cases
    {"do": "make", "fix": F, "case": C}             makes resources: {"resource": ID, ...}
    {"do": "state", "resource": ID, "raw"?: true}   it and all below it, as stored: {ID: body}; what changes by itself
                                                    (etag, provisioningState) only if raw. ID may be that of a group
    {"do": "sdk", "resource": ID, "api_version"?}   the same, read back by the official clients
    {"do": "graph", "table": T, "rows": [...]}      what Resource Graph knows: resources, resourcecontainers, securityresources
    {"do": "quota", "subscription": S, "left": N, "resets": SECONDS, "limit_hit"?: true}
                                                    how many queries about it Resource Graph answers until the quota resets
    {"do": "query", "query": Q, "subscriptions": L} the rows that the official client reads, over all pages
    {"do": "requests", "path": REGEX, "after": N}   {"requests": those that match, but for the first N of all, "seen": N}
    {"do": "unspent", "path": REGEX}                how many failures asked for with just this path have not happened;
                                                    they do not any more
    {"do": "wrong"}                                 every assertion that failed so far: empty after a good test
    {"do": "change", "resource": ID, "merge": M}    a person's change; null in M removes a member, M null the resource;
                                                    what is not there (a lock, an exemption, a rule) is created
    {"do": "fail", "match": {"method"?, "path"?: REGEX}, "with": W, "skip"?: 0}

W happens to the next `times` (default 1) requests that match, after the first `skip` of them:

    {"status": 429, "retry_after"?: SECONDS, "code"?, "message"?, "applied"?: false}
    {"hang": SECONDS, "applied"?: true}   answers late; if not applied, never
    {"drop": true, "applied": BOOLEAN}    breaks the connection off without an answer
    {"cut": true}                         breaks it off in the middle of the answer's body
    {"operation": {"ends"?: "Failed", "status"?: 202, "headers"?: ["Location"], "retry_after"?: [0, 0], "seconds"?: 2}}
        the long-running operation that the request starts: it is polled once for each number of `retry_after` before
        it ends, and ends after `seconds` in any case

The packages of ../../shared/models/extract/requirements.txt say what a request may be: the packages themselves, not
what is extracted from them. What else is known of a type is in azure_resources.py.
"""

import argparse
import copy
import json
import re
import socket
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable
from urllib.parse import parse_qsl, quote, unquote, urlencode

import azure_graph
from azure_models import (
    CREATES, LISTS, READS, UPDATES, Call, find, kind_of, members, only_for, problems, put_over, reader)
from azure_resources import FIXES, Group, filled, refusal, twin

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], Any]
PARTS = {"microsoft.network/networksecuritygroups": "securityRules", "microsoft.network/virtualnetworks": "subnets"}
SETTINGS, LOCKS = "microsoft.insights/diagnosticsettings", "microsoft.authorization/locks"


class Refused(Exception):
    """An answer that is an error. If it is `wrong`, no correct client gets it."""

    def __init__(self, status: int, code: str, message: str, wrong: bool = True, **headers: str) -> None:
        super().__init__(message)
        self.wrong = wrong
        self.answer: Answer = status, headers, {"error": {"code": code, "message": message}}


@dataclass
class Request:
    method: str
    target: str
    headers: Any
    content: bytes
    path: str = ""
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    wrong: list[str] = field(default_factory=list)


@dataclass
class Operation:
    """A long-running operation. Its change is made when a poll, or the time, ends it."""
    key: str
    change: Callable[[], None]
    ends: str
    waits: list[float]
    due: float
    urls: dict[str, str] = field(default_factory=dict)
    status: str = "InProgress"
    not_before: float = 0.0


def merged(old: Json, change: Json, replaced: str = "") -> Json:
    """Objects are merged, but not the one called `replaced`; all else is replaced, null removes."""
    result = dict(old)
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, dict) and name != replaced:
            result[name] = merged(old[name] if isinstance(old.get(name), dict) else {}, value)
        else:
            result[name] = value
    return result


def canonical(value: Any) -> Any:
    """Without what changes by itself."""
    if isinstance(value, dict):
        return {name: canonical(inner) for name, inner in value.items() if name not in ("etag", "provisioningState")}
    return [canonical(each) for each in value] if isinstance(value, list) else value


def scope_of(path: str) -> str:
    """What an extension such as a lock is on."""
    return path.rpartition("/providers/")[0]


def family_of(path: str) -> str:
    """The resource that a rule or a subnet is part of; of others, themselves."""
    return "/providers/".join([scope_of(path), "/".join(path.rpartition("/providers/")[2].split("/")[:3])])


class Arm:
    def __init__(self, page: int) -> None:
        self.page, self.port, self.changes = page, 0, 0
        self.lock, self.own_token = threading.RLock(), uuid.uuid4().hex
        self.resources: dict[str, Json] = {}  # by ID in lower case, as are the next two
        self.made: set[str] = set()
        self.operations: dict[str, Operation] = {}
        self.failures: list[Json] = []
        self.requests: list[Json] = []
        self.wrong: list[str] = []
        self.not_before: dict[str, float] = {}
        self.graph = azure_graph.Graph(page)

    # The state
    def below(self, key: str) -> list[str]:
        return sorted(each for each in self.resources if each == key or each.startswith(key + "/"))

    def stored(self, key: str) -> Json:
        """A resource with its parts; while an operation goes on it is "Updating"."""
        body = copy.deepcopy(self.resources[key])
        if part := PARTS.get(kind_of(key)):
            inside = f"{key}/{part}".lower()
            parts = [each for each in self.below(key) if each.rpartition("/")[0] == inside]
            body["properties"][part] = list(map(self.stored, parts))
        if "provisioningState" in body.get("properties", {}) and self.busy(key):
            body["properties"]["provisioningState"] = "Updating"
        return body

    def shown(self, key: str) -> Json:
        """What a GET answers: what is write-only is not in it."""
        call = reader(key)
        return only_for(READS, call.answer, self.stored(key)) if call else self.stored(key)

    def add(self, path: str, body: Json) -> str:
        """Stores a resource that a real one could be, as far as the packages know."""
        tail = path.rpartition("/providers/")[2].split("/")
        body = {"id": path, "name": tail[-1], "type": "/".join([tail[0], *tail[1::2]]), **body}
        if call := reader(path):
            if "etag" in members(call.answer):
                body.setdefault("etag", "")
                body["properties"].setdefault("provisioningState", "Succeeded")
            if found := list(problems(call.answer, only_for(READS, call.answer, body), READS)):
                raise ValueError(f"{path} cannot be: {'; '.join(found)}")
        self.keep(body)
        self.touch(path.lower())
        return path

    def keep(self, body: Json) -> None:
        for each in filter(None, (body, twin(body))):
            self.resources[each["id"].lower()] = each

    def touch(self, key: str) -> None:
        """A new entity tag; of a security group and its rules always the same."""
        self.changes += 1
        tag = f'W/"{uuid.uuid5(uuid.NAMESPACE_OID, str(self.changes))}"'
        for each in self.below(family_of(key)):
            if family_of(each) == family_of(key) and "etag" in self.resources[each]:
                compute = kind_of(each).startswith("microsoft.compute")
                self.resources[each]["etag"] = f'"{self.changes}"' if compute else tag

    def busy(self, key: str) -> bool:
        return any(each.status == "InProgress" and family_of(each.key) == family_of(key)
                   for each in self.operations.values())

    def settle(self) -> None:
        """Ends the operations whose time has come."""
        for operation in list(self.operations.values()):
            if operation.status == "InProgress" and time.monotonic() >= operation.due:
                self.end(operation)

    def end(self, operation: Operation) -> None:
        operation.status = operation.ends
        properties = self.resources.get(operation.key, {}).get("properties", {})
        if operation.ends == "Succeeded":
            operation.change()
        elif "provisioningState" in properties:
            properties["provisioningState"] = operation.ends

    # What a client asks
    def handle(self, request: Request) -> Answer | None:
        """The answer to a request; None if the connection is to break off."""
        own = request.headers.get("Authorization") == f"Bearer {self.own_token}"
        failure: Json = {}
        with self.lock:
            self.settle()
            try:
                perform = self.accept(request)
                failure = {} if own else self.failure(request)
                answer = self.with_failure(request, perform, failure)
            except Refused as refused:
                answer = refused.answer
                if refused.wrong and not request.wrong:
                    request.wrong.append(str(refused))
            except Exception as error:  # a mistake in this file is to fail a test, not to hang it
                request.wrong.append(f"the fake failed: {type(error).__name__}: {error}")
                answer = 500, {}, {"error": {"code": "InternalServerError", "message": request.wrong[-1]}}
            breaks = "drop" in failure or ("hang" in failure and not failure.get("applied", True))
            if not own:
                self.wrong += [f"{request.method} {request.target}: {each}" for each in request.wrong]
                self.requests.append({
                    "method": request.method, "path": request.path, "api-version": request.query.get("api-version"),
                    "query": request.query, "body": request.body, "If-Match": request.headers.get("If-Match"),
                    "status": None if breaks else answer[0], "failure": failure or None,
                    "verdict": request.wrong or "ok"})
        time.sleep(failure.get("hang", 0))
        if "cut" in failure:
            answer[1]["x-cut"] = "true"
        return None if breaks else answer

    def failure(self, request: Request, of_operation: bool = False) -> Json:
        """What is to happen to a request, or to the operation that it starts."""
        for each in self.failures:
            match, what = each["match"], each["with"]
            if (each["times"] and of_operation == ("operation" in what)
                    and match.get("method", request.method).upper() == request.method
                    and re.search(match.get("path", ""), request.path, re.IGNORECASE)):
                if not each["skip"]:
                    each["times"] -= 1
                    return what
                each["skip"] -= 1
        return {}

    def with_failure(self, request: Request, perform: Callable[[], Answer], failure: Json) -> Answer:
        answer: Answer = 0, {}, None
        if failure.get("applied", "status" not in failure and "drop" not in failure):
            answer = perform()
        if "status" not in failure:
            return answer
        code = {429: "TooManyRequests", 503: "ServiceUnavailable"}.get(failure["status"], "Failure")
        error = {"code": failure.get("code", code), "message": failure.get("message", "Please try again later.")}
        headers = {}
        if "retry_after" in failure:
            headers["Retry-After"] = str(failure["retry_after"])
            self.not_before[f"{request.method} {request.path.lower()}"] = time.monotonic() + failure["retry_after"]
        return failure["status"], headers, {"error": error}

    def accept(self, request: Request) -> Callable[[], Answer]:
        """Asserts what can be said of a request before anything is done; returns what does it."""
        path, _, query = request.target.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        request.path, request.query = unquote(path), dict(pairs)
        key = request.path.lower()
        if not re.fullmatch(r"Bearer \S+", request.headers.get("Authorization", "")):
            raise Refused(401, "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing.",
                          **{"WWW-Authenticate": 'Bearer authorization_uri="https://login.microsoftonline.com/common"'})
        if len(pairs) != len(request.query) or "//" in key or key.endswith("/"):
            raise Refused(400, "InvalidRequestUri", "A query parameter is there twice, or a part of the path is empty.")
        early = self.not_before.pop(f"{request.method} {key}", 0) - time.monotonic()
        if early > 0.05:
            request.wrong.append(f"comes {early:.2f} s before the time that Retry-After gave")
        if operation := self.operations.get(key):
            return lambda: self.poll(request, operation)
        if key == azure_graph.PATH:
            return self.query(request)
        call, is_list = self.call_of(request)
        self.check_scope(key, is_list)
        self.check_content(request, call)
        if request.wrong:
            raise Refused(400, "InvalidRequestContent", "; ".join(request.wrong))
        if is_list:
            return lambda: self.collection(request)
        if request.method == "GET":
            return lambda: self.get(key)
        return lambda: self.write(request, call)

    def query(self, request: Request) -> Callable[[], Answer]:
        """What asks Resource Graph."""
        if request.method != "POST" or request.query.get("api-version") not in azure_graph.VERSIONS:
            raise Refused(404, "InvalidResourceType", f"No {request.method} of such a path and version is known.")
        if request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            raise Refused(415, "UnsupportedMediaType", "The Content-Type is not application/json.")

        def answer() -> Answer:
            try:
                request.body = json.loads(request.content)
                headers, body = self.graph.answer(request.body)
            except (azure_graph.Wrong, ValueError) as error:
                raise Refused(400, "InvalidQuery", str(error)) from error
            return 200, headers, body
        return answer

    def call_of(self, request: Request) -> tuple[Call | None, bool]:
        """The operation of a package that a request is, and whether it asks for a collection."""
        kind, version = kind_of(request.path), request.query.get("api-version")
        if not version:
            raise Refused(400, "MissingApiVersionParameter",
                          "The api-version query parameter (?api-version=) is required for all requests.")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d(-\w+)?", version):
            raise Refused(400, "InvalidApiVersionParameter", f"The api-version '{version}' is invalid.")
        found, call = find(request.method, request.path), None
        if kind in LISTS and request.method == "GET" and request.path.lower().endswith(f"/providers/{kind}"):
            known, names = LISTS[kind], {"api-version", "$filter", "$skiptoken"}
        elif found:
            known = set().union(*(each.versions for each in found))
            call = next((each for each in found if version in each.versions), found[0])
            names = call.query | ({"$skiptoken"} if call.is_list else set())
        else:
            raise Refused(404, "InvalidResourceType", f"No {request.method} of such a path is known.")
        if version not in known:
            raise Refused(400, "NoRegisteredProviderFound", "No registered resource provider found for location "
                          f"'westeurope' and API version '{version}' for type '{kind.partition('/')[2]}'. The "
                          f"supported api-versions are '{', '.join(sorted(known))}'.")
        if unknown := set(request.query) - names:
            raise Refused(400, "InvalidQueryParameter", f"Unknown query parameters: {', '.join(sorted(unknown))}.")
        return call, call is None or call.is_list

    def check_scope(self, key: str, is_list: bool) -> None:
        """Whether this is below something that was made, or a list that has such things."""
        around = is_list and scope_of(key).count("/") in (2, 4) and any(each.startswith(scope_of(key) + "/")
                                                                       for each in self.made)
        around = around or is_list and any(each.startswith(key + "/") for each in self.made)  # of which one was made
        if not around and not any(key == each or key.startswith(each + "/") for each in self.made):
            raise Refused(404, "ResourceNotFound", f"The Resource '{key}' was not found: nothing here was made.")

    def check_content(self, request: Request, call: Call | None) -> None:
        conditional = request.headers.get("If-Match") or request.headers.get("If-None-Match")
        if conditional and not (call and (call.if_match or call.answer and "etag" in members(call.answer))):
            request.wrong.append("has a condition on an entity tag, which this type has not")
        if request.method in ("GET", "DELETE"):
            request.wrong += [f"a {request.method} has a body"] if request.content else []
            return
        if request.headers.get("Content-Type", "").partition(";")[0] != "application/json":
            raise Refused(415, "UnsupportedMediaType", "The Content-Type is not application/json.")
        try:
            request.body = json.loads(request.content)
        except ValueError as error:
            raise Refused(400, "InvalidRequestContent", f"The body is not JSON: {error}.") from error
        request.wrong += problems(call.body, request.body, UPDATES if request.method == "PATCH" else CREATES)

    def get(self, key: str) -> Answer:
        if key not in self.resources:
            raise Refused(404, "ResourceNotFound", f"The Resource '{key}' was not found.", wrong=False)
        return self.answer_with(200, self.shown(key))

    def answer_with(self, status: int, body: Json) -> Answer:
        return status, {"ETag": body["etag"]} if "etag" in body else {}, body

    def collection(self, request: Request) -> Answer:
        key, kind = request.path.lower(), kind_of(request.path)
        if kind in LISTS:
            values = self.applying(scope_of(key), kind, request.query.get("$filter", ""))
            if kind == "microsoft.security/standardassignments":  # whether others are listed, too, is not documented
                values = [each for each in values if scope_of(each["id"].lower()) == scope_of(key)]
        else:
            # .../providers/Microsoft.Web/sites/x/config lists what is below x, .../Microsoft.Web/sites what is around.
            within = scope_of(key) if key.endswith(f"/providers/{kind}") else key.rpartition("/")[0]
            values = [self.shown(each) for each in self.below(within) if kind_of(each) == kind
                      and (kind != SETTINGS or scope_of(each) == within)]
        start = int(request.query.get("$skiptoken", "0"))
        end = len(values) if kind == SETTINGS else start + self.page  # a resource has at most five of these
        body = {"value": values[start:end]}
        if end < len(values):
            query = urlencode(request.query | {"$skiptoken": end}, quote_via=quote)
            body["nextLink"] = f"http://127.0.0.1:{self.port}{quote(request.path)}?{query}"
        return 200, {}, body

    def applying(self, scope: str, kind: str, wanted: str = "") -> list[Json]:
        """The locks or exemptions of a scope, of those around it and, unless atScope() is wanted, below it."""
        if wanted not in ("", "atScope()", "excludeExpired()"):
            raise Refused(400, "InvalidFilterInQueryString", f"The filter '{wanted}' is not modelled here.")
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return [body for key, body in sorted(self.resources.items()) if kind_of(key) == kind
                and (f"{scope}/".startswith(f"{scope_of(key)}/")
                     or wanted != "atScope()" and key.startswith(f"{scope}/"))
                and (wanted != "excludeExpired()" or body["properties"].get("expiresOn", now + "~") > now)]

    # What a client changes
    def write(self, request: Request, call: Call) -> Answer:
        key, method = request.path.lower(), request.method
        old = self.resources.get(key)
        if method == "PATCH" and not old:
            return self.get(key)
        tag, no_tag = request.headers.get("If-Match"), request.headers.get("If-None-Match")
        if tag and not (old and tag in ("*", old["etag"])) or no_tag and old and no_tag in ("*", old["etag"]):
            raise Refused(412, "PreconditionFailed", f"The tag is {old and old['etag']}.", wrong=False)
        for lock in self.applying(key, LOCKS, "atScope()"):
            if lock["properties"]["level"] == "ReadOnly" or method == "DELETE":
                raise Refused(409, "ScopeLocked", f"The scope '{key}' cannot perform {method.lower()} operation "
                              f"because following scope(s) are locked: '{scope_of(lock['id'])}'. Please remove the "
                              "lock and try again.", wrong=False)
        if method == "DELETE" and not old:
            return 204, {}, None
        if call.long_running and self.busy(key):
            raise Refused(409, "AnotherOperationInProgress", "Another operation on this or a dependent resource is in "
                          "progress.", wrong=False)

        def result() -> Json:
            if method == "PATCH":
                return merged(self.resources[key], request.body, replaced="tags")
            *_, collection, name = request.path.split("/")
            parent = request.path.rpartition(f"/{collection}/")[0]
            path = f"{self.resources.get(parent.lower(), {'id': parent})['id']}/{collection}/{name}"
            tail = path.rpartition("/providers/")[2].split("/")
            fixed = {"id": path, "name": name, "type": "/".join([tail[0], *tail[1::2]])}
            fixed |= {"etag": ""} if "etag" in members(call.answer) else {}
            return fixed | filled(key, put_over(call.answer, old or {}, request.body)) | {
                each: (old or fixed)[each] for each in ("id", "name")}

        def change() -> None:
            if method == "DELETE":
                self.resources.pop(key, None)
            elif method == "PUT" or key in self.resources:  # a person may have deleted it in between
                self.keep(result())
                if "etag" in self.resources[key]:
                    self.resources[key]["properties"]["provisioningState"] = "Succeeded"
            self.touch(key)

        if method != "DELETE" and (refused := refusal(self.resources, key, result(), request.body)):
            raise Refused(*refused, wrong=False)
        if call.long_running:
            return self.start(request, change, None if method == "DELETE" else result())
        change()
        return (200, {}, None) if method == "DELETE" else self.answer_with(200, self.shown(key))

    def start(self, request: Request, change: Callable[[], None], new: Json | None) -> Answer:
        """Begins a long-running operation, in the way of its type unless the test wants another."""
        manner = self.failure(request, of_operation=True).get("operation", {})
        provider, key = kind_of(request.path).partition("/")[0], request.path.lower()
        operation = Operation(key, change, manner.get("ends", "Succeeded"), list(manner.get("retry_after", [0, 0])),
                              time.monotonic() + manner.get("seconds", 2))
        around = "/".join(request.path.split("/")[:3])
        signed = {"api-version": request.query["api-version"], "t": "638", "c": "MII/+=", "s": uuid.uuid4().hex}
        for header, word in (("Azure-AsyncOperation", "operations"), ("Location", "operationResults")):
            path = f"{around}/providers/{provider}/locations/westeurope/{word}/{uuid.uuid4()}"
            self.operations[path.lower()] = operation
            operation.urls[header] = f"http://127.0.0.1:{self.port}{path}?{urlencode(signed)}"
        headers = {each: operation.urls[each] for each in manner.get("headers", operation.urls)} | {"Retry-After": "0"}
        status = manner.get("status", 202 if new is None or provider == "microsoft.sql"
                            else 200 if key in self.resources else 201)
        if new is None or status == 202:
            return status, headers, None
        return status, headers, only_for(READS, reader(key).answer, new | {
            "properties": new["properties"] | {"provisioningState": "Updating"}})

    def poll(self, request: Request, operation: Operation) -> Answer:
        url = f"http://127.0.0.1:{self.port}{request.target}"
        if request.method != "GET" or url not in operation.urls.values():
            raise Refused(400, "BadRequest", "This is not GET of exactly the address that was given.")
        if operation.not_before - time.monotonic() > 0.05:
            request.wrong.append("polls before the time that Retry-After gave")
        headers = {}
        if operation.status == "InProgress" and operation.waits:
            wait = operation.waits.pop(0)
            operation.not_before = time.monotonic() + wait
            headers = {"Retry-After": str(wait)}
        elif operation.status == "InProgress":
            self.end(operation)
        error = {"error": {"code": "OperationFailed", "message": "The operation failed: the quota is used up."}}
        if url == operation.urls["Azure-AsyncOperation"]:
            body = {"name": request.path.rpartition("/")[2], "status": operation.status}
            return 200, headers, body | (error if operation.status not in ("InProgress", "Succeeded") else {})
        if operation.status != "Succeeded":
            return (202, headers | {"Location": url}, None) if operation.status == "InProgress" else (409, {}, error)
        return self.get(operation.key) if operation.key in self.resources else (204, {}, None)

    # What a test asks
    def do(self, command: Json) -> Any:
        what, key = command["do"], command.get("resource", "").lower()
        if what == "sdk":  # through the server, like any client: without the lock
            with self.lock:
                paths = [self.resources[each]["id"] for each in self.below(key) if reader(each)]
            return {path: canonical(reader(path).by_client(
                self.port, self.own_token, path, command.get("api_version") if path.lower() == key else None))
                for path in paths}
        if what == "query":
            return self.graph.by_client(self.port, self.own_token, command["query"], command["subscriptions"])
        with self.lock:
            self.settle()
            if what == "graph":
                return self.graph.fill(command["table"], command["rows"])
            if what == "quota":
                self.graph.quotas[command["subscription"].lower()] = command
                return {}
            if what == "list":
                return {name: cases for name, (_, cases) in FIXES.items()}
            if what == "make":
                return self.make(command["fix"], command["case"])
            if what == "state":
                bodies = {self.resources[each]["id"]: self.stored(each) for each in self.below(key)}
                return bodies if command.get("raw") else canonical(bodies)
            if what == "requests":
                path = re.compile(command["path"], re.IGNORECASE)
                new = self.requests[command["after"]:]
                return {"requests": [each for each in new if path.search(each["path"])], "seen": len(self.requests)}
            if what == "unspent":
                left = [each for each in self.failures if each["match"] == {"path": command["path"]} and each["times"]]
                self.failures = [each for each in self.failures if each not in left]
                return sum(each["times"] for each in left)
            if what == "wrong":
                return self.wrong
            if what == "change":
                return self.change(command["resource"], command["merge"])
            if what == "fail":
                times = command["with"].get("times", 1)
                self.failures.append({"match": command.get("match", {}), "with": command["with"], "times": times,
                                      "skip": command.get("skip", 0)})
                return {}
        raise ValueError(f"there is no command {what!r}")

    def make(self, fix: str, case: str) -> Json:
        if case not in FIXES[fix][1]:
            raise ValueError(f"{fix} can make {', '.join(FIXES[fix][1])}")

        def add(path: str, body: Json) -> str:
            self.made.add(path.lower())
            return self.add(path, body)

        group = Group(add)
        made = FIXES[fix][0](group, case)
        if case == "operation-fails":
            self.do({"do": "fail", "match": {"path": f"/{group.name}/"}, "with": {"operation": {"ends": "Failed"}}})
        return made | {"resourceGroup": group.name}

    def change(self, path: str, merge: Json | None) -> Json:
        key = path.lower()
        if merge is None:
            for each in self.below(key):
                del self.resources[each]
            self.touch(key)
        elif PARTS.get(kind_of(key)) in merge.get("properties", {}):
            raise ValueError(f"change the {PARTS[kind_of(key)]} one by one")
        else:
            old = self.resources.get(key, {"id": path, "properties": {}})
            self.made.add(key)
            self.add(old["id"], merged(old, merge))
        return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm, wbufsize = True, -1
    arm: Arm

    def answer(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.requestline.split()[1], self.headers, content)
        if request.target.startswith("/msi/token?"):
            return self.token(dict(parse_qsl(request.target.partition("?")[2])))
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True
            request.wrong.append("a body in chunks is not modelled here")
        answer = self.arm.handle(request)
        if answer is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, body = answer
        content = b"" if body is None else json.dumps(body).encode()
        cut = headers.pop("x-cut", None)
        self.send_response(status)
        headers = {"x-ms-request-id": str(uuid.uuid4()), "Content-Length": str(len(content))} | headers
        for name, value in headers.items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        if content:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        self.end_headers()
        self.wfile.write(content[:len(content) // 2] if cut else content)
        if cut:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def token(self, query: dict[str, str]) -> None:
        """A token for a managed identity, as App Service gives them out.

        learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
        """
        right = (self.headers.get("X-IDENTITY-HEADER") == "the-header-of-the-tests"
                 and query == {"api-version": "2019-08-01", "resource": "https://management.azure.com"})
        body = {"access_token": "a-token-of-the-identity", "expires_on": str(int(time.time()) + 3600),
                "resource": query.get("resource"), "token_type": "Bearer"} if right else {"statusCode": 400}
        content = json.dumps(body).encode()
        self.send_response(200 if right else 400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_DELETE = do_GET = do_PATCH = do_POST = do_PUT = answer

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed breaks its connection off: that is no mistake here."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["serve"])
    parser.add_argument("--page", type=int, default=3, help="how many of a collection are answered at once")
    arm = Handler.arm = Arm(parser.parse_args().page)
    server = Server(("127.0.0.1", 0), Handler)
    arm.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": arm.port}), flush=True)
    for line in sys.stdin:
        try:
            result = arm.do(json.loads(line))
        except Exception as error:  # whatever it is, the next line is to be answered too
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result, sort_keys=True), flush=True)


if __name__ == "__main__":
    main()
