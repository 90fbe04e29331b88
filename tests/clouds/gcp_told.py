"""What Google Cloud tells about resources beside what they are: the hierarchy above them, the inventory, findings of
Security Command Center, entries of Cloud Audit Logs. As far as Amend asks; what else is asked is refused, and blamed."""

import re
from typing import Any

from gcp_resources import NUMBER, PROJECT, State

STATUS = {  # the status of a code, and its usual reason
    400: "INVALID_ARGUMENT invalid", 401: "UNAUTHENTICATED authError", 403: "PERMISSION_DENIED forbidden",
    404: "NOT_FOUND notFound", 409: "ABORTED aborted", 412: "FAILED_PRECONDITION conditionNotMet",
    429: "RESOURCE_EXHAUSTED rateLimitExceeded", 500: "INTERNAL backendError", 501: "UNIMPLEMENTED notImplemented",
    503: "UNAVAILABLE backendError"}


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.code, self.status, self.reason = code, *STATUS.get(code, "UNKNOWN unknown").split()
        self.reason = reason or self.reason

    def body(self, host: str) -> State:
        first = {"message": str(self), "domain": "global", "reason": self.reason}
        # These APIs are older than the status.
        more = {} if host in ("storage", "compute", "sqladmin") else {"status": self.status}
        return {"error": {"code": self.code, "message": str(self), "errors": [first]} | more}


class Told:
    """The methods of a request that only tell."""

    fake: Any
    path: str
    query: State
    body: State

    def blame(self, text: str, refuse: bool = False) -> None:
        raise NotImplementedError

    # Resource Manager and Cloud Asset Inventory
    def known(self) -> State:
        body = self.fake.hierarchy.get(self.path.partition("/v3/")[2])
        if not body:
            raise Refused(403, "The caller does not have permission")
        return body

    cloudresourcemanager_projects_get = cloudresourcemanager_folders_get = known

    def cloudasset_cloudasset_searchAllResources(self) -> State:
        """As far as queries are `name="A" OR name="B"`; answers two at a time."""
        query = self.query.get("query", "")
        names = re.findall(r'name="([^"\\]+)"', query)
        if query != " OR ".join(f'name="{name}"' for name in names):
            self.blame(f"the query {query} is not modelled")
            raise Refused(400, "Invalid query.")
        if len(names) > 10 or len(query) > 2048:  # cloud.google.com/asset-inventory/docs/query-syntax
            self.blame("a query has at most 10 comparisons and 2048 characters")
            raise Refused(400, "The query is too complex.")
        if self.query.get("readMask") != "name,labels":
            self.blame("only the read mask name,labels is modelled")
        scope = self.path.partition("/v1/")[2].removesuffix(":searchAllResources")
        found = [body for name, body in sorted(self.fake.hierarchy.items())
                 if name in names and body["project"] in (scope, scope.replace(PROJECT, NUMBER))]
        start = int(self.query.get("pageToken", 0))
        results = [{name: body[name] for name in ("name", "labels") if name in body} for body in found[start:start + 2]]
        return {"results": results} | ({"nextPageToken": str(start + 2)} if start + 2 < len(found) else {})

    # Security Command Center
    def securitycenter_findings_list(self) -> State:
        """As far as filters are for muted findings of some resources; answers one at a time."""
        wanted = re.fullmatch(r'mute="MUTED" AND state="ACTIVE" AND \((.+)\)', self.query.get("filter", ""))
        names = re.findall(r'resource_name="([^"\\]+)"', wanted[1]) if wanted else []
        if not wanted or wanted[1] != " OR ".join(f'resource_name="{name}"' for name in names):
            self.blame(f"the filter {self.query.get('filter')} is not modelled")
            raise Refused(400, "Invalid filter.")
        if not re.search(rf"/v1/projects/({PROJECT}|{NUMBER})/sources/-/findings$", self.path):
            raise Refused(403, "The caller does not have permission")
        found = [one for one in self.fake.findings if one["finding"]["resourceName"] in names
                 and (one["finding"].get("mute"), one["finding"]["state"]) == ("MUTED", "ACTIVE")]
        start = int(self.query.get("pageToken", 0))
        more = {"nextPageToken": str(start + 1)} if start + 1 < len(found) else {}
        return {"listFindingsResults": found[start:start + 1], "totalSize": len(found)} | more

    def securitycenter_findings_updateSecurityMarks(self) -> State:
        """Sets the marks that the mask names, and takes those away that have no value."""
        wanted = re.search(rf"/v1/projects/({PROJECT}|{NUMBER})/sources/([^/]+)/findings/([^/]+)/securityMarks$", self.path)
        if not wanted:
            raise Refused(403, "The caller does not have permission")
        end = f"/sources/{wanted[2]}/findings/{wanted[3]}"
        found = [one["finding"] for one in self.fake.findings if one["finding"]["name"].endswith(end)]
        if not found:
            raise Refused(404, "Requested entity was not found.")
        keys, marks = self.query.get("updateMask", "").split(","), self.body.get("marks", {})
        if not all(re.fullmatch(r"marks\.[a-z]+", key) for key in keys) or set(marks) - {key[6:] for key in keys}:
            self.blame(f"the mask {keys} is not modelled, or not of {sorted(marks)}")
            raise Refused(400, "Invalid field mask.")
        if not all(1 <= len(value.strip()) <= 4096 for value in marks.values()):
            self.blame("a mark has 1 to 4096 characters")
            raise Refused(400, "Invalid mark.")
        kept = found[0].setdefault("securityMarks", {}).setdefault("marks", {})
        for key in (key[6:] for key in keys):
            kept.pop(key, None)
        kept |= marks
        return {"name": f"{found[0]['name']}/securityMarks", "marks": kept}

    # Cloud Audit Logs
    def logging_entries_list(self) -> State:
        """As far as filters are for admin activity on one resource since a time; answers one at a time."""
        wanted = re.fullmatch(
            r'log_id\("cloudaudit.googleapis.com/activity"\) AND timestamp>="(?P<since>[^"]+)" AND '
            r'\(protoPayload.resourceName:"(?P<name>[^"\\]+)" OR resource.labels.instance_id="(?P<id>[^"\\]+)"\)',
            self.body.get("filter", ""))
        if not wanted or self.body.get("orderBy") != "timestamp desc":
            self.blame(f"{self.body} is not modelled")
            raise Refused(400, "Unparseable filter.")
        if self.body.get("resourceNames") not in ([f"projects/{PROJECT}"], [f"projects/{NUMBER}"]):
            raise Refused(403, "Permission denied for all log views")
        found = [one for one in self.fake.entries if one["timestamp"] >= wanted["since"] and (
            wanted["name"].lower() in one["protoPayload"]["resourceName"].lower()
            or one["resource"]["labels"].get("instance_id") == wanted["id"])]
        found.sort(key=lambda one: one["timestamp"], reverse=True)
        start = int(self.body.get("pageToken", 0))
        page = {"entries": found[start:start + 1]} if found[start:] else {}  # what is empty is left out
        return page | ({"nextPageToken": str(start + 1)} if start + 1 < len(found) else {})
