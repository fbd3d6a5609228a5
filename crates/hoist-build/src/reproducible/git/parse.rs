//! The text and bytes of ids, commits and trees.

use super::{SHA1, SHA256};

/// An entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeEntry {
    pub(super) name: Vec<u8>,
    /// Kind and permissions.
    pub(super) mode: u32,
    pub(super) id: Vec<u8>,
}

/// The bytes of an id; none when `text` is no id.
pub(super) fn from_hex(text: &str) -> Vec<u8> {
    let is_long_enough = [SHA1 * 2, SHA256 * 2].contains(&text.len());
    let digits = text.as_bytes().as_chunks::<2>().0.iter();
    let bytes = digits.map(|pair| {
        let text = std::str::from_utf8(pair).ok()?;
        let is_hex = pair.iter().all(u8::is_ascii_hexdigit);
        is_hex.then(|| u8::from_str_radix(text, 16).ok()).flatten()
    });
    match bytes.collect::<Option<Vec<u8>>>() {
        Some(bytes) if is_long_enough => bytes,
        _ => Vec::new(),
    }
}

pub(super) fn to_hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tree of a commit, and when it was committed.
pub(super) fn commit(content: &[u8]) -> Option<(Vec<u8>, i64)> {
    let mut lines = content.split(|byte| *byte == b'\n');
    let tree = std::str::from_utf8(lines.next()?.strip_prefix(b"tree ")?).ok()?;
    let committer = lines
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.strip_prefix(b"committer "))?;
    // `Name <address> 1700000000 +0100`
    let mut words = committer.rsplit(|byte| *byte == b' ');
    let time = std::str::from_utf8(words.nth(1)?).ok()?.parse().ok()?;
    let tree = from_hex(tree);
    (!tree.is_empty()).then_some((tree, time))
}

/// The entries of a tree.
pub(super) fn tree(mut content: &[u8], id_length: usize) -> Option<Vec<TreeEntry>> {
    let mut entries = Vec::new();
    while !content.is_empty() {
        let space = content.iter().position(|byte| *byte == b' ')?;
        let mode = std::str::from_utf8(&content[..space]).ok()?;
        let mode = u32::from_str_radix(mode, 8).ok()?;
        content = &content[space + 1..];
        let end = content.iter().position(|byte| *byte == 0)?;
        let name = &content[..end];
        let id = content[end + 1..].get(..id_length)?;
        if name.is_empty() || name == b".." || name.contains(&b'/') {
            return None;
        }
        entries.push(TreeEntry {
            name: name.to_vec(),
            mode,
            id: id.to_vec(),
        });
        content = &content[end + 1 + id_length..];
    }
    Some(entries)
}
