//! Profiles as users have them on their own machines: a credential process, IAM Identity Center, `aws login`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use apprunner_emulator::AccessKey;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::json;

use crate::report::{Printed, command, printed};
use crate::support::servers::Server;
use crate::support::{ACCOUNT, World, message};

/// SHA-1 of `corp`, which is the file name in the AWS CLI's cache.
const SESSION: &str = "ee0bfd2552fbd840c02cc48b6e823320543c450f";
const IN_A_DAY: &str = "2126-01-01T00:00:00Z";
const LONG_AGO: &str = "2020-01-01T00:00:00Z";

/// A user's home directory, and the IAM Identity Center of their company.
struct Workstation {
    home: PathBuf,
    center: Server,
    /// The tokens that requests for credentials carried.
    tokens: Arc<Mutex<Vec<String>>>,
}

impl Workstation {
    async fn with(world: &World, profile: &str) -> Self {
        let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("home-{}", world.namespace));
        std::fs::create_dir_all(home.join(".aws/sso/cache")).unwrap();
        std::fs::write(home.join(".aws/config"), profile).unwrap();
        let tokens = Arc::<Mutex<Vec<String>>>::default();
        let router = Router::new()
            .route("/federation/credentials", get(role_credentials))
            .route("/token", post(new_token))
            .with_state(tokens.clone());
        Self { home, center: Server::http(router).await, tokens }
    }

    /// Writes the file that `aws sso login` writes.
    fn signed_in(&self, token: &str, expires: &str, refresh: bool) {
        let mut cached = json!({
            "accessToken": token, "expiresAt": expires, "region": "us-east-1",
            "startUrl": "https://corp.awsapps.com/start",
        });
        if refresh {
            let more = json!({
                "clientId": "id", "clientSecret": "secret", "refreshToken": "again", "registrationExpiresAt": IN_A_DAY,
            });
            cached.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        }
        std::fs::write(self.home.join(format!(".aws/sso/cache/{SESSION}.json")), cached.to_string()).unwrap();
    }

    fn environment(&self) -> Vec<(String, String)> {
        let url = self.center.url();
        [
            ("HOME", self.home.display().to_string()),
            ("AWS_PROFILE", "dev".into()),
            ("AWS_ENDPOINT_URL_SSO", url.clone()),
            ("AWS_ENDPOINT_URL_SSO_OIDC", url),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    async fn report(&self, world: &World) -> Printed {
        let mut command = command(world, None, &["--regions=us-east-1"]);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").envs(self.environment());
        printed(command).await
    }

    fn use_in(&self, world: &mut World) {
        world.settings.access_key = (String::new(), String::new());
        world.settings.environment = self.environment();
    }
}

async fn role_credentials(
    State(tokens): State<Arc<Mutex<Vec<String>>>>,
    headers: HeaderMap,
) -> (StatusCode, HeaderMap, String) {
    let token = headers["x-amz-sso_bearer_token"].to_str().unwrap().to_owned();
    tokens.lock().unwrap().push(token.clone());
    if token == "revoked" {
        let kind =
            HeaderMap::from_iter([("x-amzn-errortype".parse().unwrap(), "UnauthorizedException".parse().unwrap())]);
        let body = json!({"message": "Session token not found or invalid"});
        return (StatusCode::UNAUTHORIZED, kind, body.to_string());
    }
    let key = AccessKey::default();
    let credentials = json!({
        "accessKeyId": key.id, "secretAccessKey": key.secret, "expiration": 4_900_000_000_000_i64,
    });
    (StatusCode::OK, HeaderMap::new(), json!({"roleCredentials": credentials}).to_string())
}

async fn new_token() -> String {
    json!({"accessToken": "renewed", "expiresIn": 28_800, "tokenType": "Bearer"}).to_string()
}

const CENTER: &str = "[profile dev]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Dev\n\
    [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n";
const CENTER_WITHOUT_SESSION: &str = "[profile dev]\nsso_account_id = 111122223333\nsso_role_name = Dev\n\
    sso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n";

#[tokio::test]
async fn credential_process_provides_the_credentials() {
    let mut world = World::new().await;
    let key = AccessKey::default();
    let workstation =
        Workstation::with(&world, "[profile dev]\ncredential_process = cat \"$HOME/credentials.json\"\n").await;
    let credentials = json!({"Version": 1, "AccessKeyId": key.id, "SecretAccessKey": key.secret});
    std::fs::write(workstation.home.join("credentials.json"), credentials.to_string()).unwrap();
    let report = workstation.report(&world).await;
    assert_eq!(report.code, Some(0), "{}", report.err);
    assert!(report.out.starts_with(&format!("Account {ACCOUNT} (")), "{}", report.out);
    workstation.use_in(&mut world);
    let _operator = world.operator();
    world.claimed("egress").await;
}

#[tokio::test]
async fn identity_center_session_provides_credentials_and_is_renewed_if_possible() {
    let mut world = World::new().await;
    let workstation = Workstation::with(&world, CENTER).await;
    workstation.signed_in("valid", IN_A_DAY, false);
    let report = workstation.report(&world).await;
    assert_eq!(report.code, Some(0), "{}", report.err);
    workstation.signed_in("old", LONG_AGO, true);
    workstation.use_in(&mut world);
    let _operator = world.operator();
    world.claimed("egress").await;
    assert_eq!(*workstation.tokens.lock().unwrap(), ["valid", "renewed"]);
}

#[tokio::test]
async fn expired_session_names_the_sign_in_command() {
    let mut world = World::new().await;
    let workstation = Workstation::with(&world, CENTER).await;
    workstation.signed_in("old", LONG_AGO, false);
    let expected = "the IAM Identity Center session has expired, or there is none; run: aws sso login --profile dev";
    let report = workstation.report(&world).await;
    assert_eq!(report.code, Some(1));
    assert!(report.err.contains(expected), "{}", report.err);
    workstation.signed_in("revoked", IN_A_DAY, false);
    let report = workstation.report(&world).await;
    assert!(report.err.contains(expected), "the service rejects: {}", report.err);
    workstation.signed_in("old", LONG_AGO, false);
    workstation.use_in(&mut world);
    world.create("egress", &world.connector("shop")).await;
    let _operator = world.operator();
    let held = world.reason("egress", "CredentialsRejected").await;
    assert_eq!(message(&held), format!("AWS credentials could not be loaded: {expected}"));
    assert_eq!(world.emulator.calls(), []);
    workstation.signed_in("valid", IN_A_DAY, false);
    world.reason("egress", "Available").await;
}

#[tokio::test]
async fn missing_sign_in_names_the_sign_in_command() {
    for (profile, command) in [
        (CENTER, "aws sso login --profile dev"),
        (CENTER_WITHOUT_SESSION, "aws sso login --profile dev"),
        ("[profile dev]\nlogin_session = arn:aws:iam::111122223333:user/dev\n", "aws login --profile dev"),
    ] {
        let world = World::new().await;
        let report = Workstation::with(&world, profile).await.report(&world).await;
        assert_eq!(report.code, Some(1));
        assert!(report.err.contains(&format!("or there is none; run: {command}")), "{}", report.err);
    }
}
