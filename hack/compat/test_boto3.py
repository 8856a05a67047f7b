"""Every operation through boto3."""

from datetime import datetime, timedelta, timezone

import pytest

from conftest import ACCOUNT, KEYS, REGION, SOURCE, client_of, control, create


def just_now(time):
    return isinstance(time, datetime) and abs(datetime.now(timezone.utc) - time) < timedelta(minutes=1)


def test_a_connector_is_created_described_listed_and_deleted(client):
    made = create(client, "shop", SecurityGroups=["sg-1", "sg-2"], Tags=[{"Key": "team", "Value": "web"}])
    arn = made["VpcConnectorArn"]
    assert arn.startswith(f"arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcconnector/shop/1/")
    assert (made["VpcConnectorName"], made["VpcConnectorRevision"], made["Status"]) == ("shop", 1, "ACTIVE")
    assert (made["Subnets"], made["SecurityGroups"]) == (["subnet-1"], ["sg-1", "sg-2"])
    assert just_now(made["CreatedAt"]) and "DeletedAt" not in made

    assert client.describe_vpc_connector(VpcConnectorArn=arn)["VpcConnector"] == made
    assert client.list_vpc_connectors()["VpcConnectors"] == [made]

    deleted = client.delete_vpc_connector(VpcConnectorArn=arn)["VpcConnector"]
    assert deleted["Status"] == "INACTIVE" and just_now(deleted["DeletedAt"])
    assert client.describe_vpc_connector(VpcConnectorArn=arn)["VpcConnector"] == deleted
    assert client.list_vpc_connectors()["VpcConnectors"] == []


def test_a_service_is_created_paused_resumed_updated_and_deleted(client, connector):
    network = {"EgressConfiguration": {"EgressType": "VPC", "VpcConnectorArn": connector}}
    made = client.create_service(ServiceName="web1", SourceConfiguration=SOURCE, NetworkConfiguration=network)
    assert made["OperationId"]
    arn = made["Service"]["ServiceArn"]

    def shown():
        return client.describe_service(ServiceArn=arn)["Service"]

    assert shown()["NetworkConfiguration"]["EgressConfiguration"] == network["EgressConfiguration"]
    assert shown()["SourceConfiguration"]["ImageRepository"]["ImageIdentifier"] == "example/web:1"
    assert (shown()["ServiceName"], shown()["Status"]) == ("web1", "RUNNING")
    assert just_now(shown()["CreatedAt"]) and just_now(shown()["UpdatedAt"])
    summary = client.list_services()["ServiceSummaryList"]
    assert [(one["ServiceArn"], one["Status"]) for one in summary] == [(arn, "RUNNING")]
    assert just_now(summary[0]["CreatedAt"])

    assert client.pause_service(ServiceArn=arn)["OperationId"]
    assert shown()["Status"] == "PAUSED"
    assert client.resume_service(ServiceArn=arn)["OperationId"]
    assert shown()["Status"] == "RUNNING"
    default = {"EgressConfiguration": {"EgressType": "DEFAULT"}}
    assert client.update_service(ServiceArn=arn, NetworkConfiguration=default)["OperationId"]
    assert shown()["NetworkConfiguration"]["EgressConfiguration"]["EgressType"] == "DEFAULT"
    deleted = client.delete_service(ServiceArn=arn)["Service"]
    assert deleted["Status"] == "DELETED" and just_now(deleted["DeletedAt"])
    assert client.list_services()["ServiceSummaryList"] == []


def test_tags_are_added_removed_and_listed(client, connector, service):
    for arn in (connector, service):
        client.tag_resource(ResourceArn=arn, Tags=[{"Key": "team", "Value": "web"}, {"Key": "ümlaut", "Value": ""}])
        client.untag_resource(ResourceArn=arn, TagKeys=["team"])
        assert client.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "ümlaut", "Value": ""}]


def test_service_operations_take_the_configured_time(client, service):
    control("PATCH", "behaviors", {"service_operation_ms": 60_000})
    assert client.pause_service(ServiceArn=service)["Service"]["Status"] == "OPERATION_IN_PROGRESS"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_connectors_are_listed_in_pages(client, size):
    names = [f"shop{number}" for number in range(5)]
    for name in names:
        create(client, name)
    found, more = [], {}
    while True:
        page = client.list_vpc_connectors(MaxResults=size, **more)
        assert len(page["VpcConnectors"]) <= size
        found += [one["VpcConnectorName"] for one in page["VpcConnectors"]]
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert sorted(found) == names


def test_services_are_listed_in_pages(client):
    for number in range(5):
        client.create_service(ServiceName=f"web-{number}", SourceConfiguration=SOURCE)
    assert len(client.list_services()["ServiceSummaryList"]) == 5
    first = client.list_services(MaxResults=3)
    second = client.list_services(MaxResults=3, NextToken=first["NextToken"])
    assert (len(first["ServiceSummaryList"]), len(second["ServiceSummaryList"])) == (3, 2)
    assert "NextToken" not in second


@pytest.mark.parametrize("operation", ["list_vpc_connectors", "list_services"])
def test_botocore_has_no_paginator_yet(client, operation):
    """Fails once botocore has one; then the tests above should use it."""
    assert not client.can_paginate(operation)


def test_sts_returns_the_identity_of_the_caller():
    identity = client_of("sts").get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == (ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/AKIDEXAMPLE")
    assert identity["UserId"] and identity["ResponseMetadata"]["RequestId"]
    called = control("GET", "calls?operation=GetCallerIdentity")["calls"]
    assert [call["access_key_id"] for call in called] == [KEYS["aws_access_key_id"]]
