"""Every modelled error as a typed exception of the client, and the client's errors for broken answers."""

import gzip

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from conftest import (
    NO_SUCH_CONNECTION,
    NO_SUCH_CONNECTOR,
    NO_SUCH_INGRESS,
    NO_SUCH_SCALING,
    NO_SUCH_SERVICE,
    NO_SUCH_TRACES,
    SOURCE,
    client_of,
    control,
    create,
    error,
    fault,
)

CONNECTOR = {"VpcConnectorArn": NO_SUCH_CONNECTOR}
SERVICE = {"ServiceArn": NO_SUCH_SERVICE}
INGRESS = {"VpcIngressConnectionArn": NO_SUCH_INGRESS}
SCALING = {"AutoScalingConfigurationArn": NO_SUCH_SCALING}
TRACES = {"ObservabilityConfigurationArn": NO_SUCH_TRACES}
CONNECTION = {"ConnectionArn": NO_SUCH_CONNECTION}
VPC = {"VpcId": "vpc-1", "VpcEndpointId": "vpce-1"}
RESOURCE = {"ResourceArn": NO_SUCH_CONNECTOR}

# Every operation of App Runner that the emulator has, with parameters that botocore takes.
OPERATIONS = {
    "AssociateCustomDomain": ("associate_custom_domain", {**SERVICE, "DomainName": "shop.example.org"}),
    "CreateAutoScalingConfiguration": (
        "create_auto_scaling_configuration",
        {"AutoScalingConfigurationName": "busy"},
    ),
    "CreateConnection": ("create_connection", {"ConnectionName": "code", "ProviderType": "GITHUB"}),
    "CreateObservabilityConfiguration": (
        "create_observability_configuration",
        {"ObservabilityConfigurationName": "traces"},
    ),
    "CreateService": ("create_service", {"ServiceName": "web1", "SourceConfiguration": SOURCE}),
    "CreateVpcConnector": ("create_vpc_connector", {"VpcConnectorName": "shop", "Subnets": ["subnet-1"]}),
    "CreateVpcIngressConnection": (
        "create_vpc_ingress_connection",
        {**SERVICE, "VpcIngressConnectionName": "shop", "IngressVpcConfiguration": VPC},
    ),
    "DeleteAutoScalingConfiguration": ("delete_auto_scaling_configuration", SCALING),
    "DeleteConnection": ("delete_connection", CONNECTION),
    "DeleteObservabilityConfiguration": ("delete_observability_configuration", TRACES),
    "DeleteService": ("delete_service", SERVICE),
    "DeleteVpcConnector": ("delete_vpc_connector", CONNECTOR),
    "DeleteVpcIngressConnection": ("delete_vpc_ingress_connection", INGRESS),
    "DescribeCustomDomains": ("describe_custom_domains", SERVICE),
    "DescribeService": ("describe_service", SERVICE),
    "DescribeVpcConnector": ("describe_vpc_connector", CONNECTOR),
    "DescribeVpcIngressConnection": ("describe_vpc_ingress_connection", INGRESS),
    "DisassociateCustomDomain": ("disassociate_custom_domain", {**SERVICE, "DomainName": "shop.example.org"}),
    "ListAutoScalingConfigurations": ("list_auto_scaling_configurations", {}),
    "ListConnections": ("list_connections", {}),
    "ListObservabilityConfigurations": ("list_observability_configurations", {}),
    "ListServicesForAutoScalingConfiguration": ("list_services_for_auto_scaling_configuration", SCALING),
    "ListServices": ("list_services", {}),
    "ListTagsForResource": ("list_tags_for_resource", RESOURCE),
    "ListVpcConnectors": ("list_vpc_connectors", {}),
    "ListVpcIngressConnections": ("list_vpc_ingress_connections", {}),
    "PauseService": ("pause_service", SERVICE),
    "ResumeService": ("resume_service", SERVICE),
    "TagResource": ("tag_resource", {**RESOURCE, "Tags": [{"Key": "team", "Value": "web"}]}),
    "UntagResource": ("untag_resource", {**RESOURCE, "TagKeys": ["team"]}),
    "UpdateService": ("update_service", SERVICE),
}


def modelled():
    model = client_of().meta.service_model
    for operation in OPERATIONS:
        for shape in model.operation_model(operation).error_shapes:
            yield operation, shape.name, shape.metadata.get("error", {}).get("httpStatusCode", 400)


@pytest.mark.parametrize(("operation", "code", "status"), list(modelled()))
@pytest.mark.parametrize("prefix", ["", "com.amazonaws.apprunner#"])
def test_modelled_errors_are_typed(client, operation, code, status, prefix):
    fault(error(prefix + code, status, "the words"), operation=operation)
    method, parameters = OPERATIONS[operation]
    with pytest.raises(getattr(client.exceptions, code)) as raised:
        getattr(client, method)(**parameters)
    response = raised.value.response
    assert (response["Error"]["Code"], response["Error"]["Message"]) == (code, "the words")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status


