//! Carries out one effect: a write to the object, a read of another one, a subscription, or a call to AWS.

use std::time::Duration;

use tracing::{debug, info};

use super::reconcile::{Pass, Reconciler};
use crate::api::{VpcConnector, VpcConnectorStatus};
use crate::apprunner::client::{Call, Subject};
use crate::apprunner::rate::Permit;
use crate::apprunner::service_scans::Subscriber;
use crate::apprunner::session::Session;
use crate::apprunner::{CALL_DEADLINE, UNTAG_DEADLINE};
use crate::cluster::Error;
use crate::core::arn::ConnectorArn;
use crate::core::decide::calls_of_attempt;
use crate::core::effect::{AwsCall, AwsOutcome, Completed, Effect, KubeWrite, Proof};
use crate::core::error_class::ErrorClass;
use crate::core::event::{self, PendingEvent};
use crate::core::evidence::Object;
use crate::core::outcome::{Failure, Operation, Outcome};
use crate::core::rate_limit::Priority;
use crate::core::status;

impl Reconciler {
    /// Takes the calls of the attempt from the rate limit, once, or returns the time until they are allowed.
    pub(super) fn acquire_rate<'a>(
        &'a self,
        pass: &Pass,
        effect: &Effect,
        permit: &mut Option<Permit<'a>>,
    ) -> Result<(), Duration> {
        let (call, arn) = match effect {
            Effect::Aws(call, arn) => (*call, arn),
            Effect::Kube(_) | Effect::ReadOtherObject { .. } | Effect::ReadDefaultPolicy | Effect::ScanServices(_) => {
                return Ok(());
            }
        };
        let calls = calls_of_attempt(&pass.evidence, call);
        if calls == 0 {
            return Ok(());
        }
        let permit = if let Some(permit) = permit {
            permit
        } else {
            let priority = priority(&pass.object);
            permit.insert(self.aws.rate_limits.acquire(
                arn.account_region(),
                &pass.object.id().to_string(),
                priority,
                calls,
            )?)
        };
        permit.spend();
        Ok(())
    }

    /// Carries out an effect.
    pub(super) async fn execute(&self, pass: &mut Pass, effect: Effect) -> Result<Completed, Error> {
        match effect {
            Effect::Kube(write) => self.write(pass, write).await,
            Effect::ReadOtherObject { namespace, name, arn } => {
                let found = self.objects.get_other_object(&namespace, &name, arn.as_str()).await?;
                Ok(Completed::OtherObject(found))
            }
            Effect::ReadDefaultPolicy => {
                let namespace = &pass.evidence.object.namespace;
                let set = self.objects.get_default_policy(namespace).await?;
                let default = || self.rules.default_policy.clone();
                Ok(Completed::DefaultPolicy(set.map(|policy| policy.unwrap_or_else(default))))
            }
            Effect::ScanServices(arn) => {
                self.subscribe(pass, &arn);
                Ok(Completed::ScanServices)
            }
            Effect::Aws(call, arn) => {
                // Boxed, because the future of a call is much larger than that of everything around it.
                let outcome = Box::pin(self.call_aws(pass, call, &arn)).await;
                Ok(Completed::Aws(outcome, arn))
            }
        }
    }

    async fn write(&self, pass: &mut Pass, write: KubeWrite) -> Result<Completed, Error> {
        match &write {
            KubeWrite::AddFinalizer => self.objects.add_finalizer(&pass.object).await?,
            KubeWrite::RemoveFinalizer(proof) => self.release(pass, proof).await?,
            KubeWrite::Status(write) => {
                let (status, events) = status::status_after(&pass.evidence, write);
                self.write_status(pass, status, events).await?;
            }
        }
        Ok(Completed::Kube(write))
    }

    /// Writes a status and publishes its Events.
    pub(super) async fn write_status(
        &self,
        pass: &mut Pass,
        status: VpcConnectorStatus,
        events: Vec<PendingEvent>,
    ) -> Result<(), Error> {
        self.objects.write_status(&pass.object, &status).await?;
        pass.evidence.state.status_written_at = Some(pass.evidence.now.moment);
        for event in events {
            debug!(reason = %event.reason, note = event.note(), "publishing an Event");
            self.publish(&pass.object, event);
        }
        Ok(())
    }

    /// Removes the finalizer, which releases the object.
    async fn release(&self, pass: &Pass, proof: &Proof) -> Result<(), Error> {
        self.objects.remove_finalizer(&pass.object, proof).await?;
        self.scans.unsubscribe(&pass.object.id());
        let deleted_since = pass.object.metadata.deletion_timestamp.as_ref().map(|since| since.0);
        let took =
            deleted_since.and_then(|since| Duration::try_from(pass.evidence.now.wall.duration_since(since)).ok());
        self.metrics.observe_release(proof, took.unwrap_or_default());
        let Object { namespace, name, status, .. } = &pass.evidence.object;
        let deleted_at = status.deleted_at.as_ref().map(|at| tracing::field::display(at.0));
        let (arn, status) = (&pass.object.spec.arn, status.status.as_deref());
        // Together with the Event this line is the receipt once the object is gone.
        info!(namespace, name, arn, ?proof, status, deleted_at, "released the object");
        if let Some(event) = event::release_event(&pass.evidence, proof) {
            self.publish(&pass.object, event);
        }
        Ok(())
    }

    fn subscribe(&self, pass: &Pass, arn: &ConnectorArn) {
        let Object { namespace, name, .. } = &pass.evidence.object;
        let refused = pass.evidence.state.deletion.refused();
        let any_change = refused.is_some_and(|refused| refused.failure.class == ErrorClass::InvalidRequest);
        let uid = pass.object.id();
        self.scans.subscribe(arn, any_change, Subscriber { uid, namespace: namespace.clone(), name: name.clone() });
    }

    /// Makes one call to AWS, with the very session that the decision was made on.
    async fn call_aws(&self, pass: &Pass, call: AwsCall, arn: &ConnectorArn) -> AwsOutcome {
        match call {
            AwsCall::Identify => {
                let session = self.aws.sessions.identify(arn.account_region()).await;
                AwsOutcome::Identify(match session {
                    Ok(session) => Outcome::Done(session.account().clone()),
                    Err(failure) => Outcome::Refused(failure),
                })
            }
            AwsCall::Describe => {
                AwsOutcome::Describe(self.call(pass, arn, async |session| session.describe(arn).await).await)
            }
            AwsCall::ReadTags => {
                let deadline = if pass.evidence.is_retained() { UNTAG_DEADLINE } else { CALL_DEADLINE };
                let read = async |session: &Session| session.read_owner_tag(arn, deadline).await;
                AwsOutcome::ReadTags(self.call(pass, arn, read).await)
            }
            AwsCall::WriteTag => {
                let Some(tag) = pass.evidence.owner_tag() else { return AwsOutcome::WriteTag(not_sent()) };
                let write = async |session: &Session| session.write_owner_tag(arn, &tag).await;
                AwsOutcome::WriteTag(self.call(pass, arn, write).await)
            }
            AwsCall::RemoveTag => {
                AwsOutcome::RemoveTag(self.call(pass, arn, async |session| session.remove_owner_tag(arn).await).await)
            }
            AwsCall::Delete => {
                AwsOutcome::Delete(self.call(pass, arn, async |session| session.delete(arn).await).await)
            }
        }
    }

    async fn call<T>(
        &self,
        pass: &Pass,
        arn: &ConnectorArn,
        make: impl AsyncFnOnce(&Session) -> Call<T>,
    ) -> Outcome<T> {
        let session = pass.session.as_ref().filter(|session| session.account() == arn.account());
        let Some(session) = session else { return not_sent() };
        let call = make(session).await;
        let Object { namespace, name, .. } = &pass.evidence.object;
        let subject = Subject { namespace: Some(namespace), name: Some(name), arn: Some(arn.as_str()) };
        self.aws.record_response(arn.account_region(), session, &call, subject);
        call.outcome
    }
}

/// The deletion that was requested first goes first.
fn priority(object: &VpcConnector) -> Priority {
    object.metadata.deletion_timestamp.as_ref().map_or(Priority::Other, |since| Priority::Deletion(since.0))
}

/// No call is decided without a session of the connector's account; should it be, nothing is sent.
fn not_sent<T>() -> Outcome<T> {
    let message = "the credentials changed while the call was prepared";
    Outcome::NotSent(Failure::new(Operation::ResolveCredentials, ErrorClass::Unreachable, "NotSent", message))
}
