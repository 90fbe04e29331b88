#!/usr/bin/env python3
"""What botocore's own serializers, parsers and endpoint rules make of random calls, to compare with.

    aws_wire.py serve

Prints {"ready": true} and then answers one JSON line for every JSON line on standard input, until that ends. The same
command has the same answer.

{"do": "inputs", "call": "s3:PutBucketAcl", "seed": 7, "count": 20}: random arguments and the request botocore sends:
    {"cases": [{"args": {...}, "request": {"method", "uri", "headers": {...}, "body": Base64}}]}, and in the request
    "host_prefix" where the operation has one. In S3 the endpoint carries the bucket, so the URI does not.
{"do": "outputs", ...}: random responses as a service sends them, and what botocore reads:
    {"cases": [{"response": {"status", "headers": {...}, "body": Base64}, "parsed": {...}}]}. There are none of
    operations that stream. An empty list, map or structure and an absent one are to be taken as equal.
{"do": "errors", "call": ..., "seed": 7}: the forms of error of the protocol ("count" times each, once by default):
    {"cases": [{"response": {...}, "code": "...", "message": "..."}]}
{"do": "endpoints", "services": ["s3"], "seed": 7, "count": 20}: random parameters of the services' endpoint rules:
    {"cases": [{"service", "params": {...}, "url", "headers": [[name, value]], "scheme", "signing_name",
    "signing_region", "disable_double_encoding"}]}; the last four only where the endpoint names a scheme. Or, after
    params, "error" (missing, mistyped, refused, no match, malformed, crash: a bug of botocore) and its "text".

Values have the names of the API. Blobs are Base64, times RFC 3339 in UTC and whole seconds. The members of structures
and the keys of maps come in alphabetical order, and botocore writes them in that order.
"""

import base64
import functools
import json
import random
import sys
import types
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from botocore import handlers, parsers, serialize
from botocore.awsrequest import HeadersDict, create_request_object, prepare_request_dict
from botocore.endpoint_provider import EndpointProvider, RuleSet
from botocore.exceptions import EndpointResolutionError, MissingDependencyException
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape
from botocore.regions import EndpointRulesetResolver

# Only what the package ships: not the models a person may have in ~/.aws.
LOADER = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
PARTITIONS = LOADER.load_data("partitions")
PROTOCOLS = ("json", "rest-json", "rest-xml", "query", "ec2")  # in the order of preference
Json = dict[str, Any]


@functools.cache
def service_model(service: str) -> ServiceModel:
    return ServiceModel(LOADER.load_service_model(service, "service-2"), service)


@functools.cache
def endpoint_provider(service: str) -> EndpointProvider:
    return EndpointProvider(LOADER.load_service_model(service, "endpoint-rule-set-1"), PARTITIONS)


def protocol_of(operation: OperationModel) -> str:
    offered = operation.metadata.get("protocols", [])
    return next((name for name in PROTOCOLS if name in offered), operation.metadata["protocol"])


def is_s3(operation: OperationModel) -> bool:
    return operation.service_model.service_name == "s3"


# -- values -----------------------------------------------------------------------------------------------------------

PIECES = [
    "a", "Zebra", "eu-west-1", "0", "42", " ", "  ", "é", "日本", "🦀", '"', "'", "&", "<", ">", "/", "+", "%", "%20", "=",
    ";", ",", "\\", "\n", "\t", ":", "?", "#", "~", "*", "(", "{x}", "&amp;", "]]>", "arn:aws:s3:::b", "null", "true"]
# Botocore does not escape a backslash in the lists of headers, and HTTP knows ASCII only.
HEADER_PIECES = [piece for piece in PIECES if piece.isascii() and not set(piece) & set("\\\n\t")]
# Nothing that has to be quoted in a list: botocore does not read the quotes.
LIST_PIECES = [piece for piece in HEADER_PIECES if not set(piece) & set(',"')]
# Where the runtime of an SDK, not the caller, gives the value.
CHECKSUMS = ("x-amz-checksum-", "x-amz-sdk-checksum-algorithm", "x-amz-trailer", "content-md5")
DOCUMENTS: list[Json] = [{}, {"a": [1, "two", {"three": 3.5}], "b": {"c": False}}, {"x": "é<&\n"}]
BOUNDS = {"integer": 2**31, "long": 2**63}
DEEP = 5


