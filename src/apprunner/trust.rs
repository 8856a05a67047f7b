//! A configured bundle of certificate authorities.
//!
//! As with the AWS CLI, a bundle replaces the authorities of the machine. Without a bundle the SDK trusts those of the
//! machine; `SSL_CERT_FILE` and `SSL_CERT_DIR` change their location.

use std::io::{self, ErrorKind};

use aws_sdk_apprunner::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::error_text;
use crate::core::error_class::ErrorClass;
use crate::core::outcome::{Failure, Operation};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A file of certificates, and the setting that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    setting: &'static str,
    path: String,
}

impl Bundle {
    pub(super) fn new(setting: &'static str, path: &str) -> Self {
        Self { setting, path: path.trim().to_owned() }
    }

    /// A client that trusts this bundle only; in all other respects it is the default client of the SDK.
    pub(super) fn client(&self) -> Result<SharedHttpClient, Failure> {
        let unusable = |why: &str| {
            let message = format!("{} names {}, which cannot be used: {why}", self.setting, self.path);
            Failure::new(Operation::ResolveCredentials, ErrorClass::Untrusted, "UnusableBundle", &message)
        };
        let text = std::fs::read(&self.path).map_err(|error| unusable(&why(&error)))?;
        let store = store(&String::from_utf8_lossy(&text)).ok_or_else(|| unusable("it holds no certificate in PEM"))?;
        let context = TlsContext::builder().with_trust_store(store).build();
        let context = context.map_err(|error| unusable(&error_text::root(&error)))?;
        Ok(client(Some(context)))
    }
}

/// The default client of the SDK, which trusts the authorities of the machine.
///
/// The SDK would make one for each account and region, each with all of these authorities.
pub(super) fn default_client() -> SharedHttpClient {
    client(None)
}

fn client(context: Option<TlsContext>) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        if let Some(context) = &context {
            connector.set_tls_context(context.clone());
        }
        connector.build()
    })
}

/// The usable certificates of a bundle, if there are any. The bundle of a distribution may contain a certificate that
/// rustls does not accept, and the SDK would panic on it.
fn store(bundle: &str) -> Option<TrustStore> {
    let mut known = RootCertStore::empty();
    let mut store = TrustStore::empty();
    let blocks = bundle.split(BEGIN).skip(1).filter_map(|block| block.split_once(END));
    for block in blocks.map(|(block, _)| format!("{BEGIN}{block}{END}\n")) {
        let certificate = CertificateDer::from_pem_slice(block.as_bytes());
        if certificate.is_ok_and(|certificate| known.add(certificate).is_ok()) {
            store.add_pem_certificate(block);
        }
    }
    (!known.is_empty()).then_some(store)
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::IsADirectory => "it is a directory, and a file is expected".to_owned(),
        _ => error_text::root(error),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn certificate() -> String {
        let params = CertificateParams::new(vec!["ca.test".into()]).unwrap();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn bundle_is_read_with_comments_and_without_broken_certificates() {
        let (one, two) = (certificate(), certificate());
        let broken = format!("{BEGIN}\nbm90IGEgY2VydGlmaWNhdGU=\n{END}\n");
        let whole = format!("# our own\n{one}\n{broken}# another\n{two}{BEGIN}\ncut off");
        let store = format!("{:?}", store(&whole).unwrap());
        assert_eq!(store.matches("CertificatePEM").count(), 2, "{store}");
        for nothing in ["", "no certificate", broken.as_str()] {
            assert!(super::store(nothing).is_none(), "{nothing}");
        }
    }

    #[test]
    fn unusable_bundle_is_reported_with_its_setting() {
        for (path, why) in [("/nowhere/ca.pem", "there is no such file"), ("/", "it is a directory")] {
            let failure = Bundle::new("AWS_CA_BUNDLE", path).client().unwrap_err();
            let expected = format!("AWS_CA_BUNDLE names {path}, which cannot be used: {why}");
            assert!(failure.message.starts_with(&expected), "{}", failure.message);
            assert_eq!(failure.class, ErrorClass::Untrusted);
        }
    }
}
