#!/usr/bin/env python3
"""Bad and good AWS resources on a moto server for end-to-end tests, and their whole state read back.

    aws_resources.py list
    aws_resources.py --endpoint http://127.0.0.1:PORT make FIX CASE
    aws_resources.py --endpoint http://127.0.0.1:PORT state FIX RESOURCE
    aws_resources.py --endpoint http://127.0.0.1:PORT serve

`serve` answers one JSON line for every JSON line on stdin: {"do": "make", "fix": ..., "case": ...} or
{"do": "state", "fix": ..., "resource": ...}. A "region" in it, or --region, stands instead of eu-west-1.

The credentials are always dummies, so that no account on AWS can be changed. Each resource has much around the one
setting that a fix changes: that must survive, and after an undo `state` must print what it printed before the fix.
"""

import argparse
import functools
import io
import json
import sys
import uuid
import zipfile
from datetime import datetime
from typing import Any, Callable

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ACCOUNT, PARTNER, OTHER_PARTNER = "123456789012", "210987654321", "310987654321"
CANONICAL_USER = "c1daec5a13e5aaf850ea79cf0430f33d72579fd1611c97f7ded193374c0b163b"
TAGS = {"Owner": "payments", "CostCentre": "4711"}
State = dict[str, Any]


class Aws:
    """The clients of one region, made when first asked for: `aws.client("s3")`."""

    def __init__(self, endpoint: str, region: str) -> None:
        self.region = region
        self.client = functools.cache(functools.partial(
            boto3.client, endpoint_url=endpoint, region_name=region,
            aws_access_key_id="testing", aws_secret_access_key="testing",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0})))

    def arn(self, service: str, rest: str, account: str = ACCOUNT) -> str:
        return f"arn:aws:{service}:{self.region}:{account}:{rest}"


Make = Callable[[Aws, str], str]
Read = Callable[[Aws, str], State]
FIXES: dict[str, tuple[Make, Read, tuple[str, ...]]] = {}


def fix(name: str, state: Read, *cases: str) -> Callable[[Make], Make]:
    """Registers a function that makes the resource of a case and returns its ARN, with the reader of its state."""
    def register(make: Make) -> Make:
        FIXES[name] = make, state, cases
        return make
    return register


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def tag_list(key: str = "Key", value: str = "Value") -> list[dict[str, str]]:
    return [{key: name, value: text} for name, text in TAGS.items()]


def tags_of(*kinds: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": tag_list()} for kind in kinds]


def policy_text(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def root_of(account: str) -> dict[str, str]:
    return {"AWS": f"arn:aws:iam::{account}:root"}


# How state is read and made comparable.
VOLATILE = {
    "ResponseMetadata", "RevisionId", "SecurityGroupRuleArn", "SecurityGroupRuleId", "Location", "CreatedTimestamp",
    "LastModified", "LastModifiedTimestamp", "LatestDeliveryAttemptTime", "LatestNotificationAttemptTime",
    "TimeLoggingStarted", "TimeLoggingStopped"}


def canonical(value: Any) -> Any:
    """Without dates and other volatile members, JSON text parsed, lists sorted: of none here the order counts."""
    if isinstance(value, dict):
        return {name: canonical(member) for name, member in value.items()
                if name not in VOLATILE and not isinstance(member, datetime)}
    if isinstance(value, list):
        return sorted(map(canonical, value), key=functools.partial(json.dumps, sort_keys=True))
    if isinstance(value, str) and value.startswith("{"):
        try:
            return canonical(json.loads(value))
        except ValueError:
            pass
    return value


def reads(client: Any, calls: str, **arguments: Any) -> State:
    """What each call tells. The first must find the resource; others may find nothing: then the error's code."""
    first, *others = calls.split()
    state = {first: getattr(client, first)(**arguments)}
    for call in others:
        try:
            state[call] = getattr(client, call)(**arguments)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            state[call] = {"absent": error.response["Error"]["Code"]}
    return state


# S3
def bucket_state(aws: Aws, arn: str) -> State:
    return reads(aws.client("s3"), """
        head_bucket get_bucket_accelerate_configuration get_bucket_acl get_bucket_cors get_bucket_encryption
        get_bucket_lifecycle_configuration get_bucket_location get_bucket_logging
        get_bucket_notification_configuration get_bucket_ownership_controls get_bucket_policy
        get_bucket_policy_status get_bucket_replication get_bucket_tagging get_bucket_versioning get_bucket_website
        get_object_lock_configuration get_public_access_block list_bucket_inventory_configurations
        list_object_versions""", Bucket=arn.removeprefix("arn:aws:s3:::"))


def make_bucket(aws: Aws, ownership: str = "BucketOwnerPreferred") -> str:
    """A bucket with tags, versions, encryption, life cycle, and an object; without a policy."""
    s3, name = aws.client("s3"), unique("bucket")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.region})
    s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls={"Rules": [{"ObjectOwnership": ownership}]})
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": tag_list()})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [
        {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}]})
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [
        {"ID": "old-logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 400}}]})
    s3.put_object(Bucket=name, Key="logs/first.txt", Body=b"kept")
    return name


def bucket_statements(name: str) -> list[dict[str, Any]]:
    return [
        {"Sid": "PartnerReads", "Effect": "Allow", "Principal": root_of(PARTNER),
         "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"]},
        {"Sid": "NobodyDeletesTheBucket", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket",
         "Resource": f"arn:aws:s3:::{name}",
         "Condition": {"StringNotLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/admin-*"}}},
    ]


