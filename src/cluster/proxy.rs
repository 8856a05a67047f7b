//! The proxy between this process and the API server, found as kubectl finds it.
//!
//! `proxy-url` of the kubeconfig comes first. Without it, `HTTPS_PROXY` is used as Go's `http.ProxyFromEnvironment`
//! reads it: not for localhost, for loopback addresses and for the hosts in `NO_PROXY`. kube reads these variables as
//! well, but not `NO_PROXY`, so the operator does not use its choice.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tower::BoxError;

/// The supported schemes. Source: client-go, `parseProxyURL`, and Go's `net/http` for the variables.
const SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];
const SOCKS_PORT: u16 = 1080;

/// Error texts of hyper-util, and their plain text.
const TRANSLATIONS: [(&str, &str); 4] = [
    ("tunnel error: proxy authorization required", "it asks for a login, or refuses the one in its URL"),
    ("tunnel error: unsuccessful", "it refuses to connect to the API server"),
    ("tunnel error: unexpected end of file", "it closed the connection"),
    ("SOCKS error: failed to create underlying connection", "it cannot be reached"),
];

/// A setting that names a proxy which can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the proxy of {setting} can't be used: {why}")]
pub struct UnusableProxy {
    setting: &'static str,
    why: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    setting: &'static str,
    /// Host and port, without the password.
    address: String,
    intercept: Intercept,
}

impl Proxy {
    /// The proxy between this process and a server, if there is one.
    pub(crate) fn for_server(
        server: &Uri,
        proxy_url: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, UnusableProxy> {
        if let Some(url) = proxy_url.filter(|url| !url.is_empty()) {
            return Self::parse(server, "proxy-url in the kubeconfig", url, "");
        }
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)))
        };
        let plain = server.scheme_str() == Some("http");
        let names = if plain { ["HTTP_PROXY", "http_proxy"] } else { ["HTTPS_PROXY", "https_proxy"] };
        let Some((name, url)) = first(names).filter(|_| !is_loopback(server)) else { return Ok(None) };
        let no_proxy = first(["NO_PROXY", "no_proxy"]).map(|(_, value)| value).unwrap_or_default();
        match exceptions(server, &no_proxy) {
            Some(exceptions) => Self::parse(server, name, &url, &exceptions),
            None => Ok(None),
        }
    }

    fn parse(server: &Uri, setting: &'static str, url: &str, exceptions: &str) -> Result<Option<Self>, UnusableProxy> {
        let unusable = |why: String| UnusableProxy { setting, why };
        let uri: Uri = url.parse().map_err(|error| unusable(format!("it is no URL: {error}")))?;
        let scheme = uri.scheme_str().unwrap_or("http");
        if !SCHEMES.contains(&scheme) {
            return Err(unusable(format!("its scheme is {scheme}, and only http, https and socks5 are known")));
        }
        let named = Matcher::builder().all(url).build().intercept(server);
        let Some(intercept) = named else { return Err(unusable("it names no host".into())) };
        let address = intercept.uri().authority().map(ToString::to_string).unwrap_or_default();
        let excepted = Matcher::builder().all(url).no(exceptions).build().intercept(server).is_none();
        Ok((!excepted).then_some(Self { setting, address, intercept }))
    }

    /// Returns whether the proxy uses SOCKS5 and not HTTP.
    pub(crate) fn is_socks(&self) -> bool {
        self.intercept.uri().scheme_str().is_some_and(|scheme| scheme.starts_with("socks"))
    }

    /// Connects through the proxy with CONNECT.
    pub(crate) fn tunnel<C>(&self, connector: C) -> Tunnel<C> {
        let tunnel = Tunnel::new(self.intercept.uri().clone(), connector);
        match self.intercept.basic_auth() {
            Some(auth) => tunnel.with_auth(auth.clone()),
            None => tunnel,
        }
    }

    /// Connects through the proxy with SOCKS5; the proxy resolves names.
    pub(crate) fn socks<C>(&self, connector: C) -> Result<SocksV5<C>, UnusableProxy> {
        let port = self.intercept.uri().port_u16().unwrap_or(SOCKS_PORT);
        let host = self.intercept.uri().host().unwrap_or_default();
        // The connection to the proxy is plain TCP; connectors use the scheme http for that.
        let uri = format!("http://{host}:{port}").parse();
        let uri: Uri = uri.map_err(|_| UnusableProxy { setting: self.setting, why: "it names no host".into() })?;
        let socks = SocksV5::new(uri, connector);
        Ok(match self.intercept.raw_auth() {
            Some((user, password)) => socks.with_auth(user.to_owned(), password.to_owned()),
            None => socks,
        })
    }

    /// Adds the proxy to a failed connection.
    pub(crate) fn failure(&self, error: impl Into<BoxError>) -> ProxyError {
        let error = error.into();
        let mut root: &dyn Error = &*error;
        while let Some(cause) = root.source() {
            root = cause;
        }
        let text = root.to_string();
        let known = TRANSLATIONS.iter().find(|(words, _)| *words == text);
        ProxyError { proxy: self.to_string(), why: known.map_or(text, |(_, plain)| (*plain).to_owned()) }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.setting)
    }
}

/// A connection that failed in the proxy, or on the way to it.
#[derive(Debug, thiserror::Error)]
#[error("through the proxy {proxy}: {why}")]
pub(crate) struct ProxyError {
    proxy: String,
    why: String,
}

