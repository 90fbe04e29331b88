"""What the azure-mgmt packages say of the requests that azure_fake.py serves, and of their bodies."""

import enum
import functools
import importlib
import inspect
import json
import re
import sys
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator
from urllib.parse import parse_qsl, urlsplit

from azure.core import MatchConditions
from azure.core.pipeline.policies import SansIOHTTPPolicy
from azure.core.pipeline.transport import RequestsTransport

# The operations that are served: provider: (package, group of operations, methods).
SERVED = {
    "microsoft.compute": [("compute", "virtual_machines", "get list list_all update")],
    "microsoft.insights": [
        (f"monitor.v{version}_05_01_preview", "diagnostic_settings", "get list create_or_update delete")
        for version in (2017, 2021)],
    "microsoft.keyvault": [("keyvault", "vaults", "get list_by_resource_group list_by_subscription")],
    "microsoft.network": [
        ("network", "network_interfaces", "get list list_all"),
        ("network", "network_security_groups", "get list list_all"),
        ("network", "public_ip_addresses", "get list list_all"),
        ("network", "security_rules", "get list create_or_update delete"),
        ("network", "subnets", "get list"),
        ("network", "virtual_networks", "get list list_all")],
    "microsoft.security": [
        ("security", "governance_assignments", "get list create_or_update"),
        ("security", "jit_network_access_policies",
         "get list list_by_region list_by_resource_group list_by_resource_group_and_region")],
    "microsoft.sql": [
        ("sql", "databases", "get list_by_server"),
        ("sql", "extended_server_blob_auditing_policies", "get list_by_server create_or_update"),
        ("sql", "servers", "get list list_by_resource_group"),
        ("sql", "server_blob_auditing_policies", "get list_by_server create_or_update")],
    "microsoft.storage": [("storage", "storage_accounts", "get_properties list list_by_resource_group update")],
    "microsoft.web": [
        ("web", "web_apps",
         "get list list_by_resource_group update get_configuration update_configuration list_configurations")],
}
# Collections of what holds for a scope and all below it, and their versions. They are only ever listed.
LISTS = {
    "microsoft.authorization/locks": {"2015-01-01", "2016-09-01", "2020-05-01"},
    "microsoft.authorization/policyexemptions": {
        "2020-07-01-preview", "2022-07-01-preview", "2024-12-01-preview", "2026-01-01-preview"},
    "microsoft.security/standardassignments": {"2024-08-01"},
}
READS, CREATES, UPDATES = "read", "create", "update"
ALWAYS = frozenset({READS, CREATES, UPDATES})
JSON_TYPES = {bool: bool, int: int, float: (int, float), dict: dict, list: list}


# Models
@dataclass(frozen=True)
class Member:
    """A member of a model: its type, whether it is required, and in which uses it may be."""
    kind: Any
    required: bool
    uses: frozenset[str]


def is_model(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "as_dict")


@functools.cache
def members(model: Any) -> dict[str, Member]:
    """The members of a model, by their names on the wire. There are models of two makes."""
    module = importlib.import_module(model.__module__.rpartition(".")[0])
    found: dict[str, Member] = {}
    if hasattr(model, "_attribute_map"):
        for attribute, said in model._attribute_map.items():
            rules, place = model._validation.get(attribute, {}), found
            *outer, name = said["key"].split(".")
            for part in outer:  # "properties.logs" is a member within a member
                place = place.setdefault(part, Member({}, False, ALWAYS)).kind
            uses = frozenset({READS}) if rules.get("readonly") else ALWAYS
            place[name] = Member(named_type(said["type"], module), bool(rules.get("required")), uses)
    else:
        model({})  # makes the class fill in what is asked next
        hints = typing.get_type_hints(model, localns={"_models": module})
        for attribute, rest in model._attr_to_rest_field.items():
            required = type(None) not in typing.get_args(hints[attribute])
            found[rest._rest_name] = Member(hints[attribute], required, frozenset(rest._visibility or ALWAYS))
    return found


