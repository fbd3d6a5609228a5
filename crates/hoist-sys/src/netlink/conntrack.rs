//! Connection tracking: forgetting flows.
//!
//! A UDP flow has no end, so the kernel goes on treating its packets as it treated the first one
//! for as long as they keep coming. When a port gets a new destination, the flows that began
//! before must be forgotten, or their packets never see the new rules.

use super::{Requests, message::Body};

/// `IPCTNL_MSG_CT_DELETE` of the subsystem ctnetlink.
const DELETE: u16 = 1 << 8 | 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_FILTER: u16 = 25;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_DST_PORT: u16 = 3;
const CTA_FILTER_ORIG_FLAGS: u16 = 1;
const CTA_FILTER_REPLY_FLAGS: u16 = 2;
/// Compare the protocol and the destination port, nothing else.
const BY_DESTINATION_PORT: u32 = 1 << 3 | 1 << 5;
const UDP: u8 = 17;

impl Requests {
    /// Forgets every IPv4 UDP flow whose first packet went to `port`.
    pub fn forget_udp_flows(&mut self, port: u16) {
        self.push(DELETE, 0, |body| {
            body.bytes(&[2, 0, 0, 0]);
            body.nest(CTA_TUPLE_ORIG, |tuple| {
                tuple.nest(CTA_TUPLE_PROTO, |p| protocol(p, port))
            });
            body.nest(CTA_FILTER, |filter| {
                filter.number(CTA_FILTER_ORIG_FLAGS, BY_DESTINATION_PORT);
                filter.number(CTA_FILTER_REPLY_FLAGS, 0);
            });
        });
    }
}

fn protocol(body: &mut Body<'_>, port: u16) {
    body.byte(CTA_PROTO_NUM, UDP);
    body.attribute(CTA_PROTO_DST_PORT, &port.to_be_bytes());
}
