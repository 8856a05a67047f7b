//! Endpoints of STS and App Runner, and the region that calls are signed for.

use std::sync::{Arc, Mutex};

use apprunner_emulator::{Fault, FaultKind, Operation};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

use crate::report::{Printed, command, printed};
use crate::support::servers::{Authority, Server, Tunnels};
use crate::support::{ACCOUNT, TEMPORARY, World, message};

/// The region of the cluster; all connectors are in another.
const HOME: &str = "eu-west-1";
const STS_HERE: &str = "sts.eu-west-1.amazonaws.com";
const STS_THERE: &str = "sts.us-east-1.amazonaws.com";

/// An STS for one region, which refuses calls signed for another.
struct Sts {
    server: Server,
    /// The regions that calls were signed for.
    regions: Arc<Mutex<Vec<String>>>,
}

type Stub = (&'static str, Arc<Mutex<Vec<String>>>);

impl Sts {
    async fn of(region: &'static str) -> Self {
        let regions = Arc::<Mutex<Vec<String>>>::default();
        let router = Router::new().route("/", post(answer)).with_state((region, regions.clone()));
        Self { server: Server::http(router).await, regions }
    }
}

async fn answer(State((region, regions)): State<Stub>, headers: HeaderMap, body: String) -> (StatusCode, String) {
    if body.contains("Action=AssumeRoleWithWebIdentity") {
        let (key, secret, token) = TEMPORARY;
        let credentials = format!(
            "<AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
             <SessionToken>{token}</SessionToken><Expiration>2126-01-01T00:00:00Z</Expiration>"
        );
        return (
            StatusCode::OK,
            reply("AssumeRoleWithWebIdentity", &format!("<Credentials>{credentials}</Credentials>")),
        );
    }
    let scope = headers["authorization"].to_str().unwrap().split('/').nth(2).unwrap().to_owned();
    regions.lock().unwrap().push(scope.clone());
    if scope == region {
        return (StatusCode::OK, reply("GetCallerIdentity", &format!("<Account>{ACCOUNT}</Account>")));
    }
    let error = "<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code>\
        <Message>Credential should be scoped to a valid region.</Message></Error></ErrorResponse>";
    (StatusCode::FORBIDDEN, error.to_owned())
}

fn reply(action: &str, result: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{result}</{action}Result>\
         </{action}Response>"
    )
}

/// Runs `report` in a network that reaches AWS only through the tunnels.
async fn report(world: &World, tunnels: &Tunnels, authority: &Authority, more: &[(&str, &str)]) -> Printed {
    let mut command = command(world, None, &["--regions=us-east-1"]);
    command
        .env_remove("AWS_ENDPOINT_URL")
        .env("AWS_CA_BUNDLE", authority.file(&world.namespace))
        .env("HTTPS_PROXY", tunnels.server.url())
        .envs(more.iter().copied());
    printed(command).await
}

#[tokio::test]
async fn configured_sts_endpoint_gets_calls_signed_for_the_configured_region() {
    for (name, in_profile) in [("variable", false), ("profile", true)] {
        let mut world = World::new().await;
        let sts = Sts::of(HOME).await;
        let region = if in_profile {
            let config =
                std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("region-{}", world.namespace));
            std::fs::write(&config, format!("[default]\nregion = {HOME}\n")).unwrap();
            ("AWS_CONFIG_FILE", config.display().to_string())
        } else {
            ("AWS_REGION", HOME.to_owned())
        };
        let endpoints =
            [("AWS_ENDPOINT_URL_STS", sts.server.url()), ("AWS_ENDPOINT_URL_APPRUNNER", world.emulator.url()), region];
        world.settings.environment = endpoints.map(|(name, value)| (name.to_owned(), value)).into();
        let _operator = world.operator();
        world.claimed(name).await;
        assert_eq!(*sts.regions.lock().unwrap(), [HOME]);
    }
}

#[tokio::test]
async fn only_the_sts_of_the_configured_region_is_called_when_it_answers() {
    let world = World::new().await;
    let (sts, authority) = (Sts::of(HOME).await, Authority::new("company"));
    let tls = Server::tls(&authority, &[STS_HERE], sts.server.address).await;
    let tunnels = Tunnels::to(vec![(STS_HERE, tls.address)]).await;
    let app_runner = world.emulator.url();
    let home = [("AWS_REGION", HOME), ("AWS_ENDPOINT_URL_APPRUNNER", app_runner.as_str())];
    let printed = report(&world, &tunnels, &authority, &home).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    assert_eq!(tunnels.asked(), [STS_HERE]);

    // Same check with a web identity, as IRSA provides it.
    let token = authority.file(&format!("{}-token", world.namespace)).display().to_string();
    let identity = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/operator"),
    ];
    let printed = report(&world, &tunnels, &authority, &[home.as_slice(), &identity].concat()).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    assert_eq!(tunnels.asked(), [STS_HERE]);
}

