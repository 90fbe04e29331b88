#!/usr/bin/env python3
"""Google Cloud's REST APIs, as far as fixes use them, on a port of its own: with a state, and every request checked.

    gcp_fake.py serve

Prints {"port": N}; what is at https://HOST/PATH is then at http://127.0.0.1:N/HOST/PATH. Answers one JSON line for
every JSON line on standard input, until that ends:

    {"do": "list"}                                   the fixes, and the cases of each
    {"do": "make", "fix": F, "case": C}              makes a resource (see gcp_resources.py) and tells its full name
    {"do": "state", "resource": R}                   what is stored, without etags and the like, lists sorted
    {"do": "sdk", "resource": R}                     the same as google-api-python-client reads it from here
    {"do": "change", "resource": R, "merge": {...}}  somebody else's change, a JSON merge patch; null deletes
    {"do": "hierarchy", "put": {NAME: BODY, ...}}    makes projects and folders (NAME is folders/1 or projects/p), and
                                                     what Cloud Asset Inventory knows (NAME is a full resource name)
    {"do": "finding", "put": {...}}                  what Security Command Center lists: a finding with its resource
    {"do": "marks", "name": N}                       the security marks of one, by its name
    {"do": "log", "put": {...}}                      an entry of Cloud Audit Logs, of admin activity
    {"do": "search", "scope": S, "query": Q}         what Google's own client finds in the inventory: {NAME: labels}
    {"do": "requests"}                               the requests since this was last asked
    {"do": "wrong"}                                  what was wrong with requests, from the start
    {"do": "settle"}                                 ends the operations nobody waited for, and lists them
    {"do": "fail", "match": {"method": M, "path": REGEX}, "with": {...}}  has matching requests fail, "times" times (1):
        {"status": 503, "retry_after": 1, "reason": ..., "message": ...}  refused and not applied
        {"hang": SECONDS} or {"drop": true}, and "applied": true or false   no answer
        {"operation_error": {"code": ..., "message": ..., "status": ...}}  accepted, but the operation then fails
      Without "match", no request fails any more.

In what `state`, `sdk` and `change` call a resource, `iamPolicy` is its IAM policy, where it has one. A write of Compute
Engine or Cloud SQL takes effect when its operation is asked for the second time.
"""

import copy
import functools
import hashlib
import ipaddress
import json
import re
import socket
import sys
import threading
import time
import traceback
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from googleapiclient.discovery_cache import get_static_doc

from gcp_resources import FIXES, NUMBER, PROJECT, Resource, State, fresh, stamp, unique
from gcp_told import Refused, Told

APIS = {"storage": "v1", "compute": "v1", "sqladmin": "v1", "cloudkms": "v1", "bigquery": "v2",
        "cloudasset": "v1", "cloudresourcemanager": "v3", "securitycenter": "v1", "logging": "v2"}
SDK_TOKEN, NO_TOKEN = "the-token-of-the-sdk", "there is no bearer token"
HEADERS = ("accept content-type if-match if-none-match user-agent x-goog-api-client x-goog-api-version "
           "x-goog-request-params x-goog-user-project x-http-method-override").split()
RENEWED: dict[str, Callable[[str], str]] = {  # what another version of a resource has another value of
    "etag": lambda _: fresh(), "fingerprint": lambda _: fresh(), "updated": lambda _: stamp()} | dict.fromkeys(
    ("lastModifiedTime", "metageneration", "settingsVersion"), lambda old: str(int(old) + 1))
Problems = Iterator[tuple[str, bool]]  # what is wrong, and whether Google refuses it


# The discovery documents, and what they say of a request
class Method:
    def __init__(self, document: State, spec: State) -> None:
        self.schemas, self.spec, self.id, self.http = document["schemas"], spec, spec["id"], spec["httpMethod"]
        self.base = f"/{urlsplit(document['rootUrl']).netloc}/{document['servicePath']}"
        self.path = self.base + spec["path"]
        self.parameters = document["parameters"] | spec.get("parameters", {})

    @functools.cached_property
    def regex(self) -> re.Pattern[str]:
        def label(found: re.Match[str]) -> str:
            pattern = self.parameters[found[2]].get("pattern", "[^/]+").strip("^$") if found[1] else "[^/]+"
            return f"(?P<{found[2]}>{pattern})"
        return re.compile(re.sub(r"\{(\+?)(\w+)\}", label, self.path.replace(".", r"\.")))


def methods_of(document: State, part: State) -> Iterator[Method]:
    for spec in part.get("methods", {}).values():
        yield Method(document, spec)
    for inner in part.get("resources", {}).values():
        yield from methods_of(document, inner)


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float),
         "any": object}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"
