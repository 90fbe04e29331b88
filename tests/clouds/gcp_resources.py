"""Bad and good Google Cloud resources for gcp_fake.py, each as the API stores it.

Each has much around the one setting that a fix changes: that must survive, and after an undo `state` must print what it
printed before the fix.
"""

import base64
import dataclasses
import os
import time
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any, Callable

State = dict[str, Any]
PROJECT, NUMBER, REGION, ZONE = "acme-shop", "734512090001", "europe-west1", "europe-west1-b"
LABELS = {"owner": "payments", "cost-centre": "4711"}
AUDITOR, ADMIN, ROBOT = "auditor@example.com", "admin@example.com", f"shop@{PROJECT}.iam.gserviceaccount.com"
AUDIT = {"title": "audit", "expression": 'request.time < timestamp("2031-01-01T00:00:00Z")'}
COMPUTE = "https://www.googleapis.com/compute/v1"
NETWORK = f"{COMPUTE}/projects/{PROJECT}/global/networks/shop"


@dataclasses.dataclass
class Resource:
    """`name`: its full resource name; `path`: of its `get`, below the address of the fake; `body`: what is stored."""

    name: str
    path: str
    body: State
    policy: State | None = None
    gone: bool = False


def unique(prefix: str) -> str:
    return prefix + uuid.uuid4().hex[:12]


def fresh() -> str:
    """A new fingerprint or etag."""
    return base64.urlsafe_b64encode(os.urandom(8)).decode()


