//! The wire form of netlink: headers, attributes, and batches of requests.
//!
//! Everything is aligned to four bytes; integers are in the host's order except where a
//! subsystem says otherwise (nf_tables: network order). Reading never trusts a length.

/// Bytes of a netlink header (`struct nlmsghdr`).
pub(super) const HEADER: usize = 16;

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_ROOT_AND_MATCH: u16 = 0x300;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// `NLM_F_DUMP`: answer with every object.
pub(super) const DUMP: u16 = NLM_F_ROOT_AND_MATCH;
/// `NLM_F_EXCL`: fail when the object exists.
pub(super) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`: make the object when it does not exist.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_APPEND`: at the end of the list.
pub(super) const APPEND: u16 = 0x800;

const NFNL_MSG_BATCH_BEGIN: u16 = 16;
const NFNL_MSG_BATCH_END: u16 = 17;
/// `struct nfgenmsg` of a batch's frame: no family, version 0, subsystem nf_tables.
const NFTABLES_FRAME: [u8; 4] = [0, 0, 0, 10];

/// `length` rounded up to netlink's alignment.
pub(super) fn align(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// A netlink header that came in.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
}

impl Header {
    /// The first message of `bytes`: header, payload, and what follows it.
    pub(super) fn split(bytes: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let payload = bytes.get(HEADER..length)?;
        let half = |at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let sequence = u32::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
        let header = Self {
            kind: half(4)?,
            flags: half(6)?,
            sequence,
        };
        Some((header, payload, bytes.get(align(length)..).unwrap_or(&[])))
    }
}

/// Requests that go out together, in order. Numbered from 1 on the wire.
#[derive(Debug, Default)]
pub struct Requests {
    bytes: Vec<u8>,
    /// Where the header of the last request begins.
    last: usize,
    count: u32,
    tolerated: Vec<(u32, i32)>,
    transaction: bool,
}

/// A batch ready to be sent.
pub(super) struct Sealed {
    pub(super) bytes: Vec<u8>,
    /// The sequence number of the last request; nothing when there is none.
    pub(super) last: Option<u32>,
    pub(super) tolerated: Vec<(u32, i32)>,
}

impl Requests {
    /// No requests yet, each independent of the others.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bytes: Vec::with_capacity(1024),
            ..Self::default()
        }
    }

    /// No requests yet, all to take effect together (an nf_tables batch).
    #[must_use]
    pub fn transaction() -> Self {
        let mut requests = Self {
            transaction: true,
            ..Self::new()
        };
        requests.frame(NFNL_MSG_BATCH_BEGIN, 0);
        requests
    }

    /// How many requests there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The error number `errno` for the request added last is no failure of the round.
    pub fn tolerate(&mut self, errno: i32) -> &mut Self {
        self.tolerated.push((self.count, errno));
        self
    }

    /// Adds a request of type `kind` whose payload `body` writes.
    pub(super) fn push(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Body<'_>)) {
        self.last = self.bytes.len();
        self.count += 1;
        let sequence = self.count;
        self.message(kind, flags | NLM_F_REQUEST, sequence, body);
    }

    fn frame(&mut self, kind: u16, sequence: u32) {
        self.message(kind, NLM_F_REQUEST, sequence, |body| {
            body.bytes(&NFTABLES_FRAME)
        });
    }

    fn message(&mut self, kind: u16, flags: u16, sequence: u32, body: impl FnOnce(&mut Body<'_>)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        body(&mut Body {
            bytes: &mut self.bytes,
        });
        let length = u32::try_from(self.bytes.len() - start).expect("a message is under 4 GiB");
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Asks for the acknowledgement of the last request and closes the transaction's frame.
    ///
    /// A dump ends with a message of its own and wants no acknowledgement.
    pub(super) fn seal(mut self) -> Sealed {
        if self.count > 0 {
            let at = self.last + 6;
            let flags = u16::from_ne_bytes([self.bytes[at], self.bytes[at + 1]]);
            let dump = !self.transaction && flags & DUMP == DUMP;
            let flags = if dump { flags } else { flags | NLM_F_ACK };
            self.bytes[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
        }
        if self.transaction {
            self.frame(NFNL_MSG_BATCH_END, u32::MAX);
        }
        Sealed {
            bytes: self.bytes,
            last: (self.count > 0).then_some(self.count),
            tolerated: self.tolerated,
        }
    }
}

