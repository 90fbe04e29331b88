#!/usr/bin/env python3
"""Extracts the API descriptions of AWS, Google Cloud and Azure from published packages.

    extract.py           writes the files below ../data
    extract.py --check   compares them with what would be written; exits 1 if they differ

What is extracted is exactly what is called: the lines of calls.txt, and every `call:` in the
YAML files below ../../catalog/fixes. A call is written in one of three forms:

    s3:PutPublicAccessBlock                                  AWS     service:Operation
    PATCH Microsoft.Storage/storageAccounts@2025-08-01       Azure   METHOD Provider/type@version
    storage.buckets.patch                                    Google  discovery method id

Azure's collections are read with a method of our own: LIST Provider/type@version is a GET on the
path that ends with the type, without a name after it; its response is {"value": [item], "nextLink"}.

The packages are those of requirements.txt, in exactly those versions:

    python3 -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python extract.py
"""

import argparse
import ast
import collections.abc
import datetime
import decimal
import difflib
import enum
import importlib
import importlib.metadata
import json
import re
import sys
import types
import typing
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
FIXES = HERE.parent.parent / "catalog" / "fixes"
REQUIREMENTS = HERE / "requirements.txt"
CALLS = HERE / "calls.txt"


class Problem(Exception):
    """Something the person who runs this has to put right."""


# ---------------------------------------------------------------------------------------------
# What is called
# ---------------------------------------------------------------------------------------------

# `call: X`, as a line of its own or inside a flow map: `{ call: s3:GetX, with: ... }`.
CALL_IN_YAML = re.compile(r"""(?<![\w-])call:\s*["']?([^"'},]+)""")


def called():
    """Every call, with the places that name it: {call: [place, ...]}."""
    places = {}

    def note(call, path, number):
        if call:
            places.setdefault(call, []).append(f"{path.relative_to(HERE.parent.parent)}:{number}")

    for number, line in enumerate(CALLS.read_text("utf-8").splitlines(), 1):
        note(line.split("#")[0].strip(), CALLS, number)
    for path in sorted([*FIXES.rglob("*.yaml"), *FIXES.rglob("*.yml")]):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if line.lstrip().startswith("#"):
                continue
            for found in CALL_IN_YAML.findall(line):
                note(found.split(" #")[0].strip(), path, number)
    return places


AWS_CALL = re.compile(r"([a-z0-9-]+):([A-Za-z0-9]+)")
AZURE_CALL = re.compile(
    r"(GET|LIST|PUT|PATCH|POST|DELETE|HEAD) ([A-Za-z0-9.]+)((?:/[A-Za-z0-9.]+)+)@([0-9a-z-]+)"
)
GCP_CALL = re.compile(r"[a-z][A-Za-z0-9]*(?:\.[A-Za-z0-9-]+)+")


def sort_by_cloud(calls):
    """Splits the calls by their form. Returns aws, azure, gcp and what has no known form."""
    aws, azure, gcp, unknown = [], [], [], {}
    for call in sorted(calls):
        if AWS_CALL.fullmatch(call):
            aws.append(call)
        elif AZURE_CALL.fullmatch(call):
            azure.append(call)
        elif GCP_CALL.fullmatch(call):
            gcp.append(call)
        else:
            unknown[call] = (
                "is none of service:Operation, METHOD Provider/type@version and api.resource.method"
            )
    return aws, azure, gcp, unknown


def near(word, words):
    """The word most like this one, as the end of an error message."""
    # Spelling without regard to case first: that is the usual mistake.
    folded = {}
    for candidate in sorted(words):
        folded.setdefault(candidate.lower(), candidate)
    found = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.5)
    return f"; the nearest is {folded[found[0]]}" if found else ""


# ---------------------------------------------------------------------------------------------
# The packages
# ---------------------------------------------------------------------------------------------