def stamp(days: float = 0) -> str:
    """The time so many days from now."""
    return (datetime.now(timezone.utc) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def binding(role: str, *members: str, **others: Any) -> State:
    return {"role": f"roles/{role}", "members": list(members)} | others


def bucket(prevention: str, uniform: State, *bindings: State) -> Resource:
    """A bucket; with ACLs, if its access is not uniform."""
    name = unique("bucket-")
    body: State = {
        "kind": "storage#bucket", "id": name, "name": name, "projectNumber": NUMBER, "location": REGION.upper(),
        "selfLink": f"https://www.googleapis.com/storage/v1/b/{name}", "locationType": "region", "etag": fresh(),
        "storageClass": "STANDARD", "generation": "1767225600000", "metageneration": "7", "timeCreated": stamp(-99),
        "updated": stamp(-9), "labels": dict(LABELS), "versioning": {"enabled": True},
        "lifecycle": {"rule": [{"action": {"type": "Delete"}, "condition": {"age": 400, "matchesPrefix": ["logs/"]}}]},
        "cors": [{"origin": ["https://shop.example.com"], "method": ["GET"], "maxAgeSeconds": 600}],
        "softDeletePolicy": {"retentionDurationSeconds": "604800", "effectiveTime": stamp(-99)},
        "owner": {"entity": f"project-owners-{NUMBER}"},
        "iamConfiguration": {"publicAccessPrevention": prevention, "uniformBucketLevelAccess": dict(uniform),
                             "bucketPolicyOnly": dict(uniform)}}
    if not uniform["enabled"]:
        entries = [{"entity": f"project-owners-{NUMBER}", "role": "OWNER", "etag": "CAE=",
                    "projectTeam": {"projectNumber": NUMBER, "team": "owners"}},
                   {"entity": f"user-{AUDITOR}", "role": "READER", "etag": "CAE=", "email": AUDITOR},
                   {"entity": "allAuthenticatedUsers", "role": "READER", "etag": "CAE="}]
        body["defaultObjectAcl"] = [{"kind": "storage#objectAccessControl"} | entry for entry in entries]
        body["acl"] = [{"kind": "storage#bucketAccessControl", "id": f"{name}/{entry['entity']}"} | entry
                       for entry in entries]
    policy = {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{name}", "version": 1, "etag": fresh(),
              "bindings": [binding("storage.legacyBucketOwner", f"projectOwner:{PROJECT}"),
                           binding("storage.objectViewer", f"user:{AUDITOR}", f"serviceAccount:{ROBOT}"), *bindings]}
    return Resource(f"//storage.googleapis.com/{name}", f"/storage.googleapis.com/storage/v1/b/{name}", body, policy)


def public_access_prevention(case: str) -> Resource:
    public = [binding("storage.legacyObjectReader", "allUsers")] if case == "bad" else []
    return bucket("inherited" if case == "bad" else "enforced", {"enabled": False}, *public)


def uniform_access(case: str) -> Resource:
    """`locked`: uniform for so long that it cannot be otherwise any more."""
    days = {"good": 30, "locked": -30}.get(case)
    return bucket("inherited", {"enabled": True, "lockedTime": stamp(days)} if days else {"enabled": False})


def dataset(case: str) -> Resource:
    """`bad-condition`: an auditor has access under a condition, which only version 3 of the access policy shows."""
    name = unique("sales_")
    path, reports = f"projects/{PROJECT}/datasets/{name}", {"projectId": PROJECT, "datasetId": "reports"}
    access: list[State] = [
        {"role": "OWNER", "specialGroup": "projectOwners"}, {"role": "OWNER", "userByEmail": ADMIN},
        {"role": "READER", "specialGroup": "projectReaders"}, {"role": "READER", "domain": "example.com"},
        {"role": "WRITER", "groupByEmail": "analysts@example.com"}, {"view": reports | {"tableId": "weekly"}},
        {"role": "roles/bigquery.metadataViewer", "iamMember": f"deleted:user:{AUDITOR}?uid=1234567890"},
        {"dataset": {"dataset": reports, "targetTypes": ["VIEWS"]}}, {"routine": reports | {"routineId": "mask"}}]
    if case != "good":
        access[2:2] = [{"role": "READER", "specialGroup": "allAuthenticatedUsers"},
                       {"role": "roles/bigquery.metadataViewer", "specialGroup": "allAuthenticatedUsers"}]
        access += [{"role": "roles/bigquery.filteredDataViewer", "iamMember": "allUsers"}]
    if case == "bad-condition":
        access += [{"role": "READER", "userByEmail": AUDITOR, "condition": AUDIT}]
    return Resource(f"//bigquery.googleapis.com/{path}", f"/bigquery.googleapis.com/bigquery/v2/{path}", {
        "kind": "bigquery#dataset", "etag": fresh(), "id": f"{PROJECT}:{name}", "location": REGION, "type": "DEFAULT",
        "selfLink": f"https://bigquery.googleapis.com/bigquery/v2/{path}", "friendlyName": "Sales",
        "datasetReference": {"projectId": PROJECT, "datasetId": name}, "description": "Sales, by the hour",
        "labels": dict(LABELS), "defaultTableExpirationMs": "34560000000", "maxTimeTravelHours": "168",
        "creationTime": "1767225600000", "lastModifiedTime": "1774000000000", "access": access})


def key(policy: State, purpose: str = "ENCRYPT_DECRYPT", **rotation: str) -> Resource:
    name = f"projects/{PROJECT}/locations/{REGION}/keyRings/shop/cryptoKeys/{unique('key-')}"
    algorithm = "GOOGLE_SYMMETRIC_ENCRYPTION" if purpose == "ENCRYPT_DECRYPT" else "EC_SIGN_P256_SHA256"
    body: State = {"name": name, "purpose": purpose, "createTime": stamp(-99), "labels": dict(LABELS),
                   "versionTemplate": {"protectionLevel": "SOFTWARE", "algorithm": algorithm},
                   "destroyScheduledDuration": "2592000s"} | rotation
    if purpose == "ENCRYPT_DECRYPT":
        body["primary"] = {"name": f"{name}/cryptoKeyVersions/1", "state": "ENABLED", "protectionLevel": "SOFTWARE",
                           "algorithm": algorithm, "createTime": stamp(-99), "generateTime": stamp(-99)}
    return Resource(f"//cloudkms.googleapis.com/{name}", f"/cloudkms.googleapis.com/v1/{name}", body,
                    {"version": 1, "etag": fresh()} | policy)


def key_private(case: str) -> Resource:
    """`bad-condition`: an auditor has access under a condition, which only version 3 of the policy shows."""
    users = ([] if case == "good" else ["allUsers"]) + [f"serviceAccount:{ROBOT}", "group:shop@example.com"]
    bindings = [binding("cloudkms.admin", f"user:{ADMIN}"), binding("cloudkms.cryptoKeyEncrypterDecrypter", *users)]
    bindings += [] if case == "good" else [binding("cloudkms.viewer", "allAuthenticatedUsers")]
    bindings += [binding("cloudkms.viewer", f"user:{AUDITOR}", condition=AUDIT)] if case == "bad-condition" else []
    audit = [{"service": "cloudkms.googleapis.com", "auditLogConfigs": [{"logType": "DATA_READ"}]}]
    return key({"bindings": bindings, "auditConfigs": audit, "version": 3 if case == "bad-condition" else 1})


def rotation(case: str) -> Resource:
    days = {"365-days": 365, "good": 90}.get(case)
    times = {"rotationPeriod": f"{days * 86400}s", "nextRotationTime": stamp(days / 2)} if days else {}
    purpose = "ASYMMETRIC_SIGN" if case == "asymmetric" else "ENCRYPT_DECRYPT"
    return key({"bindings": [binding("cloudkms.admin", f"user:{ADMIN}")]}, purpose, **times)


def compute(scope: str, kind: str, body: State) -> Resource:
    name = unique(f"{kind}-")
    path = f"projects/{PROJECT}/{scope}/{kind}s/{name}"
    return Resource(f"//compute.googleapis.com/{path}", f"/compute.googleapis.com/compute/v1/{path}", {
        "kind": f"compute#{kind}", "id": str(time.time_ns()), "name": name, "selfLink": f"{COMPUTE}/{path}",
        "creationTimestamp": "2026-01-02T03:04:05.678-07:00"} | body)


def instance(items: dict[str, str] | None) -> Resource:
    """A virtual machine with these items of metadata and others; None: without any, and then the list is not there."""
    zone = f"{COMPUTE}/projects/{PROJECT}/zones/{ZONE}"
    metadata: State = {"kind": "compute#metadata", "fingerprint": fresh()}
    if items is not None:
        items = {"startup-script": "#!/bin/sh\necho 'up & on'\n", "enable-oslogin": "FALSE"} | items | {"owner": "ada"}
        metadata["items"] = [{"key": name, "value": value} for name, value in items.items()]
    return compute(f"zones/{ZONE}", "instance", {
        "zone": zone, "machineType": f"{zone}/machineTypes/e2-small", "status": "RUNNING", "deletionProtection": True,
        "labels": dict(LABELS), "labelFingerprint": fresh(), "fingerprint": fresh(), "metadata": metadata,
        "tags": {"items": ["shop", "web"], "fingerprint": fresh()}, "disks": [{"deviceName": "web", "boot": True}],
        "networkInterfaces": [{"name": "nic0", "networkIP": "10.0.0.7", "network": NETWORK, "fingerprint": fresh()}],
        "scheduling": {"onHostMaintenance": "MIGRATE", "automaticRestart": True, "preemptible": False},
        "serviceAccounts": [{"email": ROBOT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}]})


def serial_port(case: str) -> Resource:
    value = {"bad": "true", "bad-1": "1", "bad-TRUE": "TRUE", "good": "false"}.get(case)
    return instance(None if case == "empty" else {"serial-port-enable": value} if value else {})


def project_ssh_keys(case: str) -> Resource:
    """`ssh-keys`: the machine has keys of its own, which are to stay."""
    items = {"bad-false": {"block-project-ssh-keys": "false"}, "good": {"block-project-ssh-keys": "TRUE"},
             "ssh-keys": {"ssh-keys": "ada:ssh-ed25519 AAAAC3Nz ada@example.com\nbob:ssh-rsa AAAAB3Nz bob"}}
    return instance(None if case == "empty" else items.get(case, {}))


def firewall(case: str, port: int) -> Resource:
    """`only`: from everywhere, and named from nowhere else; `together`, `range`, `all`: other ports are open by it."""
    sources = {"ipv6": ["::/0", "2001:db8::/32"], "only": ["0.0.0.0/0"], "good": ["10.0.0.0/8", "192.0.2.0/24"]}
    allowed = {"together": [{"IPProtocol": "tcp", "ports": [str(port), "443"]}, {"IPProtocol": "icmp"}],
               "range": [{"IPProtocol": "tcp", "ports": [f"{port - 2}-{port + 3}"]}], "all": [{"IPProtocol": "all"}]}
    return compute("global", "firewall", {
        "description": "for the branch offices", "network": NETWORK, "priority": 900, "targetTags": ["bastion", "shop"],
        "direction": "EGRESS" if case == "egress" else "INGRESS", "disabled": case == "disabled",
        "destinationRanges" if case == "egress" else "sourceRanges": sources.get(case, ["0.0.0.0/0", "10.0.0.0/8"]),
        "allowed": allowed.get(case, [{"IPProtocol": "tcp", "ports": [str(port)]}]),
        "logConfig": {"enable": True, "metadata": "INCLUDE_ALL_METADATA"}})


def subnet(case: str) -> Resource:
    """`proxy`: a subnet of load balancers, which cannot have the access."""
    body: State = {"region": f"{COMPUTE}/projects/{PROJECT}/regions/{REGION}", "network": NETWORK,
                   "ipCidrRange": "10.20.0.0/20", "gatewayAddress": "10.20.0.1", "fingerprint": fresh(),
                   "privateIpGoogleAccess": case == "good", "privateIpv6GoogleAccess": "DISABLE_GOOGLE_ACCESS"}
    if case == "proxy":
        body |= {"purpose": "REGIONAL_MANAGED_PROXY", "role": "ACTIVE", "state": "READY"}
    else:
        body |= {"purpose": "PRIVATE", "stackType": "IPV4_ONLY", "logConfig": {"enable": True, "flowSampling": 0.5},
                 "secondaryIpRanges": [{"rangeName": "pods", "ipCidrRange": "10.64.0.0/14"},
                                       {"rangeName": "services", "ipCidrRange": "10.68.0.0/20"}]}
    return compute(f"regions/{REGION}", "subnetwork", body)


def database(networks: dict[str, str], backups: State, **others: Any) -> Resource:
    name = unique("db-")
    path = f"projects/{PROJECT}/instances/{name}"
    entries = [{"kind": "sql#aclEntry", "name": name, "value": value} for name, value in networks.items()]
    entries[-1]["expirationTime"] = "2031-01-01T00:00:00Z"
    return Resource(f"//cloudsql.googleapis.com/{path}", f"/sqladmin.googleapis.com/v1/{path}", {
        "kind": "sql#instance", "name": name, "project": PROJECT, "region": REGION, "gceZone": ZONE, "etag": fresh(),
        "state": "RUNNABLE", "instanceType": "CLOUD_SQL_INSTANCE", "backendType": "SECOND_GEN",
        "databaseVersion": "POSTGRES_16", "connectionName": f"{PROJECT}:{REGION}:{name}", "createTime": stamp(-99),
        "ipAddresses": [{"type": "PRIMARY", "ipAddress": "198.51.100.7"}],
        "selfLink": f"https://sqladmin.googleapis.com/v1/{path}", "settings": {
            "kind": "sql#settings", "settingsVersion": "41", "tier": "db-custom-2-7680", "activationPolicy": "ALWAYS",
            "availabilityType": "REGIONAL", "dataDiskSizeGb": "50", "dataDiskType": "PD_SSD", "storageAutoResize": True,
            "userLabels": dict(LABELS), "deletionProtectionEnabled": True,
            "databaseFlags": [{"name": "log_connections", "value": "on"}, {"name": "max_connections", "value": "250"}],
            "maintenanceWindow": {"kind": "sql#maintenanceWindow", "day": 7, "hour": 3, "updateTrack": "stable"},
            "ipConfiguration": {"ipv4Enabled": True, "sslMode": "ENCRYPTED_ONLY", "authorizedNetworks": entries},
            "backupConfiguration": {"kind": "sql#backupConfiguration"} | backups}} | others)


def backups(enabled: bool, start: str = "13:00", days: int = 7, kept: int = 7, **others: str) -> State:
    return {"enabled": enabled, "pointInTimeRecoveryEnabled": enabled, "transactionLogRetentionDays": days, "startTime":
            start, "backupRetentionSettings": {"retentionUnit": "COUNT", "retainedBackups": kept}} | others


OFFICES = {"office": "203.0.113.0/24", "partner": "192.0.2.8/32"}


def authorized_networks(case: str) -> Resource:
    everyone = {} if case == "good" else {"everyone": "0.0.0.0/0"}
    return database(everyone | ({} if case == "only" else OFFICES), backups(True))


def sql_backups(case: str) -> Resource:
    """`bad-settings`: somebody chose when, where and for how long backups are, and turned them off."""
    if case == "replica":
        others = {"instanceType": "READ_REPLICA_INSTANCE", "masterInstanceName": f"{PROJECT}:primary"}
        return database(OFFICES, {"enabled": False}, **others)
    return database(OFFICES, backups(False, "23:30", 3, 30, location="eu") if case == "bad-settings" else
                    backups(case == "good"))


RULES = "bad", "only", "together", "range", "all", "ipv6", "disabled", "egress", "good"
FIXES: dict[str, tuple[Callable[[str], Resource], tuple[str, ...]]] = {
    "gcp.storage.public-access-prevention": (public_access_prevention, ("bad", "good")),
    "gcp.storage.uniform-access": (uniform_access, ("bad", "good", "locked")),
    "gcp.bigquery.dataset-private": (dataset, ("bad", "bad-condition", "good")),
    "gcp.kms.key-private": (key_private, ("bad", "bad-condition", "good")),
    "gcp.kms.rotation": (rotation, ("none", "365-days", "good", "asymmetric")),
    "gcp.compute.no-serial-port": (serial_port, ("bad", "bad-1", "bad-TRUE", "good", "absent", "empty")),
    "gcp.compute.no-project-ssh-keys": (project_ssh_keys, ("bad", "bad-false", "ssh-keys", "good", "empty")),
    "gcp.firewall.no-public-ssh": (lambda case: firewall(case, 22), RULES),
    "gcp.firewall.no-public-rdp": (lambda case: firewall(case, 3389), RULES),
    "gcp.sql.authorized-networks": (authorized_networks, ("bad", "only", "good")),
    "gcp.sql.backups": (sql_backups, ("bad", "bad-settings", "good", "replica")),
    "gcp.subnet.private-google-access": (subnet, ("bad", "good", "proxy"))}