class Maker:
    """Makes values of shapes: of some members few, of some all, and deep inside only what is required."""

    def __init__(self, rng: random.Random, sends: bool) -> None:
        self.rng, self.sends, self.share = rng, sends, rng.choice((0.1, 0.4, 0.9))

    def value(self, shape: Shape, place: str = "", around: tuple[str, ...] = (), some: bool = False) -> Any:
        """`place` is the location of a member: header, uri, ...; nothing for the body. `around` are the names of the
        structures around it. `some`: nothing empty, if that is possible."""
        kind, rng, least = shape.type_name, self.rng, shape.metadata.get("min", 0)
        if kind in ("list", "map"):
            least, most = max(least, some), min(shape.metadata.get("max", 3), 3) if len(around) < DEEP else 0
            length = rng.randint(least, max(least, most))
            if kind == "list":
                place = "list" if place == "header" and not self.sends else place
                made = [self.value(shape.member, place, around, True) for _ in range(length)]
                return [value for value in made if not hollow(value)]
            keys = {self.value(shape.key, "token" if place == "headers" else place) or "key" for _ in range(length)}
            place = "header" if place == "headers" else place
            pairs = {key: self.value(shape.value, place, around, True) for key in sorted(keys)}
            return {key: value for key, value in pairs.items() if not hollow(value)}
        if kind in BOUNDS:
            low, high = shape.metadata.get("min", -BOUNDS[kind]), shape.metadata.get("max", BOUNDS[kind] - 1)
            numbers = {low, high, 0, 1, -1, rng.randint(-1000, 1000), rng.randint(low, high)}
            return rng.choice(sorted(number for number in numbers if low <= number <= high))
        if kind == "structure":
            return rng.choice(DOCUMENTS) if shape.is_document_type else self.structure(shape, around, some)
        if kind == "timestamp":
            return datetime.fromtimestamp(rng.choice((0, 1, 1582934400, rng.randrange(2**31))), UTC)
        if kind in ("float", "double"):
            return max(rng.choice((0.5, -2.25, 1234.125, -0.0625)), shape.metadata.get("min", -9999) + 0.5)
        if kind == "blob":
            return rng.randbytes(rng.randint(least, least + 9))
        return rng.random() < 0.5 if kind == "boolean" else self.text(shape, place)

    def text(self, shape: Shape, place: str = "") -> str:
        if words := [word for word in shape.metadata.get("enum", []) if word or not place]:
            return self.rng.choice(words)
        if shape.serialization.get("hostLabel"):
            return f"label-{self.rng.randrange(100)}"
        pieces = {"list": LIST_PIECES, "header": HEADER_PIECES, "token": ["a", "2", "-z"]}.get(place, PIECES)
        text = "".join(self.rng.choices(pieces, k=self.rng.randint(0, 5)))[:shape.metadata.get("max")]
        text = text.strip() if place in ("header", "list") else text
        return text.ljust(max(shape.metadata.get("min", 0), bool(place)), "x")

    def structure(self, shape: Shape, around: tuple[str, ...], some: bool) -> Json:
        inner, deep, share = (*around, shape.name), len(around) >= DEEP, self.share / (1 + len(around) / 2)
        members = {name: member for name, member in sorted(shape.members.items()) if not self.left_out(name, member)}
        if not members:
            return {}
        ends = [name for name in members if members[name].type_name not in ("structure", "list", "map")]
        near = ends or [name for name in members if element_of(members[name]).name not in inner] or list(members)
        one = self.rng.choice(list(members) if shape.is_tagged_union and not deep else near)
        chosen = {one} if some or shape.is_tagged_union else set()
        if not shape.is_tagged_union:
            chosen |= {name for name in (ends if deep else members) if self.rng.random() < share}
            chosen |= {name for name in members if members[name].metadata.get("idempotencyToken")}
            chosen |= {*shape.required_members, shape.serialization.get("payload")} & set(members)
        return {name: self.value(member, member.serialization.get("location", ""), inner, some and name == one)
                for name, member in members.items() if name in chosen}

    def left_out(self, name: str, member: Shape) -> bool:
        how, element = member.serialization, element_of(member)
        place = how.get("location")
        return bool(
            how.get("streaming") or how.get("eventstream")
            or place and (element.type_name == "blob" or element.serialization.get("jsonvalue"))
            or place == "header" and how.get("name", name).lower().startswith(CHECKSUMS)
            # The dates that HTTP writes contain commas.
            or place == "header" and not self.sends and element is not member and element.type_name == "timestamp")


