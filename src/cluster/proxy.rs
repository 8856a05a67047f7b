//! The proxy between this process and the API server, found as kubectl finds it.
//!
//! `proxy-url` of the kubeconfig comes first. Without it, `HTTPS_PROXY` is used as Go's `http.ProxyFromEnvironment`
//! reads it: not for localhost, for loopback addresses and for the hosts in `NO_PROXY`. kube reads these variables as
//! well, but not `NO_PROXY`, so the operator does not use its choice; and hyper-util reads `NO_PROXY` as curl does, to
//! which `.example.org` is `example.org` as well.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
    /// Its address for a connection of plain TCP, for which connectors use the scheme http.
    plain: Uri,
}

impl Proxy {
    /// The proxy between this process and a server, if there is one.
    pub(crate) fn for_server(
        server: &Uri,
        proxy_url: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, UnusableProxy> {
        if let Some(url) = proxy_url.filter(|url| !url.is_empty()) {
            return Self::parse(server, "proxy-url in the kubeconfig", url).map(Some);
        }
        let first = |names: [&'static str; 2]| {
            names.into_iter().find_map(|name| Some((name, variable(name).filter(|value| !value.is_empty())?)))
        };
        let plain = server.scheme_str() == Some("http");
        let names = if plain { ["HTTP_PROXY", "http_proxy"] } else { ["HTTPS_PROXY", "https_proxy"] };
        let Some((name, url)) = first(names) else { return Ok(None) };
        let no_proxy = first(["NO_PROXY", "no_proxy"]).map(|(_, value)| value).unwrap_or_default();
        let destination = Destination::of(server);
        if destination.is_loopback() || destination.is_listed(&no_proxy) {
            return Ok(None);
        }
        Self::parse(server, name, &url).map(Some)
    }

    fn parse(server: &Uri, setting: &'static str, url: &str) -> Result<Self, UnusableProxy> {
        let unusable = |why: String| UnusableProxy { setting, why };
        let uri: Uri = url.parse().map_err(|error| unusable(format!("it is no URL: {error}")))?;
        let scheme = uri.scheme_str().unwrap_or("http");
        if !SCHEMES.contains(&scheme) {
            return Err(unusable(format!("its scheme is {scheme}, and only http, https and socks5 are known")));
        }
        // hyper-util takes the login to end at the first "@", and the rest of the password for a part of the host.
        if uri.authority().is_some_and(|authority| authority.as_str().matches('@').count() > 1) {
            return Err(unusable("its login has an @, which is written %40".into()));
        }
        let named = Matcher::builder().all(url).build().intercept(server);
        let Some(intercept) = named else { return Err(unusable("it names no host".into())) };
        let address = intercept.uri().authority().map(ToString::to_string).unwrap_or_default();
        let host = intercept.uri().host().unwrap_or_default();
        let plain = format!("http://{host}:{}", intercept.uri().port_u16().unwrap_or(SOCKS_PORT)).parse();
        let plain: Uri = plain.map_err(|_| unusable("it names no host".into()))?;
        Ok(Self { setting, address, intercept, plain })
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
    pub(crate) fn socks<C>(&self, connector: C) -> SocksV5<C> {
        let socks = SocksV5::new(self.plain.clone(), connector);
        match self.intercept.raw_auth() {
            Some((user, password)) => socks.with_auth(user.to_owned(), password.to_owned()),
            None => socks,
        }
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

/// The host and the port of a server, in the form in which `NO_PROXY` is compared with them.
struct Destination {
    host: String,
    /// The host, if it is an address.
    address: Option<IpAddr>,
    port: String,
}

impl Destination {
    fn of(server: &Uri) -> Self {
        let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        let address = parse_address(&host);
        let default_port = if server.scheme_str() == Some("http") { 80 } else { 443 };
        Self { host, address, port: server.port_u16().unwrap_or(default_port).to_string() }
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.address.is_some_and(|address| address.is_loopback())
    }

    /// Returns whether `NO_PROXY` lists the server. Source: Go, `golang.org/x/net/http/httpproxy`.
    fn is_listed(&self, no_proxy: &str) -> bool {
        no_proxy.split(',').any(|entry| self.matches(&entry.trim().to_lowercase()))
    }

    fn matches(&self, entry: &str) -> bool {
        if entry == "*" {
            return true;
        }
        if let Some((network, length)) = parse_network(entry) {
            return self.address.is_some_and(|address| prefix(address, length) == prefix(network, length));
        }
        let (host, port) = split_port(entry);
        if port.is_some_and(|port| !port.is_empty() && port != self.port) {
            return false;
        }
        match (parse_address(host), self.address) {
            (Some(listed), Some(address)) => listed == address,
            (None, None) => self.is_of_domain(host),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// `example.org` is the domain and its subdomains; `.example.org` and `*.example.org` are its subdomains only.
    fn is_of_domain(&self, domain: &str) -> bool {
        let domain = domain.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(domain);
        let Some(before) = self.host.strip_suffix(domain).filter(|_| !domain.is_empty()) else { return false };
        domain.starts_with('.') || before.is_empty() || before.ends_with('.')
    }
}

/// An address; an IPv4 address that is written as an IPv6 one is the IPv4 address.
fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The address and the length of a network, such as `10.0.0.0/8`.
fn parse_network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let number = (1..=3).contains(&length.len()) && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|length| number && *length <= longest)?;
    Some((address, length))
}

/// The first bits of an address; the others are zero.
fn prefix(address: IpAddr, length: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = 32_u32.checked_sub(length).and_then(|zeros| u32::MAX.checked_shl(zeros)).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = 128_u32.checked_sub(length).and_then(|zeros| u128::MAX.checked_shl(zeros)).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// The host and the port of `host:port` and `[address]:port`. Any other text has no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    let Some((host, port)) = entry.rsplit_once(':') else { return (entry, None) };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match bare.unwrap_or(host) {
        host if host.contains(['[', ']']) || port.contains(['[', ']']) => (entry, None),
        host if bare.is_none() && host.contains(':') => (entry, None),
        host => (host, Some(port)),
    }
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
            ("https://api.example.org", "example.org:"),
            ("https://[::ffff:10.1.2.3]:6443", "10.0.0.0/8"),
            ("https://10.1.2.3:6443", "::ffff:10.1.2.3"),
            ("https://10.1.2.3:6443", "192.0.2.1/0"),
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
            ("https://example.org", ".example.org"),
            ("https://example.org", "*.example.org"),
            ("https://10.1.2.3:6443", "3"),
            ("https://10.1.2.3:6443", "10.0.0.0/8:6443"),
            ("https://api.example.org", ":443"),
            ("https://10.1.2.3:6443", "10.0.010.0/8"),
            ("https://10.1.2.3:6443", "10.0.0.0/+8"),
            ("https://10.1.2.3:6443", "fd00::/0"),
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
            ("http://me:sec@ret:ret@corp:3128", "which is written %40"),
            ("/secret", "it names no host"),
            ("socks5://ho[st:2]", "it names no host"),
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
