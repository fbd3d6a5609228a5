//! The rules of a network's table; the crate's own page explains them.

use std::net::Ipv4Addr;

use hoist_sys::netlink::{
    Requests,
    nftables::{Expression, Field, Hook, Meta, Part, Register, Tracked, Verdict},
};

use crate::{
    Bridge, Subnet,
    port::{ADDRESS_PORTS, Forward, PORTS},
};

/// Changes whenever the rules change, so that a table made by another version is replaced.
const VERSION: u32 = 1;

/// `IPS_DST_NAT` of `enum ip_conntrack_status`.
const TRANSLATED: u32 = 1 << 5;
/// Established and related, as `ct state` counts them.
const KNOWN: u32 = 2 | 4;
/// `RTN_LOCAL`: an address of this host.
const LOCAL: u32 = 2;

const R0: Register = Register(0);
const R1: Register = Register(1);
const R2: Register = Register(2);

/// A rule: what `nft` prints for it, and what the kernel runs.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) text: String,
    expressions: Vec<Expression<'static>>,
}

/// A base chain and its rules.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    hook: Hook,
    pub(crate) rules: Vec<Rule>,
}

/// What the table's comment says, by which a table that is up to date is known.
pub(crate) fn comment(bridge: &Bridge) -> String {
    format!(
        "hoist rules {VERSION}: {} on {}",
        bridge.subnet, bridge.interface
    )
}

/// The chains of the network's table.
pub(crate) fn chains(bridge: &Bridge) -> [Chain; 3] {
    [
        Chain {
            name: "prerouting",
            hook: Hook::DestinationNat,
            rules: prerouting(),
        },
        Chain {
            name: "forward",
            hook: Hook::Forward,
            rules: forward(&bridge.interface),
        },
        Chain {
            name: "postrouting",
            hook: Hook::SourceNat,
            rules: postrouting(&bridge.interface, bridge.subnet),
        },
    ]
}

/// Puts the whole table, with `forwards` in its maps, in the place of whatever has its name.
pub(crate) fn replace(requests: &mut Requests, bridge: &Bridge, forwards: &[Forward]) {
    let table = &bridge.table;
    // Adding what may be there makes the deletion safe.
    requests.add_table(table, "");
    requests.delete_table(table);
    requests.add_table(table, &comment(bridge));
    let value: &[Part] = &[Part::Address, Part::Port];
    requests.add_map(table, PORTS, 1, (&[Part::Protocol, Part::Port], value));
    let key: &[Part] = &[Part::Address, Part::Protocol, Part::Port];
    requests.add_map(table, ADDRESS_PORTS, 2, (key, value));
    for chain in chains(bridge) {
        requests.add_chain(table, chain.name, chain.hook);
        for rule in &chain.rules {
            requests.add_rule(table, chain.name, &rule.expressions);
        }
    }
    publish(requests, table, forwards);
}

/// Adds `forwards` to the maps of the table.
pub(crate) fn publish(requests: &mut Requests, table: &str, forwards: &[Forward]) {
    for map in [PORTS, ADDRESS_PORTS] {
        requests.add_elements(table, map, &elements(forwards, map));
    }
}

/// Takes `forwards` from the maps of the table.
pub(crate) fn withdraw(requests: &mut Requests, table: &str, forwards: &[Forward]) {
    for map in [PORTS, ADDRESS_PORTS] {
        requests.delete_elements(table, map, &elements(forwards, map));
    }
}

fn elements(forwards: &[Forward], map: &str) -> Vec<hoist_sys::netlink::nftables::Element> {
    forwards
        .iter()
        .filter(|f| f.map() == map)
        .map(Forward::element)
        .collect()
}

fn rule(text: impl Into<String>, expressions: Vec<Expression<'static>>) -> Rule {
    Rule {
        text: text.into(),
        expressions,
    }
}

fn prerouting() -> Vec<Rule> {
    let loopback = Subnet::new(Ipv4Addr::LOCALHOST, 8);
    vec![
        rule(
            "ip daddr 127.0.0.0/8 return",
            [
                within(Field::DestinationAddress, loopback),
                vec![verdict(Verdict::Return)],
            ]
            .concat(),
        ),
        rule(
            "fib daddr type != local return",
            vec![
                Expression::DestinationKind(R0),
                Expression::Differs(R0, LOCAL.to_ne_bytes().to_vec()),
                verdict(Verdict::Return),
            ],
        ),
        rule(
            format!("dnat ip to ip daddr . meta l4proto . th dport map @{ADDRESS_PORTS}"),
            vec![
                Expression::Load(Field::DestinationAddress, R0),
                Expression::Meta(Meta::TransportProtocol, R1),
                Expression::Load(Field::DestinationPort, R2),
                Expression::Lookup(ADDRESS_PORTS, R0, R0),
                Expression::DestinationNat(R0, R1),
            ],
        ),
        rule(
            format!("dnat ip to meta l4proto . th dport map @{PORTS}"),
            vec![
                Expression::Meta(Meta::TransportProtocol, R0),
                Expression::Load(Field::DestinationPort, R1),
                Expression::Lookup(PORTS, R0, R0),
                Expression::DestinationNat(R0, R1),
            ],
        ),
    ]
}

fn forward(bridge: &str) -> Vec<Rule> {
    let leaves_elsewhere = vec![
        Expression::Meta(Meta::OutputName, R0),
        Expression::Differs(R0, padded(bridge)),
        verdict(Verdict::Accept),
    ];
    let stays_inside = vec![
        Expression::Meta(Meta::InputName, R0),
        Expression::Equal(R0, padded(bridge)),
        verdict(Verdict::Accept),
    ];
    let accepted = |test: Vec<_>| [test, vec![verdict(Verdict::Accept)]].concat();
    vec![
        rule(format!("oifname != \"{bridge}\" accept"), leaves_elsewhere),
        rule(format!("iifname \"{bridge}\" accept"), stays_inside),
        rule(
            "ct state established,related accept",
            accepted(any_of(Tracked::State, KNOWN)),
        ),
        rule(
            "ct status dnat accept",
            accepted(any_of(Tracked::Status, TRANSLATED)),
        ),
        rule("drop", vec![verdict(Verdict::Drop)]),
    ]
}

fn postrouting(bridge: &str, subnet: Subnet) -> Vec<Rule> {
    let from_network = within(Field::SourceAddress, subnet);
    let outward = vec![
        Expression::Meta(Meta::OutputName, R0),
        Expression::Differs(R0, padded(bridge)),
    ];
    let inward = vec![
        Expression::Meta(Meta::OutputName, R0),
        Expression::Equal(R0, padded(bridge)),
    ];
    let masquerade = vec![Expression::Masquerade];
    vec![
        rule(
            format!("ip saddr {subnet} oifname != \"{bridge}\" masquerade"),
            [from_network.clone(), outward, masquerade.clone()].concat(),
        ),
        rule(
            format!("ip saddr {subnet} oifname \"{bridge}\" ct status dnat masquerade"),
            [
                from_network,
                inward,
                any_of(Tracked::Status, TRANSLATED),
                masquerade,
            ]
            .concat(),
        ),
    ]
}

/// Goes on when the address in `field` belongs to `subnet`.
fn within(field: Field, subnet: Subnet) -> Vec<Expression<'static>> {
    vec![
        Expression::Load(field, R0),
        Expression::Mask(R0, subnet.mask().octets()),
        Expression::Equal(R0, subnet.address().octets().to_vec()),
    ]
}

/// Goes on when one of `bits` is set.
fn any_of(property: Tracked, bits: u32) -> Vec<Expression<'static>> {
    vec![
        Expression::Tracked(property, R0),
        Expression::Mask(R0, bits.to_ne_bytes()),
        Expression::Differs(R0, vec![0; 4]),
    ]
}

fn verdict(verdict: Verdict) -> Expression<'static> {
    Expression::Verdict(verdict)
}

/// An interface name as the kernel compares it.
fn padded(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}