def element_of(shape: Shape) -> Shape:
    return getattr(shape, "member", getattr(shape, "value", shape))


def hollow(value: Any) -> bool:
    """Whether a value leaves no trace in the query protocols: their lists would have gaps."""
    inner = value.values() if isinstance(value, dict) else value
    return isinstance(value, (dict, list)) and all(hollow(element) for element in inner)


def plain(value: bytes | datetime) -> str:
    """What JSON has no form for: Base64, or RFC 3339."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


# -- requests ---------------------------------------------------------------------------------------------------------

def inputs(rng: random.Random, operation: OperationModel) -> Json:
    if is_s3(operation):
        handlers.remove_bucket_from_url_paths_from_model({}, operation, {})
    args = Maker(rng, True).value(operation.input_shape) if operation.input_shape else {}
    request = serialize.create_serializer(protocol_of(operation)).serialize_to_request(args, operation)
    prefix = request.pop("host_prefix", None)
    # Those of the serializer; what HTTP itself needs, such as Content-Length, comes later.
    headers = {name.lower(): value for name, value in request["headers"].items()}
    prepare_request_dict(request, "https://host")
    prepared = create_request_object(request).prepare()
    body = prepared.body or b""
    made = {"method": prepared.method, "uri": prepared.url.removeprefix("https://host"), "headers": headers,
            "body": body.encode() if isinstance(body, str) else body}
    return {"args": args, "request": made | ({"host_prefix": prefix} if prefix else {})}


# -- responses --------------------------------------------------------------------------------------------------------

class Encoder:
    """Writes values as services do: with null, unknown members, indentation, now and then."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.nice, self.odd = rng, rng.random() < 0.3, rng.choice((0, 0, 0.3))

    def time(self, shape: Shape, at: datetime, usual: str) -> str | float:
        form = shape.serialization.get("timestampFormat", usual).lower()
        if form == "rfc822":
            return format_datetime(at, usegmt=True)
        if form == "unixtimestamp":
            return self.rng.choice((int, float))(at.timestamp())
        return plain(at).replace("Z", self.rng.choice(("Z", ".000Z")))

    def text(self, shape: Shape, value: Any, usual_time: str) -> str:
        """What stands in an element or a header."""
        if shape.type_name == "list":
            return self.rng.choice((",", ", ")).join(self.text(shape.member, inner, usual_time) for inner in value)
        if shape.type_name == "timestamp":
            return str(self.time(shape, value, usual_time))
        if shape.type_name == "blob":
            return plain(value)
        return str(value).lower() if shape.type_name == "boolean" else str(value)

    def json(self, shape: Shape, value: Any) -> Any:
        kind = shape.type_name
        if kind == "structure" and not shape.is_document_type:
            made = {how.serialization.get("name", name): self.json(how, value[name]) if name in value else None
                    for name, how in shape.members.items()
                    if "location" not in how.serialization and (name in value or self.rng.random() < self.odd)}
            if self.rng.random() < self.odd and not shape.is_tagged_union:
                made["somethingNew"] = self.rng.choice((None, 7, ["x"], {"deep": [{}, 1.5]}))
            return made
        if kind == "list":
            return [self.json(shape.member, inner) for inner in value]
        if kind == "map":
            return {key: self.json(shape.value, inner) for key, inner in value.items()}
        return self.time(shape, value, "unixTimestamp") if kind == "timestamp" else value

    def element(self, parent: Element, name: str, shape: Shape, value: Any) -> None:
        kind, flat = shape.type_name, shape.serialization.get("flattened")
        node = parent if flat else SubElement(parent, name)
        if kind == "list":
            wire_name = shape.member.serialization.get("name", name if flat else "member")
            for inner in value:
                self.element(node, wire_name, shape.member, inner)
        elif kind == "map":
            for key, inner in value.items():
                entry = SubElement(node, name if flat else "entry")
                self.element(entry, shape.key.serialization.get("name", "key"), shape.key, key)
                self.element(entry, shape.value.serialization.get("name", "value"), shape.value, inner)
        elif kind == "structure":
            self.members(node, shape, value)
        else:
            node.text = self.text(shape, value, "iso8601")

    def members(self, node: Element, shape: Shape, value: Json) -> None:
        node.attrib |= namespace(shape.serialization.get("xmlNamespace"))
        for name, inner in value.items():
            how = shape.members[name].serialization
            if how.get("xmlAttribute"):
                node.set(how["name"], str(inner))
            elif how.get("location") not in ("header", "headers", "statusCode"):
                self.element(node, how.get("name", name), shape.members[name], inner)
        if self.rng.random() < self.odd and not shape.is_tagged_union:
            SubElement(SubElement(node, "SomethingNew", {"a": "b"}), "deep").text = "<1>"

    def xml_bytes(self, root: Element) -> bytes:
        if self.nice:
            indent(root)
        start = self.rng.choice(('<?xml version="1.0" encoding="UTF-8"?>\n', ""))
        return (start + tostring(root, "unicode", short_empty_elements=self.rng.random() < 0.5)).encode()

    def json_bytes(self, value: Any) -> bytes:
        ascii_only = self.rng.random() < 0.5
        return json.dumps(value, ensure_ascii=ascii_only, indent=2 if self.nice else None, default=plain).encode()


