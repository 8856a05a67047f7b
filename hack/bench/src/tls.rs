//! TLS in front of the emulator, which serves plain HTTP, and an App Runner without signatures for the Go floor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::Result;

/// Accepts TLS connections and forwards them; returns the URL and the certificate of its authority.
pub(crate) async fn front(to: SocketAddr) -> Result<(String, String)> {
    let (config, authority) = certificates()?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let (Ok(mut stream), Ok(mut behind)) = (acceptor.accept(stream).await, TcpStream::connect(to).await)
                else {
                    return;
                };
                let _ = behind.set_nodelay(true);
                let _ = copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    Ok((url, authority))
}

fn certificates() -> Result<(ServerConfig, String)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?.pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &issuer)?;
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions()?;
    Ok((config.with_no_client_auth().with_single_cert(chain, key)?, authority))
}

/// Answers every request at once, or after the latency that is set, and counts them.
#[derive(Clone, Default)]
pub(crate) struct Plain {
    latency_ms: Arc<AtomicU64>,
    answered: Arc<AtomicUsize>,
}

impl Plain {
    /// Serves; returns the URL.
    pub(crate) async fn serve(&self) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let this = self.clone();
        let router = Router::new().fallback(move || this.clone().answer());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(url)
    }

    async fn answer(self) -> &'static str {
        self.answered.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(self.latency_ms.load(Ordering::Relaxed))).await;
        r#"{"VpcConnector":{"Status":"INACTIVE"}}"#
    }

    /// Sets the latency and begins to count from 0.
    pub(crate) fn reset(&self, latency_ms: u64) {
        self.latency_ms.store(latency_ms, Ordering::Relaxed);
        self.answered.store(0, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}
