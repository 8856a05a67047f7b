//! The outcome of a call to AWS, and the data of its reply.
//!
//! An outcome tells whether the call can have taken effect. A refusal proves that it did not. A call that was not sent
//! cannot have taken effect. Everything else is `Unknown`, and then the operator describes the connector before it repeats
//! the call. To handle a new error of AWS, add a line to [`ErrorClass::of`].

use std::fmt;

use jiff::Timestamp;

use super::error_class::{ErrorClass, strip_namespace};
use super::{text, words};
use crate::api::ConnectorStatus;

/// Code of a failure: no source has credentials.
pub(crate) const NO_CREDENTIALS: &str = "NoCredentials";
/// Code of a failure: STS reports another account for the credentials.
pub(crate) const WRONG_ACCOUNT: &str = "WrongAccount";

/// The calls to AWS that the operator makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
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
    /// Source: App Runner API, `ListVpcIngressConnections`.
    ListVpcIngressConnections,
    /// Source: App Runner API, `DescribeVpcIngressConnection`.
    DescribeVpcIngressConnection,
    /// Source: App Runner API, `DescribeCustomDomains`.
    DescribeCustomDomains,
    /// Source: App Runner API, `ListAutoScalingConfigurations`.
    ListAutoScalingConfigurations,
    /// Source: App Runner API, `ListConnections`.
    ListConnections,
    /// Source: App Runner API, `ListObservabilityConfigurations`.
    ListObservabilityConfigurations,
    /// Source: STS API, `GetCallerIdentity`; needs no permission.
    GetCallerIdentity,
    /// Source: STS API, `AssumeRole`.
    AssumeRole,
    /// The search for credentials. It does not call App Runner, but may call STS or a metadata endpoint.
    ResolveCredentials,
}

impl Operation {
    /// All of them.
    pub(crate) const ALL: [Self; 17] = [
        Self::DeleteVpcConnector,
        Self::DescribeVpcConnector,
        Self::ListTagsForResource,
        Self::TagResource,
        Self::UntagResource,
        Self::ListVpcConnectors,
        Self::ListServices,
        Self::DescribeService,
        Self::ListVpcIngressConnections,
        Self::DescribeVpcIngressConnection,
        Self::DescribeCustomDomains,
        Self::ListAutoScalingConfigurations,
        Self::ListConnections,
        Self::ListObservabilityConfigurations,
        Self::GetCallerIdentity,
        Self::AssumeRole,
        Self::ResolveCredentials,
    ];

