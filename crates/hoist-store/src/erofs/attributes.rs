//! Extended attributes: which of them an image can carry, and their bytes.

use crate::layer_tar::Xattrs;

/// Name spaces that the image abbreviates, and that every file system of layers has.
const SPACES: [(&[u8], u8); 3] = [(b"user.", 1), (b"trusted.", 4), (b"security.", 6)];
const CAPABILITY: &[u8] = b"security.capability";
/// A set of capabilities of the second version, the one without a user namespace.
const CAPABILITY_LENGTH: usize = 20;
const CAPABILITY_VERSION: u8 = 2;
/// What `setxattr(2)` takes as a name, and the image as a value.
const LONGEST_NAME: usize = 255;
const LONGEST_VALUE: usize = u16::MAX as usize;
/// What an inode can say about the room of its attributes.
const MOST: usize = 4 * (u16::MAX as usize - 1);
const HEADER: usize = 12;

/// Whether the attribute means on a `regular` file, a directory or anything else the same as
/// `setxattr(2)` would make of it.
pub(super) fn fits(name: &[u8], value: &[u8], regular: bool, directory: bool) -> bool {
    let Some((space, suffix)) = split(name) else {
        return false;
    };
    let known = match space {
        1 => regular || directory,
        _ if name == CAPABILITY => regular && is_capability(value),
        _ => true,
    };
    known
        && !suffix.is_empty()
        && !suffix.contains(&0)
        && name.len() <= LONGEST_NAME
        && value.len() <= LONGEST_VALUE
}

fn is_capability(value: &[u8]) -> bool {
    value.len() == CAPABILITY_LENGTH
        && value[3] == CAPABILITY_VERSION
        && value[..3] <= [1, 0, 0][..]
}

fn split(name: &[u8]) -> Option<(u8, &[u8])> {
    SPACES
        .iter()
        .find_map(|(prefix, space)| Some((*space, name.strip_prefix(*prefix)?)))
}

/// Whether the attributes of one inode have room in the image.
pub(super) fn have_room(attributes: &Xattrs) -> bool {
    length(attributes) <= MOST
}

/// Bytes of the attributes behind an inode.
pub(super) fn length(attributes: &Xattrs) -> usize {
    if attributes.is_empty() {
        return 0;
    }
    let entries = attributes.iter().map(|(name, value)| {
        let suffix = split(name).map_or(0, |(_, suffix)| suffix.len());
        (4 + suffix + value.len()).next_multiple_of(4)
    });
    HEADER + entries.sum::<usize>()
}

/// The attributes, as they follow their inode.
pub(super) fn bytes(attributes: &Xattrs) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length(attributes));
    if attributes.is_empty() {
        return bytes;
    }
    bytes.resize(HEADER, 0);
    for (name, value) in attributes {
        let Some((space, suffix)) = split(name) else {
            continue;
        };
        bytes.push(u8::try_from(suffix.len()).unwrap_or(u8::MAX));
        bytes.push(space);
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(suffix);
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}