@fix("aws.s3.block-public-access", bucket_state, "bad-none", "bad", "good")
def block_public_access(aws: Aws, case: str) -> str:
    s3, name = aws.client("s3"), make_bucket(aws)
    s3.put_bucket_policy(Bucket=name, Policy=policy_text(*bucket_statements(name)))
    if case != "bad-none":
        s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration={
            "BlockPublicAcls": True, "IgnorePublicAcls": case == "good",
            "BlockPublicPolicy": True, "RestrictPublicBuckets": case == "good"})
    return f"arn:aws:s3:::{name}"


@fix("aws.s3.require-tls", bucket_state, "bad", "bad-none", "good")
def require_tls(aws: Aws, case: str) -> str:
    name = make_bucket(aws)
    statements = bucket_statements(name)
    if case == "good":
        statements.append({"Sid": "OursAlready", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
                           "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
                           "Condition": {"Bool": {"aws:SecureTransport": "false"}}})
    if case != "bad-none":
        aws.client("s3").put_bucket_policy(Bucket=name, Policy=policy_text(*statements))
    return f"arn:aws:s3:::{name}"


@fix("aws.s3.no-public-acl-grants", bucket_state, "bad", "good", "refused", "enforced")
def no_public_acl_grants(aws: Aws, case: str) -> str:
    """`enforced` is what AWS shows under BucketOwnerEnforced; `refused` has public grants too, as only moto allows."""
    s3 = aws.client("s3")
    name = make_bucket(aws, "BucketOwnerEnforced" if case in ("refused", "enforced") else "ObjectWriter")
    owner = s3.get_bucket_acl(Bucket=name)["Owner"]
    user = {"Type": "CanonicalUser", "ID": CANONICAL_USER}
    logs, everyone, signed_in = ({"Type": "Group", "URI": f"http://acs.amazonaws.com/groups/{group}"}
                                 for group in ("s3/LogDelivery", "global/AllUsers", "global/AuthenticatedUsers"))
    grants = [({"Type": "CanonicalUser", "ID": owner["ID"]}, "FULL_CONTROL")]
    if case != "enforced":
        grants += [(user, "READ"), (user, "READ_ACP"), (logs, "WRITE")]
    if case in ("bad", "refused"):
        grants += [(everyone, "READ"), (signed_in, "WRITE")]
    s3.put_bucket_acl(Bucket=name, AccessControlPolicy={
        "Owner": owner, "Grants": [{"Grantee": who, "Permission": what} for who, what in grants]})
    return f"arn:aws:s3:::{name}"


