"""The bad and good resources that azure_fake.py makes, and what the services themselves say of each type.

Each resource has much around the one setting that a fix changes: that must survive.
"""

import re
import uuid
from ipaddress import ip_network
from typing import Any, Callable

from azure_models import kind_of

Json = dict[str, Any]
Make = Callable[["Group", str], Json]

SUBSCRIPTION, TENANT = "6f1d3c4a-52b7-4d0e-9a31-0c8e5b7f2d44", "0b9c7f1e-8d2a-4c55-b1f6-3e2d1a7c9e80"
PRINCIPAL, CLIENT = "d3a5b9e2-7c41-4f6b-8e90-1f2a3b4c5d6e", "a7c4e1d8-3b52-4960-9f7e-6d5c4b3a2f10"
TAGS = {"Owner": "payments", "CostCentre": "4711"}
FIXES: dict[str, tuple[Make, tuple[str, ...]]] = {}


def fix(name: str, *cases: str) -> Callable[[Make], Make]:
    """Registers a function that makes the resources of a case."""
    def register(make: Make) -> Make:
        FIXES[name] = make, cases
        return make
    return register


class Group:
    """A new resource group. `add` stores a resource of this ID with this body, after checking both."""

    def __init__(self, add: Callable[[str, Json], str]) -> None:
        self.add, self.mark = add, uuid.uuid4().hex[:10]
        self.name = f"rg-payments-{self.mark}"

    def id(self, path: str) -> str:
        return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{self.name}/providers/{path}"

    def put(self, path: str, properties: Json, **members: Any) -> str:
        """Adds a resource with tags. What is None is left out."""
        properties = {name: value for name, value in properties.items() if value is not None}
        return self.add(self.id(path), {"location": "westeurope", "tags": TAGS, "properties": properties} | members)

    def identity(self, kind: str = "SystemAssigned, UserAssigned") -> Json:
        user = self.id("Microsoft.ManagedIdentity/userAssignedIdentities/id-payments")
        return {"type": kind, "principalId": PRINCIPAL, "tenantId": TENANT,
                "userAssignedIdentities": {user: {"principalId": PRINCIPAL, "clientId": CLIENT}}}


# Storage accounts
def account(group: Group, **properties: Any) -> Json:
    name = f"stpay{group.mark}"
    subnet = group.id("Microsoft.Network/virtualNetworks/vnet-pay/subnets/apps")
    encrypted = {"enabled": True, "keyType": "Account", "lastEnabledTime": "2023-04-05T06:07:08.9012345Z"}
    return {"resource": group.put(f"Microsoft.Storage/storageAccounts/{name}", {
        "provisioningState": "Succeeded", "creationTime": "2023-04-05T06:07:08.9012345Z", "accessTier": "Cool",
        "primaryLocation": "westeurope", "statusOfPrimary": "available", "secondaryLocation": "northeurope",
        "primaryEndpoints": {"blob": f"https://{name}.blob.core.windows.net/"}, "minimumTlsVersion": "TLS1_1",
        "supportsHttpsTrafficOnly": True, "allowBlobPublicAccess": False, "allowSharedKeyAccess": False,
        "allowCrossTenantReplication": False, "publicNetworkAccess": "Enabled", "largeFileSharesState": "Enabled",
        "networkAcls": {
            "bypass": "AzureServices", "defaultAction": "Deny",
            "ipRules": [{"value": "203.0.113.7", "action": "Allow"}],
            "virtualNetworkRules": [{"id": subnet, "action": "Allow", "state": "Succeeded"}]},
        "keyPolicy": {"keyExpirationPeriodInDays": 90}, "privateEndpointConnections": [],
        "sasPolicy": {"sasExpirationPeriod": "1.00:00:00", "expirationAction": "Log"},
        "encryption": {"keySource": "Microsoft.Storage", "requireInfrastructureEncryption": True,
                       "services": {"blob": encrypted, "file": encrypted}},
    } | properties, kind="StorageV2", sku={"name": "Standard_GRS", "tier": "Standard"},
        identity=group.identity("SystemAssigned,UserAssigned"))}


