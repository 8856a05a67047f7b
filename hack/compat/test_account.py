"""The resources around services through boto3 and the AWS CLI."""

from datetime import datetime, timedelta, timezone

import pytest

from conftest import ACCOUNT, REGION, aws, control

VPC = {"VpcId": "vpc-1", "VpcEndpointId": "vpce-1"}


def just_now(time):
    return isinstance(time, datetime) and abs(datetime.now(timezone.utc) - time) < timedelta(minutes=1)


def view():
    return control("GET", "state")["regions"][0]


def create_ingress(client, service, name="shop"):
    reply = client.create_vpc_ingress_connection(
        ServiceArn=service, VpcIngressConnectionName=name, IngressVpcConfiguration=VPC
    )
    return reply["VpcIngressConnection"]


def test_an_ingress_connection_is_created_listed_and_deleted(client, service):
    made = create_ingress(client, service)
    arn = made["VpcIngressConnectionArn"]
    assert arn.startswith(f"arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcingressconnection/shop/")
    assert (made["Status"], made["ServiceArn"], made["AccountId"]) == ("AVAILABLE", service, ACCOUNT)
    assert made["IngressVpcConfiguration"] == VPC and made["DomainName"] and just_now(made["CreatedAt"])
    assert client.describe_vpc_ingress_connection(VpcIngressConnectionArn=arn)["VpcIngressConnection"] == made
    assert view()["ingress_connections"][0]["arn"] == arn

    with pytest.raises(client.exceptions.InvalidStateException) as raised:
        client.delete_service(ServiceArn=service)
    assert f"VpcIngressConnection Arn: {arn}" in raised.value.response["Error"]["Message"]
    deleted = client.delete_vpc_ingress_connection(VpcIngressConnectionArn=arn)["VpcIngressConnection"]
    assert deleted["Status"] == "DELETED" and just_now(deleted["DeletedAt"])
    assert client.list_vpc_ingress_connections()["VpcIngressConnectionSummaryList"] == []
    assert client.delete_service(ServiceArn=service)["Service"]["Status"] == "DELETED"


def test_ingress_connections_are_listed_by_filter_and_in_pages(client, service):
    arns = [create_ingress(client, service, f"shop{number}")["VpcIngressConnectionArn"] for number in range(3)]

    def listed(**more):
        return client.list_vpc_ingress_connections(**more)

    found = listed(Filter={"ServiceArn": service})["VpcIngressConnectionSummaryList"]
    assert [one["VpcIngressConnectionArn"] for one in found] == arns
    assert listed(Filter={"VpcEndpointId": "vpce-2"})["VpcIngressConnectionSummaryList"] == []
    first = listed(MaxResults=2)
    second = listed(MaxResults=2, NextToken=first["NextToken"])
    assert "NextToken" not in second
    pages = [len(page["VpcIngressConnectionSummaryList"]) for page in (first, second)]
    assert pages == [2, 1]


def test_the_cli_creates_lists_and_deletes_an_ingress_connection(service):
    name = ("--vpc-ingress-connection-name", "shop")
    vpc = ("--ingress-vpc-configuration", "VpcId=vpc-1,VpcEndpointId=vpce-1")
    done, reply, said = aws("apprunner", "create-vpc-ingress-connection", "--service-arn", service, *name, *vpc)
    assert done == 0, said
    arn = reply["VpcIngressConnection"]["VpcIngressConnectionArn"]
    listed = aws("apprunner", "list-vpc-ingress-connections", "--filter", f"ServiceArn={service}")[1]
    assert listed["VpcIngressConnectionSummaryList"] == [{"VpcIngressConnectionArn": arn, "ServiceArn": service}]
    done, _, said = aws("apprunner", "delete-service", "--service-arn", service)
    assert done != 0 and "(InvalidStateException)" in said
    done, reply, said = aws("apprunner", "delete-vpc-ingress-connection", "--vpc-ingress-connection-arn", arn)
    assert (done, reply["VpcIngressConnection"]["Status"]) == (0, "DELETED")


def test_a_domain_is_associated_described_and_disassociated(client, service):
    domain = {"ServiceArn": service, "DomainName": "shop.example.org"}
    made = client.associate_custom_domain(**domain, EnableWWWSubdomain=False)
    assert (made["ServiceArn"], made["VpcDNSTargets"], made["CustomDomain"]["Status"]) == (service, [], "creating")
    assert made["DNSTarget"].endswith(".awsapprunner.com")
    (shown,) = client.describe_custom_domains(ServiceArn=service)["CustomDomains"]
    assert (shown["DomainName"], shown["EnableWWWSubdomain"]) == ("shop.example.org", False)
    (record,) = shown["CertificateValidationRecords"]
    assert (record["Type"], record["Status"]) == ("CNAME", "PENDING_VALIDATION")
    assert client.disassociate_custom_domain(**domain)["CustomDomain"]["Status"] == "deleting"
    assert client.describe_custom_domains(ServiceArn=service)["CustomDomains"] == []


def test_the_cli_describes_domains(client, service):
    for name in ("a.org", "b.org"):
        client.associate_custom_domain(ServiceArn=service, DomainName=name)
    describe = ("apprunner", "describe-custom-domains", "--service-arn", service, "--max-results", "1")
    first = aws(*describe)[1]
    second = aws(*describe, "--next-token", first["NextToken"])[1]
    assert [page["CustomDomains"][0]["DomainName"] for page in (first, second)] == ["a.org", "b.org"]


