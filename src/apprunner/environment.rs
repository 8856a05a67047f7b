//! What the environment and the profile say that the SDK does not read by itself.
//!
//! The AWS CLI takes a bundle of certificate authorities from `AWS_CA_BUNDLE` or from `ca_bundle` in the profile, and asks
//! the STS of the region that is configured. The SDK for Rust knows no bundle, and its region is replaced here by the
//! connectors' own.

use aws_config::profile::{self, Profile, ProfileSet};
use aws_runtime::env_config::property::PropertiesKey;

use super::trust::Bundle;
use crate::core::arn::Region;

/// The region that is configured, as the AWS SDKs read it.
const REGION: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The environment and the profile as they are now: files may change while the operator runs.
#[derive(Debug, Default)]
pub(super) struct Environment {
    /// The profile that is selected.
    pub(super) profile: Option<String>,
    /// The region that is configured.
    pub(super) home: Option<Region>,
    /// The certificate authorities that are trusted in place of the usual ones.
    pub(super) bundle: Option<Bundle>,
    /// Whether STS has an endpoint of its own here, which serves one region.
    pub(super) own_sts: bool,
}

impl Environment {
    /// Reads both. A profile file that cannot be parsed is reported by whoever looks for credentials in it.
    pub(super) async fn read() -> Self {
        #[expect(clippy::default_trait_access, reason = "the types are internals of the SDK, which names them so")]
        let profiles = profile::load(&Default::default(), &Default::default(), &Default::default(), None).await.ok();
        Self::of(|name| std::env::var(name).ok(), profiles.as_ref())
    }

    fn of(variable: impl Fn(&str) -> Option<String>, profiles: Option<&ProfileSet>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let selected = profiles.and_then(|profiles| profiles.get_profile(profiles.selected_profile()));
        let property = |name: &str| selected.and_then(|profile: &Profile| profile.get(name)).map(str::to_owned);
        let home = REGION.into_iter().find_map(set).or_else(|| property("region"));
        let bundle = set("AWS_CA_BUNDLE").map(|path| Bundle::new("AWS_CA_BUNDLE", &path));
        Self {
            profile: profiles.map(|profiles| profiles.selected_profile().to_owned()),
            home: home.and_then(|region| region.trim().parse().ok()),
            bundle: bundle.or_else(|| property("ca_bundle").map(|path| Bundle::new("ca_bundle", &path))),
            own_sts: ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"].into_iter().any(|name| set(name).is_some())
                || property("endpoint_url").is_some()
                || property("services").is_some_and(|services| names_sts(profiles, &services)),
        }
    }

    /// The region whose STS is asked for an object of a region, and the one that is asked where that fails: credentials
    /// are the same everywhere, and in a private network often only the STS of the cluster's own region can be reached.
    pub(super) fn sts_regions(&self, region: &Region) -> (Region, Option<Region>) {
        match &self.home {
            Some(home) if self.own_sts || home == region => (home.clone(), None),
            Some(home) => (home.clone(), Some(region.clone())),
            None => (region.clone(), None),
        }
    }
}

/// Whether a `[services NAME]` section gives STS an endpoint.
fn names_sts(profiles: Option<&ProfileSet>, services: &str) -> bool {
    let key = PropertiesKey::builder()
        .section_key("services")
        .section_name(services)
        .property_name("sts")
        .sub_property_name("endpoint_url")
        .build();
    let endpoint = key.ok().and_then(|key| profiles?.other_sections().get(&key));
    endpoint.is_some()
}

#[cfg(test)]
mod tests {
    use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let value = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Environment::of(value, None)
    }

    fn asked(variables: &[(&str, &str)]) -> Vec<String> {
        let (first, second) = environment(variables).sts_regions(&"us-east-1".parse().unwrap());
        [Some(first), second].into_iter().flatten().map(|region| region.to_string()).collect()
    }

    #[test]
    fn the_sts_of_the_configured_region_is_asked_first_and_an_endpoint_of_ones_own_serves_only_that_one() {
        let home = ("AWS_REGION", "eu-west-1");
        assert_eq!(asked(&[]), ["us-east-1"]);
        assert_eq!(asked(&[home]), ["eu-west-1", "us-east-1"]);
        assert_eq!(asked(&[("AWS_DEFAULT_REGION", "eu-west-1")]), ["eu-west-1", "us-east-1"]);
        assert_eq!(asked(&[("AWS_REGION", "us-east-1")]), ["us-east-1"]);
        assert_eq!(asked(&[("AWS_REGION", "no region")]), ["us-east-1"]);
        for endpoint in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"] {
            assert_eq!(asked(&[home, (endpoint, "http://stub")]), ["eu-west-1"]);
            assert_eq!(asked(&[(endpoint, "http://stub")]), ["us-east-1"]);
            assert_eq!(asked(&[home, (endpoint, "")]), ["eu-west-1", "us-east-1"], "empty is as good as not set");
        }
    }

    #[tokio::test]
    async fn an_endpoint_for_sts_in_a_services_section_counts_and_one_for_another_service_does_not() {
        for (service, own) in [("sts", true), ("apprunner", false)] {
            let text = format!(
                "[default]\nregion = eu-west-1\nservices = stub\n[services stub]\n{service} =\n  endpoint_url = http://stub\n"
            );
            let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, text).build();
            #[expect(clippy::default_trait_access, reason = "the types are internals of the SDK, which names them so")]
            let profiles = profile::load(&Default::default(), &Default::default(), &files, None).await.unwrap();
            assert_eq!(Environment::of(|_| None, Some(&profiles)).own_sts, own, "{service}");
        }
    }
}