def namespace(of: str | Json | None) -> dict[str, str]:
    of = {"uri": of} if isinstance(of, str) else of or {}
    return {"xmlns:" + of["prefix"] if of.get("prefix") else "xmlns": of["uri"]} if of else {}


def root_of(operation: OperationModel, name: str) -> Element:
    usual = "http://s3.amazonaws.com/doc/2006-03-01/" if is_s3(operation) else None
    return Element(name, namespace(operation.metadata.get("xmlNamespace", usual)))


def headers_of(operation: OperationModel) -> dict[str, str]:
    kinds = {"json": f"application/x-amz-json-{operation.metadata.get('jsonVersion')}", "rest-json": "application/json"}
    return {"content-type": kinds.get(protocol_of(operation), "text/xml;charset=UTF-8"),
            "x-amz-request-id" if is_s3(operation) else "x-amzn-requestid": "7a62-49fa"}


def response(rng: random.Random, operation: OperationModel, value: Json) -> Json:
    """A response that says `value`."""
    encoder, shape, status = Encoder(rng), operation.output_shape, operation.http.get("responseCode", 200)
    headers, protocol = headers_of(operation), protocol_of(operation)
    for name, how in shape.members.items() if shape and protocol.startswith("rest") else ():
        place, wire_name = how.serialization.get("location"), how.serialization.get("name", name).lower()
        if place == "statusCode":
            status = rng.choice((200, 202))
        elif place == "headers":
            headers |= {wire_name + key: inner for key, inner in value.get(name, {}).items()}
        elif place == "header" and value.get(name, []) != []:
            headers[wire_name] = encoder.text(how, value[name], "rfc822")
    return {"status": status, "headers": headers, "body": body_of(encoder, operation, value)}


def body_of(encoder: Encoder, operation: OperationModel, value: Json) -> bytes:
    protocol, shape = protocol_of(operation), operation.output_shape
    if protocol in ("query", "ec2"):
        root = root_of(operation, f"{operation.name}Response")
        if shape:
            wrapper = shape.serialization.get("resultWrapper")
            encoder.members(SubElement(root, wrapper) if wrapper else root, shape, value)
        tags = ["requestId"] if protocol == "ec2" else ["ResponseMetadata", "RequestId"]
        functools.reduce(SubElement, tags, root).text = "7a62-49fa"
        return encoder.xml_bytes(root)
    if not shape:
        return encoder.rng.choice((b"", b"{}")) if protocol == "json" else b""
    if payload := shape.serialization.get("payload"):
        shape, value = shape.members[payload], value[payload]
    if shape.type_name == "string":
        return str(value).encode()
    if protocol != "rest-xml":
        return encoder.json_bytes(encoder.json(shape, value))
    if all("location" in how.serialization for how in shape.members.values()):
        return b""
    if operation.name == "GetBucketLocation":  # the one answer of S3 whose root is its only member
        root = root_of(operation, "LocationConstraint")
        root.text = value.get("LocationConstraint")
        return encoder.xml_bytes(root)
    root = root_of(operation, shape.serialization.get("name", shape.name))
    encoder.members(root, shape, value)
    return encoder.xml_bytes(root)


