//! AWS: the answers about the one connector, and the effects of calls.

use super::super::evidence::{connector, failure};
use super::operator::Fault;
use super::world::{Aws, DeleteAgain, Life, Tag, Violation, World};
use crate::api::{DeletionPolicy, VpcConnector};
use crate::core::arn::AccountId;
use crate::core::effect::{AwsCall, AwsOutcome};
use crate::core::error_class::ErrorClass;
use crate::core::evidence::Object;
use crate::core::outcome::{Connector, Failure, Operation, Outcome};

/// One call of one operator, with the account of its credentials.
pub(super) struct Call<'a> {
    pub operator: usize,
    pub object: &'a VpcConnector,
    /// The operator relies on a tag that it read in an earlier attempt.
    pub repeats: bool,
    pub fault: &'a mut Fault,
}

impl Call<'_> {
    /// The outcome of a call. Without the credentials of the connector's account nothing is sent.
    pub(super) fn make(mut self, world: &mut World, call: AwsCall, sent: bool) -> Result<AwsOutcome, Violation> {
        let right = world.operators[self.operator].credentials.right;
        Ok(match call {
            AwsCall::Identify => {
                let operation = Operation::GetCallerIdentity;
                let outcome = self.reply(operation, sent, Ok(account(right)));
                world.operators[self.operator].credentials.known |= matches!(outcome, Outcome::Done(_));
                AwsOutcome::Identify(outcome)
            }
            AwsCall::Describe => {
                let described = if right { describe(world.aws) } else { Err(ErrorClass::NotFound) };
                AwsOutcome::Describe(self.reply(Operation::DescribeVpcConnector, sent, described))
            }
            AwsCall::ReadTags => {
                let known = right && world.aws.life != Life::Forgotten;
                let tag = world.aws.tag.value().map(str::to_owned);
                let read = if known { Ok(tag) } else { Err(ErrorClass::NotFound) };
                AwsOutcome::ReadTags(self.reply(Operation::ListTagsForResource, sent, read))
            }
            AwsCall::WriteTag => {
                let written = self.changes(world, sent, right, Self::write_tag)?;
                AwsOutcome::WriteTag(self.reply(Operation::TagResource, sent, written))
            }
            AwsCall::RemoveTag => {
                let removed = self.changes(world, sent, right, Self::remove_tag)?;
                AwsOutcome::RemoveTag(self.reply(Operation::UntagResource, sent, removed))
            }
            AwsCall::Delete => {
                let deleted = self.changes(world, sent, right, Self::delete)?;
                AwsOutcome::Delete(self.reply(Operation::DeleteVpcConnector, sent, deleted))
            }
        })
    }

    /// Makes a change, unless the request is lost or AWS knows no such connector.
    fn changes<T>(
        &self,
        world: &mut World,
        sent: bool,
        right: bool,
        change: impl FnOnce(&Self, &mut World) -> Result<Result<T, ErrorClass>, Violation>,
    ) -> Result<Result<T, ErrorClass>, Violation> {
        let reaches = sent && matches!(self.fault, Fault::None | Fault::LoseReply);
        if !right || !reaches || world.aws.life == Life::Forgotten {
            return Ok(Err(ErrorClass::NotFound));
        }
        change(self, world)
    }

    fn write_tag(&self, world: &mut World) -> Result<Result<(), ErrorClass>, Violation> {
        if !world.aws.remains() {
            return Ok(Err(ErrorClass::InvalidRequest));
        }
        self.check_owner(world, "overwrites the tag of another owner's connector")?;
        let uid = super::world::uid_of(self.object);
        world.api.claimed[uid] = true;
        world.set_tag(Tag::Ours);
        Ok(Ok(()))
    }

    fn remove_tag(&self, world: &mut World) -> Result<Result<(), ErrorClass>, Violation> {
        if !world.aws.remains() {
            return Ok(Err(ErrorClass::InvalidRequest));
        }
        self.check_owner(world, "removes the tag of another owner's connector")?;
        world.set_tag(Tag::None);
        Ok(Ok(()))
    }

    fn delete(&self, world: &mut World) -> Result<Result<Connector, ErrorClass>, Violation> {
        match world.aws.life {
            Life::Active if world.aws.in_use => return Ok(Err(ErrorClass::InUse)),
            Life::Active | Life::Deleting => {}
            Life::Inactive if world.aws.delete_again == DeleteAgain::Invalid => {
                return Ok(Err(ErrorClass::InvalidRequest));
            }
            Life::Inactive | Life::Forgotten => return Ok(Err(ErrorClass::NotFound)),
        }
        self.check_owner(world, "deletes another owner's connector")?;
        self.check_wish()?;
        let slow = std::mem::take(&mut world.aws.slow);
        world.aws.life = if slow || world.aws.life == Life::Deleting { Life::Deleting } else { Life::Inactive };
        Ok(describe(world.aws))
    }

    /// The tag must have allowed the call at some time in this attempt, or for a repeated delete within the last minute: AWS
    /// has no conditional write.
    fn check_owner(&self, world: &World, act: &str) -> Result<(), Violation> {
        let running = world.operators[self.operator].running.as_ref();
        let all_along = running.is_some_and(|running| running.foreign_all_along);
        let recently = self.repeats && world.aws.foreign_for < 2;
        let foreign = world.aws.foreign() && all_along && !recently;
        if foreign { Err(Violation(format!("an operator {act}"))) } else { Ok(()) }
    }

    /// A connector is deleted only as the users of its object want it, by the version that the operator knows. A default of the
    /// policy is recorded by then.
    fn check_wish(&self) -> Result<(), Violation> {
        let object = Object::read(self.object, false);
        let wished = object.deleting && object.policy == Some(DeletionPolicy::Delete);
        if wished && !object.paused && !object.protected {
            Ok(())
        } else {
            Err(Violation("a connector is deleted against the spec".into()))
        }
    }

    fn reply<T>(&mut self, operation: Operation, sent: bool, reply: Result<T, ErrorClass>) -> Outcome<T> {
        let failed = |class| failure(operation, class);
        if !sent {
            let (operation, class) = (Operation::ResolveCredentials, ErrorClass::Unreachable);
            return Outcome::NotSent(Failure::new(operation, class, "NotSent", ""));
        }
        if self.fault.take(Fault::LoseReply) || self.fault.take(Fault::LoseRequest) {
            return Outcome::Unknown(failed(ErrorClass::Unreachable));
        }
        if self.fault.take(Fault::Refuse) {
            return Outcome::Refused(failed(ErrorClass::Throttled));
        }
        reply.map_or_else(|class| Outcome::Refused(failed(class)), Outcome::Done)
    }
}

/// The account of right and of wrong credentials.
pub(super) fn account(right: bool) -> AccountId {
    if right { "111122223333" } else { "999999999999" }.parse().unwrap()
}

fn describe(aws: Aws) -> Result<Connector, ErrorClass> {
    match aws.life {
        Life::Active | Life::Deleting => Ok(connector("ACTIVE")),
        Life::Inactive => Ok(connector("INACTIVE")),
        Life::Forgotten => Err(ErrorClass::NotFound),
    }
}