#[tokio::test]
async fn sts_of_the_connector_region_is_called_when_the_first_does_not_answer() {
    let world = World::new().await;
    let (sts, authority) = (Sts::of("us-east-1").await, Authority::new("company"));
    let tls = Server::tls(&authority, &[STS_THERE], sts.server.address).await;
    let tunnels = Tunnels::to(vec![(STS_THERE, tls.address)]).await;
    let app_runner = world.emulator.url();
    // `AWS_ACCOUNT_ID` counts only if no STS can be called.
    let home =
        [("AWS_REGION", HOME), ("AWS_ENDPOINT_URL_APPRUNNER", app_runner.as_str()), ("AWS_ACCOUNT_ID", "999999999999")];
    let printed = report(&world, &tunnels, &authority, &home).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    assert!(printed.out.starts_with(&format!("Account {ACCOUNT} (")), "{}", printed.out);
    assert_eq!(tunnels.asked(), [STS_HERE, STS_THERE]);
}

#[tokio::test]
async fn fips_and_dual_stack_settings_apply_to_both_services() {
    for (variable, sts_host, app_runner_host) in [
        ("AWS_USE_FIPS_ENDPOINT", "sts-fips.us-east-1.amazonaws.com", "apprunner-fips.us-east-1.amazonaws.com"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "sts.us-east-1.api.aws", "apprunner.us-east-1.api.aws"),
    ] {
        let world = World::new().await;
        let (sts, authority) = (Sts::of("us-east-1").await, Authority::new("company"));
        let tls = Server::tls(&authority, &[sts_host], sts.server.address).await;
        let tunnels = Tunnels::to(vec![(sts_host, tls.address)]).await;
        let printed = report(&world, &tunnels, &authority, &[(variable, "true")]).await;
        assert_eq!(printed.code, Some(3), "no tunnel leads to App Runner");
        assert_eq!(tunnels.asked(), [sts_host, app_runner_host], "{}", printed.err);
    }
}

#[tokio::test]
async fn documented_no_proxy_bypasses_the_proxy_for_the_pod_identity_agent() {
    let documented = include_str!("../../docs/reference/configuration.md")
        .lines()
        .find_map(|line| line.split_once("{name: NO_PROXY, value: \""));
    let documented = documented.unwrap().1.trim_end_matches("\"}");
    let world = World::new().await;
    for agent in ["169.254.170.23", "[fd00:ec2::23]"] {
        for (no_proxy, expected) in [("", true), (documented, false)] {
            let seen = Arc::<Mutex<Vec<String>>>::default();
            let proxy = Router::new().fallback(proxied).with_state(seen.clone());
            let proxy = Server::http(proxy).await;
            let mut command = command(&world, None, &["--regions=us-east-1"]);
            command
                .env_remove("AWS_ACCESS_KEY_ID")
                .env_remove("AWS_SECRET_ACCESS_KEY")
                .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{agent}/v1/credentials"))
                .env("HTTP_PROXY", proxy.url())
                .env("NO_PROXY", no_proxy);
            let printed = printed(command).await;
            assert_eq!(printed.code, Some(1), "there is no agent here: {}", printed.err);
            let swallowed = seen.lock().unwrap().iter().any(|uri| uri.contains(agent));
            assert_eq!(swallowed, expected, "{agent} with NO_PROXY={no_proxy}: {}", printed.err);
        }
    }
}

async fn proxied(State(seen): State<Arc<Mutex<Vec<String>>>>, uri: axum::http::Uri) -> StatusCode {
    seen.lock().unwrap().push(uri.to_string());
    StatusCode::FORBIDDEN
}

#[tokio::test]
async fn app_runner_endpoint_for_one_region_stalls_others_and_keeps_the_session() {
    let mut world = World::new().await;
    world.settings.environment = vec![("AWS_REGION".into(), "us-east-1".into())];
    let refusal = FaultKind::error("InvalidSignatureException", 403, "Credential should be scoped to a valid region.");
    world.emulator.add_fault(Fault::new(refusal).region(HOME).forever());
    let elsewhere = world.emulator.create_connector(ACCOUNT, HOME, "elsewhere");
    let operator = world.operator();
    world.create("elsewhere", &elsewhere).await;
    let stalled = |o: &apprunner_operator::api::VpcConnector| {
        o.status.as_ref().is_some_and(|status| status.condition("Stalled").is_some())
    };
    let held = world.until("elsewhere", "stalled", stalled).await;
    let text = message(&held);
    assert!(
        text.starts_with("the endpoint in AWS_ENDPOINT_URL_APPRUNNER or AWS_ENDPOINT_URL serves another region"),
        "{text}"
    );
    assert_eq!(held.status.as_ref().unwrap().ready_reason(), Some("CredentialsRejected"));
    world.claimed("here").await;
    assert_eq!(world.calls(Operation::GetCallerIdentity).len(), 1, "the session is kept: {}", operator.log());
}
