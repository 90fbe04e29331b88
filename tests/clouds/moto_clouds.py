#!/usr/bin/env python3
"""moto on a port of its own, in this process, with the resources of aws_resources.py.

Prints {"port": N} and then answers one JSON line for every JSON line on standard input, until that ends:
{"do": "make" | "state", ...} as aws_resources.py; {"do": "call", "service": "s3", "method": "put_public_access_block",
"with": {...}} makes a boto3 call as somebody else would; {"do": "requests"} lists the operations asked for since the
last time, and {"do": "requests", "path": REGEX, "after": N} {"requests": those that match, but for the first N of all,
"seen": N}; {"do": "wrong"} lists requests whose signature botocore computes otherwise, from the bytes that came;
{"do": "event", "region": R, "put": {...}} adds to CloudTrail's event history, as LookupEvents has it; {"do": "hub",
"region": R, "fail": [{"status", "code", "message", "for"?: OPERATION, "always"?: true}]} what Security Hub answers there.

{"do": "fail", "match": {"path": REGEX}, "with": {"hang": SECONDS, "applied": BOOLEAN}, "skip": N} has the first request
that matches, but for N others, answered late: done at once or, if not `applied`, never. {"do": "unspent", "path": REGEX}
tells how many of those have not happened; they do not any more.

{"do": "ed25519", "seed": BASE64, "message": TEXT} signs as the package `cryptography` does, which moto needs; with
"public" and "signature" in place of the seed it checks.
"""

import base64
import functools
import io
import json
import re
import sys
import threading
import time
from typing import Any, Iterable
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

import aws_resources
from aws_events import EventHistory
from aws_findings import Findings

KEY, SECRET = "AKIAAMENDTESTS", "the-secret-of-the-tests"


class Checked:
    """A WSGI application in front of moto's: it looks at the requests of one access key."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.requests, self.wrong = inner, [], []
        self.lock, self.log, self.failures = threading.Lock(), [], []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        if f"Credential={KEY}/" in authorization:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            failure = self.noted(environ)
            self.requests.append(f"{environ['REQUEST_METHOD']} {environ['RAW_URI']} {operation(environ, body)}".strip())
            try:
                expected = signature(environ, authorization, body)
            except Exception as error:  # a request that cannot be signed is wrong, too
                expected = f"{type(error).__name__}: {error}"
            if f"Signature={expected}" not in authorization:
                self.wrong.append(f"{environ['REQUEST_METHOD']} {environ['RAW_URI']}: expected {expected}, got {authorization}")
            if failure:
                answer = self.inner(environ, start_response) if failure["applied"] else []
                time.sleep(failure["hang"])
                if not failure["applied"]:
                    raise ConnectionAbortedError  # the server closes the connection then, without an answer
                return answer
        return self.inner(environ, start_response)

    def noted(self, environ: dict[str, Any]) -> dict[str, Any]:
        """Keeps a request for whoever asks, and tells what is to happen to it."""
        path = f"{environ['HTTP_HOST']}{environ['RAW_URI']}"
        with self.lock:
            happens: dict[str, Any] = {}
            for failure in [one for one in self.failures if re.search(one["match"]["path"], path)][:1]:
                if failure["skip"]:
                    failure["skip"] -= 1
                else:
                    self.failures.remove(failure)
                    happens = failure["with"]
            self.log.append({"method": environ["REQUEST_METHOD"], "path": path, "failure": happens})
            return happens

    def seen(self, path: str, after: int) -> dict[str, Any]:
        with self.lock:
            found = [one for one in self.log[after:] if re.search(path, one["path"])]
            return {"requests": found, "seen": len(self.log)}


def operation(environ: dict[str, Any], body: bytes) -> str:
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        return target
    return body.split(b"&", 1)[0].decode() if body.startswith(b"Action=") else ""


def signature(environ: dict[str, Any], authorization: str, body: bytes) -> str:
    """What botocore computes for these bytes."""
    parts = dict(part.strip().split("=", 1) for part in authorization.split(" ", 1)[1].split(","))
    _, _, region, service, _ = parts["Credential"].split("/")
    headers = {}
    for name in parts["SignedHeaders"].split(";"):
        plain = name.upper().replace("-", "_")
        headers[name] = environ.get(plain if name in ("content-type", "content-length") else f"HTTP_{plain}", "")
    token = headers.get("x-amz-security-token")
    kind = S3SigV4Auth if service == "s3" else SigV4Auth
    auth = kind(Credentials(KEY, SECRET, token), service, region)
    url = urlsplit(environ["RAW_URI"])
    request = AWSRequest(
        method=environ["REQUEST_METHOD"], url=f"http://{environ['HTTP_HOST']}{environ['RAW_URI']}", headers=headers,
        data=body)
    request.context["timestamp"] = headers["x-amz-date"]
    request.context["payload_signing_enabled"] = True
    assert url.path.startswith("/")
    canonical = auth.canonical_request(request)
    return auth.signature(auth.string_to_sign(request, canonical), request)


def ed25519(command: dict[str, str]) -> dict[str, Any]:
    """Signs a message, or checks one."""
    message = command["message"].encode()
    if "seed" in command:
        key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(command["seed"]))
        public = base64.b64encode(key.public_key().public_bytes_raw()).decode()
        return {"signature": base64.b64encode(key.sign(message)).decode(), "public": public}
    try:
        public_key = Ed25519PublicKey.from_public_bytes(base64.b64decode(command["public"]))
        public_key.verify(base64.b64decode(command["signature"]), message)
    except InvalidSignature:
        return {"good": False}
    return {"good": True}


def main() -> None:
    findings = Findings(DomainDispatcherApplication(create_backend_app))
    history = EventHistory(findings)
    checked = Checked(history)
    # Port 0: the system picks one that nobody has, so this is ours and nobody else's.
    server = make_server("127.0.0.1", 0, checked, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.port}"
    clouds = functools.cache(functools.partial(aws_resources.Aws, endpoint))
    print(json.dumps({"port": server.port, "key": KEY, "secret": SECRET}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "requests" and "path" in command:
                result: Any = checked.seen(command["path"], command["after"])
            elif command["do"] == "fail":
                with checked.lock:  # of several about the same, the last counts
                    checked.failures = [one for one in checked.failures if one["match"] != command["match"]]
                    checked.failures.append({"skip": 0} | command)
                result = {}
            elif command["do"] == "event":
                history.put(command["region"], command["put"])
                result = {}
            elif command["do"] == "unspent":
                with checked.lock:
                    left = [one for one in checked.failures if one["match"] == {"path": command["path"]}]
                    checked.failures = [one for one in checked.failures if one not in left]
                result = {"unspent": len(left)}
            elif command["do"] == "requests":
                result = {"requests": checked.requests[:]}
                checked.requests.clear()
            elif command["do"] == "wrong":
                result = {"wrong": checked.wrong + history.wrong + findings.wrong}
            elif command["do"] == "ed25519":
                result = ed25519(command)
            elif command["do"] == "hub":
                result = {"left": findings.left(command["region"])}
                findings.fail(command["region"], command.get("fail", []))
            elif command["do"] == "list":
                result = {name: cases for name, (_, _, cases) in aws_resources.FIXES.items()}
            elif command["do"] == "call":
                client = clouds(command.get("region", "eu-west-1")).client(command["service"])
                answer = getattr(client, command["method"])(**command["with"])
                result = json.loads(json.dumps(answer, default=str))
            else:
                result = aws_resources.answer(clouds, command)
        except Exception as error:  # whatever it is, the next line is to be answered too
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result, sort_keys=True), flush=True)


if __name__ == "__main__":
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    main()
