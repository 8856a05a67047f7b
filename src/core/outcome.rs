//! What came of one call, and what an answer of AWS's means.
//!
//! The one distinction everything else rests on is whether the call can have taken effect. A refusal proves that it did
//! not, a call that was never sent cannot have, and everything else is `Unknown`: there the operator looks before it
//! acts again. A new answer from AWS becomes a line in [`classify`].

use std::fmt;

use jiff::Timestamp;

use super::error_class::{ErrorClass, strip_namespace};
use super::words;

/// AWS's text is cut to this many characters before it goes anywhere.
const LONGEST_MESSAGE: usize = 700;
/// The same for its codes and request ids.
const LONGEST_CODE: usize = 100;
/// The code where no source of credentials has any.
pub const NO_CREDENTIALS: &str = "NoCredentials";
/// The code where STS says that the credentials are of another account.
pub const WRONG_ACCOUNT: &str = "WrongAccount";

/// The calls this operator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Source: App Runner API, `DeleteVpcConnector`.
    DeleteVpcConnector,
    /// Source: App Runner API, `DescribeVpcConnector`.
    DescribeVpcConnector,
    /// Source: App Runner API, `ListTagsForResource`.
    ListTagsForResource,
    /// Source: App Runner API, `TagResource`.
    TagResource,
    /// Source: App Runner API, `UntagResource`.
    UntagResource,
    /// Source: App Runner API, `ListVpcConnectors`.
    ListVpcConnectors,
    /// Source: App Runner API, `ListServices`.
    ListServices,
    /// Source: App Runner API, `DescribeService`.
    DescribeService,
    /// Source: STS API, `GetCallerIdentity`; needs no permission.
    GetCallerIdentity,
    /// Finding credentials at all: no call to App Runner, though it may call STS or a metadata endpoint.
    ResolveCredentials,
}

impl Operation {
    /// The name in statuses, logs and metrics, which is AWS's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeleteVpcConnector => "DeleteVpcConnector",
            Self::DescribeVpcConnector => "DescribeVpcConnector",
            Self::ListTagsForResource => "ListTagsForResource",
            Self::TagResource => "TagResource",
            Self::UntagResource => "UntagResource",
            Self::ListVpcConnectors => "ListVpcConnectors",
            Self::ListServices => "ListServices",
            Self::DescribeService => "DescribeService",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::ResolveCredentials => "ResolveCredentials",
        }
    }

    /// The action that an IAM policy must allow.
    pub fn iam_action(self) -> String {
        match self {
            Self::GetCallerIdentity | Self::ResolveCredentials => format!("sts:{self}"),
            Self::DeleteVpcConnector
            | Self::DescribeVpcConnector
            | Self::ListTagsForResource
            | Self::TagResource
            | Self::UntagResource
            | Self::ListVpcConnectors
            | Self::ListServices
            | Self::DescribeService => format!("apprunner:{self}"),
        }
    }

    /// Whether it changes something in AWS.
    pub fn is_write(self) -> bool {
        match self {
            Self::DeleteVpcConnector | Self::TagResource | Self::UntagResource => true,
            Self::DescribeVpcConnector
            | Self::ListTagsForResource
            | Self::ListVpcConnectors
            | Self::ListServices
            | Self::DescribeService
            | Self::GetCallerIdentity
            | Self::ResolveCredentials => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The outcome of one call, and above all whether it can have taken effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// AWS did it, or answered.
    Done(T),
    /// AWS refused: nothing has happened.
    Refused(Failure),
    /// The request was not sent: nothing can have happened.
    NotSent(Failure),
    /// The request was sent and its effect is unknown.
    Unknown(Failure),
}

impl<T> Outcome<T> {
    /// The failure, if it is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Done(_) => None,
            Self::Refused(failure) | Self::NotSent(failure) | Self::Unknown(failure) => Some(failure),
        }
    }

    /// The reply, or the failure.
    pub fn into_result(self) -> Result<T, Failure> {
        match self {
            Self::Done(reply) => Ok(reply),
            Self::Refused(failure) | Self::NotSent(failure) | Self::Unknown(failure) => Err(failure),
        }
    }

    /// The failure, if it is one.
    pub fn into_failure(self) -> Option<Failure> {
        self.into_result().err()
    }

    /// The same outcome with another reply.
    pub fn map<U>(self, reply: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Done(done) => Outcome::Done(reply(done)),
            Self::Refused(failure) => Outcome::Refused(failure),
            Self::NotSent(failure) => Outcome::NotSent(failure),
            Self::Unknown(failure) => Outcome::Unknown(failure),
        }
    }

    /// The name in logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "Done",
            Self::Refused(_) => "Refused",
            Self::NotSent(_) => "NotSent",
            Self::Unknown(_) => "Unknown",
        }
    }
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page<T> {
    /// What stands on it.
    pub items: Vec<T>,
    /// What the next part is asked for with; none after the last.
    pub next: Option<String>,
}

