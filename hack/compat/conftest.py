"""Access to the emulator that hack/compat/run starts, and helpers for the tests."""

import json
import os
import subprocess
import sys
import urllib.request

import boto3
import pytest
from botocore.config import Config

URL = os.environ["EMULATOR_URL"]
REGION = "eu-central-1"
ACCOUNT = "111122223333"
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "not-a-secret"}
ROLE = "arn:aws:iam::444455556666:role/reports/reader"
ROLE_ACCOUNT = "444455556666"
EXTERNAL_ID = "a-shared-id"
NO_SUCH_CONNECTOR = f"arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcconnector/none/1/{'0' * 32}"
NO_SUCH_SERVICE = f"arn:aws:apprunner:{REGION}:{ACCOUNT}:service/none/{'0' * 32}"
NO_SUCH_INGRESS = f"arn:aws:apprunner:{REGION}:{ACCOUNT}:vpcingressconnection/none/{'0' * 32}"
NO_SUCH_SCALING = f"arn:aws:apprunner:{REGION}:{ACCOUNT}:autoscalingconfiguration/none/1/{'0' * 32}"
NO_SUCH_TRACES = f"arn:aws:apprunner:{REGION}:{ACCOUNT}:observabilityconfiguration/none/1/{'0' * 32}"
NO_SUCH_CONNECTION = f"arn:aws:apprunner:{REGION}:{ACCOUNT}:connection/none/{'0' * 32}"
SOURCE = {"ImageRepository": {"ImageIdentifier": "example/web:1", "ImageRepositoryType": "ECR"}}


def control(method, path, body=None):
    """Asks the control API."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/_emulator/{path}", data=data, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def fault(kind, **narrowed):
    control("POST", "faults", {"kind": kind, **narrowed})


def error(code, status, message="no"):
    return {"error": {"code": code, "status": status, "message": message}}


def client_of(service="apprunner", keys=KEYS, **settings):
    """Makes a client that tries once."""
    config = Config(**{"retries": {"total_max_attempts": 1}, "connect_timeout": 10, "read_timeout": 10, **settings})
    return boto3.session.Session().client(service, region_name=REGION, endpoint_url=URL, config=config, **keys)


@pytest.fixture(autouse=True)
def _fresh():
    control("POST", "reset")


@pytest.fixture(scope="session")
def client():
    return client_of()


@pytest.fixture
def connector(client):
    """An ACTIVE connector's ARN."""
    return create(client, "shop")["VpcConnectorArn"]


@pytest.fixture
def service(client, connector):
    """The ARN of a RUNNING service that uses the connector."""
    network = {"EgressConfiguration": {"EgressType": "VPC", "VpcConnectorArn": connector}}
    reply = client.create_service(ServiceName="web1", SourceConfiguration=SOURCE, NetworkConfiguration=network)
    return reply["Service"]["ServiceArn"]


@pytest.fixture
def role():
    """A role in another account, which the user may assume with an external id."""
    control("POST", "roles", {"arn": ROLE, "trusts": [ACCOUNT], "external_id": EXTERNAL_ID})
    return ROLE


@pytest.fixture
def role_profile(role, tmp_path):
    """A config file of AWS with the profile `reports`, which assumes the role with the keys of another profile."""
    path = tmp_path / "config"
    path.write_text(
        "[profile base]\n"
        f"aws_access_key_id = {KEYS['aws_access_key_id']}\n"
        f"aws_secret_access_key = {KEYS['aws_secret_access_key']}\n"
        "[profile reports]\n"
        f"role_arn = {role}\nsource_profile = base\nexternal_id = {EXTERNAL_ID}\nrole_session_name = nightly\n"
    )
    return path


def create(client, name, **more):
    return client.create_vpc_connector(VpcConnectorName=name, Subnets=["subnet-1"], **more)["VpcConnector"]


def aws(*arguments, keys=("AKIDEXAMPLE", "not-a-secret", None), **more):
    """Runs the AWS CLI: exit code, what it printed (read as JSON if there is any), and its errors.

    `more` are further variables of its environment.
    """
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    given = {name: value for name, value in zip(names, keys or ()) if value}
    steady = {"AWS_ENDPOINT_URL": URL, "AWS_DEFAULT_REGION": REGION, "AWS_MAX_ATTEMPTS": "1", "AWS_PAGER": ""}
    done = subprocess.run(
        [sys.executable, "-m", "awscli", *arguments],
        env={**os.environ, **steady, **given, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr
