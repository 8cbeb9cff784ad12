//! A DNS for tests.

use crate::net::dns::{Dns, Found, Place};
use std::collections::HashMap;
use std::net::IpAddr;

/// A table of DNS records. Other names do not exist.
#[derive(Debug, Default)]
pub(super) struct Table {
    addresses: HashMap<String, Vec<IpAddr>>,
    mx: HashMap<String, Vec<Place>>,
    srv: HashMap<String, Vec<Place>>,
}

impl Table {
    pub fn new() -> Self {
        Table::default()
    }

    pub fn host(mut self, name: &str, addresses: &[&str]) -> Self {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        self.addresses.insert(name.into(), addresses);
        self
    }

    pub fn mx(mut self, domain: &str, exchangers: &[(u16, &str)]) -> Self {
        let places = exchangers
            .iter()
            .map(|(preference, host)| Place {
                preference: *preference,
                weight: 0,
                port: None,
                host: (*host).into(),
            })
            .collect();
        self.mx.insert(domain.into(), places);
        self
    }

    pub fn srv(mut self, service: &str, servers: &[(u16, u16, u16, &str)]) -> Self {
        let places = servers
            .iter()
            .map(|(preference, weight, port, host)| Place {
                preference: *preference,
                weight: *weight,
                port: Some(*port),
                host: (*host).into(),
            })
            .collect();
        self.srv.insert(service.into(), places);
        self
    }
}

fn find<'a, T: Clone + Send + 'a>(table: &HashMap<String, Vec<T>>, name: &str) -> Found<'a, T> {
    let found = table.get(name).cloned().ok_or_else(|| format!("the name {name} does not exist"));
    Box::pin(std::future::ready(found))
}

impl Dns for Table {
    fn addresses<'a>(&'a self, host: &'a str) -> Found<'a, IpAddr> {
        find(&self.addresses, host)
    }

    fn mx<'a>(&'a self, domain: &'a str) -> Found<'a, Place> {
        find(&self.mx, domain)
    }

    fn srv<'a>(&'a self, service: &'a str) -> Found<'a, Place> {
        find(&self.srv, service)
    }
}
