//! The content of directories: blocks of sorted entries, each block with the names of its own.

use super::tree::{NodeId, NodeKind, Tree};

/// Bytes of an entry without its name.
const ENTRY: usize = 12;
/// As [`BLOCK`](super::format::BLOCK).
const BLOCK_LENGTH: usize = 512;

/// The entries of a directory in the order of their names, with itself and its parent.
fn entries(tree: &Tree, id: NodeId) -> Vec<(&[u8], NodeId)> {
    let NodeKind::Directory { entries, parent } = &tree.node(id).kind else {
        return Vec::new();
    };
    let mut all: Vec<(&[u8], NodeId)> = vec![(b".", id), (b"..", *parent)];
    all.extend(entries.iter().map(|(name, id)| (name.as_ref(), *id)));
    all.sort_unstable_by_key(|(name, _)| *name);
    all
}

/// How many of the entries go into the next block.
fn next_block(entries: &[(&[u8], NodeId)]) -> usize {
    let mut length = 0;
    let fits = |(name, _): &&(&[u8], NodeId)| {
        length += ENTRY + name.len();
        length <= BLOCK_LENGTH
    };
    entries.iter().take_while(fits).count()
}

/// Bytes of a directory.
pub(super) fn length(tree: &Tree, id: NodeId) -> usize {
    let entries = entries(tree, id);
    let mut left = entries.as_slice();
    let mut whole = 0;
    loop {
        let (block, rest) = left.split_at(next_block(left));
        if rest.is_empty() {
            let names = block.iter().map(|(name, _)| name.len()).sum::<usize>();
            return whole + names + block.len() * ENTRY;
        }
        whole += BLOCK_LENGTH;
        left = rest;
    }
}

/// The bytes of a directory; `number` knows the numbers of inodes.
pub(super) fn bytes(tree: &Tree, id: NodeId, number: impl Fn(NodeId) -> u64) -> Vec<u8> {
    let entries = entries(tree, id);
    let mut bytes = Vec::new();
    let mut left = entries.as_slice();
    while !left.is_empty() {
        bytes.resize(bytes.len().next_multiple_of(BLOCK_LENGTH), 0);
        let (block, rest) = left.split_at(next_block(left));
        let mut name_offset = block.len() * ENTRY;
        for (name, id) in block {
            bytes.extend_from_slice(&number(*id).to_le_bytes());
            let offset = u16::try_from(name_offset).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&offset.to_le_bytes());
            bytes.extend_from_slice(&[file_type(&tree.node(*id).kind), 0]);
            name_offset += name.len();
        }
        for (name, _) in block {
            bytes.extend_from_slice(name);
        }
        left = rest;
    }
    bytes
}

const fn file_type(kind: &NodeKind) -> u8 {
    match kind {
        NodeKind::File { .. } => 1,
        NodeKind::Directory { .. } => 2,
        NodeKind::CharacterDevice(..) => 3,
        NodeKind::BlockDevice(..) => 4,
        NodeKind::Fifo => 5,
        NodeKind::Symlink(_) => 7,
    }
}
