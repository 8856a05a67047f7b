"""The output and the exit codes of the AWS CLI."""

from conftest import ACCOUNT, NO_SUCH_CONNECTOR, aws, control, create, error, fault

# The exit codes of version 1; version 2 has different codes for rejected, not configured and other failures.
FAILED, BAD_COMMAND = 255, 2


def made(name, *more):
    done, reply, said = aws(
        "apprunner", "create-vpc-connector", "--vpc-connector-name", name, "--subnets", "subnet-1", *more
    )
    assert done == 0, said
    return reply["VpcConnector"]


def test_a_connector_is_created_tagged_and_deleted():
    connector = made("shop", "--tags", "Key=team,Value=web")
    arn = connector["VpcConnectorArn"]
    assert connector["Status"] == "ACTIVE"
    assert aws("apprunner", "describe-vpc-connector", "--vpc-connector-arn", arn)[1]["VpcConnector"] == connector
    assert aws("apprunner", "list-tags-for-resource", "--resource-arn", arn)[1]["Tags"] == [
        {"Key": "team", "Value": "web"}
    ]
    assert aws("apprunner", "tag-resource", "--resource-arn", arn, "--tags", "Key=env,Value=test")[0] == 0
    assert aws("apprunner", "untag-resource", "--resource-arn", arn, "--tag-keys", "team")[0] == 0
    assert control("GET", "state")["regions"][0]["connectors"][0]["tags"] == {"env": "test"}
    done, reply, _ = aws("apprunner", "delete-vpc-connector", "--vpc-connector-arn", arn)
    assert (done, reply["VpcConnector"]["Status"]) == (0, "INACTIVE")
    assert reply["VpcConnector"]["DeletedAt"]


def test_connectors_are_listed_in_pages(client):
    for number in range(5):
        create(client, f"shop{number}")
    listed = ("apprunner", "list-vpc-connectors")
    assert len(aws(*listed)[1]["VpcConnectors"]) == 5
    first = aws(*listed, "--max-results", "3")[1]
    second = aws(*listed, "--max-results", "3", "--next-token", first["NextToken"])[1]
    assert (len(first["VpcConnectors"]), len(second["VpcConnectors"])) == (3, 2)
    assert "NextToken" not in second


def test_services_are_listed_described_and_deleted(client, connector, service):
    listed = aws("apprunner", "list-services", "--max-results", "20")[1]["ServiceSummaryList"]
    assert [one["ServiceArn"] for one in listed] == [service]
    shown = aws("apprunner", "describe-service", "--service-arn", service)[1]["Service"]
    assert shown["NetworkConfiguration"]["EgressConfiguration"]["VpcConnectorArn"] == connector
    assert aws("apprunner", "delete-service", "--service-arn", service)[1]["Service"]["Status"] == "DELETED"


def test_sts_returns_the_identity_of_the_caller():
    assert aws("sts", "get-caller-identity")[1]["Account"] == ACCOUNT


def test_errors_set_the_exit_code_and_print_code_and_message(client, connector, service):
    delete = ("apprunner", "delete-vpc-connector", "--vpc-connector-arn")
    for arn, code, words in [
        (connector, "InvalidRequestException", f"being used by other services. ARN:  {connector}"),
        (NO_SUCH_CONNECTOR, "ResourceNotFoundException", f"{NO_SUCH_CONNECTOR} was not found."),
    ]:
        done, reply, said = aws(*delete, arn)
        assert (done, reply) == (FAILED, None)
        assert f"An error occurred ({code}) when calling the DeleteVpcConnector operation: " in said
        assert words in said
    fault(error("InternalServiceErrorException", 500))
    done, _, said = aws(*delete, connector)
    assert done == FAILED and "(InternalServiceErrorException)" in said


def test_wrong_credentials_are_rejected():
    listed = ("apprunner", "list-vpc-connectors")
    for keys, code in [
        (("AKIDEXAMPLE", "wrong", None), "InvalidSignatureException"),
        (("AKIDNOBODY", "not-a-secret", None), "UnrecognizedClientException"),
        (("AKIDTEMPORARY", "not-a-secret", None), "UnrecognizedClientException"),
        (("AKIDEXPIRED", "not-a-secret", "an-old-token"), "ExpiredTokenException"),
    ]:
        done, _, said = aws(*listed, keys=keys)
        assert done == FAILED and f"({code})" in said, said
    assert aws(*listed, keys=("AKIDTEMPORARY", "not-a-secret", "a-token"))[0] == 0
    done, _, said = aws(*listed, keys=None)
    assert done == FAILED and "credentials" in said
    done, _, _ = aws("apprunner", "delete-vpc-connector")
    assert done == BAD_COMMAND
