"""Rejected credentials, with the error codes of App Runner and of STS."""

import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError, NoCredentialsError

from conftest import ACCOUNT, client_of, control

SECRET = "not-a-secret"


def keys(key_id, secret=SECRET, token=None):
    return {"aws_access_key_id": key_id, "aws_secret_access_key": secret, "aws_session_token": token}


# Credentials, App Runner's code and STS's.
REFUSED = [
    pytest.param(keys("AKIDEXAMPLE", "wrong"), "InvalidSignatureException", "SignatureDoesNotMatch", id="secret"),
    pytest.param(keys("AKIDNOBODY"), "UnrecognizedClientException", "InvalidClientTokenId", id="unknown key"),
    pytest.param(keys("AKIDTEMPORARY"), "UnrecognizedClientException", "InvalidClientTokenId", id="no token"),
    pytest.param(
        keys("AKIDTEMPORARY", token="other"), "UnrecognizedClientException", "InvalidClientTokenId", id="other token"
    ),
    pytest.param(
        keys("AKIDEXAMPLE", token="a-token"), "UnrecognizedClientException", "InvalidClientTokenId", id="token too many"
    ),
    pytest.param(
        keys("AKIDEXPIRED", token="an-old-token"), "ExpiredTokenException", "ExpiredToken", id="expired token"
    ),
]


def refused(call):
    with pytest.raises(ClientError) as raised:
        call()
    response = raised.value.response
    assert response["Error"]["Message"]
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(("given", "code", "_"), REFUSED)
def test_app_runner_rejects_wrong_credentials(given, code, _):
    assert refused(client_of(keys=given).list_vpc_connectors) == (code, 403)


@pytest.mark.parametrize(("given", "_", "code"), REFUSED)
def test_sts_rejects_wrong_credentials(given, _, code):
    assert refused(client_of("sts", given).get_caller_identity) == (code, 403)


def test_a_session_token_is_accepted():
    given = keys("AKIDTEMPORARY", token="a-token")
    assert client_of(keys=given).list_vpc_connectors()["VpcConnectors"] == []
    assert client_of("sts", given).get_caller_identity()["Account"] == ACCOUNT


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("apprunner", "list_vpc_connectors", "MissingAuthenticationTokenException"),
        ("sts", "get_caller_identity", "MissingAuthenticationToken"),
    ],
)
def test_unsigned_requests_are_rejected(service, operation, code):
    with pytest.raises(NoCredentialsError):
        getattr(client_of(service, {}), operation)()
    assert control("GET", "calls")["calls"] == [], "botocore sends nothing without credentials"
    assert refused(getattr(client_of(service, {}, signature_version=UNSIGNED), operation)) == (code, 403)