fn is_loopback(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// `NO_PROXY` in the syntax of [`Matcher`], which supports neither ports nor `*.` before a domain. `None` if all hosts
/// are excepted.
fn exceptions(server: &Uri, no_proxy: &str) -> Option<String> {
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    let entries: Vec<_> = no_proxy.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    if entries.contains(&"*") {
        return None;
    }
    let hosts = entries.into_iter().filter_map(|entry| {
        let host = without_port(entry, port)?;
        Some(if host.starts_with("*.") { &host[1..] } else { host })
    });
    Some(hosts.collect::<Vec<_>>().join(","))
}

/// The host of an entry, which may have a port; `None` if that is another port.
fn without_port(entry: &str, port: u16) -> Option<&str> {
    let (host, wanted) = match entry.rsplit_once(':') {
        Some((host, number)) if !host.contains(':') || host.ends_with(']') => (host, Some(number)),
        _ => (entry, None),
    };
    wanted.is_none_or(|wanted| wanted.parse() == Ok(port)).then(|| host.trim_matches(['[', ']']))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = Result<Option<Proxy>, UnusableProxy>;

    fn found(server: &'static str, proxy_url: Option<&str>, variables: &[(&str, &str)]) -> Found {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Proxy::for_server(&Uri::from_static(server), proxy_url, variable)
    }

    fn address(server: &'static str, proxy_url: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        found(server, proxy_url, variables).unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn kubeconfig_comes_before_the_environment_and_has_no_exceptions() {
        let variables = [("HTTPS_PROXY", "http://corp:3128"), ("NO_PROXY", "*")];
        for server in ["https://api.example.org", "https://127.0.0.1:6443"] {
            let through = address(server, Some("socks5://bastion:1080"), &variables);
            assert_eq!(through.as_deref(), Some("bastion:1080 (proxy-url in the kubeconfig)"), "{server}");
        }
        assert_eq!(address("https://api.example.org", Some(""), &variables), None);
    }

    #[test]
    fn proxy_variable_depends_on_the_scheme_and_an_empty_one_is_ignored() {
        let api = "https://api.example.org";
        let through = |variables: &[(&str, &str)]| address(api, None, variables);
        assert_eq!(through(&[("HTTPS_PROXY", ""), ("https_proxy", "corp:3128")]).unwrap(), "corp:3128 (https_proxy)");
        assert_eq!(through(&[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "b:2")]).unwrap(), "a:1 (HTTPS_PROXY)");
        assert_eq!(through(&[("HTTP_PROXY", "http://a:1"), ("ALL_PROXY", "http://a:1")]), None);
        assert!(address("http://api.example.org", None, &[("HTTP_PROXY", "http://a:1")]).is_some());
        for server in ["https://localhost:6443", "https://127.0.0.1:6443", "https://127.8.0.1", "https://[::1]:6443"] {
            assert_eq!(address(server, None, &[("HTTPS_PROXY", "http://a:1")]), None, "{server}");
        }
    }

    #[test]
    fn no_proxy_lists_hosts_domains_addresses_networks_and_ports_as_in_go() {
        let through = |server: &'static str, no_proxy: &str| {
            address(server, None, &[("HTTPS_PROXY", "http://a:1"), ("no_proxy", no_proxy)]).is_some()
        };
        for (server, no_proxy) in [
            ("https://api.example.org", "api.example.org"),
            ("https://api.example.org", "10.0.0.0/8, EXAMPLE.org"),
            ("https://api.example.org", ".example.org"),
            ("https://api.example.org", "*.example.org"),
            ("https://api.example.org", "example.org:443"),
            ("https://api.example.org:6443", "example.org:6443"),
            ("https://10.1.2.3:6443", "10.1.2.3"),
            ("https://10.1.2.3:6443", "10.1.2.3:6443"),
            ("https://10.1.2.3:6443", "svc,10.0.0.0/8"),
            ("https://[fd00::1]:6443", "fd00::1"),
            ("https://[fd00::1]:6443", "[fd00::1]:6443"),
            ("https://[fd00::1]:6443", "fd00::/8"),
            ("https://10.1.2.3:6443", "svc, *"),
        ] {
            assert!(!through(server, no_proxy), "{server} {no_proxy}");
        }
        for (server, no_proxy) in [
            ("https://api.example.org", ""),
            ("https://api.example.org", ","),
            ("https://api.example.org", "ample.org"),
            ("https://api.example.org", "example.org:6443"),
            ("https://10.1.2.3:6443", "10.1.2.30"),
            ("https://10.1.2.3:6443", "10.1.2.3:443"),
            ("https://10.1.2.3:6443", "10.2.0.0/16"),
            ("https://[fd00::1]:6443", "[fd00::1]:443"),
        ] {
            assert!(through(server, no_proxy), "{server} {no_proxy}");
        }
    }

    #[test]
    fn unusable_proxy_is_refused_with_its_cause_and_without_its_password() {
        for (url, cause) in [
            ("socks4://me:secret@bastion", "its scheme is socks4"),
            ("ftp://me:secret@bastion", "its scheme is ftp"),
            ("http://me:sec ret@bastion", "it is no URL"),
            ("/secret", "it names no host"),
        ] {
            for (proxy_url, variables) in [(Some(url), vec![]), (None, vec![("HTTPS_PROXY", url)])] {
                let error = found("https://api.example.org", proxy_url, &variables).unwrap_err().to_string();
                assert!(error.contains(cause) && !error.contains("ret"), "{error}");
            }
        }
        let named = address("https://api.example.org", Some("http://me:secret@corp:3128"), &[]).unwrap();
        assert!(!named.contains("secret"), "{named}");
    }
}