def parse(operation: OperationModel, made: Json) -> Json:
    raw = {"status_code": made["status"], "headers": HeadersDict(made["headers"]), "body": made["body"]}
    parsed = parsers.create_parser(protocol_of(operation)).parse(raw, operation.output_shape)
    if operation.name == "GetBucketLocation" and made["status"] < 300:
        handlers.parse_get_bucket_location(parsed, types.SimpleNamespace(raw=True, content=made["body"]))
    return parsed


def outputs(rng: random.Random, operation: OperationModel) -> Json:
    made = response(rng, operation, Maker(rng, False).value(operation.output_shape) if operation.output_shape else {})
    parsed = parse(operation, made)
    del parsed["ResponseMetadata"]
    return {"response": made, "parsed": parsed}


# -- errors -----------------------------------------------------------------------------------------------------------

def errors(rng: random.Random, operation: OperationModel) -> list[Json]:
    codes = [shape.error_code for shape in operation.error_shapes] + ["AccessDenied", "ThrottlingException"]
    code, words = rng.choice(codes), Maker(rng, False).text(Shape("Message", {"type": "string"}))
    forms, cases = json_errors if protocol_of(operation).endswith("json") else xml_errors, []
    for headers, body in forms(rng, operation, code, words):
        # Of a status from 500 on and no body botocore makes an error of its own.
        status = rng.choice((400, 403, 404, 409, 429, 500, 503)[:None if body else 5])
        made = {"status": status, "headers": headers_of(operation) | headers, "body": body}
        error = parse(operation, made)["Error"]
        cases.append({"response": made, "code": error["Code"], "message": error.get("Message") or ""})
    return cases


def json_errors(rng: random.Random, operation: OperationModel, code: str, words: str) -> list[tuple[Json, bytes]]:
    model, header, link = operation.service_model, "x-amzn-errortype", ":http://internal.amazon.com/coral/x/"
    full, message = f"com.amazonaws.{model.service_name}#{code}", {rng.choice(("message", "Message")): words}
    forms: list[tuple[Json, Json | None]] = [
        ({}, {"__type": code} | message), ({}, message | {"__type": full, "Type": "User"}), ({}, {"__type": code}),
        ({}, {"__type": full, "message": None})]
    if protocol_of(operation) == "rest-json":
        forms += [
            ({header: code}, message), ({header: code + link}, {"Type": "User"} | message), ({header: code}, None),
            ({header: full + link}, message), ({header: code}, {"__type": full} | message), ({}, {"code": code} | message)]
    if model.is_query_compatible:
        old = {"x-amzn-query-error": f"AWS.Old.{code};{rng.choice(('Sender', 'Receiver'))}"}
        forms += [(old, {"__type": full} | message), (old, {"__type": code})]
    return [(headers, b"" if body is None else Encoder(rng).json_bytes(body)) for headers, body in forms]


def xml_errors(rng: random.Random, operation: OperationModel, code: str, words: str) -> list[tuple[Json, bytes]]:
    made, kind = [], "s3" if is_s3(operation) else protocol_of(operation)
    tags = {"s3": ["Error"], "ec2": ["Response", "Errors", "Error"]}.get(kind, ["ErrorResponse", "Error"])
    for full in (True, True, False):
        root = Element(tags[0]) if kind == "s3" or rng.random() < 0.3 else root_of(operation, tags[0])
        node = functools.reduce(SubElement, tags[1:], root)
        inside = ({"Type": "Sender"} if kind in ("query", "rest-xml") else {}) | {"Code": code}
        inside |= {"Message": words, "Detail": " "} if full else {}
        inside |= {"BucketName": "b&b", "RequestId": "3F1A", "HostId": "aGk="} if kind == "s3" else {}
        for tag, text in inside.items():
            SubElement(node, tag).text = text
        if kind != "s3":
            SubElement(root, "RequestID" if kind == "ec2" else "RequestId").text = "7a62-49fa"
        made.append(({}, Encoder(rng).xml_bytes(root)))
    return made


