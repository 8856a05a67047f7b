//! Small forward proxies, of the two kinds that companies have: CONNECT and SOCKS5. For any requested host name the
//! connection leads to one server, so a test may use names that no resolver knows.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// Login header that a client has to send: `me` and `p@ss`.
const BASIC: &str = "Proxy-Authorization: Basic bWU6cEBzcw==";
const SOCKS_LOGIN: &[u8] = b"\x01\x02me\x04p@ss";

/// Protocol and behaviour of a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTTP CONNECT, without a login.
    Connect,
    /// HTTP CONNECT, with a login.
    ConnectWithLogin,
    /// HTTP CONNECT, refuses every connection.
    Refusing,
    /// SOCKS5, without a login.
    Socks,
    /// SOCKS5, with a login.
    SocksWithLogin,
    /// Accepts connections and never sends a byte.
    Silent,
}

/// A running proxy; it ends with the test.
pub struct ForwardProxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

impl ForwardProxy {
    pub async fn start(kind: Kind, server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, server) = (Arc::<Mutex<Vec<_>>>::default(), server.to_owned());
        let destinations = asked.clone();
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(kind, client, server.clone(), destinations.clone()));
            }
        });
        Self { address, asked, _serving: AbortOnDropHandle::new(serving) }
    }

    /// The requested destinations, one for each connection.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn pass(kind: Kind, client: TcpStream, server: String, asked: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let destination = match kind {
        Kind::Connect | Kind::ConnectWithLogin | Kind::Refusing => connect(kind, &mut client).await?,
        Kind::Socks | Kind::SocksWithLogin => socks(kind == Kind::SocksWithLogin, &mut client).await?,
        Kind::Silent => Some("nobody listens".into()),
    };
    let Some(destination) = destination else { return Ok(()) };
    asked.lock().unwrap().push(destination);
    if kind == Kind::Silent {
        return std::future::pending().await;
    }
    let mut server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    client.get_ref().set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

async fn connect(kind: Kind, client: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if client.read_line(&mut line).await? == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let refusal = match kind {
        Kind::Refusing => Some("403 Forbidden"),
        Kind::ConnectWithLogin if !head.iter().any(|line| line.eq_ignore_ascii_case(BASIC)) => {
            Some("407 Proxy Authentication Required")
        }
        _ => None,
    };
    if let Some(refusal) = refusal {
        client.write_all(format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await?;
        return Ok(None);
    }
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    Ok(head.first().and_then(|line| line.split(' ').nth(1)).map(str::to_owned))
}

/// Source: RFC 1928 and RFC 1929.
async fn socks(login: bool, client: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let method = if login { 2 } else { 0 };
    let mut methods = vec![
        0;
        usize::from({
            client.read_u8().await?;
            client.read_u8().await?
        })
    ];
    client.read_exact(&mut methods).await?;
    if !methods.contains(&method) {
        client.write_all(&[5, 0xff]).await?;
        return Ok(None);
    }
    client.write_all(&[5, method]).await?;
    if login {
        let mut login_bytes = [0; SOCKS_LOGIN.len()];
        client.read_exact(&mut login_bytes).await?;
        client.write_all(&[1, u8::from(login_bytes != SOCKS_LOGIN)]).await?;
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let host = match request[3] {
        3 => {
            let mut name = vec![0; usize::from(client.read_u8().await?)];
            client.read_exact(&mut name).await?;
            String::from_utf8(name).unwrap()
        }
        _ => std::net::Ipv4Addr::from(client.read_u32().await?).to_string(),
    };
    let port = client.read_u16().await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok(Some(format!("{host}:{port}")))
}