    /// The operation with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name)
    }

    /// AWS's name of the call; statuses, logs and metrics show it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DeleteVpcConnector => "DeleteVpcConnector",
            Self::DescribeVpcConnector => "DescribeVpcConnector",
            Self::ListTagsForResource => "ListTagsForResource",
            Self::TagResource => "TagResource",
            Self::UntagResource => "UntagResource",
            Self::ListVpcConnectors => "ListVpcConnectors",
            Self::ListServices => "ListServices",
            Self::DescribeService => "DescribeService",
            Self::ListVpcIngressConnections => "ListVpcIngressConnections",
            Self::DescribeVpcIngressConnection => "DescribeVpcIngressConnection",
            Self::DescribeCustomDomains => "DescribeCustomDomains",
            Self::ListAutoScalingConfigurations => "ListAutoScalingConfigurations",
            Self::ListConnections => "ListConnections",
            Self::ListObservabilityConfigurations => "ListObservabilityConfigurations",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::AssumeRole => "AssumeRole",
            Self::ResolveCredentials => "ResolveCredentials",
        }
    }

    /// The action that an IAM policy must allow.
    pub(crate) fn iam_action(self) -> String {
        match self {
            Self::GetCallerIdentity | Self::AssumeRole | Self::ResolveCredentials => format!("sts:{self}"),
            Self::DeleteVpcConnector
            | Self::DescribeVpcConnector
            | Self::ListTagsForResource
            | Self::TagResource
            | Self::UntagResource
            | Self::ListVpcConnectors
            | Self::ListServices
            | Self::DescribeService
            | Self::ListVpcIngressConnections
            | Self::DescribeVpcIngressConnection
            | Self::DescribeCustomDomains
            | Self::ListAutoScalingConfigurations
            | Self::ListConnections
            | Self::ListObservabilityConfigurations => format!("apprunner:{self}"),
        }
    }

    /// True if STS answers the call.
    pub(crate) fn is_of_sts(self) -> bool {
        matches!(self, Self::GetCallerIdentity | Self::AssumeRole)
    }

    /// True if the call changes something in AWS.
    pub(crate) fn is_write(self) -> bool {
        match self {
            Self::DeleteVpcConnector | Self::TagResource | Self::UntagResource => true,
            Self::DescribeVpcConnector
            | Self::ListTagsForResource
            | Self::ListVpcConnectors
            | Self::ListServices
            | Self::DescribeService
            | Self::ListVpcIngressConnections
            | Self::DescribeVpcIngressConnection
            | Self::DescribeCustomDomains
            | Self::ListAutoScalingConfigurations
            | Self::ListConnections
            | Self::ListObservabilityConfigurations
            | Self::GetCallerIdentity
            | Self::AssumeRole
            | Self::ResolveCredentials => false,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The outcome of one call: the reply, or whether the failed call can have taken effect.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome<T> {
    /// AWS carried out the call and replied.
    Done(T),
    /// AWS refused the call, which had no effect.
    Refused(Failure),
    /// The request was not sent, so the call cannot have had an effect.
    NotSent(Failure),
    /// The request was sent and its effect is unknown.
    Unknown(Failure),
}

impl<T> Outcome<T> {
    /// The failure, if it is one.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Done(_) => None,
            Self::Refused(failure) | Self::NotSent(failure) | Self::Unknown(failure) => Some(failure),
        }
    }

    /// The reply, or the failure.
    pub(crate) fn into_result(self) -> Result<T, Failure> {
        match self {
            Self::Done(reply) => Ok(reply),
            Self::Refused(failure) | Self::NotSent(failure) | Self::Unknown(failure) => Err(failure),
        }
    }

    /// The failure, if it is one.
    pub(crate) fn into_failure(self) -> Option<Failure> {
        self.into_result().err()
    }

    /// The name in logs.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "Done",
            Self::Refused(_) => "Refused",
            Self::NotSent(_) => "NotSent",
            Self::Unknown(_) => "Unknown",
        }
    }
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// The token for the next page; none on the last one.
    pub next: Option<String>,
}

/// A service as App Runner lists it, without its network configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    /// `ServiceArn`
    pub arn: String,
    /// `ServiceName`
    pub name: String,
    /// `Status`, unchanged.
    pub status: String,
    /// `UpdatedAt`
    pub updated_at: Option<Timestamp>,
}

impl Service {
    /// True if the service is deleted; App Runner still lists it for a time.
    pub(crate) fn is_deleted(&self) -> bool {
        words::same(&self.status, "DELETED")
    }
}

/// A connector as App Runner describes it. Every member is optional, because the API model requires none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Connector {
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

/// A failed call, with text that is safe for statuses, logs and Events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The call.
    pub operation: Operation,
    /// The class of the failure.
    pub class: ErrorClass,
    /// AWS's code, or the operator's word if AWS did not answer.
    pub code: String,
    /// AWS's message, cut, and without secrets.
    pub message: String,
    /// The request id, which AWS support asks for.
    pub request_id: Option<String>,
}

impl Failure {
    /// True if App Runner refused a delete because the connector is, or may be, in use.
    pub(crate) fn refuses_the_delete(&self) -> bool {
        self.operation == Operation::DeleteVpcConnector
            && matches!(self.class, ErrorClass::InUse | ErrorClass::InvalidRequest)
    }

    /// True if the failure keeps the operator from reading the owner tag.
    pub(crate) fn hides_the_owner(&self) -> bool {
        use Operation::{AssumeRole, GetCallerIdentity, ListTagsForResource, ResolveCredentials};
        matches!(self.operation, ResolveCredentials | GetCallerIdentity | AssumeRole | ListTagsForResource)
    }

    /// True if AWS refuses the signature and not the key: the signature is for another region or time, and so would be that
    /// of any other key. STS accepted the same credentials, so the operator keeps them.
    pub(crate) fn is_of_signature(&self) -> bool {
        words::says(&self.code, "Signature")
    }

