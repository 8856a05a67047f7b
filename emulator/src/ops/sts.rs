//! The operations of STS.

use std::ops::RangeInclusive;

use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use serde_json::{Value, json};

use super::params::Params;
use crate::Behaviors;
use crate::api_error::{ApiError, ApiResult};
use crate::auth::role::{Role, is_external_id_char};
use crate::auth::role_arn::{RoleArn, is_name_char};
use crate::auth::roles::Roles;
use crate::auth::{Caller, Credentials};
use crate::model::clock::later;

/// Seconds of a session whose request names no duration, and the most that a role session can ask for.
const ONE_HOUR: i64 = 3600;

/// Returns the caller's identity; this needs no permission. Source: STS API, `GetCallerIdentity`.
pub(super) fn caller_identity(caller: &Caller) -> Value {
    json!({ "Arn": caller.arn(), "UserId": caller.user_id(), "Account": caller.account })
}

/// Starts a session of a role. Source: STS API, `AssumeRole`.
pub(super) fn assume_role(
    roles: &mut Roles,
    behaviors: &Behaviors,
    caller: &Caller,
    params: &Params,
    now: Timestamp,
) -> ApiResult {
    let request = AssumeRoleRequest::read(params, caller)?;
    let (arn, name) = (request.role_arn, request.session_name);
    let is_allowed = roles.find(arn).is_some_and(|role| admits(role, caller, request.external_id));
    // AWS does not show whether the role exists.
    let denied = || {
        let message = format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}", caller.arn());
        ApiError::new("AccessDeniedException", 403, message)
    };
    let expires_at = match behaviors.role_session_ms {
        Some(ms) => later(now, ms),
        None => whole_second(now) + SignedDuration::from_secs(request.seconds),
    };
    let session = is_allowed.then(|| roles.start_session(arn, name, expires_at)).flatten();
    Ok(to_json(session.ok_or_else(denied)?, expires_at))
}

/// A valid request to assume a role.
struct AssumeRoleRequest<'a> {
    role_arn: &'a str,
    session_name: &'a str,
    external_id: Option<&'a str>,
    seconds: i64,
}

impl<'a> AssumeRoleRequest<'a> {
    fn read(params: &'a Params, caller: &Caller) -> Result<Self, ApiError> {
        let role_arn = required(params, "RoleArn", 20..=2048)?;
        let session_name = required(params, "RoleSessionName", 2..=64)?;
        let external_id = text(params, "ExternalId", 2..=1224)?;
        check_chars("RoleSessionName", session_name, is_name_char, "[\\w+=,.@-]*")?;
        check_chars("ExternalId", external_id.unwrap_or_default(), is_external_id_char, "[\\w+=,.@:\\/-]*")?;
        let seconds = duration(params)?;
        if RoleArn::parse(role_arn).is_none() {
            return Err(validation_error(format!("{role_arn} is invalid")));
        }
        if caller.role.is_some() && seconds > ONE_HOUR {
            let message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role \
                           chaining";
            return Err(validation_error(message));
        }
        Ok(Self { role_arn, session_name, external_id, seconds })
    }
}

/// Returns true if the trust policy of the role lets the caller assume it.
fn admits(role: &Role, caller: &Caller, external_id: Option<&str>) -> bool {
    let is_trusted = role.trusts.is_empty() || role.trusts.iter().any(|principal| caller.is(principal));
    is_trusted && role.external_id.as_deref().is_none_or(|required| external_id == Some(required))
}

fn duration(params: &Params) -> Result<i64, ApiError> {
    let Some(given) = text(params, "DurationSeconds", 0..=usize::MAX)? else { return Ok(ONE_HOUR) };
    match given.parse() {
        Ok(seconds @ 900..=43_200) => Ok(seconds),
        Ok(..900) => Err(invalid("DurationSeconds", given, "must have value greater than or equal to 900")),
        Ok(_) => Err(invalid("DurationSeconds", given, "must have value less than or equal to 43200")),
        Err(_) => Err(invalid("DurationSeconds", given, "must be an integer")),
    }
}

fn required<'a>(params: &'a Params, name: &str, length: RangeInclusive<usize>) -> Result<&'a str, ApiError> {
    let missing = || validation_error(violation("null", &lower_camel(name), "must not be null"));
    text(params, name, length)?.ok_or_else(missing)
}

fn text<'a>(params: &'a Params, name: &str, length: RangeInclusive<usize>) -> Result<Option<&'a str>, ApiError> {
    let Some(text) = params.form_field(name) else { return Ok(None) };
    let (count, min, max) = (text.chars().count(), length.start(), length.end());
    if count < *min {
        return Err(invalid(name, text, &format!("must have length greater than or equal to {min}")));
    }
    if count > *max {
        return Err(invalid(name, text, &format!("must have length less than or equal to {max}")));
    }
    Ok(Some(text))
}

fn check_chars(name: &str, text: &str, is_valid: fn(char) -> bool, pattern: &str) -> Result<(), ApiError> {
    if text.chars().all(is_valid) {
        return Ok(());
    }
    Err(invalid(name, text, &format!("must satisfy regular expression pattern: {pattern}")))
}

/// Makes the error of AWS's validation for a parameter.
fn invalid(name: &str, value: &str, constraint: &str) -> ApiError {
    validation_error(violation(&format!("'{value}'"), &lower_camel(name), constraint))
}

fn violation(value: &str, name: &str, constraint: &str) -> String {
    format!("1 validation error detected: Value {value} at '{name}' failed to satisfy constraint: Member {constraint}")
}

/// STS's messages spell the names of parameters in this way.
fn lower_camel(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_ascii_lowercase() + rest
}

fn validation_error(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationError", 400, message)
}

/// AWS rounds the expiration to seconds.
fn whole_second(time: Timestamp) -> Timestamp {
    let to_second = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Trunc);
    time.round(to_second).unwrap_or(time)
}

fn to_json(session: Credentials, expires_at: Timestamp) -> Value {
    let Credentials { key, role } = session;
    json!({
        "Credentials": {
            "AccessKeyId": key.id,
            "SecretAccessKey": key.secret,
            "SessionToken": key.session_token.map(|session| session.token),
            "Expiration": expires_at,
        },
        "AssumedRoleUser": {
            "AssumedRoleId": role.as_ref().map(|role| &role.id),
            "Arn": role.as_ref().map(|role| &role.arn),
        },
    })
}