# EBS and RDS snapshots
def ebs_snapshot_state(aws: Aws, arn: str) -> State:
    ec2, name = aws.client("ec2"), arn.rsplit("/", 1)[1]
    return (reads(ec2, "describe_snapshots", SnapshotIds=[name])
            | reads(ec2, "describe_snapshot_attribute", SnapshotId=name, Attribute="createVolumePermission"))


@fix("aws.ebs.snapshot-private", ebs_snapshot_state, "bad", "bad-only", "good")
def ebs_snapshot_private(aws: Aws, case: str) -> str:
    """`bad-only`: the group all, and no account."""
    ec2 = aws.client("ec2")
    volume = ec2.create_volume(Size=8, AvailabilityZone=f"{aws.region}a")["VolumeId"]
    name = ec2.create_snapshot(
        VolumeId=volume, Description="Month end", TagSpecifications=tags_of("snapshot"))["SnapshotId"]
    add = functools.partial(
        ec2.modify_snapshot_attribute, SnapshotId=name, Attribute="createVolumePermission", OperationType="add")
    if case != "bad-only":
        add(UserIds=[PARTNER, OTHER_PARTNER])
    if case != "good":
        add(GroupNames=["all"])
    return aws.arn("ec2", f"snapshot/{name}", account="")


def rds_snapshot_state(aws: Aws, arn: str) -> State:
    rds, name = aws.client("rds"), arn.rsplit(":", 1)[1]
    return (reads(rds, "describe_db_snapshots describe_db_snapshot_attributes", DBSnapshotIdentifier=name)
            | reads(rds, "list_tags_for_resource", ResourceName=arn))


@fix("aws.rds.snapshot-private", rds_snapshot_state, "bad", "bad-only", "good")
def rds_snapshot_private(aws: Aws, case: str) -> str:
    """`bad-only`: all, and no account."""
    rds, database, name = aws.client("rds"), unique("database"), unique("snapshot")
    rds.create_db_instance(
        DBInstanceIdentifier=database, DBInstanceClass="db.t3.micro", Engine="postgres", AllocatedStorage=20,
        MasterUsername="administrator", MasterUserPassword="not-a-secret")
    rds.create_db_snapshot(DBSnapshotIdentifier=name, DBInstanceIdentifier=database, Tags=tag_list())
    accounts = {"bad": [PARTNER, "all", OTHER_PARTNER], "bad-only": ["all"], "good": [PARTNER, OTHER_PARTNER]}
    rds.modify_db_snapshot_attribute(
        DBSnapshotIdentifier=name, AttributeName="restore", ValuesToAdd=accounts[case])
    return aws.arn("rds", f"snapshot:{name}")


# Security groups
def security_group_state(aws: Aws, arn: str) -> State:
    """Rules get new identifiers when they are added again, so these are left out; their tags are not."""
    ec2, group = aws.client("ec2"), arn.rsplit("/", 1)[1]
    return (reads(ec2, "describe_security_groups", GroupIds=[group])
            | reads(ec2, "describe_security_group_rules", Filters=[{"Name": "group-id", "Values": [group]}]))


def tcp(first: int, last: int, **sources: Any) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, **sources}


def make_security_group(aws: Aws, case: str, port: int, around: tuple[int, int]) -> str:
    """`tagged`: the public rule has tags of its own. `bad-only`: it is the only rule."""
    ec2 = aws.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    source = ec2.create_security_group(GroupName="source", Description="Clients", VpcId=vpc)["GroupId"]
    group = ec2.create_security_group(
        GroupName="front", Description="Front", VpcId=vpc, TagSpecifications=tags_of("security-group"))["GroupId"]
    anywhere, office = {"CidrIp": "0.0.0.0/0"}, {"CidrIp": "10.0.0.0/8"}
    public = [tcp(port, port, IpRanges=[anywhere | {"Description": "from anywhere"}])]
    if case == "bad":
        public += [tcp(port, port, Ipv6Ranges=[{"CidrIpv6": "::/0"}]), tcp(*around, IpRanges=[anywhere, office])]
    elif case == "all-traffic":
        public = [{"IpProtocol": "-1", "IpRanges": [anywhere | {"Description": "for now"}]}]
    allow = functools.partial(ec2.authorize_security_group_ingress, GroupId=group)
    if case != "bad-only":
        allow(IpPermissions=[
            tcp(port, port, IpRanges=[office | {"Description": "from the office"}]),
            tcp(443, 443, IpRanges=[anywhere]),
            tcp(5432, 5432, UserIdGroupPairs=[{"GroupId": source, "Description": "clients"}])])
    if case != "good":
        tags = {"TagSpecifications": tags_of("security-group-rule")} if case == "tagged" else {}
        allow(IpPermissions=public, **tags)
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[tcp(8443, 8443, IpRanges=[office])])
    return aws.arn("ec2", f"security-group/{group}")