FORMATS = {"int64": r"-?\d{1,19}", "uint64": r"\d{1,20}", "byte": r"[\w+/-]*={0,2}", "date": r"\d{4}-\d\d-\d\d",
           "google-duration": r"-?\d+(\.\d{1,9})?s", "google-fieldmask": r"[\w.]+(,[\w.]+)*", "date-time": TIME,
           "google-datetime": TIME, "int32": r"-?\d{1,10}", "uint32": r"\d{1,10}"}
# Output only although the documents do not say so; and what may be sent although it is output only.
OUTPUT = re.compile(r"""Bucket\.(generation|metageneration|owner|projectNumber|selfLink|timeCreated|updated|location|
    locationType|.*lockedTime|.*effectiveTime)|DatabaseInstance\.(backendType|connectionName|currentDiskSize|gceZone|
    ipAddresses|project|region|selfLink|serverCaCert|state)""", re.VERBOSE)
MAY_BE_SENT = {"etag", "fingerprint", "kind"}


def mistakes(schemas: State, schema: State, value: Any, where: str, sent: bool = True, nulls: bool = False
             ) -> Problems:
    """Where a value is not as its schema says. `nulls`: whether they remove, as in a JSON merge patch."""
    schema = schemas.get(schema.get("$ref"), schema)
    kind, form = schema["type"], FORMATS.get(schema.get("format", ""), ".*")
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind in ("integer", "number")):
        yield f"{where}: {json.dumps(value)} is no {kind}", True
    elif kind == "array":
        for index, item in enumerate(value):
            yield from mistakes(schemas, schema["items"], item, f"{where}[{index}]", sent)
    elif kind == "object":
        for name, member in value.items():
            inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            here = f"{where}.{name}"
            if inner is None:
                yield f"{here}: there is no such member", True
            elif sent and name not in MAY_BE_SENT and (inner.get("readOnly") or OUTPUT.fullmatch(here) or re.match(
                    r"\[?output[ -]only", inner.get("description", ""), re.IGNORECASE)):
                yield f"{here}: is output only", False
            elif member is not None or not nulls:
                yield from mistakes(schemas, inner, member, here, sent, nulls)
    elif kind in ("string", "integer") and not re.fullmatch(form, str(value), re.DOTALL):
        yield f"{where}: {value!r} is no {schema['format']}", True
    elif value not in schema.get("enum", [value]) or (
            "pattern" in schema and not re.fullmatch(schema["pattern"], str(value))):
        yield f"{where}: {value!r} is not {schema.get('enum') or schema['pattern']}", True


# Query parameters that the fake heeds, or that change nothing.
MODELLED = set("""alt prettyPrint quotaUser projection ifMetagenerationMatch ifMetagenerationNotMatch requestId
    updateMask accessPolicyVersion options.requestedPolicyVersion optionsRequestedPolicyVersion
    scope query readMask filter pageSize pageToken""".split())


class Request:
    """What was asked, checked against the discovery document of its API."""

    def __init__(self, fake: "Fake", http: str, target: str, headers: Any, raw: bytes) -> None:
        self.fake, self.http, self.headers, self.body = fake, http, headers, None
        self.path, _, query = target.partition("?")
        self.host = self.path[1:].split(".")[0]
        self.sdk = headers.get("Authorization") == f"Bearer {SDK_TOKEN}"
        self.wrong: list[str] = []
        self.refused: list[str] = []
        self.query: State = {}
        self.failure: State = {}
        path = re.sub(r"(/setMetadata|/setPrivateIpGoogleAccess|/iam|:[gs]etIamPolicy)$", "", unquote(self.path))
        self.key = path.replace(f"/projects/{NUMBER}/", f"/projects/{PROJECT}/")
        # Others match, too, where a part may be anything: the method with the most text is meant.
        found = [one for one in fake.methods if one.http == http and one.regex.fullmatch(self.path)]
        self.method = max(found, key=lambda one: len(re.sub(r"\{.*?\}", "", one.path)), default=None)
        for problem, refused in self.check(query, raw) if self.method else [("no API has such a method", True)]:
            self.blame(problem, refused)
        if not re.fullmatch(r"Bearer [\w.~+/-]+=*", headers.get("Authorization", "")):
            self.blame(NO_TOKEN)

    def blame(self, text: str, refuse: bool = False) -> None:
        if text not in self.wrong:
            self.wrong.append(text)
            self.refused += [text] if refuse else []

    def check(self, query: str, raw: bytes) -> Problems:
        known, schema = self.method.parameters, self.method.spec.get("request")
        for name, text in parse_qsl(query, keep_blank_values=True):
            if known.get(name, {}).get("location") != "query" or name in self.query:
                yield f"query parameter {name}: there is none, or it is there twice", True
            elif name not in MODELLED or text in ("media", "proto"):
                yield f"query parameter {name}={text}: is not modelled", True
            else:
                plain = known[name]["type"] != "string" and re.fullmatch(r"-?\d+|true|false", text)
                self.query[name] = json.loads(text) if plain else text
                yield from mistakes({}, known[name], self.query[name], f"query parameter {name}")
        for name, text in self.method.regex.fullmatch(self.path).groupdict().items():
            yield from mistakes({}, known[name], unquote(text), f"path parameter {name}")
        for name, spec in known.items():
            if spec.get("required") and spec["location"] == "query" and name not in self.query:
                yield f"query parameter {name}: is missing", True
        if bool(raw) != bool(schema):
            yield "a body is there that the method has not" if raw else "the body is missing", True
        elif schema:
            try:
                self.body = json.loads(raw)
                yield from mistakes(self.method.schemas, schema, self.body, schema["$ref"], nulls=self.http == "PATCH")
            except ValueError as error:
                yield f"the body is no JSON: {error}", True
            if self.headers.get_content_type() != "application/json":
                yield f"Content-Type: is {self.headers.get('Content-Type')}", True
        version = self.method.spec.get("apiVersion")
        if self.headers.get("X-Goog-Api-Version", version) != version:
            yield f"X-Goog-Api-Version: is not {version}", True
        if "If-Match" in self.headers and (self.host not in ("bigquery", "storage") or self.http == "GET"):
            yield "If-Match: has no effect there", False
        for name in "If-None-Match", "X-HTTP-Method-Override", "Transfer-Encoding":
            if name in self.headers:
                yield f"{name}: is not modelled", True