def not_found():
    model = client_of().meta.service_model
    for operation in OPERATIONS:
        if any(shape.name == "ResourceNotFoundException" for shape in model.operation_model(operation).error_shapes):
            yield operation


@pytest.mark.parametrize("operation", list(not_found()))
def test_operations_on_unknown_resources_are_not_found(client, operation):
    method, parameters = OPERATIONS[operation]
    with pytest.raises(client.exceptions.ResourceNotFoundException) as raised:
        getattr(client, method)(**parameters)
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_deleting_a_connector_in_use_is_rejected(client, connector, service):
    with pytest.raises(client.exceptions.InvalidRequestException) as raised:
        client.delete_vpc_connector(VpcConnectorArn=connector)
    words = f"Provided VPC connector arn is being used by other services. ARN:  {connector}"
    assert raised.value.response["Error"]["Message"] == words
    client.delete_service(ServiceArn=service)
    client.delete_vpc_connector(VpcConnectorArn=connector)


def test_invalid_requests_are_rejected(client):
    create(client, "shop", SecurityGroups=["sg-1"])
    for wrong in (
        lambda: client.describe_vpc_connector(VpcConnectorArn="nonsense"),
        lambda: client.list_vpc_connectors(NextToken="nonsense"),
        lambda: client.list_services(MaxResults=21),
        lambda: create(client, "desk", SecurityGroups=["sg-1"]),
        lambda: create(client, "desk", Tags=[{"Key": "aws:reserved", "Value": ""}]),
        lambda: create(client, "under.score"),
    ):
        with pytest.raises(client.exceptions.InvalidRequestException):
            wrong()


def test_a_connector_above_the_quota_is_rejected(client):
    for number in range(10):
        create(client, f"shop{number}")
    with pytest.raises(client.exceptions.ServiceQuotaExceededException):
        create(client, "last")


def test_operations_in_the_wrong_state_are_rejected(client, connector, service):
    with pytest.raises(client.exceptions.InvalidStateException):
        client.resume_service(ServiceArn=service)
    client.delete_service(ServiceArn=service)
    client.delete_vpc_connector(VpcConnectorArn=connector)
    with pytest.raises(client.exceptions.InvalidStateException):
        client.tag_resource(ResourceArn=connector, Tags=[{"Key": "team", "Value": "web"}])


def test_requests_above_the_rate_limit_are_throttled(client):
    control("PATCH", "behaviors", {"requests_per_second": 1})
    with pytest.raises(ClientError) as raised:
        for _ in range(5):
            client.list_vpc_connectors()
    assert raised.value.response["Error"]["Code"] == "ThrottlingException"


def test_errors_outside_the_model_have_their_code_and_status(client, connector):
    for kind, code, status in [
        ("access_denied", "AccessDeniedException", 400),
        ({"throttling": {"code": "TooManyRequestsException"}}, "TooManyRequestsException", 429),
        (error("ServiceUnavailable", 503), "ServiceUnavailable", 503),
    ]:
        fault(kind)
        with pytest.raises(ClientError) as raised:
            client.describe_vpc_connector(VpcConnectorArn=connector)
        response = raised.value.response
        assert (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]) == (code, status)


@pytest.mark.parametrize(
    "kind", ["closed_before_effect", "closed_after_effect", {"connection_refused": {"ms": 0}}], ids=str
)
def test_lost_answers_are_connection_errors(client, connector, kind):
    fault(kind)
    with pytest.raises(ConnectionClosedError):
        client.describe_vpc_connector(VpcConnectorArn=connector)


@pytest.mark.parametrize("kind", ["half_body", "truncated_json", "empty_body", {"html_200": {}}], ids=str)
def test_botocore_reads_broken_answers_as_empty(client, connector, kind):
    fault(kind)
    assert "VpcConnector" not in client.describe_vpc_connector(VpcConnectorArn=connector)


def test_a_black_hole_ends_in_a_read_timeout(connector):
    impatient = client_of(read_timeout=0.3)
    fault({"black_hole": {}})
    with pytest.raises(ReadTimeoutError):
        impatient.describe_vpc_connector(VpcConnectorArn=connector)


def test_gzip_answers_can_be_unpacked(connector):
    def unpack(response_dict, **_):
        assert response_dict["headers"]["content-encoding"] == "gzip"
        response_dict["body"] = gzip.decompress(response_dict["body"])

    client = client_of()
    client.meta.events.register("before-parse.apprunner.DescribeVpcConnector", unpack)
    fault("gzip")
    assert client.describe_vpc_connector(VpcConnectorArn=connector)["VpcConnector"]["VpcConnectorArn"] == connector


@pytest.mark.parametrize("kind", [{"big_body": {}}, {"slow": {"bytes_per_second": 2000}}], ids=str)
def test_big_and_slow_answers_are_complete(client, connector, kind):
    fault(kind)
    shown = client.describe_vpc_connector(VpcConnectorArn=connector)["VpcConnector"]
    assert (shown["VpcConnectorArn"], shown["Status"]) == (connector, "ACTIVE")
