//! Settings of the environment and the profile that the SDK does not read.
//!
//! The AWS CLI takes a bundle of certificate authorities from `AWS_CA_BUNDLE` or from `ca_bundle` in the profile, and
//! calls the STS of the configured region. The SDK for Rust knows no bundle, and the operator replaces the region of
//! the SDK by the region of each connector.

use aws_config::profile::{self, Profile, ProfileSet};
use aws_runtime::env_config::property::PropertiesKey;

use super::trust::Bundle;
use crate::core::arn::Region;

/// The variables of the configured region, in the order in which the AWS SDKs read them.
const REGION: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// The current settings: files may change while the operator runs.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(super) profile: Option<String>,
    /// The only profile to take credentials from, and whether it exists; otherwise all sources count.
    pub(super) only_profile: Option<(String, bool)>,
    pub(super) home: Option<Region>,
    /// The certificate authorities that replace those of the machine.
    pub(super) bundle: Option<Bundle>,
    /// STS has a configured endpoint, which serves one region.
    pub(super) own_sts: bool,
}

impl Environment {
    /// Reads the environment and the profile. It ignores a profile file that cannot be parsed: the search for
    /// credentials reads the same file and reports that.
    pub(super) async fn read(only_profile: Option<&str>) -> Self {
        #[expect(clippy::default_trait_access, reason = "the types are internals of the SDK, which names them so")]
        let profiles = profile::load(
            &Default::default(),
            &Default::default(),
            &Default::default(),
            only_profile.map(|name| name.to_owned().into()),
        )
        .await;
        let profiles = profiles.ok();
        let exists = |name: &str| profiles.as_ref().is_some_and(|profiles| profiles.get_profile(name).is_some());
        let only_profile = only_profile.map(|name| (name.to_owned(), exists(name)));
        Self { only_profile, ..Self::from_settings(|name| std::env::var(name).ok(), profiles.as_ref()) }
    }

    pub(crate) fn from_settings(variable: impl Fn(&str) -> Option<String>, profiles: Option<&ProfileSet>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let selected = profiles.and_then(|profiles| profiles.get_profile(profiles.selected_profile()));
        let property = |name: &str| selected.and_then(|profile: &Profile| profile.get(name)).map(str::to_owned);
        let home = REGION.into_iter().find_map(set).or_else(|| property("region"));
        let bundle = set("AWS_CA_BUNDLE").map(|path| Bundle::new("AWS_CA_BUNDLE", &path));
        Self {
            profile: profiles.map(|profiles| profiles.selected_profile().to_owned()),
            only_profile: None,
            home: home.and_then(|region| region.trim().parse().ok()),
            bundle: bundle.or_else(|| property("ca_bundle").map(|path| Bundle::new("ca_bundle", &path))),
            own_sts: ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"].into_iter().any(|name| set(name).is_some())
                || property("endpoint_url").is_some()
                || property("services").is_some_and(|services| names_sts(profiles, &services)),
        }
    }

    /// The region of the STS that the operator calls for an object of this region, and the region that it calls if the
    /// first one fails. Credentials are valid in all regions, and a private network often reaches only the STS of the
    /// cluster's own region.
    pub(crate) fn sts_regions(&self, region: &Region) -> (Region, Option<Region>) {
        match &self.home {
            Some(home) if self.own_sts || home == region => (home.clone(), None),
            Some(home) => (home.clone(), Some(region.clone())),
            None => (region.clone(), None),
        }
    }
}

/// Returns whether a `[services NAME]` section configures an endpoint of STS.
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
        Environment::from_settings(value, None)
    }

    fn called(variables: &[(&str, &str)]) -> Vec<String> {
        let (first, second) = environment(variables).sts_regions(&"us-east-1".parse().unwrap());
        [Some(first), second].into_iter().flatten().map(|region| region.to_string()).collect()
    }

    #[test]
    fn sts_of_the_configured_region_is_called_first_and_a_custom_endpoint_alone() {
        let home = ("AWS_REGION", "eu-west-1");
        assert_eq!(called(&[]), ["us-east-1"]);
        assert_eq!(called(&[home]), ["eu-west-1", "us-east-1"]);
        assert_eq!(called(&[("AWS_DEFAULT_REGION", "eu-west-1")]), ["eu-west-1", "us-east-1"]);
        assert_eq!(called(&[("AWS_REGION", "us-east-1")]), ["us-east-1"]);
        assert_eq!(called(&[("AWS_REGION", "no region")]), ["us-east-1"]);
        for endpoint in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"] {
            assert_eq!(called(&[home, (endpoint, "http://stub")]), ["eu-west-1"]);
            assert_eq!(called(&[(endpoint, "http://stub")]), ["us-east-1"]);
            assert_eq!(
                called(&[home, (endpoint, "")]),
                ["eu-west-1", "us-east-1"],
                "an empty variable counts as not set"
            );
        }
    }

    #[tokio::test]
    async fn services_section_configures_sts_only_with_an_endpoint_for_sts() {
        for (service, own) in [("sts", true), ("apprunner", false)] {
            let text = format!(
                "[default]\nregion = eu-west-1\nservices = stub\n[services stub]\n{service} =\n  endpoint_url = http://stub\n"
            );
            let files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, text).build();
            #[expect(clippy::default_trait_access, reason = "the types are internals of the SDK, which names them so")]
            let profiles = profile::load(&Default::default(), &Default::default(), &files, None).await.unwrap();
            assert_eq!(Environment::from_settings(|_| None, Some(&profiles)).own_sts, own, "{service}");
        }
    }
}