@fix("azure.storage.public-blob-access", "bad", "bad-none", "good")
def public_blob_access(group: Group, case: str) -> Json:
    """`bad-none`: an old account on which it was never set. No request can make it unset again."""
    return account(group, allowBlobPublicAccess={"bad": True, "good": False}.get(case))


@fix("azure.storage.secure-transfer", "bad", "good")
def secure_transfer(group: Group, case: str) -> Json:
    return account(group, supportsHttpsTrafficOnly=case == "good")


# Apps and functions
def site(group: Group, kind: str, https_only: bool = True, **config: Any) -> Json:
    name = f"{kind.partition(',')[0]}-pay-{group.mark}"
    host = f"{name}.azurewebsites.net"
    subnet = group.id("Microsoft.Network/virtualNetworks/vnet-pay/subnets/apps")
    resource = group.put(f"Microsoft.Web/sites/{name}", {
        "state": "Running", "enabled": True, "hostNames": ["pay.example.com", host], "defaultHostName": host,
        "enabledHostNames": ["pay.example.com", host, f"{name}.scm.azurewebsites.net"], "reserved": True,
        "hostNameSslStates": [{"name": "pay.example.com", "sslState": "SniEnabled", "hostType": "Standard",
                               "thumbprint": "9F3C7D41A86E5B20C1D4E7F8A9B0C1D2E3F40516"}],
        "serverFarmId": group.id("Microsoft.Web/serverfarms/plan-pay"), "httpsOnly": https_only,
        "clientAffinityEnabled": False, "clientCertEnabled": True, "clientCertMode": "OptionalInteractiveUser",
        "clientCertExclusionPaths": "/health", "publicNetworkAccess": "Enabled", "virtualNetworkSubnetId": subnet,
        "keyVaultReferenceIdentity": "SystemAssigned", "usageState": "Normal", "redundancyMode": "None",
        "dailyMemoryTimeQuota": 7, "lastModifiedTimeUtc": "2024-05-06T07:08:09.1Z",
    }, kind=kind, identity=group.identity())
    rule = {"ipAddress": "203.0.113.0/24", "action": "Allow", "tag": "Default", "priority": 100, "name": "office"}
    group.add(f"{resource}/config/web", {"name": name, "properties": {
        "numberOfWorkers": 2, "defaultDocuments": ["index.html", "hostingstart.html"], "alwaysOn": True,
        "linuxFxVersion": "PYTHON|3.11", "appCommandLine": "gunicorn pay:app", "httpLoggingEnabled": True,
        "logsDirectorySizeLimit": 35, "detailedErrorLoggingEnabled": True, "publishingUsername": f"${name}",
        "scmType": "GitHubAction", "webSocketsEnabled": True, "managedPipelineMode": "Integrated",
        "virtualApplications": [{"virtualPath": "/", "physicalPath": "site\\wwwroot", "preloadEnabled": True}],
        "loadBalancing": "LeastRequests", "cors": {"allowedOrigins": ["https://pay.example.com"],
                                                   "supportCredentials": True},
        "ipSecurityRestrictions": [rule], "ipSecurityRestrictionsDefaultAction": "Deny", "http20Enabled": True,
        "scmIpSecurityRestrictions": [rule], "scmIpSecurityRestrictionsUseMain": False, "healthCheckPath": "/health",
        "minTlsVersion": "1.2", "scmMinTlsVersion": "1.1", "ftpsState": "FtpsOnly", "vnetRouteAllEnabled": True,
        "minimumElasticInstanceCount": 1, "azureStorageAccounts": {},
    } | config})
    return {"resource": resource, "config": f"{resource}/config/web"}


