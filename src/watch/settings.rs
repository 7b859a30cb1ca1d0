//! Where metrics, lineage events and traces go; nowhere by default.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Where what is seen of a run goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchSettings {
    /// Numbers.
    pub metrics: MetricsSettings,
    /// Events.
    pub lineage: LineageSettings,
    /// A collector that spans are posted to, as OTLP's JSON.
    pub traces_url: Option<String>,
}

/// Where metrics go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSettings {
    /// A file for node_exporter's textfile collector.
    pub textfile: Option<PathBuf>,
    /// Time between two writes of it.
    pub every: Duration,
    /// Where `GET /metrics` is answered while the run goes.
    pub address: Option<SocketAddr>,
}

/// Where OpenLineage events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineageSettings {
    /// A file that gets one line for each event.
    pub file: Option<PathBuf>,
    /// A server that each event is posted to.
    pub url: Option<String>,
    /// Namespace of the job and its data sets.
    pub namespace: String,
}

/// `9464` or `:9464` on the loopback address, or an address of the machine with a port.
#[must_use]
pub fn parse_address(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
    let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    port.map(loopback).ok().or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_of_the_loopback_address() {
        for (text, address) in [
            ("9464", Some("127.0.0.1:9464")),
            (":9464", Some("127.0.0.1:9464")),
            ("0.0.0.0:9464", Some("0.0.0.0:9464")),
            ("[::1]:9464", Some("[::1]:9464")),
            ("localhost", None),
            ("10.0.0.1", None),
            ("70000", None),
        ] {
            assert_eq!(parse_address(text), address.map(|text| text.parse().unwrap()), "{text}");
        }
    }
}