def merged(old: Any, new: Any) -> Any:
    """RFC 7396."""
    if not isinstance(new, dict):
        return copy.deepcopy(new)
    result = copy.deepcopy(old) if isinstance(old, dict) else {}
    for name, value in new.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def conditional(entries: list[State]) -> bool:
    return any("condition" in entry for entry in entries)


def stripped(entries: list[State]) -> list[State]:
    """What is shown to those who do not ask for version 3: no conditions, but roles that are none."""
    return [entry if "condition" not in entry else
            {name: value for name, value in entry.items() if name != "condition"} | {
                "role": f"{entry['role']}_withcond_{hashlib.sha1(str(entry['condition']).encode()).hexdigest()[:20]}"}
            for entry in entries]


def check_ranges(ranges: list[str]) -> None:
    for text in ranges:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise Refused(400, f"Invalid IP CIDR range '{text}': {error}") from None


GRANTEES = {"userByEmail", "groupByEmail", "domain", "specialGroup", "iamMember"}
OBJECTS = {"view", "routine", "dataset"}
LEGACY = {f"roles/bigquery.data{name}": role for name, role in
          {"Owner": "OWNER", "Editor": "WRITER", "Viewer": "READER"}.items()}
KEY_MASK = {"labels", "rotationPeriod", "nextRotationTime", "versionTemplate", "keyAccessJustificationsPolicy"}


