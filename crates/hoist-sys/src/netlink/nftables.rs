//! nf_tables: tables, chains, rules and maps of the `ip` family.
//!
//! A rule is a list of [`Expression`]s, a small program over 32-bit registers that the kernel
//! runs for each packet; `nft --debug=netlink list ruleset` prints the same list. Changes go out
//! as one [transaction](Requests::transaction). All numbers are in network order.

use super::{
    Reply, Requests,
    message::{APPEND, Attributes, Body, CREATE, DUMP},
};

const SUBSYSTEM: u16 = 10 << 8;
const NEWTABLE: u16 = SUBSYSTEM;
const GETTABLE: u16 = SUBSYSTEM | 1;
const DELTABLE: u16 = SUBSYSTEM | 2;
const NEWCHAIN: u16 = SUBSYSTEM | 3;
const NEWRULE: u16 = SUBSYSTEM | 6;
const NEWSET: u16 = SUBSYSTEM | 9;
const NEWSETELEM: u16 = SUBSYSTEM | 12;
const GETSETELEM: u16 = SUBSYSTEM | 13;
const DELSETELEM: u16 = SUBSYSTEM | 14;

/// `struct nfgenmsg` of the `ip` family.
const FAMILY: [u8; 4] = [2, 0, 0, 0];

/// The comment among a table's user data (`NFTNL_UDATA_TABLE_COMMENT`).
const TABLE_COMMENT: u8 = 0;

/// How many elements go into one message, so that its list stays under 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 500;

/// One of the sixteen 32-bit registers; a longer value takes the following ones too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register(pub u8);

impl Register {
    /// `NFT_REG32_00` and on.
    fn number(self) -> u32 {
        8 + u32::from(self.0)
    }
}

/// A field of a packet's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The source address of the IPv4 header.
    SourceAddress,
    /// The destination address of the IPv4 header.
    DestinationAddress,
    /// The destination port of the TCP or UDP header.
    DestinationPort,
}

/// What else the kernel knows about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meta {
    /// The name of the interface that it came in by, zero-padded to 16 bytes.
    InputName,
    /// The name of the interface that it leaves by, zero-padded to 16 bytes.
    OutputName,
    /// The transport protocol, one byte.
    TransportProtocol,
}

/// What connection tracking knows about a packet; four bytes each, in the host's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracked {
    /// One bit: 2 established, 4 related, 8 new.
    State,
    /// Bits of `enum ip_conntrack_status`.
    Status,
}

/// What happens to a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is gone.
    Drop,
    /// This chain is done with it.
    Accept,
    /// Back to the calling chain, or to the base chain's policy.
    Return,
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression<'a> {
    /// Loads a header field.
    Load(Field, Register),
    /// Loads a property of the packet.
    Meta(Meta, Register),
    /// Loads a property of its connection.
    Tracked(Tracked, Register),
    /// Loads the kind of the destination address (`RTN_LOCAL` is 2), in the host's order.
    DestinationKind(Register),
    /// Keeps the given bits of a register.
    Mask(Register, [u8; 4]),
    /// Goes on only when the register equals the value.
    Equal(Register, Vec<u8>),
    /// Goes on only when the register differs from the value.
    Differs(Register, Vec<u8>),
    /// Looks the key at the first register up in the map and loads what it finds into the
    /// second; ends the rule when there is none.
    Lookup(&'a str, Register, Register),
    /// Sends the connection to the address and port in the registers.
    DestinationNat(Register, Register),
    /// Replaces the connection's source by the address of the interface it leaves by.
    Masquerade,
    /// Decides.
    Verdict(Verdict),
}

/// What a base chain does, and where in the packet's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Destination translation of what comes in, at priority -100.
    DestinationNat,
    /// Filtering of what is routed through, at priority 0.
    Forward,
    /// Source translation of what leaves, at priority 100.
    SourceNat,
}

impl Hook {
    /// The chain's type, the hook's number and the priority.
    fn attach(self) -> (&'static str, u32, i32) {
        match self {
            Self::DestinationNat => ("nat", 0, -100),
            Self::Forward => ("filter", 2, 0),
            Self::SourceNat => ("nat", 4, 100),
        }
    }
}

