//! The emulated operations.

use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($($operation:ident,)*) => {
        /// An operation of App Runner or STS, by its name on the wire.
        #[expect(missing_docs, reason = "AWS documents each operation under its name")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Operation {
            $($operation,)*
        }

        impl Operation {
            /// All operations.
            pub const ALL: [Self; [$(stringify!($operation)),*].len()] = [$(Self::$operation),*];

            /// Returns the operation's name on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$operation => stringify!($operation),)*
                }
            }
        }
    };
}

operations! {
    AssociateCustomDomain,
    AssumeRole,
    CreateAutoScalingConfiguration,
    CreateConnection,
    CreateObservabilityConfiguration,
    CreateService,
    CreateVpcConnector,
    CreateVpcIngressConnection,
    DeleteAutoScalingConfiguration,
    DeleteConnection,
    DeleteObservabilityConfiguration,
    DeleteService,
    DeleteVpcConnector,
    DeleteVpcIngressConnection,
    DescribeCustomDomains,
    DescribeService,
    DescribeVpcConnector,
    DescribeVpcIngressConnection,
    DisassociateCustomDomain,
    GetCallerIdentity,
    ListAutoScalingConfigurations,
    ListConnections,
    ListObservabilityConfigurations,
    ListServices,
    ListServicesForAutoScalingConfiguration,
    ListTagsForResource,
    ListVpcConnectors,
    ListVpcIngressConnections,
    PauseService,
    ResumeService,
    TagResource,
    UntagResource,
    UpdateService,
}

impl Operation {
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