# -- endpoints --------------------------------------------------------------------------------------------------------

REAL = [region for partition in PARTITIONS["partitions"] for region in partition["regions"]]
MAIN = "us-east-1 us-west-2 aws-global cn-north-1 us-gov-west-1 us-iso-east-1 eusc-de-east-1".split()
MADE_UP = ["bad region!", "", "a" * 64, *"""us-east-9 mx-moon-17 xx-nowhere-1 us-gov-new-1 cn-fake-9 us-iso-foo-1 local
    us-isob-foo-3 eu-isoe-foo-1 us-isof-foo-2 eusc-fr-north-2 fips-us-east-1 us-east-1-fips US-EAST-1 us_east_1 {Region}
    us-east-1.evil -us-east-1 us-east- us-üst-1 a.b.c s3-external-1 snow""".split()]
URLS = ["https://h.example/path with space/%41/ü", *"""https://example.com http://localhost:4566 https://10.0.0.1:8443/base
    http://[::1]:9000/a/b/ https://h? https://user:pw@host.example:1/x/../y//z HTTPS://Example.COM/Up https://h:99999 //h/p
    https://h/p?q=1 https://h/p#frag ftp://h/p example.com https://h: https://[::1 https:// https://[fe80::1%25eth0]/x
    https://1.2.3.4.5 https://beta-s3.example.com https://s3.us-west-2.amazonaws.com""".split()]
TEXTS = ["", "a", "-", "A", "a.b", "a b", "ü", "x" * 64, "arn:", "arn:aws:s3:::b", "{Bucket}", "a%20b", "a/b", "1.2.3.4"]
BUCKETS = """bucket-name bucket.with.dots Bucket-Upper under_score ab a..b abc. -abc 99a.b.c --x-s3 --xa-s3 --op-s3
    bucket--x-s3 UPPER--use1-az4--x-s3 buc.ket--use1-az4--x-s3""".split()
BUCKETS += [f"mybucket--{zone}--{end}-s3" for end in ("x", "xa") for zone in """
    use1-az4 usw2-az1 apne1-az12 test-ab1 usw2-lax1-az1 usw2-lax10-az10 eun1-az1-xyz x usgw1-az10-ab""".split()]
BUCKETS += [f"test-accessp-{kind}0b1d075431d83bebde8xz5w8ijx1qzlbp3i3{end}0--op-s3"
            for kind in "oooex" for end in ("kuse1", "kbeta", "ebeta", "kxxx1")]
GOOD = """accesspoint/myap accesspoint:mfzwi23gnjvgw.mrap outpost/op-01234567890123456/accesspoint/reports
    outpost:op-01234567890123456:accesspoint:reports""".split()
BAD = """accesspoint: accesspoint accesspoint/my_ap! accesspoint/my.ap accesspoint/a/b other/thing /x outpost outpost/
    outpost/op-0123 outpost/op-0/bucket/b outpost/bad_op!/accesspoint/x outpost/op-0/accesspoint/x/y""".split()


def arn(rng: random.Random) -> str:
    """An ARN, right or wrong in some part."""
    def part(usual: list[str], *odd: str) -> str:
        return rng.choice(usual if rng.random() < 0.85 else odd)

    return ":".join((
        "arn", part(["aws"], "aws-cn", "aws-us-gov", "nope", ""), part(["s3", "s3-outposts", "s3-object-lambda"], "", "sqs"),
        part(["us-west-2", "us-east-1"], "cn-north-1", "us-gov-west-1", "", "bad_region!", "fips-us-east-1", "a.b"),
        part(["123456789012"], "", "bad_account!", "a.b", "9" * 64), part(GOOD, *BAD)))