/// The type of one part of a map's key or value, as `nft` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `ipv4_addr`
    Address,
    /// `inet_proto`
    Protocol,
    /// `inet_service`
    Port,
}

impl Part {
    /// The number by which `nft` knows the type; the kernel does not care.
    fn number(self) -> u32 {
        match self {
            Self::Address => 7,
            Self::Protocol => 12,
            Self::Port => 13,
        }
    }
}

/// Six bits a part, the first part in the highest.
fn concatenated(parts: &[Part]) -> u32 {
    parts
        .iter()
        .fold(0, |number, part| number << 6 | part.number())
}

/// An element of a map: key and value, each part padded to four bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// The parts of the key.
    pub key: Vec<u8>,
    /// The parts of the value.
    pub value: Vec<u8>,
}

impl Requests {
    /// Makes the table `table`, or leaves it as it is, with a comment that `nft` shows.
    pub fn add_table(&mut self, table: &str, comment: &str) {
        self.nftables(NEWTABLE, CREATE, |body| {
            body.text(1, table);
            body.big_endian(2, 0);
            if let Ok(length) = u8::try_from(comment.len() + 1) {
                let tagged = [&[TABLE_COMMENT, length], comment.as_bytes(), &[0]].concat();
                body.attribute(6, &tagged);
            }
        });
    }

    /// Deletes the table `table` with all that is in it.
    pub fn delete_table(&mut self, table: &str) {
        self.nftables(DELTABLE, 0, |body| body.text(1, table));
    }

    /// Asks for the table `table`; absent is fine. Not part of a transaction.
    pub fn get_table(&mut self, table: &str) {
        self.nftables(GETTABLE, 0, |body| body.text(1, table));
        self.tolerate(libc::ENOENT);
    }

    /// Makes a base chain that accepts what its rules do not decide.
    pub fn add_chain(&mut self, table: &str, chain: &str, hook: Hook) {
        let (kind, number, priority) = hook.attach();
        self.nftables(NEWCHAIN, CREATE, |body| {
            body.text(1, table);
            body.text(3, chain);
            body.nest(4, |hook| {
                hook.big_endian(1, number);
                hook.attribute(2, &priority.to_be_bytes());
            });
            body.big_endian(5, 1);
            body.text(7, kind);
        });
    }

    /// Adds a rule at the end of a chain.
    pub fn add_rule(&mut self, table: &str, chain: &str, expressions: &[Expression<'_>]) {
        self.nftables(NEWRULE, CREATE | APPEND, |body| {
            body.text(1, table);
            body.text(2, chain);
            body.nest(4, |list| {
                for expression in expressions {
                    list.nest(1, |body| expression.write(body));
                }
            });
        });
    }

    /// Makes an empty map. `id` tells the maps of one transaction apart.
    pub fn add_map(&mut self, table: &str, map: &str, id: u32, (key, value): (&[Part], &[Part])) {
        const NFT_SET_MAP: u32 = 8;
        let length = |parts: &[Part]| u32::try_from(parts.len() * 4).unwrap_or(u32::MAX);
        self.nftables(NEWSET, CREATE, |body| {
            body.text(1, table);
            body.text(2, map);
            body.big_endian(3, NFT_SET_MAP);
            body.big_endian(4, concatenated(key));
            body.big_endian(5, length(key));
            body.big_endian(6, concatenated(value));
            body.big_endian(7, length(value));
            body.big_endian(10, id);
        });
    }

    /// Adds elements to a map. One with the same key and value may be there already.
    pub fn add_elements(&mut self, table: &str, map: &str, elements: &[Element]) {
        self.elements(NEWSETELEM, CREATE, (table, map), elements);
    }

    /// Takes elements, told by their keys, from a map. All must be there.
    pub fn delete_elements(&mut self, table: &str, map: &str, elements: &[Element]) {
        self.elements(DELSETELEM, 0, (table, map), elements);
    }

    /// Asks for every element of a map. A dump: the last request of its round.
    pub fn dump_elements(&mut self, table: &str, map: &str) {
        self.nftables(GETSETELEM, DUMP, |body| {
            body.text(1, table);
            body.text(2, map);
        });
    }

    fn elements(&mut self, kind: u16, flags: u16, of: (&str, &str), elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.nftables(kind, flags, |body| {
                body.text(1, of.0);
                body.text(2, of.1);
                body.nest(3, |list| {
                    for element in chunk {
                        list.nest(1, |body| {
                            body.nest(1, |key| key.attribute(1, &element.key));
                            if kind == NEWSETELEM {
                                body.nest(2, |value| value.attribute(1, &element.value));
                            }
                        });
                    }
                });
            });
        }
    }