for service, port, around in (("ssh", 22, (20, 25)), ("rdp", 3389, (3380, 3390))):
    fix(f"aws.ec2.no-public-{service}", security_group_state, "bad", "all-traffic", "good", "bad-only", "tagged")(
        functools.partial(make_security_group, port=port, around=around))


# Instances, and the account's EBS setting
def instance_state(aws: Aws, arn: str) -> State:
    ec2, name = aws.client("ec2"), arn.rsplit("/", 1)[1]
    state = (reads(ec2, "describe_instances describe_instance_credit_specifications", InstanceIds=[name])
             | reads(ec2, "describe_volumes", Filters=[{"Name": "attachment.instance-id", "Values": [name]}]))
    for attribute in ("disableApiTermination", "ebsOptimized", "groupSet", "instanceInitiatedShutdownBehavior",
                      "sourceDestCheck", "userData"):
        state[attribute] = ec2.describe_instance_attribute(InstanceId=name, Attribute=attribute)
    return state


@fix("aws.ec2.imdsv2", instance_state, "bad", "good", "off")
def imdsv2(aws: Aws, case: str) -> str:
    ec2 = aws.client("ec2")
    name = ec2.run_instances(
        ImageId="ami-12c6146b", InstanceType="t3.micro", MinCount=1, MaxCount=1, UserData="#!/bin/sh\ntrue\n",
        TagSpecifications=tags_of("instance", "volume"), MetadataOptions={
            "HttpTokens": "required" if case == "good" else "optional", "HttpPutResponseHopLimit": 2,
            "HttpEndpoint": "disabled" if case == "off" else "enabled", "InstanceMetadataTags": "enabled"},
    )["Instances"][0]["InstanceId"]
    ec2.modify_instance_attribute(InstanceId=name, DisableApiTermination={"Value": True})
    return aws.arn("ec2", f"instance/{name}")


@fix("aws.ebs.default-encryption", lambda aws, _: reads(aws.client("ec2"), "get_ebs_encryption_by_default"),
     "bad", "good")
def ebs_default_encryption(aws: Aws, case: str) -> str:
    """One setting for the account in the region: here alone `make` changes what it made before."""
    ec2 = aws.client("ec2")
    (ec2.enable_ebs_encryption_by_default if case == "good" else ec2.disable_ebs_encryption_by_default)()
    return f"aws:{ACCOUNT}"


# KMS
def key_state(aws: Aws, arn: str) -> State:
    kms = aws.client("kms")
    return (reads(kms, "describe_key get_key_rotation_status list_key_rotations list_resource_tags list_aliases "
                       "list_grants", KeyId=arn)
            | reads(kms, "get_key_policy", KeyId=arn, PolicyName="default"))