def parameters(rng: random.Random, rules: RuleSet) -> Json:
    """Few or many of the parameters of a rule set."""
    pools = {bool: [True, True, False], str: TEXTS, tuple: [(), ("a",), tuple(TEXTS)]}
    own = {"Region": rng.choice((REAL, MAIN, MAIN[:2], MAIN[:2], MADE_UP)), "Endpoint": URLS,
           "Bucket": rng.choice((BUCKETS[:2], BUCKETS, BUCKETS, [arn(rng)], [arn(rng)], TEXTS))}
    shares = {"Region": 0.98, "Bucket": 0.95, "Endpoint": rng.choice((0, 0, 0.5)), "UseFIPS": 0.2, "UseDualStack": 0.2}
    shares["UseGlobalEndpoint"], share = 0.3, rng.choice((0.03, 0.1, 0.4))
    return {name: 5 if rng.random() < 0.002 else rng.choice(own.get(name, pools[declared.parameter_type]))
            for name, declared in sorted(rules.parameters.items()) if rng.random() < shares.get(name, share)}


def signed(schemes: list[Json]) -> Json:
    """The scheme botocore signs with, and for what."""
    resolver = object.__new__(EndpointRulesetResolver)
    resolver._requested_auth_scheme = resolver._auth_scheme_preference = None
    try:
        name, context = resolver.auth_schemes_to_signing_ctx(schemes)
    except MissingDependencyException:  # only sigv4a, which botocore leaves to another package
        resolver._requested_auth_scheme = "v4a"
        name, context = resolver.auth_schemes_to_signing_ctx(schemes)
    return {"scheme": f"sig{name}", "signing_name": context.get("signing_name"), "signing_region": context.get("region"),
            "disable_double_encoding": context.get("disableDoubleEncoding", False)}


def endpoints(rng: random.Random, service: str) -> Json:
    params = parameters(rng, endpoint_provider(service).ruleset)
    case = {"service": service, "params": params}
    try:
        found = endpoint_provider(service).resolve_endpoint(**params)
    except EndpointResolutionError as error:
        text = error.kwargs["msg"]
        for start, kind in (("Cannot find value for required parameter ", "missing"), ("Value (", "mistyped")):
            if text.startswith(start):
                return case | {"error": kind, "text": text.removeprefix(start).split(")")[0]}
        if text.startswith("No endpoint found for "):
            return case | {"error": "no match", "text": ""}
        internal = text.startswith(("Both ", "Input must be", "Assignment "))
        return case | {"error": "malformed" if internal else "refused", "text": text}
    except Exception as error:  # a bug of botocore: there is nothing to compare with
        return case | {"error": "crash", "text": repr(error)}
    headers = [[name, value] for name, values in found.headers.items() for value in values]
    schemes = found.properties.get("authSchemes")
    return case | {"url": found.url, "headers": headers} | (signed(schemes) if schemes else {})


# -- commands ---------------------------------------------------------------------------------------------------------

def answer(command: Json) -> Json:
    """The answer to one command."""
    do, call, count = command["do"], command.get("call", ""), command.get("count", 1)
    rng = random.Random(f"{do} {call} {command['seed']}")
    if do == "endpoints":
        return {"cases": [endpoints(rng, rng.choice(command["services"])) for _ in range(count)]}
    service, name = call.split(":")
    operation = service_model(service).operation_model(name)
    if do == "errors":
        return {"cases": [case for _ in range(count) for case in errors(rng, operation)]}
    streams = operation.has_streaming_output or operation.has_event_stream_output
    count = 0 if do == "outputs" and streams else count
    return {"cases": [{"inputs": inputs, "outputs": outputs}[do](rng, operation) for _ in range(count)]}


def main() -> None:
    if sys.argv[1:] != ["serve"]:
        sys.exit(__doc__)
    print('{"ready": true}', flush=True)
    for line in sys.stdin:
        try:
            text = json.dumps(answer(json.loads(line)), default=plain)
        except Exception as error:  # whatever it is, the next line is to be answered too
            text = json.dumps({"error": f"{type(error).__name__}: {error}"})
        print(text, flush=True)


if __name__ == "__main__":
    main()