    /// AWS's code, and its message if there is one.
    pub(crate) fn code_and_message(&self) -> String {
        if self.message.is_empty() { self.code.clone() } else { format!("{}: {}", self.code, self.message) }
    }

    /// A failure with texts from any source; they are made fit to be shown.
    pub(crate) fn new(operation: Operation, class: ErrorClass, code: &str, message: &str) -> Self {
        Self { operation, class, code: text::code(code), message: text::message(message), request_id: None }
    }

    /// The failure of a reply that proves nothing about the connector or the account.
    pub(crate) fn unproven(operation: Operation, why: &str) -> Self {
        Self::new(operation, ErrorClass::Unproven, "Unproven", why)
    }

    /// Names the resource of the call in the message, which AWS does not always do.
    #[must_use]
    pub(crate) fn naming(mut self, resource: &str) -> Self {
        if !self.message.contains(resource) {
            self.message = text::message(&format!("{resource}: {}", self.message));
        }
        self
    }

    /// Adds the request id.
    #[must_use]
    pub(crate) fn with_request_id(mut self, id: Option<&str>) -> Self {
        self.request_id = id.map(text::code);
        self
    }
}

/// An error reply of AWS.
#[derive(Clone, Debug, Default)]
pub(crate) struct WireError<'a> {
    /// The HTTP status.
    pub http_status: u16,
    /// The code in the body or the header.
    pub code: Option<&'a str>,
    /// The message in the body.
    pub message: Option<&'a str>,
    /// The request id in the header.
    pub request_id: Option<&'a str>,
}

/// Classifies an error reply. Every reply has a class, and every class except `ServiceError` proves that the call had no
/// effect.
pub(crate) fn classify(operation: Operation, error: &WireError<'_>) -> Failure {
    let code = error.code.map(strip_namespace);
    let message = error.message.unwrap_or_default();
    let class = ErrorClass::of(error.http_status, code, message);
    let http_status = || format!("HTTP {}", error.http_status);
    let shown = code.map(text::code).filter(|code| !code.is_empty()).unwrap_or_else(http_status);
    Failure::new(operation, class, &shown, message).with_request_id(error.request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iam_action_belongs_to_the_called_service() {
        assert_eq!(Operation::DeleteVpcConnector.iam_action(), "apprunner:DeleteVpcConnector");
        assert_eq!(Operation::GetCallerIdentity.iam_action(), "sts:GetCallerIdentity");
    }

    #[test]
    fn only_delete_and_tag_calls_are_writes() {
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
    fn an_outcome_is_logged_as_one_word() {
        let failure = || Failure::new(Operation::DeleteVpcConnector, ErrorClass::Unreachable, "Timeout", "");
        let outcomes =
            [Outcome::Done(()), Outcome::Refused(failure()), Outcome::NotSent(failure()), Outcome::Unknown(failure())];
        assert_eq!(outcomes.each_ref().map(Outcome::as_str), ["Done", "Refused", "NotSent", "Unknown"]);
        assert_eq!(outcomes.each_ref().map(|outcome| outcome.failure().is_some()), [false, true, true, true]);
    }

    #[test]
    fn a_deleted_service_is_recognized_without_regard_to_case() {
        let service = |status: &str| Service { status: status.into(), ..Service::default() };
        assert!(service("DELETED").is_deleted() && service("deleted").is_deleted());
        assert!(!service("DELETE_FAILED").is_deleted() && !service("").is_deleted());
    }

    #[test]
    fn the_code_of_a_reply_without_one_is_its_http_status() {
        let error = WireError { http_status: 502, ..WireError::default() };
        assert_eq!(classify(Operation::DeleteVpcConnector, &error).code, "HTTP 502");
        let namespaced = WireError { code: Some("com.amazonaws.apprunner#X:http://internal/"), ..error };
        assert_eq!(classify(Operation::DeleteVpcConnector, &namespaced).code, "X");
        let empty = WireError { code: Some("com.amazonaws.apprunner#"), ..namespaced };
        assert_eq!(classify(Operation::DeleteVpcConnector, &empty).code, "HTTP 502");
    }
}
