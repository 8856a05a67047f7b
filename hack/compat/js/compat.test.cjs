"use strict";
// Tests of the emulator with the AWS SDK for JavaScript v3.

const assert = require("node:assert/strict");
const { beforeEach, test } = require("node:test");
const apprunner = require("@aws-sdk/client-apprunner");
const { GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");

const URL = process.env.EMULATOR_URL;
const ACCOUNT = "111122223333";
const REGION = "eu-central-1";
const KEYS = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "not-a-secret" };
const SOURCE = { ImageRepository: { ImageIdentifier: "example/web:1", ImageRepositoryType: "ECR" } };
const NO_SUCH_CONNECTOR = `arn:aws:apprunner:${REGION}:${ACCOUNT}:vpcconnector/none/1/${"0".repeat(32)}`;

async function control(method, path, body) {
  const answer = await fetch(`${URL}/_emulator/${path}`, { method, body: body && JSON.stringify(body) });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

const fault = (kind, narrowed = {}) => control("POST", "faults", { kind, ...narrowed });

async function calls(operation) {
  return (await control("GET", `calls?operation=${operation}`)).calls;
}

const settings = (more) => ({ endpoint: URL, region: REGION, credentials: KEYS, maxAttempts: 1, ...more });

const clientOf = (more = {}) => new apprunner.AppRunner(settings(more));
const client = clientOf();

async function create(name, more = {}) {
  const made = await client.createVpcConnector({ VpcConnectorName: name, Subnets: ["subnet-1"], ...more });
  return made.VpcConnector;
}

function justNow(time) {
  assert.ok(time instanceof Date && Math.abs(Date.now() - time) < 60_000, String(time));
}

beforeEach(() => control("POST", "reset"));

test("a connector is created, described, listed and deleted", async () => {
  const made = await create("shop", { SecurityGroups: ["sg-1"], Tags: [{ Key: "team", Value: "web" }] });
  const arn = { VpcConnectorArn: made.VpcConnectorArn };
  assert.ok(arn.VpcConnectorArn.startsWith(`arn:aws:apprunner:${REGION}:${ACCOUNT}:vpcconnector/shop/1/`));
  assert.deepEqual([made.VpcConnectorName, made.VpcConnectorRevision, made.Status], ["shop", 1, "ACTIVE"]);
  assert.deepEqual([made.Subnets, made.SecurityGroups], [["subnet-1"], ["sg-1"]]);
  justNow(made.CreatedAt);
  assert.deepEqual((await client.describeVpcConnector(arn)).VpcConnector, made);
  assert.deepEqual((await client.listVpcConnectors({})).VpcConnectors, [made]);

  const deleted = (await client.deleteVpcConnector(arn)).VpcConnector;
  assert.equal(deleted.Status, "INACTIVE");
  justNow(deleted.DeletedAt);
  assert.deepEqual((await client.describeVpcConnector(arn)).VpcConnector, deleted);
  assert.deepEqual((await client.listVpcConnectors({})).VpcConnectors, []);
});

test("tags are added, removed and listed", async () => {
  const ResourceArn = (await create("shop", { Tags: [{ Key: "team", Value: "web" }] })).VpcConnectorArn;
  await client.tagResource({ ResourceArn, Tags: [{ Key: "ümlaut", Value: "" }] });
  await client.untagResource({ ResourceArn, TagKeys: ["team"] });
  assert.deepEqual((await client.listTagsForResource({ ResourceArn })).Tags, [{ Key: "ümlaut", Value: "" }]);
});

test("a service blocks its connector until it no longer uses it", async () => {
  const connector = await create("shop");
  const egress = { EgressType: "VPC", VpcConnectorArn: connector.VpcConnectorArn };
  const made = await client.createService({
    ServiceName: "web1",
    SourceConfiguration: SOURCE,
    NetworkConfiguration: { EgressConfiguration: egress },
  });
  assert.match(made.OperationId, /^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const { ServiceArn } = made.Service;
  const shown = async () => (await client.describeService({ ServiceArn })).Service;
  assert.deepEqual((await shown()).NetworkConfiguration.EgressConfiguration, egress);
  assert.equal((await shown()).Status, "RUNNING");
  justNow((await shown()).CreatedAt);

  await assert.rejects(client.deleteVpcConnector({ VpcConnectorArn: connector.VpcConnectorArn }), (error) => {
    assert.ok(error instanceof apprunner.InvalidRequestException);
    const words = `Provided VPC connector arn is being used by other services. ARN:  ${connector.VpcConnectorArn}`;
    assert.equal(error.message, words);
    return true;
  });

  await client.pauseService({ ServiceArn });
  assert.equal((await shown()).Status, "PAUSED");
  await client.resumeService({ ServiceArn });
  await client.updateService({ ServiceArn, InstanceConfiguration: { Cpu: "2048" } });
  assert.deepEqual((await shown()).InstanceConfiguration, { Cpu: "2048", Memory: "2048" });
  await client.updateService({
    ServiceArn,
    NetworkConfiguration: { EgressConfiguration: { EgressType: "DEFAULT" } },
  });
  const deleted = await client.deleteVpcConnector({ VpcConnectorArn: connector.VpcConnectorArn });
  assert.equal(deleted.VpcConnector.Status, "INACTIVE");
  assert.equal((await client.deleteService({ ServiceArn })).Service.Status, "DELETED");
  assert.deepEqual((await client.listServices({})).ServiceSummaryList, []);
});

test("connectors and services are listed in pages", async () => {
  const names = Array.from({ length: 5 }, (_, number) => `shop-${number}`);
  for (const name of names) {
    await create(name);
    await client.createService({ ServiceName: name, SourceConfiguration: SOURCE });
  }
  for (const pageSize of [1, 2, 5]) {
    const connectors = [];
    for await (const page of apprunner.paginateListVpcConnectors({ client, pageSize }, {})) {
      assert.ok(page.VpcConnectors.length <= pageSize);
      connectors.push(...page.VpcConnectors.map((one) => one.VpcConnectorName));
    }
    assert.deepEqual(connectors.sort(), names);
    const services = [];
    for await (const page of apprunner.paginateListServices({ client, pageSize }, {})) {
      services.push(...page.ServiceSummaryList.map((one) => one.ServiceName));
    }
    assert.deepEqual(services.sort(), names);
  }
  assert.equal((await client.listServices({ MaxResults: 2, NextToken: "" })).ServiceSummaryList.length, 2);
});

test("errors have the types of the SDK", async () => {
  const { ServiceArn } = (await client.createService({ ServiceName: "web1", SourceConfiguration: SOURCE })).Service;
  for (let number = 0; number < 10; number += 1) await create(`shop-${number}`);
  const foreign = { EgressType: "VPC", VpcConnectorArn: NO_SUCH_CONNECTOR.replace(ACCOUNT, "999999999999") };
  for (const [call, type] of [
    [() => client.describeVpcConnector({ VpcConnectorArn: NO_SUCH_CONNECTOR }), apprunner.ResourceNotFoundException],
    [() => client.describeVpcConnector({ VpcConnectorArn: "nonsense" }), apprunner.InvalidRequestException],
    [() => client.resumeService({ ServiceArn }), apprunner.InvalidStateException],
    [() => create("one-too-many"), apprunner.ServiceQuotaExceededException],
    [
      () =>
        client.createService({
          ServiceName: "web2",
          SourceConfiguration: SOURCE,
          NetworkConfiguration: { EgressConfiguration: foreign },
        }),
      apprunner.InvalidRequestException,
    ],
  ]) {
    await assert.rejects(call, (error) => {
      assert.ok(error instanceof type, `${error.name} is no ${type.name}`);
      assert.ok(error.message && error.message !== "UnknownError", "it has AWS's words");
      assert.equal(error.$metadata.httpStatusCode, 400);
      assert.ok(error.$metadata.requestId);
      return true;
    });
  }
  await fault("internal_error_before_effect");
  await assert.rejects(client.listServices({}), apprunner.InternalServiceErrorException);
  await assert.rejects(clientOf({ credentials: { ...KEYS, secretAccessKey: "wrong" } }).listServices({}), {
    name: "InvalidSignatureException",
  });
});

test("only transient failures are retried", async () => {
  const patient = clientOf({ maxAttempts: 3 });
  for (const kind of ["internal_error_before_effect", { throttling: {} }, "closed_before_effect"]) {
    await control("POST", "reset");
    await fault(kind, { operation: "ListVpcConnectors", count: 2 });
    assert.deepEqual((await patient.listVpcConnectors({})).VpcConnectors, []);
    assert.equal((await calls("ListVpcConnectors")).length, 3, JSON.stringify(kind));
  }
  const gone = patient.deleteVpcConnector({ VpcConnectorArn: NO_SUCH_CONNECTOR });
  await assert.rejects(gone, apprunner.ResourceNotFoundException);
  assert.equal((await calls("DeleteVpcConnector")).length, 1);
});

test("a wrong clock is corrected from the date of the error", async (t) => {
  const right = Date.now.bind(Date);
  for (const wrong of [-60, 60]) {
    await control("POST", "reset");
    const clock = t.mock.method(Date, "now", () => right() + wrong * 60_000);
    const skewed = clientOf({ maxAttempts: 2 });
    assert.deepEqual((await skewed.listVpcConnectors({})).VpcConnectors, []);
    const statuses = (await calls("ListVpcConnectors")).map((call) => [call.status, call.error ?? null]);
    assert.deepEqual(statuses, [
      [403, "InvalidSignatureException"],
      [200, null],
    ]);
    await skewed.listVpcConnectors({});
    assert.equal((await calls("ListVpcConnectors")).length, 3, "the next call knows the time");
    clock.mock.restore();
  }
});

test("STS returns the identity of the caller", async () => {
  const identity = await new STSClient(settings({})).send(new GetCallerIdentityCommand({}));
  assert.deepEqual([identity.Account, identity.Arn], [ACCOUNT, `arn:aws:iam::${ACCOUNT}:user/AKIDEXAMPLE`]);
});