KEY_KINDS = {
    "asymmetric": {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"},
    "hmac": {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
    "imported": {"Origin": "EXTERNAL"},
}


@fix("aws.kms.rotation", key_state, "bad", "good", *KEY_KINDS, "disabled", "pending-deletion")
def kms_rotation(aws: Aws, case: str) -> str:
    kms = aws.client("kms")
    kind = {"KeySpec": "SYMMETRIC_DEFAULT", "KeyUsage": "ENCRYPT_DECRYPT"} | KEY_KINDS.get(case, {})
    key = kms.create_key(
        Description="Orders", MultiRegion=False, Tags=tag_list("TagKey", "TagValue"), **kind, Policy=policy_text(
            {"Sid": "Ours", "Effect": "Allow", "Principal": root_of(ACCOUNT), "Action": "kms:*", "Resource": "*"},
            {"Sid": "Partner", "Effect": "Allow", "Principal": root_of(PARTNER), "Action": "kms:DescribeKey",
             "Resource": "*"}))["KeyMetadata"]
    name = key["KeyId"]
    kms.create_alias(AliasName=f"alias/{unique('orders')}", TargetKeyId=name)
    kms.create_grant(
        KeyId=name, GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:role/reader", Operations=["DescribeKey"])
    if case == "good":
        kms.enable_key_rotation(KeyId=name)
    elif case == "disabled":
        kms.disable_key(KeyId=name)
    elif case == "pending-deletion":
        kms.schedule_key_deletion(KeyId=name, PendingWindowInDays=30)
    return key["Arn"]


# CloudTrail
def trail_state(aws: Aws, arn: str) -> State:
    trails = aws.client("cloudtrail")
    return (reads(trails, "get_trail get_trail_status", Name=arn)
            | reads(trails, "get_event_selectors get_insight_selectors", TrailName=arn)
            | reads(trails, "list_tags", ResourceIdList=[arn]))


@fix("aws.cloudtrail.log-validation", trail_state, "bad", "good", "bad-stopped")
def log_validation(aws: Aws, case: str) -> str:
    """`stopped`: as bad, and the trail does not log."""
    trails, topic = aws.client("cloudtrail"), unique("trail-topic")
    aws.client("sns").create_topic(Name=topic)
    arn = trails.create_trail(
        Name=unique("trail"), S3BucketName=make_bucket(aws), S3KeyPrefix="audit", SnsTopicName=topic,
        IncludeGlobalServiceEvents=True, IsMultiRegionTrail=True, EnableLogFileValidation=case == "good",
        CloudWatchLogsLogGroupArn=aws.arn("logs", "log-group:trail:*"),
        CloudWatchLogsRoleArn=f"arn:aws:iam::{ACCOUNT}:role/trail-to-logs",
        KmsKeyId=aws.arn("kms", "key/1234abcd-12ab-34cd-56ef-1234567890ab"), TagsList=tag_list())["TrailARN"]
    trails.put_event_selectors(TrailName=arn, EventSelectors=[{
        "ReadWriteType": "WriteOnly", "IncludeManagementEvents": True,
        "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::orders/", "arn:aws:s3:::bills/"]}]}])
    trails.put_insight_selectors(TrailName=arn, InsightSelectors=[{"InsightType": "ApiCallRateInsight"}])
    if case != "bad-stopped":
        trails.start_logging(Name=arn)
    return arn


# Lambda
def function_state(aws: Aws, arn: str) -> State:
    return reads(aws.client("lambda"), """
        get_function get_policy get_function_concurrency get_function_event_invoke_config get_function_url_config
        list_aliases list_versions_by_function""", FunctionName=arn.rsplit(":", 1)[1])


@fix("aws.lambda.no-public-access", function_state, "bad", "bad-only", "bad-two", "good", "conditional")
def lambda_no_public_access(aws: Aws, case: str) -> str:
    """`bad-only`: the public statement is the only one, so that without it there is no policy."""
    functions, name, archive = aws.client("lambda"), unique("function"), io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("main.py", "def handler(event, context):\n    return event\n")
    role = aws.client("iam").create_role(RoleName=unique("role"), AssumeRolePolicyDocument=policy_text(
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}))
    arn = functions.create_function(
        FunctionName=name, Runtime="python3.11", Role=role["Role"]["Arn"], Handler="main.handler",
        Code={"ZipFile": archive.getvalue()}, Description="Bills", Timeout=17, MemorySize=256,
        Environment={"Variables": {"STAGE": "production"}}, Tags=TAGS)["FunctionArn"]
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
    nightly = {"Principal": "events.amazonaws.com", "SourceArn": aws.arn("events", "rule/nightly")}
    statements: dict[str, dict[str, str]] = {}
    if case != "bad-only":
        statements |= {"nightly": nightly, "partner": {"Principal": PARTNER}}
    if case == "bad-two":
        statements["public-too"] = {"Principal": "*"}
    if case != "good":
        statements["public"] = {"Principal": "*"} | ({"SourceAccount": PARTNER} if case == "conditional" else {})
    for statement, who in statements.items():
        functions.add_permission(FunctionName=name, StatementId=statement, Action="lambda:InvokeFunction", **who)
    return arn