class Call(Request, Told):
    """A request, and what the APIs do about it: one function for each method."""

    def answer(self) -> State:
        if NO_TOKEN in self.wrong:
            raise Refused(401, "Request had invalid authentication credentials.")
        if self.refused:
            raise Refused(400 if self.method else 404, self.refused[0])
        name = self.method.id.split(".")
        answer = getattr(self, f"{name[0]}_{name[-2]}_{name[-1]}", None)
        if not answer:
            self.blame(f"{self.method.id} is not modelled")
            raise Refused(501, "Not modelled.")
        return answer()

    @functools.cached_property
    def resource(self) -> Resource:
        found = self.fake.paths.get(self.key)
        if not found:
            self.blame("no such resource was made")
        if not found or found.gone:
            raise Refused(404, f"The resource '{self.key}' was not found")
        return found

    def read(self) -> State:
        return self.resource.body

    compute_instances_get = compute_firewalls_get = compute_subnetworks_get = sql_instances_get = read
    cloudkms_cryptoKeys_get = read

    def only_if(self) -> None:
        """The conditions of Cloud Storage and BigQuery."""
        etag, number = self.resource.body["etag"], self.resource.body.get("metageneration", "")
        if (self.headers.get("If-Match", etag).strip('"') != etag or number != self.query.get(
                "ifMetagenerationMatch", number) or number == self.query.get("ifMetagenerationNotMatch")):
            raise Refused(412, "At least one of the pre-conditions you specified did not hold.")

    # Cloud Storage. ACLs are kept, but not shown, while access is uniform.
    def bucket(self, projection: str) -> State:
        body, hidden = self.resource.body, set()
        if body["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"]:
            hidden = {"acl", "defaultObjectAcl"}
        if self.query.get("projection", projection) == "noAcl":
            hidden = {"acl", "defaultObjectAcl", "owner"}
        return {name: value for name, value in body.items() if name not in hidden}

    def storage_buckets_get(self) -> State:
        self.only_if()
        return self.bucket("noAcl")

    def storage_buckets_patch(self) -> State:
        self.only_if()
        body, sent = merged(self.resource.body, self.body), self.body.get("iamConfiguration") or {}
        uniform = self.resource.body["iamConfiguration"]["uniformBucketLevelAccess"]
        wanted = [sent[name]["enabled"] for name in ("bucketPolicyOnly", "uniformBucketLevelAccess")
                  if "enabled" in (sent.get(name) or {})]
        if len(set(wanted)) > 1:
            raise Refused(400, "uniformBucketLevelAccess and bucketPolicyOnly must be the same.")
        if uniform["enabled"] and {"acl", "defaultObjectAcl"} & self.body.keys():
            raise Refused(400, "Cannot use ACLs when uniform bucket-level access is enabled.")
        if wanted and wanted[0] != uniform["enabled"]:
            if uniform["enabled"] and uniform["lockedTime"] < stamp():
                raise Refused(400, "Uniform bucket-level access cannot be disabled after its locked time.")
            uniform = {"enabled": True, "lockedTime": stamp(90)} if wanted[0] else {"enabled": False}
        prevention = (body.get("iamConfiguration") or {}).get("publicAccessPrevention", "inherited")
        if prevention not in ("inherited", "enforced"):
            raise Refused(400, f"Invalid argument: {prevention}")
        body["iamConfiguration"] = {"publicAccessPrevention": prevention, "uniformBucketLevelAccess": uniform,
                                    "bucketPolicyOnly": dict(uniform)}
        self.resource.body = renewed(body)
        return self.bucket("full")

    # IAM policies
    def get_policy(self) -> State:
        policy = self.resource.policy
        version = self.query.get("options.requestedPolicyVersion", self.query.get("optionsRequestedPolicyVersion", 1))
        if version == 3 or not conditional(policy.get("bindings", [])):
            return policy
        return policy | {"version": 1, "bindings": stripped(policy["bindings"])}

    storage_buckets_getIamPolicy = cloudkms_cryptoKeys_getIamPolicy = get_policy

    def cloudkms_cryptoKeys_setIamPolicy(self) -> State:
        policy, before = self.body.get("policy") or {}, self.resource.policy
        mask = self.body.get("updateMask", "bindings,etag").split(",")
        if "etag" not in policy:
            self.blame("a policy without etag undoes what others do meanwhile")
        elif policy["etag"] != before["etag"]:
            raise Refused(409, "There were concurrent policy changes. Please retry the whole read-modify-write with "
                               "exponential backoff.")
        together: State = {}
        for one in policy.get("bindings", []):
            if "_withcond_" in one.get("role", "_withcond_"):
                raise Refused(400, f"Invalid binding: {one}")
            same = together.setdefault(one["role"] + str(one.get("condition")), one | {"members": []})
            same["members"] += [member for member in one.get("members", []) if member not in same["members"]]
        bindings = [one for one in together.values() if one["members"]]
        if policy.get("version") != 3 and conditional([*bindings, *before.get("bindings", [])]):
            raise Refused(400, "A policy with conditions must have version 3.")
        if "auditConfigs" not in mask and policy.get("auditConfigs") not in (None, before.get("auditConfigs")):
            self.blame("Policy.auditConfigs: is other than before, but not in updateMask")
        after = before | {"version": 3 if conditional(bindings) else 1, "etag": fresh()}
        after |= {"bindings": bindings} if "bindings" in mask else {}
        after |= {"auditConfigs": policy.get("auditConfigs", [])} if "auditConfigs" in mask else {}
        self.resource.policy = {name: value for name, value in after.items() if value != []}
        return self.resource.policy

    # Cloud KMS
    def cloudkms_cryptoKeys_patch(self) -> State:
        body, mask = dict(self.resource.body), self.query.get("updateMask", "").split(",")
        mask = [re.sub(r"_(\w)", lambda found: found[1].upper(), name) for name in mask]
        if not set(mask) <= KEY_MASK:
            self.blame(f"updateMask: {mask} names what cannot be changed")
            raise Refused(400, "update_mask is missing, or names an unknown or immutable field.")
        for name in self.body.keys() - mask - MAY_BE_SENT:
            self.blame(f"CryptoKey.{name}: is sent, but not in updateMask")
        body |= {name: self.body.get(name) for name in mask}
        body = {name: value for name, value in body.items() if value is not None}
        period, following = body.get("rotationPeriod"), body.get("nextRotationTime")
        if body["purpose"] != "ENCRYPT_DECRYPT" and (period or following):
            raise Refused(400, f"Keys with purpose {body['purpose']} do not support automatic rotation.")
        if period and not (following and 24 <= float(period[:-1]) / 3600 <= 876_000):
            raise Refused(400, "rotation_period must be 24 to 876,000 hours, and next_rotation_time set with it.")
        if following and "nextRotationTime" in mask and datetime.fromisoformat(following).timestamp() <= time.time():
            raise Refused(400, "next_rotation_time must be in the future.")
        self.resource.body = body
        return body

    # BigQuery
    def bigquery_datasets_get(self) -> State:
        body = self.resource.body
        return body if self.query.get("accessPolicyVersion") == 3 else body | {"access": stripped(body["access"])}

    def bigquery_datasets_patch(self) -> State:
        self.only_if()
        before, body = self.resource.body, {"access": []} | merged(self.resource.body, self.body)
        if any(body.get(name) != before[name] for name in ("datasetReference", "location")):
            raise Refused(400, "datasetReference and location cannot be changed.")
        for entry in body["access"]:
            to = (GRANTEES | OBJECTS) & entry.keys()
            if len(to) != 1 or ("role" in entry) == bool(to & OBJECTS) or "_withcond_" in entry.get("role", ""):
                raise Refused(400, f"Invalid access entry: {entry}")
            entry |= {"role": LEGACY.get(entry["role"], entry["role"])} if "role" in entry else {}
        if "access" in self.body and self.query.get("accessPolicyVersion") != 3 and conditional(
                body["access"] + before["access"]):
            raise Refused(400, "Conditional access entries need accessPolicyVersion 3.")
        self.resource.body = renewed(body)
        return self.bigquery_datasets_get()

    # Operations of Compute Engine and Cloud SQL
    def operation(self) -> State:
        found = self.fake.operations.get(self.key)
        if not found:
            self.blame("there is no such operation")
            raise Refused(404, f"The resource '{self.key}' was not found")
        return found.poll()

    compute_zoneOperations_get = compute_regionOperations_get = compute_globalOperations_get = operation
    sql_operations_get = operation

    def start(self, change: Callable[[State], State]) -> State:
        """`change` makes what will be stored from what is; it does so when the operation ends."""
        for other in self.fake.operations.values():
            if other.resource is not self.resource:
                continue
            if "requestId" in self.query and other.body.get("clientOperationId") == self.query["requestId"]:
                return other.body
            if other.body["status"] != "DONE" and self.host == "compute":
                raise Refused(400, f"The resource '{self.key}' is not ready", "resourceNotReady")
            if other.body["status"] != "DONE":
                raise Refused(409, "Operation failed because another operation was already in progress.",
                              "operationInProgress")
        change(self.resource.body)
        operation = Operation(self, change)
        self.fake.operations[operation.path] = operation
        return operation.body

    # Compute Engine
    def compute_instances_setMetadata(self) -> State:
        items = self.body.get("items") or []
        if not self.body.get("fingerprint"):
            self.blame("Metadata.fingerprint: is missing")

        def change(body: State) -> State:
            if self.body.get("fingerprint") != body["metadata"]["fingerprint"]:
                raise Refused(412, "Supplied fingerprint does not match current metadata fingerprint.")
            if len({item.get("key") for item in items} - {None}) != len(items):
                raise Refused(400, "Invalid value for field 'metadata.items': keys are missing or there twice.")
            metadata = {name: value for name, value in body["metadata"].items() if name != "items"}
            return body | {"metadata": metadata | ({"items": items} if items else {})}
        return self.start(change)

    def compute_firewalls_patch(self) -> State:
        def change(body: State) -> State:
            after = merged(body, self.body)
            for name in "name", "direction", "network":
                if str(after.get(name)).rsplit("/", 1)[-1] != body[name].rsplit("/", 1)[-1]:
                    raise Refused(400, f"Invalid value for field 'resource.{name}': it cannot be changed.")
            if bool(after.get("allowed")) == bool(after.get("denied")):
                raise Refused(400, "Firewall must have either allowed or denied rules.")
            check_ranges(after.get("sourceRanges", []) + after.get("destinationRanges", []))
            if body["direction"] == "INGRESS" and not any(
                    after.get(name) for name in ("sourceRanges", "sourceTags", "sourceServiceAccounts")):
                self.blame("Firewall.sourceRanges: without any source, the rule is open to everybody")
                after["sourceRanges"] = ["0.0.0.0/0"]
            return {name: value for name, value in after.items() if value != []} | {"network": body["network"]}
        return self.start(change)

    def compute_subnetworks_setPrivateIpGoogleAccess(self) -> State:
        wanted, purpose = self.body.get("privateIpGoogleAccess"), self.resource.body["purpose"]
        if wanted is None:
            self.blame("privateIpGoogleAccess: is missing, and that means false")
        if purpose != "PRIVATE":
            raise Refused(400, f"Invalid value for field 'resource.privateIpGoogleAccess': '{json.dumps(wanted)}'. "
                               f"Invalid field set in subnetwork with purpose {purpose}.")
        return self.start(lambda body: body | {"privateIpGoogleAccess": bool(wanted)})

    # Cloud SQL
    def sql_instances_patch(self) -> State:
        sent = copy.deepcopy(self.body)
        version, current = (sent.get("settings") or {}).pop("settingsVersion", None), self.resource.body["settings"]
        if version not in (None, current["settingsVersion"]):
            raise Refused(412, "Condition does not match.", "staleData")

        def change(body: State) -> State:
            after = merged(body, sent | {"etag": body["etag"]})
            if any(after.get(name) != body.get(name) for name in ("name", "instanceType", "masterInstanceName")):
                raise Refused(400, "Invalid request: the name and kind of an instance cannot be changed.")
            networks = after["settings"].get("ipConfiguration", {}).get("authorizedNetworks", [])
            check_ranges([network.setdefault("value", "") for network in networks])
            for network in networks:
                network["kind"] = "sql#aclEntry"
            backups = after["settings"].get("backupConfiguration", {})
            if backups.get("enabled") and body["instanceType"] == "READ_REPLICA_INSTANCE":
                raise Refused(400, "Invalid request: backups cannot be enabled for a read replica.")
            if backups.get("pointInTimeRecoveryEnabled") and not backups.get("enabled"):
                raise Refused(400, "Invalid request: point-in-time recovery needs backups to be enabled.")
            return after
        return self.start(change)


