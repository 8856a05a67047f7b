//! Roles: who may assume them, and their credentials.

use std::time::{Duration, SystemTime};

use apprunner_emulator::{CallFilter, Config, DEFAULT_ACCESS_KEY_ID, Emulator, Fault, FaultKind, Operation, Role};
use aws_sdk_sts::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role::builders::AssumeRoleFluentBuilder;
use aws_sdk_sts::primitives::DateTime;
use aws_sdk_sts::types::Credentials;

use crate::helpers::{ACCOUNT, Caller, OTHER_ACCOUNT, OTHER_KEY, REGION, TestBed, code, message};

const ROLE: &str = "arn:aws:iam::444455556666:role/reports/reader";
const USER: &str = "arn:aws:iam::111122223333:user/AKIDEXAMPLE";

/// An emulator with the role in the second account.
async fn start(role: Role) -> TestBed {
    let bed = TestBed::start().await;
    bed.emulator.put_role(role);
    bed
}

fn request(bed: &TestBed, caller: &Caller<'_>) -> AssumeRoleFluentBuilder {
    caller.sts(&bed.emulator.url()).assume_role().role_arn(ROLE).role_session_name("tests")
}

/// Assumes the role as the user of the first account.
async fn session(bed: &TestBed) -> Credentials {
    request(bed, &Caller::default()).send().await.unwrap().credentials.unwrap()
}

fn with(credentials: &Credentials) -> Caller<'_> {
    Caller {
        id: credentials.access_key_id(),
        secret: credentials.secret_access_key(),
        token: Some(credentials.session_token()),
        region: REGION,
    }
}

/// Sends a request that must fail; returns the HTTP status, code and message.
async fn rejection(request: AssumeRoleFluentBuilder) -> (u16, String, String) {
    rejected(&request.send().await.unwrap_err())
}

fn rejected(error: &SdkError<AssumeRoleError>) -> (u16, String, String) {
    let status = error.raw_response().unwrap().status().as_u16();
    (status, error.code().unwrap().to_owned(), error.message().unwrap().to_owned())
}

/// Lists connectors; returns the error code, if there is one.
async fn listed(bed: &TestBed, credentials: &Credentials) -> Result<usize, String> {
    let reply = bed.client_of(&with(credentials)).list_vpc_connectors().send().await;
    reply.map(|reply| reply.vpc_connectors().len()).map_err(|error| code(&error))
}

#[tokio::test]
async fn assume_role_returns_credentials_for_the_account_of_the_role() {
    let bed = start(Role::new(ROLE)).await;
    bed.emulator.create_connector(OTHER_ACCOUNT, REGION, "shop");
    let before = SystemTime::now();
    let reply = request(&bed, &Caller::default()).send().await.unwrap();
    let user = reply.assumed_role_user().unwrap();
    assert_eq!(user.arn(), "arn:aws:sts::444455556666:assumed-role/reader/tests");
    assert!(user.assumed_role_id().starts_with("AROA") && user.assumed_role_id().ends_with(":tests"));
    let credentials = reply.credentials().unwrap();
    let id = credentials.access_key_id();
    let is_base32 = |c: char| c.is_ascii_uppercase() || ('2'..='7').contains(&c);
    assert!(id.len() == 20 && id.starts_with("ASIA") && id[4..].chars().all(is_base32), "{id}");
    let expires_in = SystemTime::try_from(*credentials.expiration()).unwrap().duration_since(before).unwrap();
    assert!(expires_in.as_secs().abs_diff(3600) <= 1, "{expires_in:?}");

    let identity = with(credentials).sts(&bed.emulator.url()).get_caller_identity().send().await.unwrap();
    assert_eq!((identity.account(), identity.arn()), (Some(OTHER_ACCOUNT), Some(user.arn())));
    assert_eq!(identity.user_id(), Some(user.assumed_role_id()));
    assert_eq!(listed(&bed, credentials).await, Ok(1));
    let client = bed.client_of(&with(credentials));
    let created = client.create_vpc_connector().vpc_connector_name("mine").subnets("subnet-1").send().await.unwrap();
    assert!(created.vpc_connector().unwrap().vpc_connector_arn().unwrap().contains(OTHER_ACCOUNT));
}