/// The payload of a request while it is written.
#[derive(Debug)]
pub struct Body<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Body<'_> {
    /// Raw bytes: a subsystem's own header.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.pad();
    }

    /// An attribute with a binary value.
    pub(super) fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.nested_with(kind, |body| body.bytes.extend_from_slice(value));
    }

    /// An attribute with a text that the kernel reads up to a zero byte.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.nested_with(kind, |body| {
            body.bytes.extend_from_slice(value.as_bytes());
            body.bytes.push(0);
        });
    }

    /// An attribute with one byte.
    pub(super) fn byte(&mut self, kind: u16, value: u8) {
        self.attribute(kind, &[value]);
    }

    /// An attribute with a number in the host's order.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// An attribute with a number in network order.
    pub(super) fn big_endian(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// An attribute that holds attributes.
    pub(super) fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Body<'_>)) {
        self.nested_with(kind | NLA_F_NESTED, inner);
    }

    fn nested_with(&mut self, kind: u16, inner: impl FnOnce(&mut Body<'_>)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        inner(&mut Body { bytes: self.bytes });
        let length = self.bytes.len() - start;
        let length = u16::try_from(length).expect("callers keep attributes under 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(align(self.bytes.len()), 0);
    }
}

/// The attributes of a message that came in, in order; a malformed rest ends them.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The value of the first attribute `kind`.
    #[must_use]
    pub fn find(&self, kind: u16) -> Option<&'a [u8]> {
        self.clone()
            .find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// The attributes nested in the first attribute `kind`; none when it is absent.
    #[must_use]
    pub fn nested(&self, kind: u16) -> Self {
        Self::new(self.find(kind).unwrap_or(&[]))
    }

    /// The first attribute `kind` as a text, up to its zero byte.
    #[must_use]
    pub fn text(&self, kind: u16) -> Option<String> {
        let value = self.find(kind)?;
        let end = value
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(value.len());
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    }

    /// The first attribute `kind` as a number in the host's order.
    #[must_use]
    pub fn number(&self, kind: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.find(kind)?.first_chunk()?))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(*self.rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.rest.get(2..)?.first_chunk()?);
        let value = self.rest.get(4..length)?;
        self.rest = self.rest.get(align(length)..).unwrap_or(&[]);
        Some((kind & NLA_TYPE_MASK, value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(body: impl FnOnce(&mut Body<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        body(&mut Body { bytes: &mut bytes });
        bytes
    }

    #[test]
    fn nested_attributes_read_back() {
        let bytes = written(|body| {
            body.text(3, "eth0");
            body.nest(18, |info| {
                info.text(1, "veth");
                info.number(2, 1400);
            });
            body.byte(9, 7);
        });
        assert_eq!(bytes.len() % 4, 0);
        let read = Attributes::new(&bytes);
        assert_eq!(read.text(3).unwrap(), "eth0");
        assert_eq!(read.nested(18).text(1).unwrap(), "veth");
        assert_eq!(read.nested(18).number(2), Some(1400));
        assert_eq!(read.find(9), Some(&[7][..]));
        assert_eq!(read.find(10), None);
    }

    #[test]
    fn only_the_last_request_asks_to_be_acknowledged() {
        let mut requests = Requests::new();
        requests.push(16, CREATE, |body| body.bytes(&[1; 6]));
        requests.push(18, DUMP, |_| ());
        requests.push(17, 0, |body| body.bytes(&[2; 4]));
        let sealed = requests.seal();
        assert_eq!(sealed.last, Some(3));
        let (first, payload, rest) = Header::split(&sealed.bytes).unwrap();
        assert_eq!((first.flags, first.sequence), (CREATE | NLM_F_REQUEST, 1));
        assert_eq!(payload, [1, 1, 1, 1, 1, 1, 0, 0]);
        let (second, _, rest) = Header::split(rest).unwrap();
        assert_eq!((second.flags, second.sequence), (DUMP | NLM_F_REQUEST, 2));
        let (third, _, rest) = Header::split(rest).unwrap();
        assert_eq!(
            (third.flags, third.sequence),
            (NLM_F_ACK | NLM_F_REQUEST, 3)
        );
        assert!(rest.is_empty());
    }

    #[test]
    fn a_transaction_has_a_frame() {
        let mut requests = Requests::transaction();
        requests.push(0xa00, 0, |_| ());
        let sealed = requests.seal();
        let (begin, frame, rest) = Header::split(&sealed.bytes).unwrap();
        assert_eq!(
            (begin.kind, frame),
            (NFNL_MSG_BATCH_BEGIN, &NFTABLES_FRAME[..])
        );
        let (_, _, rest) = Header::split(rest).unwrap();
        let (end, _, rest) = Header::split(rest).unwrap();
        assert_eq!(end.kind, NFNL_MSG_BATCH_END);
        assert!(rest.is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let read = Attributes::new(&bytes);
            let _ = (read.text(1), read.number(2), read.nested(3).count());
            let mut rest = &bytes[..];
            while let Some((_, _, next)) = Header::split(rest) {
                prop_assert!(next.len() < rest.len());
                rest = next;
            }
        }

        #[test]
        fn attributes_survive_the_wire(list in proptest::collection::vec(
            (0_u16..100, proptest::collection::vec(any::<u8>(), 0..40)), 0..10,
        )) {
            let bytes = written(|body| {
                for (kind, value) in &list {
                    body.attribute(*kind, value);
                }
            });
            let read: Vec<_> = Attributes::new(&bytes).map(|(k, v)| (k, v.to_vec())).collect();
            prop_assert_eq!(read, list);
        }
    }
}
