//! The program in the tests' pods: it connects to the server named by its argument and to the API server, prints the
//! results, and then listens.
//!
//! It is linked statically, like the operator, and its image contains nothing else: no libraries and no
//! `/etc/nsswitch.conf` help it to resolve a name.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() {
    let server = std::env::args().nth(1).expect("no server named");
    let mut stream = TcpStream::connect(&server).expect("no way to the server");
    // The request is sent in one piece, because the server reads only once.
    let request = format!("GET / HTTP/1.0\r\nHost: {server}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the server does not listen");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server does not answer");
    println!("{server} says: {}", answer.rsplit("\r\n").next().unwrap_or_default());

    let address = std::env::var("KUBERNETES_SERVICE_HOST").expect("Kubernetes names no API server");
    TcpStream::connect((address.as_str(), 443)).expect("no way to the API server");
    println!("the API server listens at {address}");

    let listener = TcpListener::bind("0.0.0.0:8080").expect("no port to listen on");
    for _ in listener.incoming() {}
}