#[tokio::test]
async fn a_role_trusts_accounts_users_and_roles() {
    let bed = TestBed::start().await;
    let other = Caller { id: OTHER_KEY, ..Caller::default() };
    let chain = "arn:aws:iam::111122223333:role/chain";
    bed.emulator.put_role(Role::new(chain));
    let assumed = request(&bed, &other).role_arn(chain).send().await.unwrap().credentials.unwrap();
    let callers = [Caller::default(), other, with(&assumed)];
    for (principal, admitted) in [
        (None, [true, true, true]),
        (Some(ACCOUNT), [true, false, true]),
        (Some(OTHER_ACCOUNT), [false, true, false]),
        (Some(USER), [true, false, false]),
        (Some(chain), [false, false, true]),
        (Some("arn:aws:iam::111122223333:role/other"), [false, false, false]),
    ] {
        let role = principal.map_or(Role::new(ROLE), |principal| Role::new(ROLE).trusting(principal));
        bed.emulator.put_role(role);
        for (caller, admitted) in callers.iter().zip(admitted) {
            let reply = request(&bed, caller).send().await;
            assert_eq!(reply.is_ok(), admitted, "{principal:?} {}", caller.id);
        }
    }
}

#[tokio::test]
async fn a_refusal_does_not_show_its_cause() {
    let bed = start(Role::new(ROLE).trusting(ACCOUNT).with_external_id("a-shared-id")).await;
    let (user, other) = (Caller::default(), Caller { id: OTHER_KEY, ..Caller::default() });
    let other_user = format!("arn:aws:iam::{OTHER_ACCOUNT}:user/{OTHER_KEY}");
    let unknown = "arn:aws:iam::444455556666:role/nobody";
    assert!(request(&bed, &user).external_id("a-shared-id").send().await.is_ok());
    for (request, user, role) in [
        (request(&bed, &user), USER, ROLE),
        (request(&bed, &user).external_id("a-shared-id-2"), USER, ROLE),
        (request(&bed, &user).role_arn(unknown).external_id("a-shared-id"), USER, unknown),
        (request(&bed, &other).external_id("a-shared-id"), &other_user, ROLE),
    ] {
        let (status, code, message) = rejection(request).await;
        let words = format!("User: {user} is not authorized to perform: sts:AssumeRole on resource: {role}");
        assert_eq!((status, code.as_str(), message), (403, "AccessDenied", words));
    }
    bed.emulator.put_role(Role::new(ROLE));
    assert!(request(&bed, &user).external_id("ignored").send().await.is_ok());
}