def named_type(name: str, module: types.ModuleType) -> Any:
    """The type that is written str, [str], {str} or LogSettings."""
    if name[0] == "[":
        return list[named_type(name[1:-1], module)]
    if name[0] == "{":
        return dict[str, named_type(name[1:-1], module)]
    simple = {"bool": bool, "float": float, "int": int, "long": int, "object": Any}
    return simple.get(name) or getattr(module, name, str)


def plain(kind: Any) -> Any:
    """A type without None; where it is "a string, as a rule of this enum", the enum."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    kinds = [each for each in typing.get_args(kind) if each is not type(None)]
    enums = [each for each in kinds if isinstance(each, type) and issubclass(each, enum.Enum)]
    return enums[0] if enums else kinds[0] if len(kinds) == 1 else Any


def within(kind: Any) -> dict[str, Member] | None:
    """The members of a type that is an object with names of its own."""
    kind = plain(kind)
    return kind if isinstance(kind, dict) else members(kind) if is_model(kind) else None


def problems(kind: Any, value: Any, use: str, where: str = "") -> Iterator[str]:
    """What is wrong with a value: names, JSON types, words of enums, members that are not for this use."""
    kind, known = plain(kind), within(kind)
    inside, origin = typing.get_args(kind), typing.get_origin(kind)
    if known is not None and isinstance(value, dict):
        for name, inner in value.items():
            place = f"{where}.{name}".lstrip(".")
            if name not in known:
                yield f"{place} does not exist"
            elif use not in known[name].uses:
                yield f"{place} is not for {use}, but for {', '.join(sorted(known[name].uses))}"
            else:
                yield from problems(known[name].kind, inner, use, place)
        for name, member in known.items():
            if member.required and use in member.uses and name not in value:
                yield f"{where}.{name} is missing".lstrip(".")
    elif origin is dict and isinstance(value, dict):
        for name, inner in value.items():
            if inner is not None or use != UPDATES:  # null takes an entry of a map away
                yield from problems(inside[1], inner, use, f"{where}.{name}")
    elif origin is list and isinstance(value, list):
        for number, inner in enumerate(value):
            yield from problems(inside[0], inner, use, f"{where}[{number}]")
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        words = [each.value for each in kind]
        if value not in words and not (use == READS and isinstance(value, str)):  # services know more words
            yield f"{where} is {json.dumps(value)}, none of {', '.join(map(str, words))}"
    elif kind is not Any and kind is not object:
        wanted = dict if known is not None else JSON_TYPES.get(origin or kind, str)  # a date is a string
        if not isinstance(value, wanted) or isinstance(value, bool) != (wanted is bool):
            yield f"{where or 'the body'} is {json.dumps(value)}: of the wrong type, or null"


def only_for(use: str, kind: Any, value: Any) -> Any:
    """A value without the members that are not for this use."""
    known = within(kind)
    if known is not None and isinstance(value, dict):
        return {name: only_for(use, known[name].kind, inner) if name in known else inner
                for name, inner in value.items() if name not in known or use in known[name].uses}
    if isinstance(value, list) and typing.get_args(plain(kind)):
        return [only_for(use, typing.get_args(plain(kind))[0], inner) for inner in value]
    return value


def put_over(kind: Any, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What a PUT leaves: the new value, with those members of the old one that no request can carry."""
    result = dict(new)
    for name, member in (within(kind) or {}).items():
        if name in old and name not in new and not {CREATES, UPDATES} & member.uses:
            result[name] = old[name]
        elif isinstance(old.get(name), dict) and isinstance(new.get(name), dict):
            result[name] = put_over(member.kind, old[name], new[name])
    return result