/// A service as App Runner lists it, which is without its network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `ServiceArn`
    pub arn: String,
    /// `ServiceName`
    pub name: String,
    /// `Status`, in App Runner's own word.
    pub status: String,
    /// `UpdatedAt`
    pub updated_at: Option<Timestamp>,
}

impl Service {
    /// Whether it is gone, and only still listed.
    pub fn is_deleted(&self) -> bool {
        words::same(&self.status, "DELETED")
    }
}

/// A connector as App Runner describes it; its model requires no member, so none is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connector {
    /// `VpcConnectorArn`
    pub arn: Option<String>,
    /// `VpcConnectorName`
    pub name: Option<String>,
    /// `VpcConnectorRevision`
    pub revision: Option<i32>,
    /// `Subnets`
    pub subnets: Vec<String>,
    /// `SecurityGroups`
    pub security_groups: Vec<String>,
    /// `Status`
    pub status: Option<ConnectorStatus>,
    /// `CreatedAt`
    pub created_at: Option<Timestamp>,
    /// `DeletedAt`
    pub deleted_at: Option<Timestamp>,
}

/// The status of a connector: App Runner's own word, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorStatus {
    word: String,
    state: ConnectorState,
}

/// What the status of a connector means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorState {
    /// It can be used.
    Active,
    /// It was deleted.
    Inactive,
    /// The word is not in the API's model; it proves nothing.
    Unknown,
}

impl ConnectorStatus {
    /// The word as App Runner wrote it.
    pub fn as_str(&self) -> &str {
        &self.word
    }

    /// What the word means.
    pub fn state(&self) -> ConnectorState {
        self.state
    }
}

impl From<&str> for ConnectorStatus {
    fn from(word: &str) -> Self {
        let state = match word {
            _ if words::same(word, "ACTIVE") => ConnectorState::Active,
            _ if words::same(word, "INACTIVE") => ConnectorState::Inactive,
            _ => ConnectorState::Unknown,
        };
        Self { word: word.to_owned(), state }
    }
}

/// A call that did not succeed, in words fit for a status, a log and an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was called.
    pub operation: Operation,
    /// What kind of failure it is.
    pub class: ErrorClass,
    /// AWS's code, or our word where no answer came.
    pub code: String,
    /// AWS's message, cut, and free of anything secret.
    pub message: String,
    /// The id AWS support asks for.
    pub request_id: Option<String>,
}

impl Failure {
    /// Whether App Runner refused a delete because the connector is, or may be, in use.
    pub fn refuses_the_delete(&self) -> bool {
        self.operation == Operation::DeleteVpcConnector
            && matches!(self.class, ErrorClass::InUse | ErrorClass::InvalidRequest)
    }

    /// Whether because of it the owner tag cannot be read.
    pub fn hides_the_owner(&self) -> bool {
        use Operation::{GetCallerIdentity, ListTagsForResource, ResolveCredentials};
        matches!(self.operation, ResolveCredentials | GetCallerIdentity | ListTagsForResource)
    }

    /// Whether AWS refuses the signature and not the key: it is of another region or another time, as that of any other
    /// key would be. STS has taken the same credentials, so they are kept.
    pub fn is_of_signature(&self) -> bool {
        words::says(&self.code, "Signature")
    }

    /// AWS's code, and its message where there is one.
    pub fn code_and_message(&self) -> String {
        if self.message.is_empty() { self.code.clone() } else { format!("{}: {}", self.code, self.message) }
    }

    /// Makes a failure of whatever text there is.
    pub fn new(operation: Operation, class: ErrorClass, code: impl Into<String>, message: &str) -> Self {
        let code = code.into().chars().take(LONGEST_CODE).collect();
        Self { operation, class, code, message: sanitize(message), request_id: None }
    }

    /// The failure of a reply that proves nothing about the connector or the account.
    pub fn unproven(operation: Operation, why: &str) -> Self {
        Self::new(operation, ErrorClass::Unproven, "Unproven", why)
    }

    /// Adds the request id.
    #[must_use]
    pub fn with_request_id(mut self, id: Option<String>) -> Self {
        self.request_id = id.map(|id| id.chars().take(LONGEST_CODE).collect());
        self
    }
}