def fixes_of_sites(word: str, kind: str, other: str) -> None:
    @fix(f"azure.{word}.https-only", "bad", "good", "wrong-kind")
    def https_only(group: Group, case: str) -> Json:
        return site(group, other if case == "wrong-kind" else kind, https_only=case == "good")

    @fix(f"azure.{word}.min-tls", "bad", "bad-1.1", "good", "good-1.3")
    def min_tls(group: Group, case: str) -> Json:
        return site(group, kind, minTlsVersion={"bad": "1.0", "good": "1.2"}.get(case) or case.partition("-")[2])

    @fix(f"azure.{word}.ftps-only", "bad", "good", "disabled")
    def ftps_only(group: Group, case: str) -> Json:
        return site(group, kind, ftpsState={"bad": "AllAllowed", "good": "FtpsOnly", "disabled": "Disabled"}[case])


fixes_of_sites("web", "app,linux", "functionapp,linux")
fixes_of_sites("function", "functionapp,linux", "app,linux")


# Key vaults
LOGS = {"microsoft.keyvault/vaults": ["AuditEvent", "AzurePolicyEvaluationDetails"],
        "microsoft.sql/servers/databases": ["SQLInsights", "SQLSecurityAuditEvents", "Errors", "Timeouts", "Deadlocks"]}
METRICS = {"microsoft.keyvault/vaults": ["AllMetrics"],
           "microsoft.sql/servers/databases": ["Basic", "WorkloadManagement"]}
SETTINGS, RULES = "microsoft.insights/diagnosticsettings", "microsoft.network/networksecuritygroups/securityrules"


def setting(group: Group, resource: str, workspace: str, logs: list[Json], metrics: list[Json]) -> None:
    """A diagnostic setting. The service answers its ID in another case than the resource's own."""
    parts = resource.replace("resourceGroups", "resourcegroups").split("/providers/")
    path = f"{parts[0]}/providers/{parts[1].lower()}/providers/microsoft.insights/diagnosticSettings/to-log-pay"
    body = {"properties": {"workspaceId": workspace, "logs": logs, "metrics": metrics}}
    group.add(path, filled(path, body))


def workspaces(group: Group) -> list[str]:
    return [group.put(f"Microsoft.OperationalInsights/workspaces/log-{each}-{group.mark}", {"retentionInDays": 90})
            for each in ("security", "pay")]


@fix("azure.key-vault.diagnostic-logs", "none", "metrics-only", "logs-off", "good")
def diagnostic_logs(group: Group, case: str) -> Json:
    """With two workspaces for the logs: the one that the settings of a case use is "other"."""
    name = f"kv-pay-{group.mark}"
    resource = group.put(f"Microsoft.KeyVault/vaults/{name}", {
        "tenantId": TENANT, "sku": {"family": "A", "name": "premium"}, "vaultUri": f"https://{name}.vault.azure.net/",
        "accessPolicies": [{"tenantId": TENANT, "objectId": PRINCIPAL,
                            "permissions": {"keys": ["get", "wrapKey"], "secrets": ["get", "list"]}}],
        "enabledForDiskEncryption": True, "enableSoftDelete": True, "softDeleteRetentionInDays": 30,
        "enablePurgeProtection": True, "publicNetworkAccess": "Enabled", "provisioningState": "Succeeded",
        "networkAcls": {"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": [{"value": "203.0.113.7/32"}],
                        "virtualNetworkRules": []}})
    workspace, other = workspaces(group)
    if case != "none":
        logs = [{"categoryGroup": "audit", "enabled": case == "good"}] if case != "metrics-only" else []
        setting(group, resource, other, logs, [{"category": "AllMetrics", "enabled": True, "timeGrain": "PT1M"}])
    return {"resource": resource, "workspace": workspace, "other": other}


