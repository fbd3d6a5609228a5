//! Members to bytes.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use super::{BLOCK, Member, MemberKind, XATTR_RECORD};

/// Writes an archive into `output`.
pub(crate) struct Writer<W> {
    output: W,
    /// Headers of one member, kept to write them in one go.
    headers: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub(crate) const fn new(output: W) -> Self {
        Self {
            output,
            headers: Vec::new(),
        }
    }

    /// Write the headers of `member`; `member.size` bytes of data must follow.
    pub(crate) fn member(&mut self, member: &Member) -> io::Result<()> {
        self.headers.clear();
        let mut records = BTreeMap::new();
        let header = ustar_header(member, &mut records);
        if !records.is_empty() {
            let body = encode_records(&records);
            let mut extended = Member::new(b"././@PaxHeader".to_vec(), MemberKind::File);
            extended.mode = 0o644;
            extended.size = body.len() as u64;
            let mut none = BTreeMap::new();
            let mut block = ustar_header(&extended, &mut none);
            block[156] = b'x';
            self.headers.extend_from_slice(&checksummed(block));
            self.headers.extend_from_slice(&body);
            self.headers
                .resize(self.headers.len().next_multiple_of(BLOCK), 0);
        }
        self.headers.extend_from_slice(&checksummed(header));
        self.output.write_all(&self.headers)
    }

    /// Write a piece of the data of the last member.
    pub(crate) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    /// Fill the last block of data that was `size` bytes long.
    pub(crate) fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if rest == 0 {
            return Ok(());
        }
        self.output.write_all(&[0; BLOCK][rest..])
    }

    /// End the archive with its two empty blocks.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        self.output.flush()?;
        Ok(self.output)
    }
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// The ustar header without its checksum; what does not fit goes to `records`.
fn ustar_header(member: &Member, records: &mut Records) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    match split_path(&member.path) {
        Some((prefix, name)) => {
            block[..name.len()].copy_from_slice(name);
            block[345..345 + prefix.len()].copy_from_slice(prefix);
        }
        None => {
            let cut = &member.path[..100];
            block[..100].copy_from_slice(cut);
            records.insert(b"path".to_vec(), member.path.clone());
        }
    }
    if member.link.len() > 100 {
        block[157..257].copy_from_slice(&member.link[..100]);
        records.insert(b"linkpath".to_vec(), member.link.clone());
    } else {
        block[157..157 + member.link.len()].copy_from_slice(&member.link);
    }
    let mut number = |at: usize, digits: usize, value: i128, key: &str| {
        let fits = (0..1_i128 << (3 * digits)).contains(&value);
        let shown = if fits { value } else { 0 };
        let text = format!("{shown:0digits$o}");
        block[at..at + digits].copy_from_slice(text.as_bytes());
        if !fits {
            records.insert(key.as_bytes().to_vec(), value.to_string().into_bytes());
        }
    };
    number(100, 7, i128::from(member.mode & 0o7777), "mode");
    number(108, 7, i128::from(member.user), "uid");
    number(116, 7, i128::from(member.group), "gid");
    number(124, 11, i128::from(member.size), "size");
    number(136, 11, i128::from(member.modified), "mtime");
    // The kernel has 12 bits of major and 20 of minor number: they always fit.
    number(329, 7, i128::from(member.device.0), "devmajor");
    number(337, 7, i128::from(member.device.1), "devminor");
    block[156] = member.kind.flag();
    block[257..265].copy_from_slice(b"ustar\x0000");
    for (name, value) in &member.xattrs {
        records.insert([XATTR_RECORD, name].concat(), value.clone());
    }
    block
}

/// `path` as prefix (up to 155 bytes) and name (up to 100), the longest prefix that fits.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    let body = path.strip_suffix(b"/").unwrap_or(path);
    (0..body.len().min(156))
        .rev()
        .find(|&at| body[at] == b'/' && at > 0)
        .filter(|&at| path.len() - at - 1 <= 100)
        .map(|at| (&path[..at], &path[at + 1..]))
}

fn checksummed(mut block: [u8; BLOCK]) -> [u8; BLOCK] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// `<length> <key>=<value>\n` each, where the length counts itself.
fn encode_records(records: &Records) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + decimal_digits(rest);
        if rest + decimal_digits(length) != length {
            length = rest + decimal_digits(length);
        }
        body.extend_from_slice(format!("{length} ").as_bytes());
        body.extend_from_slice(key);
        body.push(b'=');
        body.extend_from_slice(value);
        body.push(b'\n');
    }
    body
}

const fn decimal_digits(number: usize) -> usize {
    number.ilog10() as usize + 1
}