def renewed(body: State) -> State:
    """The next version: with new etags, fingerprints, numbers, and times."""
    body = {name: RENEWED[name](value) if name in RENEWED else value for name, value in body.items()}
    return body | {name: renewed(body[name]) for name in ("metadata", "settings") if name in body}


class Operation:
    def __init__(self, call: Call, change: Callable[[State], State]) -> None:
        self.resource, self.change, self.sql = call.resource, change, call.host == "sqladmin"
        self.error, self.polls = call.failure.get("operation_error"), 0
        scope, name, link = call.resource.path.rsplit("/", 2)[0], unique("operation-"), call.resource.body["selfLink"]
        self.path, outer = f"{scope}/operations/{name}", link.rsplit("/", 2)[0]
        self.body = {"kind": "sql#operation" if self.sql else "compute#operation", "name": name, "status": "PENDING",
                     "user": "amend@example.com", "insertTime": stamp(), "selfLink": f"{outer}/operations/{name}",
                     "targetLink": link}
        if self.sql:
            self.body |= {"operationType": "UPDATE", "targetProject": PROJECT, "targetId": call.resource.body["name"]}
        else:
            self.body |= {"id": str(time.time_ns()), "operationType": call.method.id.rsplit(".", 1)[1], "progress": 0,
                          "targetId": call.resource.body["id"]}
            self.body |= {kind: outer for kind in ("zone", "region") if f"/{kind}s/" in outer}
            self.body |= {"clientOperationId": call.query["requestId"]} if "requestId" in call.query else {}

    def poll(self) -> State:
        self.polls += 1
        if self.polls == 1:
            self.body |= {"status": "RUNNING", "startTime": stamp()}
        elif self.polls == 2:
            self.finish()
        return self.body

    def finish(self) -> None:
        self.polls = 2
        if self.error is None:
            try:
                self.resource.body = renewed(self.change(self.resource.body))
            except Refused as refused:  # as somebody else was faster
                code = re.sub("(?=[A-Z])", "_", refused.reason).upper()
                self.error = {"code": code, "message": str(refused), "status": refused.code}
        self.body |= {"status": "DONE", "endTime": stamp()} | ({} if self.sql else {"progress": 100})
        if self.error is not None:
            one = {"code": self.error.get("code", "INTERNAL_ERROR"), "message": self.error.get("message", "It failed.")}
            if self.sql:
                self.body["error"] = {"kind": "sql#operationErrors", "errors": [one | {"kind": "sql#operationError"}]}
            else:
                self.body |= {"error": {"errors": [one]}, "httpErrorStatusCode": self.error.get("status", 500),
                              "httpErrorMessage": "FAILED"}


