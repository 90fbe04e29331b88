"""CloudTrail's event history, which moto has not: a WSGI application in front of moto's.

Holds each LookupEvents against botocore's description of it, and against what the documentation says beside that.
"""

import json
import threading
from datetime import datetime
from typing import Any, Iterable

import botocore.session
from botocore.validate import ParamValidator

PAGE = 2  # so that there are pages


class EventHistory:
    def __init__(self, inner: Any) -> None:
        self.inner, self.lock, self.events, self.wrong = inner, threading.Lock(), [], []
        service = botocore.session.get_session().get_service_model("cloudtrail")
        self.target = f"{service.metadata['targetPrefix']}.LookupEvents"
        self.input = service.operation_model("LookupEvents").input_shape

    def put(self, region: str, event: dict[str, Any]) -> None:
        """Adds an event, as LookupEvents answers it, but with EventTime as text."""
        with self.lock:
            self.events.append((region, event))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("HTTP_X_AMZ_TARGET") != self.target:
            return self.inner(environ, start_response)
        asked = json.loads(environ["wsgi.input"].read())
        region = environ["HTTP_AUTHORIZATION"].split("Credential=")[1].split("/")[2]
        code, answer = 200, {}
        try:
            answer = self.lookup(region, asked)
        except Refused as error:
            code, answer = 400, {"__type": error.code, "message": str(error)}
            self.wrong.append(f"LookupEvents {json.dumps(asked)}: {error}")
        body = json.dumps(answer).encode()
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))]
        start_response(f"{code} {'OK' if code == 200 else 'Bad Request'}", headers)
        return [body]

    def lookup(self, region: str, asked: dict[str, Any]) -> dict[str, Any]:
        wrong = ParamValidator().validate(asked, self.input)
        if wrong.has_errors():
            raise Refused("ValidationException", wrong.generate_report())
        attributes = asked.get("LookupAttributes", [])
        if len(attributes) != 1 or attributes[0]["AttributeKey"] != "ResourceName":
            raise Refused("InvalidLookupAttributesException", "one attribute, ResourceName, is modelled")
        if not 1 <= asked.get("MaxResults", 50) <= 50:
            raise Refused("InvalidMaxResultsException", "from 1 to 50")
        name, start = attributes[0]["AttributeValue"], asked.get("StartTime", 0)
        with self.lock:
            found = [event | {"EventTime": seconds(event["EventTime"])} for where, event in self.events
                     if where == region and any(one.get("ResourceName") == name for one in event["Resources"])]
        found = sorted((one for one in found if one["EventTime"] >= start), key=lambda one: -one["EventTime"])
        at = int(asked.get("NextToken", 0))
        more = {"NextToken": str(at + PAGE)} if at + PAGE < len(found) else {}
        return {"Events": found[at:at + PAGE]} | more


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
