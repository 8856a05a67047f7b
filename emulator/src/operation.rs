//! The emulated operations.

use serde::{Deserialize, Serialize};

/// An operation of App Runner or STS, by its name on the wire.
#[expect(missing_docs, reason = "AWS documents each operation under its name")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    AssumeRole,
    CreateService,
    CreateVpcConnector,
    DeleteService,
    DeleteVpcConnector,
    DescribeService,
    DescribeVpcConnector,
    GetCallerIdentity,
    ListServices,
    ListTagsForResource,
    ListVpcConnectors,
    PauseService,
    ResumeService,
    TagResource,
    UntagResource,
    UpdateService,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 16] = [
        Self::AssumeRole,
        Self::CreateService,
        Self::CreateVpcConnector,
        Self::DeleteService,
        Self::DeleteVpcConnector,
        Self::DescribeService,
        Self::DescribeVpcConnector,
        Self::GetCallerIdentity,
        Self::ListServices,
        Self::ListTagsForResource,
        Self::ListVpcConnectors,
        Self::PauseService,
        Self::ResumeService,
        Self::TagResource,
        Self::UntagResource,
        Self::UpdateService,
    ];

    /// Returns the operation's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::AssumeRole => "AssumeRole",
            Self::CreateService => "CreateService",
            Self::CreateVpcConnector => "CreateVpcConnector",
            Self::DeleteService => "DeleteService",
            Self::DeleteVpcConnector => "DeleteVpcConnector",
            Self::DescribeService => "DescribeService",
            Self::DescribeVpcConnector => "DescribeVpcConnector",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::ListServices => "ListServices",
            Self::ListTagsForResource => "ListTagsForResource",
            Self::ListVpcConnectors => "ListVpcConnectors",
            Self::PauseService => "PauseService",
            Self::ResumeService => "ResumeService",
            Self::TagResource => "TagResource",
            Self::UntagResource => "UntagResource",
            Self::UpdateService => "UpdateService",
        }
    }

    /// Returns the operation with this name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Returns the service's name, as in the operation's IAM action and in signatures.
    pub(crate) fn service(self) -> &'static str {
        if matches!(self, Self::AssumeRole | Self::GetCallerIdentity) { "sts" } else { "apprunner" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_the_json_of_the_control_api() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_name(operation.name()), Some(operation));
            assert_eq!(serde_json::to_value(operation).unwrap(), operation.name());
        }
    }
}