    fn nftables(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Body<'_>)) {
        self.push(kind, flags, |message| {
            message.bytes(&FAMILY);
            body(message);
        });
    }
}

impl Expression<'_> {
    /// The kernel's name of the expression.
    fn name(&self) -> &'static str {
        match self {
            Self::Load(..) => "payload",
            Self::Meta(..) => "meta",
            Self::Tracked(..) => "ct",
            Self::DestinationKind(_) => "fib",
            Self::Mask(..) => "bitwise",
            Self::Equal(..) | Self::Differs(..) => "cmp",
            Self::Lookup(..) => "lookup",
            Self::DestinationNat(..) => "nat",
            Self::Masquerade => "masq",
            Self::Verdict(_) => "immediate",
        }
    }

    fn write(&self, body: &mut Body<'_>) {
        body.text(1, self.name());
        body.nest(2, |data| match self {
            Self::Load(field, register) => {
                let (base, offset, length) = match field {
                    Field::SourceAddress => (1, 12, 4),
                    Field::DestinationAddress => (1, 16, 4),
                    Field::DestinationPort => (2, 2, 2),
                };
                numbers(
                    data,
                    &[(1, register.number()), (2, base), (3, offset), (4, length)],
                );
            }
            Self::Meta(key, register) => {
                let key = match key {
                    Meta::InputName => 6,
                    Meta::OutputName => 7,
                    Meta::TransportProtocol => 16,
                };
                numbers(data, &[(1, register.number()), (2, key)]);
            }
            Self::Tracked(key, register) => {
                let key = match key {
                    Tracked::State => 0,
                    Tracked::Status => 2,
                };
                numbers(data, &[(1, register.number()), (2, key)]);
            }
            Self::DestinationKind(register) => {
                const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
                const NFTA_FIB_F_DADDR: u32 = 2;
                let result = (2, NFT_FIB_RESULT_ADDRTYPE);
                numbers(
                    data,
                    &[(1, register.number()), result, (3, NFTA_FIB_F_DADDR)],
                );
            }
            Self::Mask(register, mask) => {
                let register = register.number();
                numbers(data, &[(1, register), (2, register), (3, 4)]);
                data.nest(4, |value| value.attribute(1, mask));
                data.nest(5, |value| value.attribute(1, &[0; 4]));
            }
            Self::Equal(register, value) => compare(data, *register, 0, value),
            Self::Differs(register, value) => compare(data, *register, 1, value),
            Self::Lookup(map, key, value) => {
                data.text(1, map);
                numbers(data, &[(2, key.number()), (3, value.number())]);
            }
            Self::DestinationNat(address, port) => {
                const NFT_NAT_DNAT: u32 = 1;
                const NFPROTO_IPV4: u32 = 2;
                numbers(data, &[(1, NFT_NAT_DNAT), (2, NFPROTO_IPV4)]);
                numbers(data, &[(3, address.number()), (5, port.number())]);
            }
            Self::Masquerade => {}
            Self::Verdict(verdict) => {
                let code: i32 = match verdict {
                    Verdict::Drop => 0,
                    Verdict::Accept => 1,
                    Verdict::Return => -5,
                };
                data.big_endian(1, 0);
                data.nest(2, |value| {
                    value.nest(2, |v| v.attribute(1, &code.to_be_bytes()))
                });
            }
        });
    }
}

fn numbers(data: &mut Body<'_>, list: &[(u16, u32)]) {
    for &(kind, value) in list {
        data.big_endian(kind, value);
    }
}

fn compare(data: &mut Body<'_>, register: Register, operator: u32, value: &[u8]) {
    numbers(data, &[(1, register.number()), (2, operator)]);
    data.nest(3, |body| body.attribute(1, value));
}