# SQL servers
@fix("azure.sql.auditing", "bad", "exported", "good", "storage", "storage-key", "operation-fails")
def sql_auditing(group: Group, case: str) -> Json:
    """`exported`: a setting on the database master sends audit events already. `storage` and `storage-key` are off, and
    have a storage account as target: by identity, and by a key that is stored and never shown."""
    name = f"sql-pay-{group.mark}"
    resource = group.put(f"Microsoft.Sql/servers/{name}", {
        "administratorLogin": "payadmin", "version": "12.0", "state": "Ready", "publicNetworkAccess": "Enabled",
        "fullyQualifiedDomainName": f"{name}.database.windows.net", "minimalTlsVersion": "1.2",
        "restrictOutboundNetworkAccess": "Disabled", "privateEndpointConnections": []},
        kind="v12.0", identity=group.identity("SystemAssigned,UserAssigned"))
    workspace, other = workspaces(group)
    master = group.put(f"{resource.partition('/providers/')[2]}/databases/master", {
        "status": "Online", "collation": "SQL_Latin1_General_CP1_CI_AS", "maxSizeBytes": 32212254720})
    logs = [{"category": "SQLSecurityAuditEvents", "enabled": True}] if case in ("exported", "good") else []
    setting(group, master, other, logs, [{"category": "Basic", "enabled": True}])
    properties: Json = {"state": "Disabled", "auditActionsAndGroups": [], "predicateExpression": "action_id <> 'noise'"}
    if case == "good":
        properties |= {"state": "Enabled", "isAzureMonitorTargetEnabled": True, "auditActionsAndGroups": ALL_AUDITED}
    if case.startswith("storage"):
        properties |= {
            "storageEndpoint": f"https://staudit{group.mark}.blob.core.windows.net/", "retentionDays": 120,
            "storageAccountSubscriptionId": SUBSCRIPTION, "queueDelayMs": 4000, "isDevopsAuditEnabled": True,
            "isManagedIdentityInUse": case == "storage", "auditActionsAndGroups": ["BATCH_COMPLETED_GROUP"]}
    if case == "storage-key":
        properties |= {"storageAccountAccessKey": "a2V5IG9mIG5vIGFjY291bnQ=", "isStorageSecondaryKeyInUse": True}
    policy = f"{resource}/extendedAuditingSettings/default"
    group.add(policy, filled(policy, {"properties": properties}))
    return {"resource": resource, "policy": policy, "master": master, "workspace": workspace, "other": other}


