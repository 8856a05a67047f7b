//! The calls that the operator makes, as values, and what came of each.
//!
//! The kinds are nested so that a new call compiles only once the rate limit, the shutdown, the account law and the
//! refusal of writes have an arm for it: no match over these types has a wildcard.

use super::arn::{AccountId, ConnectorArn};
use super::outcome::{Connector, Outcome};
use super::ownership::OtherObjectState;
use crate::api::DeletionPolicy;

/// One call, to the API server or to AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A write to the object.
    Kube(KubeWrite),
    /// A GET of the other object that an owner tag names.
    ReadOtherObject {
        namespace: String,
        name: String,
        /// The connector that it may name as well.
        arn: ConnectorArn,
    },
    /// A GET of the namespace, whose annotation may set the default of the deletion policy.
    ReadDefaultPolicy,
    /// Subscribes the object to the scan for the services that block its connector.
    ScanServices(ConnectorArn),
    /// A call to AWS about a connector.
    Aws(AwsCall, ConnectorArn),
}

/// A write to the object, guarded by its uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KubeWrite {
    /// Adds our finalizer.
    AddFinalizer,
    /// Removes our finalizer, which releases the object.
    RemoveFinalizer(Proof),
    /// Writes the status.
    Status(StatusWrite),
}

/// The status writes that a decision asks for; a wait writes its status by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StatusWrite {
    /// Writes the reason Adopting, so that no tool takes a new object for a finished one.
    Adopting,
    /// Removes the fields that belong to another connector than the spec names.
    Correction,
    /// Writes `.status.arn`: from here on the object owns the connector.
    Claim(ConnectorArn),
    /// Writes the last observed status of the deleted connector.
    Receipt,
    /// Writes that AWS no longer knows the connector.
    AlreadyGone,
    /// Writes why the object was released, in place of a refused write, while another finalizer holds the object.
    Released,
}

/// The calls to AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AwsCall {
    /// `GetCallerIdentity`
    Identify,
    /// `DescribeVpcConnector`
    Describe,
    /// `ListTagsForResource`
    ReadTags,
    /// `TagResource`
    WriteTag,
    /// `UntagResource`
    RemoveTag,
    /// `DeleteVpcConnector` of `.status.arn`
    Delete,
}

/// The four proofs that allow the finalizer to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// INACTIVE for the object's own ARN.
    Receipt,
    /// `ResourceNotFound`, from the right account and region.
    NotFound,
    /// The connector carries another owner's tag.
    AnotherOwner {
        /// The tag's value.
        tag: String,
    },
    /// The deletion policy is Retain.
    Retained,
}

/// An effect that was carried out, with its outcome. A refused write is an error of the API server instead.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Completed {
    /// The API server accepted the write.
    Kube(KubeWrite),
    /// The state of the other object.
    OtherObject(OtherObjectState),
    /// The default of the deletion policy in the object's namespace, or why it is not known.
    DefaultPolicy(Result<DeletionPolicy, String>),
    /// The object is subscribed to the service scan.
    ScanServices,
    /// The outcome of a call to AWS about a connector.
    Aws(AwsOutcome, ConnectorArn),
}

/// The outcome of each call to AWS.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AwsOutcome {
    /// Of [`AwsCall::Identify`]: the account of the credentials.
    Identify(Outcome<AccountId>),
    /// Of [`AwsCall::Describe`].
    Describe(Outcome<Connector>),
    /// Of [`AwsCall::ReadTags`]: the value of the owner tag.
    ReadTags(Outcome<Option<String>>),
    /// Of [`AwsCall::WriteTag`].
    WriteTag(Outcome<()>),
    /// Of [`AwsCall::RemoveTag`].
    RemoveTag(Outcome<()>),
    /// Of [`AwsCall::Delete`].
    Delete(Outcome<Connector>),
}

impl Effect {
    /// True if AWS is called: while the operator shuts down, no such call is begun.
    pub(crate) fn calls_aws(&self) -> bool {
        match self {
            Self::Aws(..) => true,
            Self::Kube(_) | Self::ReadOtherObject { .. } | Self::ReadDefaultPolicy | Self::ScanServices(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_to_aws_stop_at_a_shutdown() {
        let arn: ConnectorArn =
            "arn:aws:apprunner:us-east-1:111122223333:vpcconnector/shop/1/0123456789abcdef0123456789abcdef"
                .parse()
                .unwrap();
        let calls = [
            AwsCall::Identify,
            AwsCall::Describe,
            AwsCall::ReadTags,
            AwsCall::WriteTag,
            AwsCall::RemoveTag,
            AwsCall::Delete,
        ];
        assert!(calls.into_iter().all(|call| Effect::Aws(call, arn.clone()).calls_aws()));
        let (namespace, name) = ("shop".to_owned(), "egress".to_owned());
        let others = [
            Effect::Kube(KubeWrite::AddFinalizer),
            Effect::ReadOtherObject { namespace, name, arn: arn.clone() },
            Effect::ReadDefaultPolicy,
            Effect::ScanServices(arn),
        ];
        assert!(!others.iter().any(Effect::calls_aws));
    }
}