/// The comments of the tables among `replies`.
#[must_use]
pub fn table_comments(replies: &[Reply]) -> Vec<String> {
    let read = |reply: &Reply| {
        let attributes = Attributes::new(reply.payload.get(FAMILY.len()..)?);
        let tagged = attributes.find(6).unwrap_or(&[]);
        let value = match tagged {
            [TABLE_COMMENT, length, rest @ ..] => rest.get(..usize::from(*length)).unwrap_or(&[]),
            _ => &[],
        };
        let text = value.strip_suffix(&[0]).unwrap_or(value);
        Some(String::from_utf8_lossy(text).into_owned())
    };
    replies
        .iter()
        .filter(|reply| reply.kind == NEWTABLE)
        .filter_map(read)
        .collect()
}

/// The map elements among `replies`.
#[must_use]
pub fn elements(replies: &[Reply]) -> Vec<Element> {
    let mut found = Vec::new();
    for reply in replies.iter().filter(|reply| reply.kind == NEWSETELEM) {
        let Some(payload) = reply.payload.get(FAMILY.len()..) else {
            continue;
        };
        for (_, element) in Attributes::new(payload).nested(3) {
            let element = Attributes::new(element);
            if let (Some(key), Some(value)) = (element.nested(1).find(1), element.nested(2).find(1))
            {
                found.push(Element {
                    key: key.to_vec(),
                    value: value.to_vec(),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        netlink::{Protocol, Socket},
        setns::leave_network,
    };

    const KEY: &[Part] = &[Part::Protocol, Part::Port];
    const VALUE: &[Part] = &[Part::Address, Part::Port];

    fn element(port: u16) -> Element {
        let [high, low] = port.to_be_bytes();
        Element {
            key: vec![6, 0, 0, 0, high, low, 0, 0],
            value: vec![172, 17, 0, 2, high, low, 0, 0],
        }
    }

    /// A thread in a namespace of its own, where the table `t` with the map `m` exists.
    fn with_map(test: impl FnOnce(&Socket) + Send + 'static) {
        let thread = std::thread::spawn(|| {
            leave_network().unwrap();
            let socket = Socket::open(Protocol::Netfilter).unwrap();
            let mut requests = Requests::transaction();
            requests.add_table("t", "made by a test");
            requests.add_map("t", "m", 1, (KEY, VALUE));
            socket.round(requests).unwrap();
            test(&socket);
        });
        thread.join().unwrap();
    }

    fn dump(socket: &Socket) -> Vec<Element> {
        let mut requests = Requests::new();
        requests.dump_elements("t", "m");
        elements(&socket.round(requests).unwrap())
    }

    fn change(
        socket: &Socket,
        add: &[Element],
        delete: &[Element],
    ) -> Result<Vec<Reply>, crate::netlink::RoundError> {
        let mut requests = Requests::transaction();
        requests.add_elements("t", "m", add);
        requests.delete_elements("t", "m", delete);
        socket.round(requests)
    }

    #[test]
    fn elements_come_and_go_by_the_thousand() {
        with_map(|socket| {
            let many: Vec<_> = (1..=4000).map(element).collect();
            change(socket, &many, &[]).unwrap();
            assert_eq!(dump(socket).len(), many.len());
            change(socket, &[], &many[1..]).unwrap();
            assert_eq!(dump(socket), many[..1]);
            change(socket, &many[..1], &[]).unwrap();
        });
    }

    #[test]
    fn a_transaction_takes_effect_whole_or_not_at_all() {
        with_map(|socket| {
            let error = change(socket, &[element(80)], &[element(81)]).unwrap_err();
            assert_eq!(
                (error.request, error.errno()),
                (Some(1), Some(libc::ENOENT))
            );
            assert_eq!(dump(socket), []);
        });
    }

    #[test]
    fn a_table_is_known_by_its_comment() {
        with_map(|socket| {
            for (table, comments) in [("t", vec!["made by a test".to_owned()]), ("u", vec![])] {
                let mut requests = Requests::new();
                requests.get_table(table);
                assert_eq!(table_comments(&socket.round(requests).unwrap()), comments);
            }
        });
    }
}