# SQS
def queue_state(aws: Aws, arn: str) -> State:
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=arn.rsplit(":", 1)[1])["QueueUrl"]
    return (reads(sqs, "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
            | reads(sqs, "list_queue_tags", QueueUrl=url))


@fix("aws.sqs.encryption", queue_state, "bad", "bad-no-policy", "good", "kms")
def sqs_encryption(aws: Aws, case: str) -> str:
    """`bad-no-policy`: moto drops the queue's policy in every SetQueueAttributes that does not carry it."""
    sqs, name, dead_letters = aws.client("sqs"), unique("queue"), unique("dead-letters")
    sqs.create_queue(QueueName=dead_letters)
    redrive = {"deadLetterTargetArn": aws.arn("sqs", dead_letters), "maxReceiveCount": 3}
    attributes = {
        "VisibilityTimeout": "77", "DelaySeconds": "5", "MessageRetentionPeriod": "86400",
        "RedrivePolicy": json.dumps(redrive), "SqsManagedSseEnabled": "true" if case == "good" else "false"}
    if case != "bad-no-policy":
        attributes["Policy"] = policy_text({
            "Sid": "PartnerSends", "Effect": "Allow", "Principal": root_of(PARTNER),
            "Action": "sqs:SendMessage", "Resource": aws.arn("sqs", name)})
    if case == "kms":
        attributes |= {"KmsMasterKeyId": "alias/aws/sqs", "KmsDataKeyReusePeriodSeconds": "600"}
    sqs.create_queue(QueueName=name, Attributes=attributes, tags=TAGS)
    return aws.arn("sqs", name)


# The command line
def answer(clouds: Callable[[str], Aws], command: dict[str, Any]) -> State:
    aws, name = clouds(command.get("region") or "eu-west-1"), command.get("fix")
    if name not in FIXES:
        raise ValueError(f"no fix is called {name!r}; there are {', '.join(FIXES)}")
    make, state, cases = FIXES[name]
    if command.get("do") == "state" and command.get("resource"):
        return canonical(state(aws, command["resource"]))
    if command.get("do") == "make" and command.get("case") in cases:
        return {"resource": make(aws, command["case"]), "region": aws.region, "account": ACCOUNT}
    raise ValueError(f"{name} can make {', '.join(cases)}, and read the state of a resource; not {command}")


def serve(clouds: Callable[[str], Aws], region: str) -> None:
    for line in sys.stdin:
        try:
            result = answer(clouds, {"region": region} | json.loads(line))
        except Exception as error:  # whatever it is, the next line is to be answered too
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result, sort_keys=True), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", help="the address of the moto server")
    parser.add_argument("--region", default="eu-west-1")
    parser.add_argument("do", choices=["list", "make", "state", "serve"])
    parser.add_argument("fix", nargs="?")
    parser.add_argument("what", nargs="?", metavar="CASE or RESOURCE")
    options = parser.parse_args()
    clouds = functools.cache(functools.partial(Aws, options.endpoint))
    if options.do == "list":
        print(json.dumps({name: cases for name, (_, _, cases) in FIXES.items()}, sort_keys=True))
    elif not options.endpoint:
        parser.error("--endpoint is needed")
    elif options.do == "serve":
        serve(clouds, options.region)
    else:
        try:
            command = vars(options) | {"case": options.what, "resource": options.what}
            print(json.dumps(answer(clouds, command), sort_keys=True))
        except (ValueError, ClientError, BotoCoreError) as error:
            sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
