"""Assumed roles through boto3 and the AWS CLI: by a call, and by a profile of a config file."""

from datetime import datetime, timedelta, timezone

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import ACCOUNT, EXTERNAL_ID, REGION, ROLE, ROLE_ACCOUNT, URL, aws, client_of, control

SESSION_ARN = f"arn:aws:sts::{ROLE_ACCOUNT}:assumed-role/reader/nightly"


def assume(sts=None, **more):
    sts = sts or client_of("sts")
    return sts.assume_role(**{"RoleArn": ROLE, "RoleSessionName": "nightly", "ExternalId": EXTERNAL_ID, **more})


def keys(credentials):
    names = {"AccessKeyId": "aws_access_key_id", "SecretAccessKey": "aws_secret_access_key"}
    names["SessionToken"] = "aws_session_token"
    return {ours: credentials[theirs] for theirs, ours in names.items()}


def refused(call):
    with pytest.raises(ClientError) as raised:
        call()
    response = raised.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def test_a_role_is_assumed_and_its_credentials_work(role):
    reply = assume(DurationSeconds=900)
    assert reply["AssumedRoleUser"]["Arn"] == SESSION_ARN
    left = reply["Credentials"]["Expiration"] - datetime.now(timezone.utc)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    given = keys(reply["Credentials"])
    identity = client_of("sts", given).get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == (ROLE_ACCOUNT, SESSION_ARN)
    assert identity["UserId"] == reply["AssumedRoleUser"]["AssumedRoleId"]
    client_of(keys=given).create_vpc_connector(VpcConnectorName="shop", Subnets=["subnet-1"])
    assert client_of().list_vpc_connectors()["VpcConnectors"] == []
    assert [one["account"] for one in control("GET", "state")["regions"]] == [ROLE_ACCOUNT]
    call = control("GET", "calls?operation=AssumeRole")["calls"][0]
    assert (call["arn"], call["account"]) == (role, ACCOUNT)


@pytest.mark.parametrize("wrong", [{"ExternalId": "another"}, {"RoleArn": f"arn:aws:iam::{ROLE_ACCOUNT}:role/nobody"}])
def test_a_role_is_refused_without_its_cause(role, wrong):
    arn = wrong.get("RoleArn", role)
    user = f"arn:aws:iam::{ACCOUNT}:user/AKIDEXAMPLE"
    words = f"User: {user} is not authorized to perform: sts:AssumeRole on resource: {arn}"
    assert refused(lambda: assume(**wrong)) == ("AccessDenied", 403, words)


def test_invalid_parameters_are_refused(role):
    code, status, words = refused(lambda: assume(RoleSessionName="a/b"))
    assert (code, status) == ("ValidationError", 400) and "'a/b' at 'roleSessionName'" in words
    chained = client_of("sts", keys(assume()["Credentials"]))
    code, status, words = refused(lambda: assume(chained, DurationSeconds=3601))
    assert (code, status) == ("ValidationError", 400) and "by role chaining" in words


def test_expired_and_deleted_sessions_are_rejected(role):
    client = client_of(keys=keys(assume()["Credentials"]))
    assert client.list_vpc_connectors()["VpcConnectors"] == []
    assert control("POST", "expire-role-sessions", {"arn": role}) == {"expired": 1}
    assert refused(client.list_vpc_connectors)[:2] == ("ExpiredTokenException", 403)
    control("DELETE", f"roles?arn={role}")
    assert refused(client.list_vpc_connectors)[:2] == ("UnrecognizedClientException", 403)


def test_a_profile_of_boto3_assumes_the_role(role_profile, monkeypatch):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(role_profile))
    # botocore makes a client of its own for AssumeRole; the endpoint of the session's clients does not reach it.
    monkeypatch.setenv("AWS_ENDPOINT_URL", URL)
    session = boto3.session.Session(profile_name="reports", region_name=REGION)
    assert session.client("sts").get_caller_identity()["Arn"] == SESSION_ARN
    assert session.client("apprunner").list_vpc_connectors()["VpcConnectors"] == []
    called = [call["operation"] for call in control("GET", "calls")["calls"]]
    assert called == ["AssumeRole", "GetCallerIdentity", "ListVpcConnectors"]


def test_the_cli_assumes_the_role(role):
    options = ("--role-arn", role, "--role-session-name", "nightly")
    done, reply, said = aws("sts", "assume-role", *options, "--external-id", EXTERNAL_ID)
    assert done == 0, said
    credentials = reply["Credentials"]
    given = (credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    assert aws("sts", "get-caller-identity", keys=given)[1]["Arn"] == SESSION_ARN
    done, _, said = aws("sts", "assume-role", *options)
    assert done != 0 and f"(AccessDenied) when calling the AssumeRole operation: User: arn:aws:iam::{ACCOUNT}" in said


def test_a_profile_of_the_cli_assumes_the_role(role_profile):
    given = {"keys": None, "AWS_CONFIG_FILE": str(role_profile)}
    assert aws("sts", "get-caller-identity", "--profile", "reports", **given)[1]["Arn"] == SESSION_ARN
    done, reply, said = aws("apprunner", "list-vpc-connectors", "--profile", "reports", **given)
    assert done == 0, said
    assert reply["VpcConnectors"] == []