/// An error as it stands on the wire.
#[derive(Clone, Debug, Default)]
pub struct WireError<'a> {
    /// The HTTP status.
    pub http_status: u16,
    /// The code of the body or the header, if either has one.
    pub code: Option<&'a str>,
    /// The message of the body.
    pub message: Option<&'a str>,
    /// The request id of the header.
    pub request_id: Option<&'a str>,
}

/// Says what an error answer means. Total: every answer has a class, and all but `ServiceError` prove that nothing
/// was done.
pub fn classify(operation: Operation, error: &WireError<'_>) -> Failure {
    let code = error.code.map(strip_namespace);
    let message = error.message.unwrap_or_default();
    let class = ErrorClass::of(error.http_status, code, message);
    let shown = code.map_or_else(|| format!("HTTP {}", error.http_status), str::to_owned);
    Failure::new(operation, class, shown, message).with_request_id(error.request_id.map(str::to_owned))
}

/// Cuts AWS's text, and leaves out what it echoes of a signed request: a session token may stand in it.
pub(super) fn sanitize(message: &str) -> String {
    const SECRET_MARKERS: [&str; 4] = ["The Canonical String", "Authorization=", "Credential=", "X-Amz-Security-Token"];
    let end =
        SECRET_MARKERS.iter().filter_map(|marker| words::position(message, marker)).min().unwrap_or(message.len());
    let printable = message.get(..end).unwrap_or_default().trim_end().chars();
    printable.map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_of_the_service_that_it_asks() {
        assert_eq!(Operation::DeleteVpcConnector.iam_action(), "apprunner:DeleteVpcConnector");
        assert_eq!(Operation::GetCallerIdentity.iam_action(), "sts:GetCallerIdentity");
    }

    #[test]
    fn what_changes_something_is_known() {
        let changes = [Operation::DeleteVpcConnector, Operation::TagResource, Operation::UntagResource];
        let reads = [
            Operation::DescribeVpcConnector,
            Operation::ListTagsForResource,
            Operation::ListVpcConnectors,
            Operation::ListServices,
            Operation::DescribeService,
            Operation::GetCallerIdentity,
            Operation::ResolveCredentials,
        ];
        assert!(changes.into_iter().all(Operation::is_write) && !reads.into_iter().any(Operation::is_write));
    }

    #[test]
    fn messages_are_cut_and_never_echo_a_signed_request() {
        assert_eq!(sanitize(&"ä".repeat(2000)).chars().count(), 700);
        assert_eq!(sanitize("no\nbreaks"), "no breaks");
        let echo = "The signature does not match. The Canonical String for this request should have been \
                    'POST / x-amz-security-token:SECRET'";
        assert_eq!(sanitize(echo), "The signature does not match.");
        assert_eq!(sanitize("No. x-amz-SECURITY-token:SECRET"), "No.");
        assert_eq!(sanitize("Requires 'Signature'. Authorization=AWS4-HMAC Credential=A/B"), "Requires 'Signature'.");
    }

    #[test]
    fn what_a_call_came_to_is_logged_as_one_word() {
        let failure = || Failure::new(Operation::DeleteVpcConnector, ErrorClass::Unreachable, "Timeout", "");
        let outcomes =
            [Outcome::Done(()), Outcome::Refused(failure()), Outcome::NotSent(failure()), Outcome::Unknown(failure())];
        assert_eq!(outcomes.each_ref().map(Outcome::as_str), ["Done", "Refused", "NotSent", "Unknown"]);
    }

    #[test]
    fn status_words_are_compared_without_regard_to_case() {
        for (word, expected) in [
            ("ACTIVE", ConnectorState::Active),
            ("active", ConnectorState::Active),
            ("INACTIVE", ConnectorState::Inactive),
            ("Inactive", ConnectorState::Inactive),
            ("DELETING", ConnectorState::Unknown),
            ("", ConnectorState::Unknown),
        ] {
            let status = ConnectorStatus::from(word);
            assert_eq!((status.state(), status.as_str()), (expected, word));
        }
        let service = |status: &str| Service { status: status.into(), ..Service::default() };
        assert!(service("DELETED").is_deleted() && service("deleted").is_deleted());
        assert!(!service("DELETE_FAILED").is_deleted() && !service("").is_deleted());
    }

    #[test]
    fn a_reply_without_a_code_is_shown_by_its_status() {
        let error = WireError { http_status: 502, ..WireError::default() };
        assert_eq!(classify(Operation::DeleteVpcConnector, &error).code, "HTTP 502");
        let namespaced = WireError { code: Some("com.amazonaws.apprunner#X:http://internal/"), ..error };
        assert_eq!(classify(Operation::DeleteVpcConnector, &namespaced).code, "X");
    }
}
