//! A custom domain of a service.

use super::ids::random_hex;
use super::region::Region;
use super::views::{CustomDomainStatus, CustomDomainView};

/// A domain that is associated with a service.
#[derive(Clone, Debug)]
pub(crate) struct CustomDomain {
    pub(crate) seq: u64,
    pub(crate) name: String,
    pub(crate) enable_www: bool,
    pub(crate) status: CustomDomainStatus,
    /// Random parts of the records by which the owner of the domain proves the ownership.
    pub(crate) validation: [String; 2],
}

impl CustomDomain {
    pub(crate) fn view(&self) -> CustomDomainView {
        CustomDomainView { domain: self.name.clone(), enable_www: self.enable_www, status: self.status }
    }
}

impl Region {
    /// Makes a custom domain; the caller adds it to a service.
    pub(crate) fn make_custom_domain(
        &mut self,
        name: &str,
        enable_www: bool,
        status: CustomDomainStatus,
    ) -> CustomDomain {
        let validation = [random_hex(), random_hex()];
        CustomDomain { seq: self.next_seq(), name: name.to_owned(), enable_www, status, validation }
    }

    /// Returns true if a service of the region has the domain.
    pub(crate) fn has_custom_domain(&self, name: &str) -> bool {
        let mut domains = self.services.iter().flat_map(|service| &service.custom_domains);
        domains.any(|domain| domain.name == name)
    }
}
