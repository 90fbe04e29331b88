"""What moto's Security Hub lacks: a WSGI application in front of it, over its own findings.

BatchUpdateFindings; the filters and pages of GetFindings; and what the documentation says of imports: at most 100 of
240 KB each, an older one changes nothing, what people said of a finding stays, one that comes back is new again.
Requests are held against botocore's descriptions. A hub can be switched off, or fail, for a region.
"""

import io
import json
import threading
from datetime import datetime
from typing import Any, Iterable

import botocore.session
from botocore.validate import ParamValidator
from moto.securityhub.models import securityhub_backends

PAGE = 2  # so that there are pages
ACCOUNT = "123456789012"
OPERATIONS = {
    ("POST", "/findings"): "GetFindings",
    ("POST", "/findings/import"): "BatchImportFindings",
    ("PATCH", "/findings/batchupdate"): "BatchUpdateFindings",
}
STATES = ("NEW", "NOTIFIED", "RESOLVED", "SUPPRESSED")


class Findings:
    def __init__(self, inner: Any) -> None:
        self.inner, self.lock = inner, threading.Lock()
        self.failures: dict[str, list[dict[str, Any]]] = {}
        self.wrong: list[str] = []
        self.service = botocore.session.get_session().get_service_model("securityhub")

    def fail(self, region: str, failures: list[dict[str, Any]]) -> None:
        """What the next requests in a region are answered: {"status", "code", "message"}, "for" an operation only."""
        with self.lock:
            self.failures[region] = failures

    def left(self, region: str) -> int:
        with self.lock:
            return len(self.failures.get(region, []))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")
        operation = OPERATIONS.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if len(scope) < 4 or scope[3] != "securityhub" or operation is None:
            return self.inner(environ, start_response)
        region = scope[2]
        asked = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
        try:
            with self.lock:
                self.happens(region, operation)
                self.check(operation, asked)
                if operation == "GetFindings":
                    code, answer = 200, self.get(region, asked)
                elif operation == "BatchUpdateFindings":
                    code, answer = 200, self.update(region, asked)
                else:
                    body = json.dumps(self.imported(region, asked)).encode()
                    environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
                    return self.inner(environ, start_response)
        except Refused as error:
            code, answer = error.status, {"Code": error.code, "Message": str(error)}
            if error.wrong:
                self.wrong.append(f"{operation} {json.dumps(asked)}: {error}")
            headers = [("X-Amzn-Errortype", error.code)]
        else:
            headers = []
        body = json.dumps(answer).encode()
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{code} {'OK' if code == 200 else 'No'}", headers)
        return [body]

    def happens(self, region: str, operation: str) -> None:
        for failure in [one for one in self.failures.get(region, []) if one.get("for", operation) == operation][:1]:
            if not failure.get("always"):
                self.failures[region].remove(failure)
            raise Refused(failure["status"], failure["code"], failure["message"], wrong=False)

    def check(self, operation: str, asked: dict[str, Any]) -> None:
        report = ParamValidator().validate(asked, self.service.operation_model(operation).input_shape)
        if report.has_errors():
            raise Refused(400, "InvalidInputException", report.generate_report())

    def all(self, region: str) -> list[dict[str, Any]]:
        return [finding.data for finding in securityhub_backends[ACCOUNT][region].findings]

    def get(self, region: str, asked: dict[str, Any]) -> dict[str, Any]:
        def text(finding: dict[str, Any], name: str) -> list[str]:
            return {
                "ResourceId": [resource["Id"] for resource in finding["Resources"]],
                "RecordState": [finding.get("RecordState", "ACTIVE")],
                "WorkflowStatus": [finding.get("Workflow", {}).get("Status", "NEW")],
            }[name]

        filters = asked.get("Filters", {})
        if unknown := set(filters) - {"ResourceId", "RecordState", "WorkflowStatus"}:
            raise Refused(400, "InvalidInputException", f"{unknown} is not modelled")
        if any(one["Comparison"] != "EQUALS" for values in filters.values() for one in values):
            raise Refused(400, "InvalidInputException", "EQUALS is modelled")
        if any(len(values) > 20 for values in filters.values()) or not 1 <= asked.get("MaxResults", 10) <= 100:
            raise Refused(400, "LimitExceededException", "20 values of a filter, 100 results")
        found = [finding for finding in self.all(region) if all(
            {one["Value"] for one in values} & set(text(finding, name)) for name, values in filters.items())]
        at = int(asked.get("NextToken", 0))
        more = {"NextToken": str(at + PAGE)} if at + PAGE < len(found) else {}
        return {"Findings": found[at:at + PAGE]} | more

    def update(self, region: str, asked: dict[str, Any]) -> dict[str, Any]:
        names = asked["FindingIdentifiers"]
        note, workflow = asked.get("Note"), asked.get("Workflow")
        if not 1 <= len(names) <= 100:
            raise Refused(400, "LimitExceededException", "1 to 100 findings")
        if note and not (1 <= len(note["Text"]) <= 512 and note["UpdatedBy"]):
            raise Refused(400, "InvalidInputException", "a note has 1 to 512 characters, and somebody who wrote it")
        if workflow and workflow["Status"] not in STATES:
            raise Refused(400, "InvalidInputException", f"a workflow is one of {STATES}")
        if not note and not workflow:
            raise Refused(400, "InvalidInputException", "nothing is updated")
        done, left = [], []
        for name in names:
            found = [one for one in self.all(region) if (one["Id"], one["ProductArn"]) == (name["Id"], name["ProductArn"])]
            if not found:
                left.append({"FindingIdentifier": name, "ErrorCode": "FindingNotFound", "ErrorMessage": "there is none"})
                continue
            if note:
                found[0]["Note"] = note | {"UpdatedAt": "2026-11-20T12:00:00.000Z"}
            if workflow:
                found[0]["Workflow"] = workflow
            done.append(name)
        return {"ProcessedFindings": done, "UnprocessedFindings": left}

    def imported(self, region: str, asked: dict[str, Any]) -> dict[str, Any]:
        findings = asked["Findings"]
        if not 1 <= len(findings) <= 100 or len(json.dumps(findings)) > 6_000_000:
            raise Refused(400, "LimitExceededException", "1 to 100 findings of 6 MB together")
        kept = []
        for finding in findings:
            if len(json.dumps(finding)) > 240_000:
                raise Refused(400, "InvalidInputException", f"{finding['Id']} is larger than 240 KB")
            if len(finding["Title"]) > 256 or len(finding["Description"]) > 1_024:
                raise Refused(400, "InvalidInputException", f"{finding['Id']} says too much")
            for name in ("CreatedAt", "UpdatedAt"):
                datetime.fromisoformat(finding[name])
            own = f":{region}:{finding['AwsAccountId']}:product/{finding['AwsAccountId']}/default"
            if not finding["ProductArn"].endswith(own) and "product/aws/" not in finding["ProductArn"]:
                raise Refused(400, "InvalidInputException", f"{finding['ProductArn']} is not one of this account")
            for known in [one for one in self.all(region) if one["Id"] == finding["Id"]]:
                if datetime.fromisoformat(finding["UpdatedAt"]) <= datetime.fromisoformat(known["UpdatedAt"]):
                    break
                comes_back = known.get("RecordState") == "ARCHIVED" and finding.get("RecordState") == "ACTIVE"
                said = {name: known[name] for name in ("Note", "Workflow") if name in known}
                kept.append(finding | said | ({"Workflow": {"Status": "NEW"}} if comes_back else {}))
                break
            else:
                kept.append(finding)
        return {"Findings": kept}


class Refused(Exception):
    """An answer that is an error. If it is `wrong`, no correct client gets it."""

    def __init__(self, status: int, code: str, message: str, wrong: bool = True) -> None:
        super().__init__(message)
        self.status, self.code, self.wrong = status, code, wrong