# Virtual machines
def machine(group: Group, name: str, nic: str, windows: bool = False, patch: Json | None = None) -> str:
    configuration: Json = {"provisionVMAgent": True, "enableVMAgentPlatformUpdates": False}
    if windows:
        configuration |= {"enableAutomaticUpdates": True, "timeZone": "W. Europe Standard Time"}
    else:
        key = {"path": "/home/pay/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKept pay"}
        configuration |= {"disablePasswordAuthentication": True, "ssh": {"publicKeys": [key]}}
    if patch:
        configuration["patchSettings"] = patch
    image = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server", "version": "latest"}
    if windows:
        image |= {"publisher": "MicrosoftWindowsServer", "offer": "WindowsServer", "sku": "2022-datacenter-g2"}
    disk = {"createOption": "Attach", "caching": "ReadOnly", "diskSizeGB": 128, "lun": 0, "deleteOption": "Detach",
            "managedDisk": {"storageAccountType": "Premium_LRS", "id": group.id("Microsoft.Compute/disks/data")}}
    # The service answers IDs of machines with the group in upper case.
    path = group.id(f"Microsoft.Compute/virtualMachines/{name}-{group.mark}").replace(group.name, group.name.upper())
    body = {"location": "westeurope", "tags": TAGS, "zones": ["2"], "identity": group.identity()}
    return group.add(path, body | {"properties": {
        "hardwareProfile": {"vmSize": "Standard_D4s_v5"}, "vmId": str(uuid.uuid5(uuid.NAMESPACE_URL, path)),
        "storageProfile": {
            "imageReference": image,
            "osDisk": {"osType": "Windows" if windows else "Linux", "name": f"{name}-os", "createOption": "FromImage",
                       "caching": "ReadWrite", "deleteOption": "Delete", "diskSizeGB": 64},
            "dataDisks": [disk], "diskControllerType": "SCSI"},
        "osProfile": {"computerName": name, "adminUsername": "payadmin", "secrets": [],
                      "allowExtensionOperations": True, "requireGuestProvisionSignal": True,
                      ("windows" if windows else "linux") + "Configuration": configuration},
        "securityProfile": {"securityType": "TrustedLaunch", "encryptionAtHost": True,
                            "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True}},
        "networkProfile": {"networkInterfaces": [{"id": nic, "properties": {"primary": True}}]},
        "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}}, "timeCreated": "2024-01-02T03:04:05.6+00:00",
        "licenseType": "Windows_Server" if windows else "RHEL_BYOS", "priority": "Regular"}})


@fix("azure.vm.periodic-assessment", "windows", "linux", "linux-absent", "good", "good-windows", "operation-fails")
def periodic_assessment(group: Group, case: str) -> Json:
    patch: Json = {"patchMode": "ImageDefault", "assessmentMode": "ImageDefault"}
    if case.endswith("windows"):
        patch |= {"patchMode": "AutomaticByOS", "enableHotpatching": False}
    if case.startswith("good"):
        patch |= {"patchMode": "AutomaticByPlatform", "assessmentMode": "AutomaticByPlatform",
                  "automaticByPlatformSettings": {"rebootSetting": "IfRequired"}}
    nic = group.id("Microsoft.Network/networkInterfaces/nic-pay")
    return {"resource": machine(group, "vm-pay", nic, case.endswith("windows"),
                                None if case == "linux-absent" else patch)}


# Network security groups
def rule(priority: int, access: str, ports: str, source: str = "*", **more: Any) -> Json:
    """A rule's properties as the service answers them: one value as prefix or range, several as the plural."""
    properties = {"priority": priority, "access": access, "direction": "Inbound", "protocol": "Tcp",
                  "sourcePortRange": "*", "destinationAddressPrefix": "*"}
    for name, plural, value in (("destinationPortRange", "s", ports), ("sourceAddressPrefix", "es", source)):
        values = value.split()
        properties |= {name: value} if len(values) == 1 else {name + plural: values}
    return properties | more


OPEN = {
    "allow-ssh": rule(200, "Allow", "22", description="Opened for the migration"),
    "allow-rdp": rule(210, "Allow", "3389", "Internet", protocol="*"),
    "allow-winrm": rule(220, "Allow", "5985-5986", "0.0.0.0/0", destinationAddressPrefix="10.1.0.4"),
    "allow-both": rule(230, "Allow", "22 3389", "Internet 198.51.100.0/24"),
}
WIDE = {
    "allow-low-ports": rule(240, "Allow", "20-25"),
    "allow-several": rule(250, "Allow", "443 3389 5985-5986 8443", "Internet 198.51.100.0/24"),
    "allow-everything": rule(300, "Allow", "*", protocol="*"),
}
HARMLESS = {
    "allow-ssh-inside": rule(110, "Allow", "22", "VirtualNetwork"),
    "allow-admins": rule(120, "Allow", "22 3389", "10.9.0.0/24 203.0.113.8/32"),
    "allow-web": rule(130, "Allow", "80 443", "Internet"),
    "allow-rdp-over-udp": rule(140, "Allow", "3389", "Internet", protocol="Udp", destinationAddressPrefix="10.1.7.7"),
    "deny-telnet": rule(150, "Deny", "23"),
    "ssh-out": rule(200, "Allow", "22", direction="Outbound"),
}
JIT = {
    "MicrosoftDefenderForCloud-JITRule_1735689600_5A1E": rule(
        100, "Allow", "22", "203.0.113.7", destinationAddressPrefix="10.1.0.5",
        description="MDC JIT Network Access rule: 'vm-batch' for two hours."),
    "MicrosoftDefenderForCloud-JITRule_-812345678_9C3F": rule(
        4096, "Deny", "22 3389", destinationAddressPrefix="10.1.0.5", protocol="*",
        description="MDC JIT Network Access rule for policy 'default' of VM 'vm-batch'."),
}


def security_group(group: Group, name: str, rules: Json, nics: list[str], subnets: list[str]) -> str:
    own = {f"{direction[:2]}-{number}": rule(65000 + number, access, "*", source, direction=direction, protocol="*")
           for direction in ("Inbound", "Outbound")
           for number, access, source in ((0, "Allow", "VirtualNetwork"), (500, "Deny", "*"))}
    path = group.put(f"Microsoft.Network/networkSecurityGroups/{name}", {
        "resourceGuid": CLIENT, "networkInterfaces": [{"id": each} for each in nics] or None,
        "subnets": [{"id": each} for each in subnets] or None,
        "defaultSecurityRules": [{"name": each, "properties": one} for each, one in own.items()]})
    for each, properties in rules.items():
        own = f"{path}/securityRules/{each}"
        group.add(own, filled(own, {"properties": properties}))
    return path


@fix("azure.nsg.management-ports", "bad-nic", "bad-subnet", "two-nsgs", "shielded", "wide-rule", "jit-rules",
     "jit-policy", "good", "operation-fails")
def management_ports(group: Group, case: str) -> Json:
    """The resource is a machine. Its groups are shared by vm-batch and by an interface without a machine.

    `shielded`: the interface's group is open, and the subnet's is not. `jit-rules`: just-in-time access has rules for
    vm-batch in the interface's group; `jit-policy`: it has a policy for the machine, and no rules now.
    """
    network = "Microsoft.Network"
    nics = [group.id(f"{network}/networkInterfaces/nic-{each}") for each in ("pay", "batch", "spare")]
    subnet = group.id(f"{network}/virtualNetworks/vnet-pay/subnets/apps")
    bad = HARMLESS | OPEN | {"wide-rule": WIDE, "jit-rules": JIT}.get(case, {})
    on_nic = on_subnet = None
    if case != "bad-subnet":
        on_nic = security_group(group, "nsg-nic", HARMLESS if case == "good" else bad, nics, [])
    if case in ("bad-subnet", "two-nsgs", "shielded", "good"):
        rules = HARMLESS if case in ("shielded", "good") else bad
        on_subnet = security_group(group, "nsg-subnet", rules, [], [subnet])
    vnet = group.put(f"{network}/virtualNetworks/vnet-pay", {
        "addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}, "enableDdosProtection": False, "subnets": []})
    group.add(f"{vnet}/subnets/apps", {"properties": {
        "addressPrefix": "10.1.0.0/24", "serviceEndpoints": [{"service": "Microsoft.Storage", "locations": ["*"]}],
        "ipConfigurations": [{"id": f"{each}/ipConfigurations/primary"} for each in nics], "delegations": []}
        | ({"networkSecurityGroup": {"id": on_subnet}} if on_subnet else {})})
    address = group.put(f"{network}/publicIPAddresses/ip-pay", {
        "ipAddress": "198.51.100.44", "publicIPAllocationMethod": "Static", "publicIPAddressVersion": "IPv4"},
        sku={"name": "Standard", "tier": "Regional"})
    machines = [machine(group, "vm-pay", nics[0]), machine(group, "vm-batch", nics[1])]
    for number, nic in enumerate(nics):
        group.put(nic.partition("/providers/")[2], {
            "macAddress": f"00-0D-3A-00-00-0{number}", "enableAcceleratedNetworking": True,
            "virtualMachine": {"id": machines[number]} if number < 2 else None,
            "networkSecurityGroup": {"id": on_nic} if on_nic else None,
            "ipConfigurations": [{"name": "primary", "id": f"{nic}/ipConfigurations/primary", "properties": {
                "primary": True, "privateIPAddress": f"10.1.0.{4 + number}", "privateIPAllocationMethod": "Dynamic",
                "subnet": {"id": subnet}} | ({"publicIPAddress": {"id": address}} if number == 0 else {})}]})
    if case in ("jit-rules", "jit-policy"):
        port = {"number": 22, "protocol": "*", "allowedSourceAddressPrefix": "*", "maxRequestAccessDuration": "PT3H"}
        covered = {"id": machines[0 if case == "jit-policy" else 1], "ports": [port]}
        group.add(group.id("Microsoft.Security/locations/westeurope/jitNetworkAccessPolicies/default"), {
            "kind": "Basic", "location": "westeurope",
            "properties": {"virtualMachines": [covered], "requests": [], "provisioningState": "Succeeded"}})
    return {"resource": machines[0], "nsgs": [each for each in (on_nic, on_subnet) if each], "nics": nics,
            "subnet": subnet, "sharing": machines[1:]}


# What the services add to what is written, and what they refuse
ALL_AUDITED = ["SUCCESSFUL_DATABASE_AUTHENTICATION_GROUP", "FAILED_DATABASE_AUTHENTICATION_GROUP",
               "BATCH_COMPLETED_GROUP"]


def filled(path: str, body: Json) -> Json:
    """What is stored of the body of a PUT: the service adds defaults."""
    kind, given = kind_of(path), body.get("properties", {})
    if kind == RULES:
        plural = ("sourcePortRanges", "destinationPortRanges", "sourceAddressPrefixes", "destinationAddressPrefixes")
        given = dict.fromkeys(plural, []) | given
    elif kind.endswith("auditingsettings"):
        given = {"storageEndpoint": "", "retentionDays": 0, "isStorageSecondaryKeyInUse": False,
                 "isAzureMonitorTargetEnabled": False, "isManagedIdentityInUse": False,
                 "storageAccountSubscriptionId": "00000000-0000-0000-0000-000000000000"} | given
        if given["state"] == "Enabled" and not given.get("auditActionsAndGroups"):
            given["auditActionsAndGroups"] = ALL_AUDITED
    elif kind == SETTINGS:
        scope, never = kind_of(path.rpartition("/providers/")[0]), {"retentionPolicy": {"enabled": False, "days": 0}}
        for name, known in (("logs", LOGS), ("metrics", METRICS)):
            entries = [never | each for each in given.get(name, [])]
            # Whoever names one category gets all of them back, unless it was by a group.
            named = {each.get("category") for each in entries}
            rest = [] if any("categoryGroup" in each for each in entries) else known.get(scope, [])
            given = given | {name: entries + [
                {"category": each, "enabled": False} | never for each in rest if each not in named]}
    return body | {"properties": given}


def twin(body: Json) -> Json | None:
    """The other form of a server's auditing policy: the plain one and the extended one, which alone has the filter."""
    if not kind_of(body["id"]).endswith("auditingsettings"):
        return None
    server, _, name = body["id"].rsplit("/", 2)
    other = "auditingSettings" if "/extended" in kind_of(body["id"]) else "extendedAuditingSettings"
    properties = {each: value for each, value in body["properties"].items() if each != "predicateExpression"}
    return body | {"id": f"{server}/{other}/{name}", "type": f"Microsoft.Sql/servers/{other}", "properties": properties}


def refusal(resources: dict[str, Json], key: str, new: Json, sent: Json) -> tuple[int, str, str] | None:
    """Why the service would not take what is otherwise right: status, code, message."""
    kind, properties = kind_of(key), new["properties"]
    if kind == RULES:
        return refused_rule(resources, key, properties)
    if kind == SETTINGS:
        return refused_setting(resources, key, properties)
    if kind == "microsoft.compute/virtualmachines":
        windows = properties["storageProfile"]["osDisk"]["osType"] == "Windows"
        other = "linuxConfiguration" if windows else "windowsConfiguration"
        if other in properties["osProfile"]:
            return 400, "InvalidParameter", f"Parameter '{other}' is not allowed."
    if kind == "microsoft.web/sites" and "siteConfig" in sent.get("properties", {}):
        return 400, "BadRequest", "siteConfig is not modelled here: write config/web."
    if kind.endswith("auditingsettings") and properties["state"] == "Enabled" and not (
            properties["storageEndpoint"] or properties["isAzureMonitorTargetEnabled"]):
        return (400, "DataSecurityInvalidUserSuppliedParameter",
                "Either storageEndpoint or isAzureMonitorTargetEnabled is required.")
    return None


def refused_rule(resources: dict[str, Json], key: str, new: Json) -> tuple[int, str, str] | None:
    for other, body in resources.items():
        if other != key and other.rpartition("/")[0] == key.rpartition("/")[0] and all(
                body["properties"][each] == new[each] for each in ("priority", "direction")):
            return 400, "SecurityRuleConflict", (
                f"Security rule conflicts with rule {body['name']}. Rules cannot have the same Priority and Direction.")
    if not 100 <= new["priority"] <= 4096:
        return 400, "SecurityRuleInvalidPriority", "The priority must be between 100 and 4096."
    for side in ("source", "destination"):
        ports = [new.get(f"{side}PortRange"), *new[f"{side}PortRanges"]]
        prefixes = [new.get(f"{side}AddressPrefix"), *new[f"{side}AddressPrefixes"]]
        groups = new.get(f"{side}ApplicationSecurityGroups")
        if bool(ports[0]) == bool(ports[1:]):
            return 400, "SecurityRuleInvalidPortRange", f"The rule needs either {side}PortRange or {side}PortRanges."
        if bool(prefixes[0]) + bool(prefixes[1:]) + bool(groups) != 1:
            return 400, "SecurityRuleInvalidAddressPrefix", f"The rule needs a {side} in one of its forms."
        for port in filter(None, ports):
            low, _, high = port.partition("-")
            if port != "*" and not (re.fullmatch(r"\d+(-\d+)?", port) and int(low) <= int(high or low) <= 65535):
                return 400, "SecurityRuleInvalidPortRange", f"The {side} port range {port} is invalid."
        for prefix in filter(None, prefixes):
            try:
                if not re.fullmatch(r"\*|[A-Z][A-Za-z.]*", prefix):
                    ip_network(prefix)
            except ValueError:
                return 400, "SecurityRuleInvalidAddressPrefix", f"The {side} address prefix {prefix} is invalid."
        if "*" in prefixes[1:]:
            return 400, "SecurityRuleInvalidAddressPrefix", f"* is no address of several of {side}."
    return None


def refused_setting(resources: dict[str, Json], key: str, new: Json) -> tuple[int, str, str] | None:
    scope = key.rpartition("/providers/")[0]
    sinks = ("workspaceId", "storageAccountId", "eventHubAuthorizationRuleId", "marketplacePartnerId")
    if scope not in resources:
        return 404, "ResourceNotFound", f"The Resource '{scope}' was not found."
    if not any(new.get(each) for each in sinks):
        return 400, "BadRequest", "At least one data sink needs to be specified."
    if new.get("workspaceId", scope).lower() not in resources:
        return 404, "ResourceNotFound", f"The workspace {new['workspaceId']} was not found."
    for each in new["logs"]:
        known = {"category": LOGS.get(kind_of(scope), []), "categoryGroup": ["audit", "allLogs"]}
        if [each[name] in words for name, words in known.items() if name in each] != [True]:
            return 400, "BadRequest", f"A log needs one category or group that the type has, which {each} has not."
    others = [each["properties"] for other, each in resources.items()
              if other != key and other.rpartition("/")[0] == key.rpartition("/")[0]]
    if len(others) >= 5:
        return 409, "Conflict", "The resource already has the five diagnostic settings that it can have."

    def logged(setting: Json) -> set[str]:
        return {each.get("category") or each["categoryGroup"] for each in setting["logs"] if each["enabled"]}

    if any(logged(each) & logged(new) and new.get(sink) and each.get(sink, "").lower() == new[sink].lower()
           for each in others for sink in sinks):
        return 409, "Conflict", "The data sink is already used in another setting for the same category."
    return None
