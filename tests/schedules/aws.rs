//! Changes in AWS: services, owner tags, connectors and faults.

use apprunner_emulator::{ConnectorStatus, Fault, ServiceStatus};
use apprunner_operator::api::OWNER_TAG;
use jiff::Timestamp;

use crate::run::{Run, name, owner_tag};
use crate::steps::{AwsChange, Lasting, Tag};
use crate::support::{ACCOUNT, OTHER, REGION};

impl Run {
    pub fn change_aws(&mut self, change: AwsChange) {
        match change {
            AwsChange::CreateService { service, connector } => self.create_service(service, connector),
            AwsChange::SetService { service, status } => {
                self.acts.nudges += 1;
                if let Some(arn) = self.running_service(service) {
                    self.emulator().set_service_status(&arn, status);
                }
            }
            AwsChange::DeleteService(service) => {
                self.acts.nudges += 1;
                if let Some(arn) = self.running_service(service) {
                    self.emulator().delete_service(&arn);
                }
            }
            AwsChange::MoveTag { connector, to } => self.move_tag(connector, to),
            AwsChange::DeleteConnector(number) => {
                if let Some(arn) = self.connector_to_delete(number) {
                    self.emulator().delete_connector(&arn);
                }
            }
            AwsChange::ForgetConnector(number) => {
                if let Some(arn) = self.connector_to_delete(number) {
                    self.emulator().forget_connector(&arn);
                }
            }
            AwsChange::Fault { operation, kind, lasting } => {
                let fault = Fault { operation, ..Fault::new(kind) };
                match lasting {
                    Lasting::Times(count) => {
                        self.emulator().add_fault(fault.times(count));
                    }
                    Lasting::Until(ending) => {
                        let id = self.emulator().add_fault(fault.forever());
                        self.aws_faults.insert(ending, id);
                    }
                }
            }
            AwsChange::EndFault(ending) => {
                if let Some(id) = self.aws_faults.remove(&ending) {
                    self.emulator().remove_fault(id);
                }
            }
        }
    }

    /// The connector of this number, created when it is first needed.
    pub fn connector(&mut self, number: usize) -> String {
        let create = || self.world.emulator.create_connector(ACCOUNT, REGION, &format!("conn-{number}"));
        self.connectors.entry(number).or_insert_with(create).clone()
    }

    pub fn connector_of_other_account(&self, number: usize) -> String {
        let name = format!("foreign-{number}");
        let all = self.emulator().state().into_iter().flat_map(|region| region.connectors);
        let existing = all.into_iter().find(|connector| connector.name == name).map(|connector| connector.arn);
        existing.unwrap_or_else(|| self.emulator().create_connector(OTHER.2, REGION, &name))
    }

    fn is_active(&self, arn: &str) -> bool {
        self.emulator().connector(arn).is_some_and(|connector| connector.status == ConnectorStatus::Active)
    }

    fn create_service(&mut self, number: usize, connector: usize) {
        self.acts.nudges += 1;
        let connector = self.connector(connector);
        if self.is_active(&connector) && self.running_service(number).is_none() {
            let name = format!("service-{number}");
            let arn = self.emulator().create_service(ACCOUNT, REGION, &name, Some(&connector));
            self.services.insert(number, arn);
        }
    }

    /// The service of this number, unless it is deleted.
    fn running_service(&self, number: usize) -> Option<String> {
        let service = self.emulator().service(self.services.get(&number)?)?;
        (service.status != ServiceStatus::Deleted).then_some(service.arn)
    }

    /// An ACTIVE connector that the test deletes now.
    fn connector_to_delete(&mut self, number: usize) -> Option<String> {
        let arn = self.connector(number);
        self.is_active(&arn).then(|| {
            self.acts.connectors_deleted.insert(arn.clone(), Timestamp::now());
            arn
        })
    }

    fn move_tag(&mut self, connector: usize, to: Tag) {
        let arn = self.connector(connector);
        // A deleted connector keeps the tag that it had when it was deleted.
        if !self.is_active(&arn) {
            return;
        }
        let tag = match to {
            Tag::None => None,
            Tag::OtherCluster => Some("another-cluster/shop/egress".to_owned()),
            Tag::Object(object) => Some(owner_tag(&self.world.namespace, &name(object))),
        };
        let tags: Vec<_> = tag.iter().map(|tag| (OWNER_TAG, tag.as_str())).collect();
        self.emulator().set_tags(&arn, &tags);
        self.observer.sample();
    }
}