def test_auto_scaling_configurations_are_created_used_listed_and_deleted(client, service):
    busy = {"AutoScalingConfigurationName": "busy"}
    made = client.create_auto_scaling_configuration(**busy, MaxSize=3)["AutoScalingConfiguration"]
    arn = made["AutoScalingConfigurationArn"]
    assert (made["AutoScalingConfigurationRevision"], made["Latest"], made["Status"]) == (1, True, "ACTIVE")
    assert (made["MaxConcurrency"], made["MinSize"], made["MaxSize"]) == (100, 1, 3)
    assert just_now(made["CreatedAt"])
    client.create_auto_scaling_configuration(**busy)

    def listed(**more):
        reply = client.list_auto_scaling_configurations(**more)["AutoScalingConfigurationSummaryList"]
        return [(one["AutoScalingConfigurationName"], one["AutoScalingConfigurationRevision"]) for one in reply]

    assert listed() == [("DefaultConfiguration", 1), ("busy", 2)]
    assert listed(**busy, LatestOnly=False) == [("busy", 1), ("busy", 2)]
    updated = client.update_service(ServiceArn=service, AutoScalingConfigurationArn=arn)["Service"]
    summary = updated["AutoScalingConfigurationSummary"]
    assert (summary["AutoScalingConfigurationArn"], summary["HasAssociatedService"]) == (arn, True)
    used = client.list_services_for_auto_scaling_configuration(AutoScalingConfigurationArn=arn)
    assert used["ServiceArnList"] == [service]
    with pytest.raises(client.exceptions.InvalidRequestException):
        client.delete_auto_scaling_configuration(AutoScalingConfigurationArn=arn)
    latest = arn.rsplit("/", 2)[0]
    deleted = client.delete_auto_scaling_configuration(AutoScalingConfigurationArn=latest)["AutoScalingConfiguration"]
    assert (deleted["AutoScalingConfigurationRevision"], deleted["Status"]) == (2, "INACTIVE")


def test_observability_configurations_are_created_listed_and_deleted(client):
    made = client.create_observability_configuration(
        ObservabilityConfigurationName="traces", TraceConfiguration={"Vendor": "AWSXRAY"}
    )["ObservabilityConfiguration"]
    assert (made["Status"], made["TraceConfiguration"]) == ("ACTIVE", {"Vendor": "AWSXRAY"})
    (one,) = client.list_observability_configurations()["ObservabilityConfigurationSummaryList"]
    assert one["ObservabilityConfigurationArn"] == made["ObservabilityConfigurationArn"]
    arn = {"ObservabilityConfigurationArn": made["ObservabilityConfigurationArn"]}
    deleted = client.delete_observability_configuration(**arn)["ObservabilityConfiguration"]
    assert deleted["Status"] == "INACTIVE" and just_now(deleted["DeletedAt"])
    assert client.list_observability_configurations()["ObservabilityConfigurationSummaryList"] == []


def test_connections_are_created_listed_and_deleted(client):
    made = client.create_connection(ConnectionName="code", ProviderType="BITBUCKET")["Connection"]
    assert (made["Status"], made["ProviderType"]) == ("PENDING_HANDSHAKE", "BITBUCKET")
    assert client.list_connections(ConnectionName="code")["ConnectionSummaryList"] == [made]
    deleted = client.delete_connection(ConnectionArn=made["ConnectionArn"])["Connection"]
    assert deleted["Status"] == "DELETED"
    assert client.list_connections()["ConnectionSummaryList"] == []


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("auto_scaling_configurations", "AutoScalingConfigurationSummaryList"),
        ("observability_configurations", "ObservabilityConfigurationSummaryList"),
        ("connections", "ConnectionSummaryList"),
    ],
)
def test_lists_have_pages(client, operation, members):
    for number in range(3):
        client.create_auto_scaling_configuration(AutoScalingConfigurationName=f"busy{number}")
        client.create_observability_configuration(ObservabilityConfigurationName=f"traces{number}")
        client.create_connection(ConnectionName=f"code{number}", ProviderType="GITHUB")
    listed = getattr(client, f"list_{operation}")
    pages, more = [], {}
    while True:
        page = listed(MaxResults=2, **more)
        pages += page[members]
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert pages == listed()[members] and len(pages) >= 3


def test_the_cli_lists_what_an_account_has():
    for name in ("--auto-scaling-configuration-name", "--observability-configuration-name", "--connection-name"):
        kind = name.removeprefix("--").removesuffix("-name")
        more = ("--provider-type", "GITHUB") if kind == "connection" else ()
        done, _, said = aws("apprunner", f"create-{kind}", name, "abcd", *more)
        assert done == 0, said
    scaling = aws("apprunner", "list-auto-scaling-configurations")[1]["AutoScalingConfigurationSummaryList"]
    assert [one["IsDefault"] for one in scaling] == [True, False]
    traces = aws("apprunner", "list-observability-configurations")[1]["ObservabilityConfigurationSummaryList"]
    connections = aws("apprunner", "list-connections")[1]["ConnectionSummaryList"]
    assert (len(traces), len(connections)) == (1, 1)
    done, reply, said = aws("apprunner", "delete-connection", "--connection-arn", connections[0]["ConnectionArn"])
    assert (done, reply["Connection"]["Status"]) == (0, "DELETED"), said
