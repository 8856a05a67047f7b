//! An emulator with a client, and helpers for the tests.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use apprunner_emulator::{
    AccessKey, Behaviors, Config, DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCOUNT, DEFAULT_SECRET_ACCESS_KEY, Emulator,
};
use aws_credential_types::Credentials;
use aws_sdk_apprunner::Client;
use aws_sdk_apprunner::config::retry::RetryConfig;
use aws_sdk_apprunner::config::timeout::TimeoutConfig;
use aws_sdk_apprunner::config::{BehaviorVersion, Region};
use aws_sdk_apprunner::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_apprunner::types::{ImageRepository, ImageRepositoryType, SourceConfiguration};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const ACCOUNT: &str = DEFAULT_ACCOUNT;
pub(crate) const REGION: &str = "eu-central-1";

/// A second account; the emulator of [`TestBed::start`] accepts its key.
pub(crate) const OTHER_ACCOUNT: &str = "444455556666";
pub(crate) const OTHER_KEY: &str = "AKIDOTHER";

pub(crate) struct TestBed {
    pub(crate) emulator: Emulator,
    pub(crate) client: Client,
}

impl TestBed {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Behaviors)) -> Self {
        let mut config = Config::default();
        config.access_keys.push(AccessKey::new(OTHER_KEY, DEFAULT_SECRET_ACCESS_KEY, OTHER_ACCOUNT));
        change(&mut config.behaviors);
        let emulator = Emulator::start(config).await.unwrap();
        let client = Caller::default().client(&emulator.url());
        Self { emulator, client }
    }

    pub(crate) fn connector(&self, name: &str) -> String {
        self.emulator.create_connector(ACCOUNT, REGION, name)
    }

    pub(crate) fn service(&self, name: &str, connector: &str) -> String {
        self.emulator.create_service(ACCOUNT, REGION, name, Some(connector))
    }

    pub(crate) fn client_of(&self, caller: &Caller<'_>) -> Client {
        caller.client(&self.emulator.url())
    }

    /// Deletes a connector; returns its status, or the error code.
    pub(crate) async fn delete(&self, arn: &str) -> String {
        match self.client.delete_vpc_connector().vpc_connector_arn(arn).send().await {
            Ok(reply) => reply.vpc_connector().unwrap().status().unwrap().as_str().to_owned(),
            Err(error) => code(&error),
        }
    }

    /// Describes a connector; returns its status, or the error code.
    pub(crate) async fn describe(&self, arn: &str) -> String {
        match self.client.describe_vpc_connector().vpc_connector_arn(arn).send().await {
            Ok(reply) => reply.vpc_connector().unwrap().status().unwrap().as_str().to_owned(),
            Err(error) => code(&error),
        }
    }

    /// Returns the connector names in `ListVpcConnectors`.
    pub(crate) async fn listed(&self) -> Vec<String> {
        let reply = self.client.list_vpc_connectors().send().await.unwrap();
        reply.vpc_connectors().iter().map(|connector| connector.vpc_connector_name().unwrap().to_owned()).collect()
    }
}

/// The credentials and the region of a client.
pub(crate) struct Caller<'a> {
    pub(crate) id: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) region: &'a str,
}

impl Default for Caller<'_> {
    fn default() -> Self {
        Self { id: DEFAULT_ACCESS_KEY_ID, secret: DEFAULT_SECRET_ACCESS_KEY, token: None, region: REGION }
    }
}

impl Caller<'_> {
    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(self.id, self.secret, self.token.map(str::to_owned), None, "tests")
    }

    pub(crate) fn client(&self, url: &str) -> Client {
        Client::from_conf(self.config(url).build())
    }

    pub(crate) fn config(&self, url: &str) -> aws_sdk_apprunner::config::Builder {
        aws_sdk_apprunner::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.to_owned()))
            .endpoint_url(url)
            .credentials_provider(self.credentials())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(30)).build())
    }

    pub(crate) fn sts(&self, url: &str) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
            .region(aws_sdk_sts::config::Region::new(self.region.to_owned()))
            .endpoint_url(url)
            .credentials_provider(self.credentials())
            .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled());
        aws_sdk_sts::Client::from_conf(config.build())
    }
}

pub(crate) fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.code().unwrap_or("no code").to_owned()
}

pub(crate) fn message<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> String {
    error.message().unwrap_or_default().to_owned()
}

pub(crate) fn source() -> SourceConfiguration {
    let image = ImageRepository::builder().image_identifier("example/web:1");
    let image = image.image_repository_type(ImageRepositoryType::Ecr).build().unwrap();
    SourceConfiguration::builder().image_repository(image).build()
}

/// Waits until the condition holds; panics after 10 seconds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// An HTTP request that the SDK would not send.
pub(crate) struct RawRequest {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

pub(crate) struct RawResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl RawResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.head.lines().filter_map(|line| line.split_once(": "));
        all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl RawRequest {
    pub(crate) fn new(method: &'static str, path: &'static str, body: impl Into<String>) -> Self {
        Self { method, path, headers: Vec::new(), body: body.into() }
    }

    /// Makes an unsigned request to App Runner.
    pub(crate) fn call(target: &str, body: impl Into<String>) -> Self {
        Self::new("POST", "/", body).header("x-amz-target", target).header("content-type", "application/x-amz-json-1.0")
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn signed(self, emulator: &Emulator) -> Self {
        self.signed_for("apprunner", emulator)
    }

    /// Signs the request with the signer of the AWS SDK.
    pub(crate) fn signed_for(mut self, service: &str, emulator: &Emulator) -> Self {
        let identity = Caller::default().credentials().into();
        let settings = SigningSettings::default();
        let params = v4::SigningParams::builder().identity(&identity).region(REGION).name(service);
        let params = params.time(SystemTime::now()).settings(settings).build().unwrap().into();
        let url = format!("{}{}", emulator.url(), self.path);
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request = SignableRequest::new(self.method, url, headers, SignableBody::Bytes(self.body.as_bytes()));
        let (instructions, _) = sign(request.unwrap(), &params).unwrap().into_parts();
        let added: Vec<_> = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.headers.extend(added);
        self
    }

    /// Returns all bytes that the emulator sends until the connection ends.
    pub(crate) async fn bytes(&self, emulator: &Emulator) -> Vec<u8> {
        self.bytes_from(emulator.address()).await
    }

    pub(crate) async fn bytes_from(&self, address: SocketAddr) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A connection that the emulator closes may end with an error.
        let _ = self.sent(address).await.read_to_end(&mut bytes).await;
        bytes
    }

    /// Returns the bytes that the emulator sends within the limit.
    pub(crate) async fn bytes_received_in(&self, emulator: &Emulator, limit: Duration) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut stream = self.sent(emulator.address()).await;
        let _ = tokio::time::timeout(limit, async { while stream.read_buf(&mut bytes).await.unwrap() > 0 {} }).await;
        bytes
    }

    async fn sent(&self, address: SocketAddr) -> TcpStream {
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            text += &[name, ": ", value, "\r\n"].concat();
        }
        text += &["content-length: ", &self.body.len().to_string(), "\r\n\r\n", &self.body].concat();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    pub(crate) async fn send(&self, emulator: &Emulator) -> RawResponse {
        let text = String::from_utf8(self.bytes(emulator).await).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        RawResponse { status, head: head.to_owned(), body: body.to_owned() }
    }
}
