//! The proxy between this process and the API server: proxy URLs and `NO_PROXY`; and the variables of a region.

use std::net::IpAddr;

use http::Uri;

use super::assert_shown;
use crate::apprunner::environment::Environment;
use crate::cluster::proxy::Proxy;
use crate::core::arn::Region;

/// The library that parses URLs takes no longer one.
const MAX_URL_BYTES: usize = 64 * 1024;

/// Reads four lines: the address of the API server, a proxy URL, `NO_PROXY`, and a region.
///
/// The operator uses the proxy where a second statement of the rules says so, and no text contains the password of its URL.
pub fn proxy(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(4, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (server, url, no_proxy, region) = (line(), line(), line(), line());
    assert_region(region);
    let Ok(server) = server.parse::<Uri>() else { return };
    if !matches!(server.scheme_str(), Some("http" | "https")) || server.host().is_none_or(str::is_empty) {
        return;
    }
    let always = Proxy::for_server(&server, Some(url), |_| None);
    assert_without_password(url, &always);
    let variable = |name: &str| match name {
        "HTTPS_PROXY" | "http_proxy" => Some(url.to_owned()),
        "no_proxy" => Some(no_proxy.to_owned()),
        _ => None,
    };
    let found = Proxy::for_server(&server, None, variable);
    assert_without_password(url, &found);
    match found {
        Ok(found) => {
            let usable = always.is_ok_and(|always| always.is_some());
            assert_eq!(found.is_some(), usable && !is_excepted(&server, no_proxy), "{server} {no_proxy:?}");
        }
        Err(_) => assert!(always.is_err() && !is_excepted(&server, no_proxy), "{server} {no_proxy:?}"),
    }
}

fn assert_without_password<E: std::fmt::Display>(url: &str, found: &Result<Option<Proxy>, E>) {
    let text = match found {
        Ok(None) => return,
        Ok(Some(proxy)) => {
            let _ = (proxy.is_socks(), proxy.socks(()), proxy.tunnel(()));
            assert_shown(&proxy.failure("it broke").to_string(), MAX_URL_BYTES + 200);
            proxy.to_string()
        }
        Err(error) => error.to_string(),
    };
    assert_shown(&text, MAX_URL_BYTES + 200);
    let userinfo = url.rsplit_once('@').map(|(before, _)| before.rsplit('/').next().unwrap_or(before));
    let password = userinfo.and_then(|userinfo| userinfo.split_once(':')).map(|(_, password)| password);
    // A short one may be a part of another word.
    if let Some(password) = password.filter(|password| password.len() > 20) {
        assert!(!text.contains(password), "{text}");
    }
}

/// The rules of Go's `http.ProxyFromEnvironment`, stated a second time: loopback addresses and `*`; addresses and networks;
/// a domain means itself and its subdomains, and with a dot or `*.` before it its subdomains only; a port after an address
/// or a domain limits the entry to it.
fn is_excepted(server: &Uri, no_proxy: &str) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 }).to_string();
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    no_proxy.split(',').map(|entry| entry.trim().to_lowercase()).any(|entry| {
        if entry.is_empty() {
            return false;
        }
        let (name, only) = split_port(&entry);
        let port_matches = only.is_none_or(|only| only.is_empty() || only == port);
        match address {
            _ if entry == "*" => true,
            Some(address) => {
                in_network(address, &entry)
                    || port_matches && name.parse().is_ok_and(|named: IpAddr| named.to_canonical() == address)
            }
            None => {
                let is_address = entry.contains('/') && in_some_network(&entry) || name.parse::<IpAddr>().is_ok();
                !is_address && port_matches && is_of_domain(&host, name)
            }
        }
    })
}

/// `host:port` and `[address]:port`; anything else is a host alone.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if !host.contains([':', '[', ']']) && !port.contains(['[', ']']) => (host, Some(port)),
        Some((host, port)) => match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) if !host.contains(['[', ']']) && !port.contains(['[', ']']) => (host, Some(port)),
            _ => (entry, None),
        },
        None => (entry, None),
    }
}

fn is_of_domain(host: &str, domain: &str) -> bool {
    let domain = if domain.starts_with("*.") { &domain[1..] } else { domain };
    match domain.strip_prefix('.') {
        Some(_) => host.ends_with(domain),
        None => !domain.is_empty() && (host == domain || host.ends_with(&format!(".{domain}"))),
    }
}

fn in_some_network(entry: &str) -> bool {
    network(entry).is_some()
}

/// The bits of an address or of the beginning of a network.
fn bits(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:032b}", address.to_bits()),
        IpAddr::V6(address) => format!("{:0128b}", address.to_bits()),
    }
}

fn network(entry: &str) -> Option<(String, usize)> {
    let (address, length) = entry.split_once('/')?;
    let bits = bits(address.parse().ok()?);
    let digits = !length.is_empty() && length.len() <= 3 && length.bytes().all(|b| b.is_ascii_digit());
    let length = length.parse().ok().filter(|length| digits && *length <= bits.len())?;
    Some((bits, length))
}

fn in_network(address: IpAddr, entry: &str) -> bool {
    let of = bits(address);
    let same_family =
        |(network, length): (String, usize)| network.len() == of.len() && network[..length] == of[..length];
    network(entry).is_some_and(same_family)
}

/// STS is called in a region that is a part of a host name.
fn assert_region(text: &str) {
    let home: Option<Region> = text.trim().parse().ok();
    let plain = |region: &Region| region.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let variable = |name: &str| (name == "AWS_REGION").then(|| text.to_owned());
    let environment = Environment::from_settings(variable, None);
    let Ok(of_object) = "us-east-1".parse::<Region>() else { return };
    let (first, second) = environment.sts_regions(&of_object);
    assert_eq!(&first, home.as_ref().unwrap_or(&of_object));
    assert_eq!(second, home.filter(|home| *home != of_object).map(|_| of_object));
    assert!(plain(&first) && !first.as_str().is_empty() && first.as_str().len() <= 63);
}