#[tokio::test]
async fn invalid_parameters_are_rejected_before_the_role_is_looked_up() {
    let bed = TestBed::start().await;
    let valid = || request(&bed, &Caller::default());
    for (request, part) in [
        (valid().role_arn("arn:aws:iam::1"), "'arn:aws:iam::1' at 'roleArn'"),
        (valid().role_arn("a".repeat(2049)), "at 'roleArn'"),
        (valid().role_arn(USER), "user/AKIDEXAMPLE is invalid"),
        (valid().role_arn("arn:aws:iam::444455556666:role/"), "role/ is invalid"),
        (valid().role_session_name("x"), "Value 'x' at 'roleSessionName' failed to satisfy constraint"),
        (valid().role_session_name("x".repeat(65)), "less than or equal to 64"),
        (valid().role_session_name("a/b"), "Value 'a/b' at 'roleSessionName'"),
        (valid().external_id("x"), "at 'externalId'"),
        (valid().external_id("x".repeat(1225)), "less than or equal to 1224"),
        (valid().external_id("two words"), "at 'externalId'"),
        (valid().duration_seconds(899), "Value '899' at 'durationSeconds'"),
        (valid().duration_seconds(43_201), "less than or equal to 43200"),
        (valid().set_role_arn(None), "Value null at 'roleArn'"),
        (valid().set_role_session_name(None), "Value null at 'roleSessionName'"),
    ] {
        let (status, code, message) = rejection(request).await;
        assert_eq!((status, code.as_str()), (400, "ValidationError"), "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_role_session_can_assume_a_role_for_one_hour() {
    let bed = start(Role::new(ROLE)).await;
    let user = Caller::default();
    assert!(request(&bed, &user).duration_seconds(43_200).send().await.is_ok());
    let first = session(&bed).await;
    let chained = request(&bed, &with(&first)).duration_seconds(3600).role_session_name("second");
    let user = chained.send().await.unwrap().assumed_role_user.unwrap();
    assert_eq!(user.arn(), "arn:aws:sts::444455556666:assumed-role/reader/second");
    let (status, code, message) = rejection(request(&bed, &with(&first)).duration_seconds(3601)).await;
    assert_eq!((status, code.as_str()), (400, "ValidationError"));
    let words = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
    assert_eq!(message, words);
}

#[tokio::test]
async fn role_sessions_expire() {
    let bed = start(Role::new(ROLE)).await;
    let lasting = session(&bed).await;
    bed.emulator.change_behaviors(|behaviors| behaviors.role_session_ms = Some(300));
    let short = session(&bed).await;
    let expires_at = SystemTime::try_from(*short.expiration()).unwrap();
    assert!(expires_at < SystemTime::now() + Duration::from_millis(300));
    tokio::time::sleep(Duration::from_millis(310)).await;
    assert_eq!(listed(&bed, &short).await, Err("ExpiredTokenException".to_owned()));
    let error = request(&bed, &with(&short)).send().await.unwrap_err();
    assert_eq!(rejected(&error).1, "ExpiredToken");
    assert_eq!(listed(&bed, &lasting).await, Ok(0));
    assert!(*lasting.expiration() > DateTime::from(SystemTime::now() + Duration::from_mins(50)));
}

#[tokio::test]
async fn expired_and_deleted_sessions_are_rejected_with_different_codes() {
    let bed = start(Role::new(ROLE)).await;
    let first = session(&bed).await;
    assert_eq!((bed.emulator.expire_role_sessions(ROLE), bed.emulator.expire_role_sessions(ROLE)), (1, 0));
    assert_eq!(listed(&bed, &first).await, Err("ExpiredTokenException".to_owned()));
    let second = session(&bed).await;
    assert_eq!(listed(&bed, &second).await, Ok(0));
    assert!(bed.emulator.delete_role(ROLE) && !bed.emulator.delete_role(ROLE));
    for credentials in [&first, &second] {
        assert_eq!(listed(&bed, credentials).await, Err("UnrecognizedClientException".to_owned()));
    }
    let error = with(&second).sts(&bed.emulator.url()).get_caller_identity().send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidClientTokenId"));
    bed.emulator.put_role(Role::new(ROLE));
    assert_eq!(listed(&bed, &second).await, Err("UnrecognizedClientException".to_owned()));
}

#[tokio::test]
async fn the_session_token_of_another_session_is_rejected() {
    let bed = start(Role::new(ROLE)).await;
    let (first, second) = (session(&bed).await, session(&bed).await);
    let mixed = Caller { token: Some(second.session_token()), ..with(&first) };
    for caller in [mixed, Caller { token: None, ..with(&first) }] {
        let error = bed.client_of(&caller).list_vpc_connectors().send().await.unwrap_err();
        assert_eq!(code(&error), "UnrecognizedClientException");
    }
}

#[tokio::test]
async fn a_reset_restores_the_configured_roles_and_ends_all_sessions() {
    let emulator = Emulator::start(Config { roles: vec![Role::new(ROLE)], ..Config::default() }).await.unwrap();
    let bed = TestBed { client: Caller::default().client(&emulator.url()), emulator };
    let credentials = session(&bed).await;
    bed.emulator.put_role(Role::new("arn:aws:iam::444455556666:role/writer"));
    bed.emulator.reset();
    assert_eq!(bed.emulator.roles(), [Role::new(ROLE)]);
    assert_eq!(listed(&bed, &credentials).await, Err("UnrecognizedClientException".to_owned()));
    session(&bed).await;
}

#[tokio::test]
async fn the_log_shows_role_and_accounts_but_no_secret() {
    let bed = start(Role::new(ROLE).with_external_id("a-shared-id")).await;
    let assume = request(&bed, &Caller::default()).external_id("a-shared-id");
    let credentials = assume.send().await.unwrap().credentials.unwrap();
    listed(&bed, &credentials).await.unwrap();
    let calls = bed.emulator.calls();
    assert_eq!((calls[0].operation.as_deref(), calls[0].arn.as_deref()), (Some("AssumeRole"), Some(ROLE)));
    assert_eq!((calls[0].account.as_deref(), calls[0].region.as_deref()), (Some(ACCOUNT), Some(REGION)));
    assert_eq!(calls[0].access_key_id.as_deref(), Some(DEFAULT_ACCESS_KEY_ID));
    assert_eq!(calls[1].account.as_deref(), Some(OTHER_ACCOUNT));
    assert_eq!(calls[1].access_key_id.as_deref(), Some(credentials.access_key_id()));
    let shown = format!("{calls:?} {:?} {:?}", bed.emulator, bed.emulator.roles());
    for secret in [credentials.secret_access_key(), credentials.session_token(), "a-shared-id"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let filter = CallFilter { arn: Some(ROLE.to_owned()), ..CallFilter::default() };
    assert_eq!(bed.emulator.calls_matching(&filter).len(), 1);
}

#[tokio::test]
async fn faults_match_assume_role_by_operation_and_arn() {
    let bed = start(Role::new(ROLE)).await;
    let user = Caller::default();
    let on_role = |kind| Fault::new(kind).on(Operation::AssumeRole).arn(ROLE);
    bed.emulator.add_fault(Fault::new(FaultKind::AccessDenied).on(Operation::AssumeRole).arn("another"));
    bed.emulator.add_fault(on_role(FaultKind::throttling()));
    assert_eq!(rejection(request(&bed, &user)).await.1, "Throttling");
    bed.emulator.add_fault(on_role(FaultKind::AccessDenied));
    let (status, code, message) = rejection(request(&bed, &user)).await;
    assert_eq!((status, code.as_str()), (403, "AccessDenied"));
    let words = format!("User: {USER} is not authorized to perform: sts:AssumeRole on resource: {ROLE} because");
    assert!(message.starts_with(&words), "{message}");
    bed.emulator.add_fault(on_role(FaultKind::ClosedAfterEffect));
    assert!(request(&bed, &user).send().await.unwrap_err().raw_response().is_none());
    assert_eq!(bed.emulator.expire_role_sessions(ROLE), 1, "the session of the lost reply");
    bed.emulator.add_fault(on_role(FaultKind::with("/AssumedRoleUser/Arn", "another")));
    assert_eq!(request(&bed, &user).send().await.unwrap().assumed_role_user.unwrap().arn(), "another");
    bed.emulator.add_fault(on_role(FaultKind::without("/Credentials")));
    assert!(request(&bed, &user).send().await.unwrap().credentials.is_none());
    bed.emulator.add_fault(on_role(FaultKind::BlackHole { after_effect: false }).forever());
    let waiting = tokio::time::timeout(Duration::from_millis(200), request(&bed, &user).send());
    assert!(waiting.await.is_err(), "the call gets no answer");
}

#[tokio::test]
async fn a_denied_call_names_the_role_session_as_the_user() {
    let bed = start(Role::new(ROLE)).await;
    let credentials = session(&bed).await;
    bed.emulator.add_fault(Fault::new(FaultKind::AccessDenied).account(OTHER_ACCOUNT));
    let error = bed.client_of(&with(&credentials)).list_vpc_connectors().send().await.unwrap_err();
    let user = "User: arn:aws:sts::444455556666:assumed-role/reader/tests is not authorized to perform: apprunner:";
    assert!(message(&error).starts_with(user), "{}", message(&error));
}

#[tokio::test]
async fn the_request_rate_does_not_count_calls_to_sts() {
    let bed = start(Role::new(ROLE)).await;
    bed.emulator.change_behaviors(|behaviors| behaviors.requests_per_second = Some(1));
    for _ in 0..4 {
        session(&bed).await;
    }
}