def pins():
    """The versions requirements.txt asks for, after checking that they are what is installed."""
    wanted = {}
    for line in REQUIREMENTS.read_text("utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line:
            name, equal, version = line.partition("==")
            if not equal:
                raise Problem(
                    f"{REQUIREMENTS}: {line!r} is no exact version: write package==version"
                )
            wanted[name] = version
    wrong = []
    for name, version in wanted.items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            installed = "nothing"
        if installed != version:
            wrong.append(f"{name}: {version} is asked for, {installed} is installed")
    if wrong:
        raise Problem(
            "the installed packages are not those of the extracted files:\n  "
            + "\n  ".join(wrong)
            + f"\nInstall them: {sys.executable} -m pip install -r {REQUIREMENTS}"
        )
    return wanted


def package_text(package, name):
    """A text file such as LICENSE or NOTICE that a package ships, or None."""
    for path in importlib.metadata.files(package) or []:
        if path.name == name and ".dist-info" in str(path):
            return path.read_text("utf-8")
    return None


# ---------------------------------------------------------------------------------------------
# AWS: botocore's service models
# ---------------------------------------------------------------------------------------------

# Said for people, or for tools this project does not have. All else is kept as botocore has it.
AWS_DROPPED = {
    "deprecatedMessage",
    "deprecatedSince",
    "documentation",
    "documentationUrl",
    "endpointdiscovery",
    "endpointoperation",
    "examples",
    "smokeTests",
}

AWS_METADATA = [
    "apiVersion",
    "awsQueryCompatible",
    "endpointPrefix",
    "globalEndpoint",
    "jsonVersion",
    "serviceId",
    "signatureVersion",
    "signingName",
    "targetPrefix",
    "xmlNamespace",
]

# The protocols that are spoken, in the order of preference.
AWS_PROTOCOLS = ["json", "rest-json", "rest-xml", "query", "ec2"]


def without(dropped, value):
    """A copy of one description without some keys (not of a map whose keys are names)."""
    return {key: inner for key, inner in value.items() if key not in dropped}


def aws_references(shape):
    """The places in a shape that name another shape."""
    yield from shape.get("members", {}).values()
    for role in ("member", "key", "value"):
        if role in shape:
            yield shape[role]


def aws_shape(shape):
    shape = without(AWS_DROPPED, shape)
    if "members" in shape:
        shape["members"] = {
            name: without(AWS_DROPPED, member) for name, member in shape["members"].items()
        }
    for role in ("member", "key", "value"):
        if role in shape:
            shape[role] = without(AWS_DROPPED, shape[role])
    return shape


def aws_operation(operation):
    operation = without(AWS_DROPPED, operation)
    for role in ("input", "output"):
        if role in operation:
            operation[role] = without(AWS_DROPPED, operation[role])
    if "errors" in operation:
        operation["errors"] = sorted({error["shape"] for error in operation["errors"]})
    return operation


def aws_rules(rules):
    """The rules of an endpoint rule set, which nest, without their documentation."""
    cut = []
    for rule in rules:
        rule = without(AWS_DROPPED, rule)
        if "rules" in rule:
            rule["rules"] = aws_rules(rule["rules"])
        cut.append(rule)
    return cut


def extract_aws(calls, versions, unknown):
    """The files for these calls: {path below data: content}."""
    if not calls:
        return {}
    from botocore.loaders import Loader

    # Only what the package ships: not the models a person may have in ~/.aws.
    loader = Loader(
        extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False
    )
    known = loader.list_available_services("service-2")
    source = {"licence": "Apache-2.0", "package": "botocore", "version": versions["botocore"]}

    wanted = {}
    for call in calls:
        service, operation = call.split(":")
        if service not in known:
            unknown[call] = f"botocore has no service {service}{near(service, known)}"
        else:
            wanted.setdefault(service, {})[operation] = call

    files = {}
    for service, operations in wanted.items():
        model = loader.load_service_model(service, "service-2")
        kept = {}
        for name, call in operations.items():
            if name not in model["operations"]:
                unknown[call] = f"botocore's {service} has no operation {name}" + near(
                    name, model["operations"]
                )
            else:
                kept[name] = aws_operation(model["operations"][name])

        # Every shape that can be reached from the operations.
        shapes = {}
        waiting = []
        for operation in kept.values():
            waiting += [
                operation[role]["shape"] for role in ("input", "output") if role in operation
            ]
            waiting += operation.get("errors", [])
        while waiting:
            name = waiting.pop()
            if name not in shapes:
                shapes[name] = aws_shape(model["shapes"][name])
                waiting += [reference["shape"] for reference in aws_references(shapes[name])]

        metadata = {key: model["metadata"][key] for key in AWS_METADATA if key in model["metadata"]}
        offered = model["metadata"].get("protocols", [])
        metadata["protocol"] = next(
            (protocol for protocol in AWS_PROTOCOLS if protocol in offered),
            model["metadata"]["protocol"],
        )
        content = {"metadata": metadata, "operations": kept, "shapes": shapes, "source": source}
        if "clientContextParams" in model:
            content["clientContextParams"] = {
                name: without(AWS_DROPPED, parameter)
                for name, parameter in model["clientContextParams"].items()
            }
        files[f"aws/{service}.json"] = content

        rule_set = loader.load_service_model(service, "endpoint-rule-set-1")
        files[f"aws/endpoints/{service}.json"] = {
            "parameters": {
                name: without(AWS_DROPPED, parameter)
                for name, parameter in rule_set["parameters"].items()
            },
            "rules": aws_rules(rule_set["rules"]),
            "source": source,
            "version": rule_set["version"],
        }
    files["aws/partitions.json"] = {**loader.load_data("partitions"), "source": source}
    return files


# ---------------------------------------------------------------------------------------------
# Google Cloud: the discovery documents that google-api-python-client ships
# ---------------------------------------------------------------------------------------------

# The version taken of each API. An API that is not here is added here.
GCP_VERSIONS = {
    "accesscontextmanager": "v1",
    "aiplatform": "v1",
    "apikeys": "v2",
    "artifactregistry": "v1",
    "bigquery": "v2",
    "cloudasset": "v1",
    "cloudfunctions": "v2",
    "cloudkms": "v1",
    "cloudresourcemanager": "v3",
    "compute": "v1",
    "container": "v1",
    "dataproc": "v1",
    "dns": "v1",
    "iam": "v1",
    "logging": "v2",
    "monitoring": "v3",
    "orgpolicy": "v2",
    "pubsub": "v1",
    "redis": "v1",
    "run": "v2",
    "secretmanager": "v1",
    "securitycenter": "v1",
    "serviceusage": "v1",
    "spanner": "v1",
    "sqladmin": "v1",
    "storage": "v1",
}

# APIs whose method ids begin with something else than the API's name.
GCP_ALIASES = {"sql": "sqladmin"}

GCP_PARAMETER = ["enum", "format", "location", "pattern", "repeated", "required", "type"]
GCP_SCHEMA = ["$ref", "enum", "format", "readOnly", "type"]


def gcp_methods(document):
    """Every method of a discovery document, {id: method}: resources nest."""
    methods = {method["id"]: method for method in document.get("methods", {}).values()}
    for resource in document.get("resources", {}).values():
        methods.update(gcp_methods(resource))
    return methods


def gcp_output_only(schema):
    """Whether a value is only ever read. Compute often says so nowhere but in the description."""
    description = schema.get("description", "").lower()
    return description.startswith(("[output only]", "output only."))


def gcp_schema(schema, called_methods):
    """A schema without what is said for people."""
    cut = {key: schema[key] for key in GCP_SCHEMA if key in schema}
    if gcp_output_only(schema):
        cut["readOnly"] = True
    for key in ("items", "additionalProperties"):
        if key in schema:
            cut[key] = gcp_schema(schema[key], called_methods)
    if "properties" in schema:
        cut["properties"] = {
            name: gcp_schema(inner, called_methods) for name, inner in schema["properties"].items()
        }
        # A property names the methods that require it; what counts is those that are called.
        required = [
            name
            for name, inner in sorted(schema["properties"].items())
            if called_methods & set(inner.get("annotations", {}).get("required", []))
        ]
        if required:
            cut["required"] = required
    return cut


def references(schema):
    """The names of the schemas a schema refers to, however deep."""
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for inner in schema.values():
            yield from references(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from references(inner)


def reachable(names, schema_of):
    """The schemas of these names and of all they refer to: {name: schema}."""
    schemas = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in schemas:
            schemas[name] = schema_of(name)
            waiting += references(schemas[name])
    return schemas


def gcp_method(method):
    kept = {
        key: method[key]
        # apiVersion goes into the header X-Goog-Api-Version.
        for key in ("apiVersion", "flatPath", "httpMethod", "parameterOrder", "path", "scopes")
        if key in method
    }
    kept["parameters"] = {
        name: {key: parameter[key] for key in GCP_PARAMETER if key in parameter}
        for name, parameter in method.get("parameters", {}).items()
    }
    for role in ("request", "response"):
        kept[role] = method[role]["$ref"] if role in method else None
    return kept


def extract_gcp(calls, versions, unknown):
    """The files for these calls: {path below data: content}."""
    if not calls:
        return {}
    import googleapiclient

    documents = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    package = "google-api-python-client"

    wanted = {}
    for call in calls:
        first = call.split(".")[0]
        api = GCP_ALIASES.get(first, first)
        if api not in GCP_VERSIONS:
            unknown[call] = (
                f"no version of the API {api} is chosen: add it to GCP_VERSIONS in extract.py"
                + near(api, GCP_VERSIONS)
            )
        else:
            wanted.setdefault(api, []).append(call)

    files = {}
    for api, api_calls in wanted.items():
        path = documents / f"{api}.{GCP_VERSIONS[api]}.json"
        if not path.is_file():
            raise Problem(
                f"{package} has no {path.name}: choose a version in GCP_VERSIONS in extract.py"
            )
        document = json.loads(path.read_text("utf-8"))
        known = gcp_methods(document)
        methods = {}
        for call in api_calls:
            if call in known:
                methods[call] = gcp_method(known[call])
            else:
                unknown[call] = f"{path.name} has no such method{near(call, known)}"

        described = {
            name: gcp_schema(schema, set(methods)) for name, schema in document["schemas"].items()
        }
        bodies = {method[role] for method in methods.values() for role in ("request", "response")}
        schemas = reachable(bodies - {None}, described.get)
        files[f"gcp/{api}.json"] = {
            "methods": methods,
            "name": document["name"],
            "rootUrl": document["rootUrl"],
            "schemas": schemas,
            "servicePath": document["servicePath"],
            "source": {
                "licence": "Apache-2.0",
                "package": package,
                "revision": document["revision"],
                "version": versions[package],
            },
            "version": document["version"],
        }
    return files


# ---------------------------------------------------------------------------------------------
# Azure: the azure-mgmt packages. Their operations are read as source text (methods, paths and
# versions stand nowhere else), their models are imported and looked at.
# ---------------------------------------------------------------------------------------------

# The package that describes each resource provider. A provider that is not here is added here
# and its package to requirements.txt.
AZURE_PACKAGES = {
    "Microsoft.Authorization": "azure-mgmt-resource",
    "Microsoft.Compute": "azure-mgmt-compute",
    "Microsoft.Insights": "azure-mgmt-monitor",
    "Microsoft.KeyVault": "azure-mgmt-keyvault",
    "Microsoft.Network": "azure-mgmt-network",
    "Microsoft.ResourceGraph": "azure-mgmt-resourcegraph",
    "Microsoft.Security": "azure-mgmt-security",
    "Microsoft.Sql": "azure-mgmt-sql",
    "Microsoft.Storage": "azure-mgmt-storage",
    "Microsoft.Web": "azure-mgmt-web",
}

# Types whose members have fixed names, each with a description of its own: which one a call means
# first. The others are listed as its "alternatives".
AZURE_FIXED_NAMES = {
    "microsoft.web/sites/basicpublishingcredentialspolicies": "ftp",
    "microsoft.web/sites/config": "web",
    "microsoft.web/sites/slots/basicpublishingcredentialspolicies": "ftp",
    "microsoft.web/sites/slots/config": "web",
}


class AzureOperation:
    """One build_..._request function: what the request looks like, without its bodies."""

    def __init__(self, function, source):
        self.function, self.source = function, source
        self.method = self.path = self.version = None
        self.if_match = False
        self.query = {}
        required = required_arguments(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                self.read_call(node)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if is_entry(target, "_headers", "If-Match"):
                    self.if_match = True
                elif isinstance(target, ast.Name) and target.id == "_url" and self.path is None:
                    self.path = first_path(node.value)
                elif is_entry(target, "_params") and isinstance(node.value, ast.Call):
                    # _params["expand"] = _SERIALIZER.query("expand", expand, "str")
                    name = target.slice.value
                    argument, kind = node.value.args[1:3]
                    if name != "api-version":
                        self.query[name] = msrest_type(kind.value, None)
                        if isinstance(argument, ast.Name) and argument.id in required:
                            self.query[name]["required"] = True

    def read_call(self, node):
        name = ast.unparse(node.func)
        if name == "HttpRequest":
            self.method = next(word.value.value for word in node.keywords if word.arg == "method")
        elif name == "_params.pop" and node.args[0].value == "api-version":
            self.version = node.args[1].value

    def call(self):
        """The call as calls.txt writes it, or None if this is no call on a resource.

        After the last /providers/ types and names take turns: sites/{name}/config/web.
        """
        if not (self.method and self.path and self.version) or "/providers/" not in self.path:
            return None
        provider, *segments = self.path.split("/providers/")[-1].strip("/").split("/")
        kinds = segments[0::2]
        if not kinds or any("{" in kind for kind in [provider, *kinds]):
            return None
        return f"{self.method} {provider}/{'/'.join(kinds)}@{self.version}"

    def has_name(self):
        """Whether the path ends with a name: it is one resource, no collection and no action."""
        segments = self.path.split("/providers/")[-1].strip("/").split("/")[1:]
        return len(segments) % 2 == 0

    def fixed_name(self):
        last = self.path.rsplit("/", 1)[-1]
        return None if "{" in last or not self.has_name() else last

    def scope(self):
        """Where the resource is: most are in a resource group, some extend any other resource."""
        if self.path.startswith("/subscriptions/{subscriptionId}/resourceGroups/"):
            return 0
        if self.path.startswith("/{"):
            return 1
        return 2 if self.path.startswith("/subscriptions/") else 3


def is_entry(target, container, key=None):
    """Whether an assignment's target is container["key"] (or any key)."""
    return (
        isinstance(target, ast.Subscript)
        and isinstance(target.value, ast.Name)
        and target.value.id == container
        and isinstance(target.slice, ast.Constant)
        and key in (None, target.slice.value)
    )


def first_path(value):
    """The path in `"/subscriptions/..."` or `kwargs.pop("template_url", "/subscriptions/...")`."""
    for node in ast.walk(value):
        if isinstance(node, ast.Constant) and str(node.value).startswith("/"):
            return node.value
    return None


def required_arguments(function):
    """The names of a function's arguments that have no default."""
    arguments = function.args
    positional = arguments.args[: len(arguments.args) - len(arguments.defaults)]
    named = [
        argument
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    return {argument.arg for argument in [*positional, *named]}


class AzureSource:
    """One module of operations: its request builders and the classes that use them."""

    def __init__(self, path, site):
        self.text = path.read_text("utf-8")
        self.lines = self.text.splitlines()
        self.tree = ast.parse(self.text)
        # azure.mgmt.monitor.v2021_05_01_preview.operations._x -> ....v2021_05_01_preview.models
        package = path.relative_to(site).parts[:-2]
        self.models_name = ".".join([*package, "models"])
        # A package with several versions at once has models of the same names in each of them.
        version = re.fullmatch(r"v(\d{4})_(\d\d)_(\d\d)(_\w+)?", package[-1])
        self.suffix = "@" + package[-1][1:].replace("_", "-") if version else ""
        self.operations = [
            AzureOperation(node, self)
            for node in self.tree.body
            if isinstance(node, ast.FunctionDef)
            and node.name.startswith("build_")
            and node.name.endswith("_request")
        ]

    def methods(self):
        """The methods of the operation classes, each with its class, without the overloads."""
        for group in self.tree.body:
            if isinstance(group, ast.ClassDef):
                for node in group.body:
                    if isinstance(node, ast.FunctionDef) and not any(
                        ast.unparse(decorator) == "overload" for decorator in node.decorator_list
                    ):
                        yield group, node

    def user(self, operation):
        """The method that sends an operation's request, and the method that people call."""
        for group, method in self.methods():
            text = "\n".join(self.lines[method.lineno - 1 : method.end_lineno])
            if re.search(rf"\b{operation.function.name}\(", text):
                public = method
                started = re.fullmatch(r"_(\w+)_initial", method.name)
                if started:
                    public = next(
                        other
                        for other_group, other in self.methods()
                        if other_group is group and other.name == f"begin_{started[1]}"
                    )
                return method, public
        raise Problem(f"{self.models_name}: nothing uses {operation.function.name}")


def azure_index(package):
    """Every operation of a package: {call in lower case: [operation, ...]}.

    A GET whose path ends with a type is a LIST, too.
    """
    site = Path(importlib.metadata.distribution(package).locate_file(""))
    root = site.joinpath(*package.split("-"))
    index = {}
    for path in sorted(root.rglob("operations/*.py")):
        if "aio" not in path.relative_to(root).parts:
            for operation in AzureSource(path, site).operations:
                call = operation.call()
                if call:
                    index.setdefault(call.lower(), []).append(operation)
                if call and operation.method == "GET" and not operation.has_name():
                    listing = call.replace("GET ", "LIST ", 1).lower()
                    index.setdefault(listing, []).append(operation)
    return index


def model_name(annotation):
    """The X of an annotation: _models.X, LROPoller[_models.X], Union[_models.X, IO[bytes]]."""
    for node in ast.walk(annotation):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "_models"
        ):
            return node.attr
        # "_models.X", a name in quotes
        if isinstance(node, ast.Constant) and str(node.value).startswith("_models."):
            return node.value.removeprefix("_models.")
    return None


def azure_request(method):
    """The name of the model in a method's request body, or None if it sends none."""
    for node in ast.walk(method):
        if not isinstance(node, ast.Call):
            continue
        # json.dumps(parameters, cls=SdkJSONEncoder, ...), or before: self._serialize.body(...)
        if ast.unparse(node.func) in ("json.dumps", "self._serialize.body"):
            sent = node.args[0].id
            arguments = [*method.args.args, *method.args.kwonlyargs]
            name = next(model_name(each.annotation) for each in arguments if each.arg == sent)
            if name is None:
                raise Problem(
                    f"{method.name}: its body {sent} is no model, which is not understood"
                )
            return name
    return None


def azure_response(public):
    """The name of the model in a response, or None if there is none."""
    said = ast.unparse(public.returns)
    name = model_name(public.returns)
    if re.match(r"(ItemPaged|Iterable|list|List|dict|Dict)\[", said) or (
        name is None and said not in ("None", "bool", "LROPoller[None]", "Iterator[bytes]")
    ):
        raise Problem(f"{public.name}: its response {said} is no model, which is not understood")
    return name


def azure_item(public):
    """The name of the model of a collection's items."""
    said = ast.unparse(public.returns)
    name = model_name(public.returns)
    if name is None or not re.match(r"(ItemPaged|Iterable)\[", said):
        raise Problem(f"{public.name}: its response {said} is no collection of a model")
    return name


# What the types of msrest's attribute maps are on the wire.
MSREST_TYPES = {
    "base64": {"type": "string", "format": "base64url"},
    "bool": {"type": "boolean"},
    "bytearray": {"type": "string", "format": "byte"},
    "date": {"type": "string", "format": "date"},
    "decimal": {"type": "number"},
    "duration": {"type": "string", "format": "duration"},
    "float": {"type": "number"},
    "int": {"type": "integer"},
    "iso-8601": {"type": "string", "format": "date-time"},
    "long": {"type": "integer"},
    "object": {"type": "any"},
    "rfc-1123": {"type": "string", "format": "http-date"},
    "str": {"type": "string"},
    "time": {"type": "string", "format": "time"},
    "unix-time": {"type": "integer", "format": "unix-time"},
}

# The same for Python's types, and for the format of a field where it has one.
PYTHON_TYPES = {
    bool: {"type": "boolean"},
    bytes: {"type": "string", "format": "byte"},
    datetime.date: {"type": "string", "format": "date"},
    datetime.datetime: {"type": "string", "format": "date-time"},
    datetime.time: {"type": "string", "format": "time"},
    datetime.timedelta: {"type": "string", "format": "duration"},
    decimal.Decimal: {"type": "number"},
    float: {"type": "number"},
    int: {"type": "integer"},
    object: {"type": "any"},
    str: {"type": "string"},
    typing.Any: {"type": "any"},
}
FIELD_FORMATS = {
    "base64": {"type": "string", "format": "byte"},
    "base64url": {"type": "string", "format": "base64url"},
    "rfc3339": {"type": "string", "format": "date-time"},
    "rfc7231": {"type": "string", "format": "http-date"},
    "unix-timestamp": {"type": "integer", "format": "unix-time"},
}


def msrest_type(kind, named):
    """The schema of a type such as str, [str], {SubResource}. named(X) is the schema of a model."""
    if kind[0] == "[":
        return {"type": "array", "items": msrest_type(kind[1:-1], named)}
    if kind[0] == "{":
        return {"type": "object", "additionalProperties": msrest_type(kind[1:-1], named)}
    return dict(MSREST_TYPES[kind]) if kind in MSREST_TYPES else named(kind)


def is_enum(hint):
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


class AzureSchemas:
    """The schemas of the models that are asked for and of all they refer to."""

    def __init__(self):
        self.schemas = {}
        self.waiting = []
        self.bodies = set()

    def body(self, models_name, model, suffix):
        """The name of the schema of a request's or response's body; None if there is no body."""
        if model is None:
            return None
        name = self.name(getattr(importlib.import_module(models_name), model), suffix)
        self.bodies.add(name)
        return name

    def listing(self, models_name, model, suffix):
        """The name of the schema of a collection of models, as ARM answers it."""
        item = self.name(getattr(importlib.import_module(models_name), model), suffix)
        name = f"list of {item}"
        self.schemas[name] = {
            "type": "object",
            "properties": {
                "nextLink": {"type": "string"},
                "value": {"type": "array", "items": {"$ref": item}},
            },
        }
        self.bodies.add(name)
        return name

    def name(self, model, suffix):
        """The name of a model's schema, which is thereby asked for."""
        name = model.__name__ + suffix
        self.waiting.append((name, model, suffix))
        return name

    def finish(self):
        while self.waiting:
            name, model, suffix = self.waiting.pop()
            if name not in self.schemas:
                self.schemas[name] = self.model(model, suffix)
        # Where subtypes disagree, what they refer to is not referred to any more.
        return reachable(self.bodies, self.schemas.get)

    def model(self, model, suffix):
        if hasattr(model, "_attribute_map"):
            schema, subtypes = self.msrest_model(model, suffix)
        else:
            schema, subtypes = self.field_model(model, suffix)
        # A model with subtypes has the properties of all of them; which of them a value may
        # really have is said by the property that tells the subtypes apart.
        for subtype in sorted(subtypes, key=lambda each: each.__name__):
            inner = self.model(subtype, suffix)
            for name, said in inner.get("properties", {}).items():
                schema["properties"][name] = merged(schema["properties"].get(name, said), said)
        return schema

    # Models with rest_field() and rest_discriminator()

    def field_model(self, model, suffix):
        module = sys.modules[model.__module__.rsplit(".", 1)[0]]
        hints = typing.get_type_hints(model, localns={"_models": module})
        properties, required = {}, []
        for base in reversed(model.__mro__):
            for attribute, field in vars(base).items():
                if type(field).__name__ != "_RestField":
                    continue
                name = field._rest_name_input or attribute
                schema = self.hinted(hints[attribute], suffix)
                if field._format:
                    innermost(schema).update(FIELD_FORMATS[field._format])
                if field._visibility == ["read"]:
                    schema["readOnly"] = True
                elif type(None) not in typing.get_args(hints[attribute]):
                    required.append(name)
                properties[name] = schema
        schema = {"type": "object"}
        subtypes = vars(model).get("__mapping__", {}).values()
        if properties or subtypes:
            schema["properties"] = properties
        if required:
            schema["required"] = sorted(set(required))
        return schema, set(subtypes)

    def hinted(self, hint, suffix):
        """The schema of a type as Python writes it."""
        origin, inside = typing.get_origin(hint), typing.get_args(hint)
        if hint in PYTHON_TYPES:
            return dict(PYTHON_TYPES[hint])
        if is_enum(hint):
            return enum_schema(hint, False)
        if origin in (typing.Union, types.UnionType):
            kinds = [kind for kind in inside if kind is not type(None)]
            if len(kinds) == 1:
                return self.hinted(kinds[0], suffix)
            enums = [kind for kind in kinds if is_enum(kind)]
            if len(enums) == 1:
                # Union[str, Enum]: the known values, to which the cloud may add.
                return enum_schema(enums[0], True)
            return {"type": "any"}
        if origin is typing.Literal:
            values = [value.value if isinstance(value, enum.Enum) else value for value in inside]
            return {**PYTHON_TYPES[type(values[0])], "enum": values}
        if origin in (list, collections.abc.Sequence):
            return {"type": "array", "items": self.hinted(inside[0], suffix)}
        if origin in (dict, collections.abc.Mapping, collections.abc.MutableMapping):
            return {"type": "object", "additionalProperties": self.hinted(inside[1], suffix)}
        if isinstance(hint, type):
            return {"$ref": self.name(hint, suffix)}
        raise Problem(f"a model has the type {hint}, which is not understood")

    # Models with _attribute_map

    def msrest_model(self, model, suffix):
        module = sys.modules[model.__module__.rsplit(".", 1)[0]]

        def named(kind):
            found = getattr(module, kind)
            return (
                enum_schema(found, True) if is_enum(found) else {"$ref": self.name(found, suffix)}
            )

        # Only the constructors say which strings are of an enum.
        hints = {}
        for base in reversed(model.__mro__):
            if "__init__" in vars(base) and hasattr(base, "_attribute_map"):
                hints.update(typing.get_type_hints(base.__init__, localns={"_models": module}))

        schema = {"type": "object", "properties": {}}
        for attribute, said in model._attribute_map.items():
            inner = msrest_type(said["type"], named)
            put_enum(inner, hints.get(attribute))
            rules = model._validation.get(attribute, {})
            if said["key"] == "":
                # The attribute that takes whatever has no name of its own.
                schema["additionalProperties"] = inner["additionalProperties"]
                continue
            if rules.get("readonly"):
                inner["readOnly"] = True
            # "properties.logs" is a property within a property; "odata\.type" is one name.
            *outer, name = [
                part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", said["key"])
            ]
            place = schema
            for part in outer:
                place = place["properties"].setdefault(part, {"type": "object", "properties": {}})
            place["properties"][name] = inner
            if rules.get("required") and not rules.get("readonly"):
                place["required"] = sorted({*place.get("required", []), name})
        subtypes = set()
        for attribute, names in vars(model).get("_subtype_map", {}).items():
            # The property that tells the subtypes apart.
            key = model._attribute_map[attribute]["key"].replace("\\.", ".")
            schema["properties"][key].update(enum=sorted(names), open=True)
            subtypes |= {getattr(module, subtype) for subtype in names.values()}
        return schema, subtypes


def enum_schema(kind, is_open):
    values = [member.value for member in kind]
    schema = {**PYTHON_TYPES[type(values[0])], "enum": values}
    return {**schema, "open": True} if is_open else schema


def put_enum(schema, hint):
    """Adds the values of an enum that a hint mentions to the value it is about."""
    for inner in typing.get_args(hint):
        put_enum(schema, inner)
    if is_enum(hint):
        innermost(schema).update(enum_schema(hint, True))


def innermost(schema):
    """What an array of arrays of ..., or a map of ..., is of in the end."""
    while True:
        inner = schema.get("items", schema.get("additionalProperties"))
        if inner is None:
            return schema
        schema = inner


def merged(one, other):
    """One property as two subtypes describe it."""
    if one == other:
        return one
    if "enum" in one and "enum" in other:
        # As a rule the property that tells the subtypes apart: each says its own value.
        both = [*one["enum"], *(value for value in other["enum"] if value not in one["enum"])]
        return {**one, **other, "enum": both}
    if ("enum" in one or "enum" in other) and one.get("type") == other.get("type"):
        # The base says "a string", a subtype says which.
        return {**one, **other}
    return {"type": "any"}


def choose(operations, wanted):
    """The operation a call means, and others of the same type with other fixed names."""
    # A collection has the same type as its members: what is meant is the member, if there is one.
    members = [each for each in operations if each.has_name()] or operations
    scope = min(each.scope() for each in members)
    paths = {each.path: each for each in members if each.scope() == scope}
    if len(paths) == 1:
        return next(iter(paths.values())), []
    preferred = AZURE_FIXED_NAMES.get(wanted)
    first = [
        each
        for each in paths.values()
        if (each.fixed_name() == preferred if preferred else each.fixed_name() is None)
    ]
    if len(first) != 1:
        raise Problem(
            f"it means one of {', '.join(sorted(paths))}: choose in AZURE_FIXED_NAMES in extract.py"
        )
    others = [paths[path] for path in sorted(paths) if paths[path] is not first[0]]
    return first[0], others


def azure_listing(operation, schemas):
    """What a file says about the reading of a collection."""
    source = operation.source
    _, public = source.user(operation)
    return {
        "ifMatch": False,
        "list": True,
        "longRunning": False,
        "method": operation.method,
        "path": operation.path,
        "query": operation.query,
        "request": None,
        "response": schemas.listing(source.models_name, azure_item(public), source.suffix),
    }


def azure_description(operation, schemas):
    """What a file says about one call."""
    source = operation.source
    method, public = source.user(operation)
    return {
        "ifMatch": operation.if_match,
        "longRunning": method is not public,
        "path": operation.path,
        "query": operation.query,
        "request": schemas.body(source.models_name, azure_request(method), source.suffix),
        "response": schemas.body(source.models_name, azure_response(public), source.suffix),
    }


def extract_azure(calls, versions, unknown):
    """The files for these calls: {path below data: content}."""
    packages = {name.lower(): package for name, package in AZURE_PACKAGES.items()}
    wanted = {}
    for call in calls:
        provider = AZURE_CALL.fullmatch(call)[2]
        if provider.lower() not in packages:
            unknown[call] = (
                f"no package for {provider} is chosen: add it to AZURE_PACKAGES in extract.py"
                + near(provider, AZURE_PACKAGES)
            )
        else:
            wanted.setdefault(provider.lower(), []).append(call)

    files = {}
    for provider, provider_calls in wanted.items():
        package = packages[provider]
        index = azure_index(package)
        known = [operations[0].call() for operations in index.values()]
        schemas = AzureSchemas()
        described = {}
        for call in provider_calls:
            if call.lower() not in index:
                unknown[call] = f"{package} has no such operation{near(call, known)}"
                continue
            wanted_type = call.lower().split(" ")[1].split("@")[0]
            try:
                if call.startswith("LIST "):
                    # Where there are several scopes, their items are the same.
                    first = min(index[call.lower()], key=lambda each: each.scope())
                    described[call] = azure_listing(first, schemas)
                    continue
                first, others = choose(index[call.lower()], wanted_type)
                described[call] = azure_description(first, schemas)
                if others:
                    described[call]["alternatives"] = [
                        azure_description(other, schemas) for other in others
                    ]
            except Problem as problem:
                unknown[call] = f"{package}: {problem}"
        files[f"azure/{provider}.json"] = {
            "calls": described,
            "schemas": schemas.finish(),
            "source": {"licence": "MIT", "package": package, "version": versions[package]},
        }
    return files


# ---------------------------------------------------------------------------------------------
# Where all this is from
# ---------------------------------------------------------------------------------------------


def notice(contents):
    """NOTICE.md: the origin and the licence of every file."""
    origins = {}
    for path in sorted(contents):
        source = contents[path]["source"]
        origin = source["package"], source["version"], source["licence"]
        origins.setdefault(origin, []).append(path)
    lines = [
        "# Where these files are from",
        "",
        "Each file is extracted from a published package by `../extract/extract.py`: the parts",
        "that are called, without their documentation. Nothing here is edited by hand.",
        "",
        "| Package | Version | Licence | Files |",
        "| --- | --- | --- | --- |",
    ]
    for (package, version, licence), paths in sorted(origins.items()):
        shown = ", ".join(f"`{path}`" for path in paths)
        lines.append(f"| {package} | {version} | {licence} | {shown} |")

    packages = sorted({package for package, _, _ in origins})
    if "botocore" in packages:
        lines += [
            "",
            "## botocore",
            "",
            "Licensed under the Apache License, Version 2.0",
            "(<https://www.apache.org/licenses/LICENSE-2.0>). Its NOTICE file:",
            "",
            "```text",
            *package_text("botocore", "NOTICE").rstrip().splitlines(),
            "```",
        ]
    if "google-api-python-client" in packages:
        lines += [
            "",
            "## google-api-python-client",
            "",
            "Licensed under the Apache License, Version 2.0",
            "(<https://www.apache.org/licenses/LICENSE-2.0>). It has no NOTICE file. The extracted",
            "files are Google's API discovery documents.",
        ]
    # The Azure packages share one licence; should one ever differ, it is shown too.
    licences = {}
    for package in packages:
        if package.startswith("azure-"):
            licences.setdefault(package_text(package, "LICENSE").rstrip(), []).append(package)
    for text, names in licences.items():
        lines += ["", f"## {', '.join(names)}", "", "```text", *text.splitlines(), "```"]
    return "\n".join(lines) + "\n"


# ---------------------------------------------------------------------------------------------
# The files
# ---------------------------------------------------------------------------------------------


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def text_of(content):
    """A file's text: sorted, and each entry of a top-level map or list on a line of its own."""
    parts = []
    for key in sorted(content):
        value = content[key]
        if key not in ("metadata", "source") and value and isinstance(value, (dict, list)):
            if isinstance(value, dict):
                lines = [f"{compact(name)}:{compact(value[name])}" for name in sorted(value)]
                start, end = "{", "}"
            else:
                lines = [compact(inner) for inner in value]
                start, end = "[", "]"
            parts.append(f"{compact(key)}:{start}\n" + ",\n".join(lines) + f"\n{end}")
        else:
            parts.append(f"{compact(key)}:{compact(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def extract():
    """The text of every file: {path below data: text}."""
    versions = pins()
    places = called()
    aws, azure, gcp, unknown = sort_by_cloud(places)
    contents = {}
    contents.update(extract_aws(aws, versions, unknown))
    contents.update(extract_gcp(gcp, versions, unknown))
    contents.update(extract_azure(azure, versions, unknown))
    if unknown:
        raise Problem(
            "these calls are not known:\n"
            + "\n".join(
                f"  {call} ({', '.join(places[call])}): {why}"
                for call, why in sorted(unknown.items())
            )
            + "\nCorrect each call where it is named, or take a package version that has it."
        )
    files = {path: text_of(content) for path, content in contents.items()}
    files["NOTICE.md"] = notice(contents)
    return files


def committed():
    """The text of every file that is there now."""
    return {
        str(path.relative_to(DATA)): path.read_text("utf-8")
        for path in sorted(DATA.rglob("*"))
        if path.is_file()
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    arguments = parser.parse_args()
    try:
        new = extract()
    except Problem as problem:
        print(f"extract.py: {problem}", file=sys.stderr)
        return 1
    old = committed()

    if arguments.check:
        wrong = []
        for path in sorted(new.keys() | old.keys()):
            if path not in old:
                wrong.append(f"{DATA / path}: is missing")
            elif path not in new:
                wrong.append(f"{DATA / path}: should not be there")
            elif new[path] != old[path]:
                wrong.append(f"{DATA / path}: differs from what the packages say")
        for line in wrong:
            print(line)
        if wrong:
            print(f"Run {Path(__file__).name} and commit what it writes.")
        return 1 if wrong else 0

    for path, text in new.items():
        (DATA / path).parent.mkdir(parents=True, exist_ok=True)
        if old.get(path) != text:
            (DATA / path).write_text(text, "utf-8")
    for path in sorted(old.keys() - new.keys()):
        (DATA / path).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