# Operations
class Call:
    """One operation of a package: its requests, the models of its bodies, and how the client calls it."""

    def __init__(self, package: str, group: str, name: str) -> None:
        self.package, self.group = importlib.import_module(f"azure.mgmt.{package}"), group
        operations = importlib.import_module(f"azure.mgmt.{package}.operations")
        title = group.replace("_", "") + "operations"
        owner = next(each for other, each in vars(operations).items() if other.lower() == title)
        source = sys.modules[owner.__module__]
        self.long_running = not hasattr(owner, name)
        self.name = f"begin_{name}" if self.long_running else name

        # The package builds a request, with a mark for each part of the path and every optional parameter.
        build = getattr(source, f"build_{group}_{name}_request", None) or getattr(source, f"build_{name}_request")
        request = build(**{
            each.name: MatchConditions.IfNotModified if each.name == "match_condition"
            else "1" if each.kind is each.KEYWORD_ONLY else f"QQ{each.name}QQ"
            for each in inspect.signature(build).parameters.values() if each.kind is not each.VAR_KEYWORD})
        url = urlsplit(request.url)
        query = dict(parse_qsl(url.query))
        self.method, self.query, self.if_match = request.method, set(query), "If-Match" in request.headers
        self.versions = {query["api-version"], *versions_in(source)}
        pattern = re.sub("QQ(.+?)QQ", r"(?P<\1>[^/]+)", re.escape(url.path))
        self.path = re.compile(re.sub(r"<(resource_uri|scope)>\[\^/]\+", r"<\1>.+", pattern), re.IGNORECASE)
        self.is_list = len(url.path.rpartition("/providers/")[2].split("/")) % 2 == 0

        models = importlib.import_module(f"azure.mgmt.{package}.models")
        hints = typing.get_type_hints(getattr(owner, self.name), localns={"_models": models})
        self.answer = first_model(hints.pop("return"))
        self.body = next(filter(None, map(first_model, hints.values())), None)

    def by_client(self, port: int, token: str, resource: str, version: str | None) -> dict[str, Any]:
        """What the client of the package reads, as it is on the wire."""
        class Token(SansIOHTTPPolicy):
            def on_request(self, request: Any) -> None:
                request.http_request.headers["Authorization"] = f"Bearer {token}"

        client = getattr(self.package, self.package.__all__[0])(
            types.SimpleNamespace(get_token=None), resource.split("/")[2], base_url=f"http://127.0.0.1:{port}",
            authentication_policy=Token(), transport=RequestsTransport(use_env_settings=False), retry_total=0,
            **({"api_version": version} if version else {}))
        arguments = self.path.fullmatch(resource).groupdict()
        arguments.pop("subscription_id", None)
        if version:  # some packages heed what the client is given, the others what the call is given
            arguments["params"] = {"api-version": version}
        answer = getattr(getattr(client, self.group), self.name)(**arguments)
        return answer.serialize(keep_readonly=True) if hasattr(answer, "serialize") else answer.as_dict()


def first_model(hint: Any) -> Any:
    return hint if is_model(hint) else next(filter(None, map(first_model, typing.get_args(hint))), None)


@functools.cache
def versions_in(source: types.ModuleType) -> set[str]:
    """The versions of its provider that a package names beside its newest."""
    lists = re.findall(r"api_versions_list=\[(.*?)]", Path(source.__file__).read_text("utf-8"), re.DOTALL)
    return set(re.findall(r'"([\w-]+)"', " ".join(set(lists))))


@functools.cache
def calls(provider: str) -> list[Call]:
    return [Call(package, group, name) for package, group, names in SERVED.get(provider, []) for name in names.split()]


def kind_of(path: str) -> str:
    """microsoft.web/sites/config for /subscriptions/.../providers/Microsoft.Web/sites/x/config/web.

    What is in a location is of the type that is listed without it.
    """
    provider, *rest = path.lower().rpartition("/providers/")[2].split("/")
    return "/".join([provider, *rest[::2]]).replace("/locations/", "/")


def find(method: str, path: str) -> list[Call]:
    """The calls with this method and path: one, or one for each version, the newest last."""
    return [call for call in calls(kind_of(path).partition("/")[0])
            if call.method == method and call.path.fullmatch(path)]


def reader(path: str) -> Call | None:
    return next(iter(find("GET", path)[::-1]), None)