def canonical(value: Any) -> Any:
    """Without what changes with every write, lists sorted: of none that a fix changes the order counts."""
    if isinstance(value, dict):
        return {name: canonical(member) for name, member in value.items()
                if name not in RENEWED and name not in ("generation", "labelFingerprint")}
    if isinstance(value, list):
        return sorted(map(canonical, value), key=functools.partial(json.dumps, sort_keys=True))
    return value


# The server, and what it is told on standard input
class Fake:
    def __init__(self) -> None:
        documents = [json.loads(get_static_doc(name, version)) for name, version in APIS.items()]
        self.methods = [method for document in documents for method in methods_of(document, document)]
        self.lock, self.port = threading.RLock(), 0
        self.paths: dict[str, Resource] = {}
        self.resources: dict[str, Resource] = {}
        self.hierarchy: dict[str, State] = {}
        self.findings: list[State] = []
        self.entries: list[State] = []
        self.operations: dict[str, Operation] = {}
        self.failures: list[State] = []
        self.requests: list[State] = []
        self.wrong: list[str] = []
        self.not_before: dict[tuple[str, str], float] = {}

    def fail(self, call: Call) -> State:
        """How the request is to fail, if it is."""
        for one in [] if call.sdk else self.failures:
            http, path = (one["match"].get(name) for name in ("method", "path"))
            if one["times"] > 0 and http in (None, call.http) and re.search(path or "", call.path) and (
                    call.http != "GET" or "operation_error" not in one["with"]):
                one["times"] -= 1
                return one["with"]
        return {}

    def reply(self, http: str, target: str, headers: Any, raw: bytes) -> tuple[int, State, State] | None:
        """Status, headers, and body of an answer; None: no answer."""
        with self.lock:
            call = Call(self, http, target, headers, raw)
            if time.monotonic() < self.not_before.get((http, call.path), 0) and not call.sdk:
                call.blame("comes before the time told by Retry-After")
            call.failure = failure = self.fail(call)
            silent, more, status, answer = "hang" in failure or "drop" in failure, {}, 0, {}
            if "status" in failure:
                refused = Refused(failure["status"], failure.get("message", "Not now."), failure.get("reason"))
                status, answer = refused.code, refused.body(call.host)
                if "retry_after" in failure:
                    more["Retry-After"] = str(failure["retry_after"])
                    self.not_before[http, call.path] = time.monotonic() + failure["retry_after"] - 0.01
            elif not silent or failure.get("applied"):
                status, answer = self.process(call)
            self.wrong += [f"{http} {target}: {text}" for text in call.wrong]
            if not call.sdk:
                self.requests.append({
                    "method": http, "url": target, "query": call.query, "id": call.method and call.method.id,
                    "body": raw.decode(errors="replace") if call.body is None and raw else call.body,
                    "headers": {name: headers[name] for name in HEADERS if name in headers},
                    "verdict": "; ".join(call.wrong) or "ok", "status": None if silent else status})
            answer = copy.deepcopy(answer)
        if silent:
            time.sleep(failure.get("hang", 0))
            return None
        return status, more, answer

    def process(self, call: Call) -> tuple[int, State]:
        try:
            answer, response = call.answer(), call.method.spec["response"]
            for problem, _ in mistakes(call.method.schemas, response, answer, response["$ref"], sent=False):
                call.blame(f"the fake answers wrongly: {problem}")
            return 200, answer
        except Refused as refused:
            return refused.code, refused.body(call.host)
        except Exception:
            call.blame(f"the fake failed: {traceback.format_exc()}")
            return 500, Refused(500, "The fake failed.").body(call.host)

    @functools.cached_property
    def clients(self) -> State:
        """Google's own, one for each API."""
        bases = {method.base[1:].split(".")[0]: method.base for method in self.methods}
        return {name: build(name, version, credentials=Credentials(SDK_TOKEN), static_discovery=True,
                            client_options={"api_endpoint": f"http://127.0.0.1:{self.port}{bases[name]}"})
                for name, version in APIS.items()}

    def do_sdk(self, resource: str, **_: Any) -> State:
        path = self.resources[resource].path
        method = next(one for one in self.methods if one.id.endswith(".get") and one.regex.fullmatch(path))
        api, arguments = path[1:].split(".")[0], method.regex.fullmatch(path).groupdict()
        client = self.clients[api]
        for part in method.id.split(".")[1:-1]:
            client = getattr(client, part)()
        more = {"storage": {"projection": "full"}, "bigquery": {"accessPolicyVersion": 3}}.get(api, {})
        state = client.get(**arguments, **more).execute()
        if api == "storage":
            state["iamPolicy"] = client.getIamPolicy(**arguments, optionsRequestedPolicyVersion=3).execute()
        if api == "cloudkms":
            policy = client.getIamPolicy(resource=arguments["name"], options_requestedPolicyVersion=3)
            state["iamPolicy"] = policy.execute()
        return canonical(state)

    def do_list(self, **_: Any) -> State:
        return {name: cases for name, (_, cases) in FIXES.items()}

    def do_make(self, fix: str, case: str, **_: Any) -> State:
        make, cases = FIXES[fix]
        if case not in cases:
            raise ValueError(f"{fix} can make {', '.join(cases)}")
        resource = make(case)
        self.resources[resource.name] = self.paths[resource.path] = resource
        if resource.path.startswith("/compute"):  # it knows its resources by their ids, too
            self.paths[re.sub(r"[^/]+$", resource.body["id"], resource.path)] = resource
        return {"resource": resource.name, "project": PROJECT, "project_number": NUMBER}

    def do_hierarchy(self, put: State, **_: Any) -> State:
        for name, body in put.items():
            full = name.startswith("//")
            schema = {"$ref": "ResourceSearchResult" if full else "Project" if "projects/" in name else "Folder"}
            method = next(one for one in self.methods if schema["$ref"] in one.schemas and one.id.startswith(
                "cloudasset" if full else "cloudresourcemanager"))
            if found := [text for text, _ in mistakes(method.schemas, schema, body, name, sent=False)]:
                raise ValueError("; ".join(found))
            self.hierarchy[name] = body
        return {}

    def told(self, put: State, call: str, kind: str) -> State:
        """Something that a list of this call holds, if it is of its kind."""
        method = next(one for one in self.methods if one.id == call)
        if found := [text for text, _ in mistakes(method.schemas, {"$ref": kind}, put, kind, sent=False)]:
            raise ValueError("; ".join(found))
        return put

    def do_finding(self, put: State, **_: Any) -> State:
        self.findings.append(self.told(put, "securitycenter.projects.sources.findings.list", "ListFindingsResult"))
        return {}

    def do_marks(self, name: str, **_: Any) -> State:
        found = next(one["finding"] for one in self.findings if one["finding"]["name"] == name)
        return {"marks": found.get("securityMarks", {}).get("marks", {})}

    def do_log(self, put: State, **_: Any) -> State:
        self.entries.append(self.told(put, "logging.entries.list", "LogEntry"))
        return {}

    def do_search(self, scope: str, query: str, **_: Any) -> State:
        api, found = self.clients["cloudasset"].v1(), {}
        request = api.searchAllResources(scope=scope, query=query, readMask="name,labels")
        while request:
            answer = request.execute()
            found |= {one["name"]: one.get("labels", {}) for one in answer.get("results", [])}
            request = api.searchAllResources_next(request, answer)
        return found

    def do_state(self, resource: str, **_: Any) -> State:
        found = self.resources[resource]
        policy = {"iamPolicy": found.policy} if found.policy else {}
        return {"gone": True} if found.gone else canonical(found.body | policy)

    def do_change(self, resource: str, merge: State | None, **_: Any) -> State:
        found, merge = self.resources[resource], copy.copy(merge)
        found.gone = merge is None
        if merge and "iamPolicy" in merge:
            found.policy = merged(found.policy, merge.pop("iamPolicy")) | {"etag": fresh()}
        if merge:
            found.body = renewed(merged(found.body, merge))
        return self.do_state(resource)

    def do_requests(self, **_: Any) -> list[State]:
        seen, self.requests = self.requests, []
        return seen

    def do_wrong(self, **_: Any) -> list[str]:
        return list(self.wrong)

    def do_settle(self, **_: Any) -> list[str]:
        left = [operation for operation in self.operations.values() if operation.body["status"] != "DONE"]
        for operation in left:
            operation.finish()
        return [operation.path for operation in left]

    def do_fail(self, **command: Any) -> State:
        if "match" not in command:
            self.failures = []
        elif not {"status", "hang", "drop", "operation_error"} & command["with"].keys():
            raise ValueError(f"that is no failure: {command['with']}")
        else:
            self.failures.append({"times": 1} | command["with"] | command)
        return {"failing": sum(one["times"] for one in self.failures)}

    def do(self, do: str, **command: Any) -> Any:
        if do in ("sdk", "search"):  # they need the server, which is to have the lock then
            return getattr(self, f"do_{do}")(**command)
        with self.lock:
            return getattr(self, f"do_{do}")(**command)


class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize, disable_nagle_algorithm = "HTTP/1.1", -1, True

    def answer(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply = self.server.fake.reply(self.command, self.path, self.headers, raw)
        if reply is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        text = json.dumps(reply[2], indent=2).encode()
        self.send_response(reply[0])
        reply[1].update({"Content-Type": "application/json; charset=UTF-8", "Content-Length": str(len(text))})
        for header in reply[1].items():
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    if sys.argv[1:] not in ([], ["serve"]):
        sys.exit(__doc__)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.fake = fake = Fake()
    fake.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": fake.port}), flush=True)
    for line in sys.stdin:
        try:
            result = fake.do(**json.loads(line))
        except Exception as error:  # whatever it is, the next line is to be answered too
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result, sort_keys=True), flush=True)


if __name__ == "__main__":
    main()
