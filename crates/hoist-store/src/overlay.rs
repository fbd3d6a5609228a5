//! The overlay form of a layer: how a directory says what it hides of the layers below.
//!
//! A deleted entry is a character device 0:0 (a whiteout); a directory that hides the one below
//! it has the attribute `overlay.opaque` with the value `y` (kernel, `filesystems/overlayfs.rst`).
//! In archives the same is written as `.wh.<name>` and `.wh..wh..opq` (OCI image specification,
//! `layer.md`, "Whiteouts").

use std::path::Path;

use hoist_sys::atomic;

/// How the name of a whiteout in an archive begins.
pub(crate) const WHITEOUT: &[u8] = b".wh.";

/// The name of the archive entry that makes its directory opaque.
pub(crate) const OPAQUE: &[u8] = b".wh..wh..opq";

/// How other names that mean something to aufs only begin.
pub(crate) const AUFS: &[u8] = b".wh..wh.";

/// The name space of overlayfs' attributes: `trusted.` needs the initial user namespace, `user.`
/// works in every one that mounts overlays with the option `userxattr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayXattrs {
    /// `trusted.overlay.*`, for root of the initial user namespace.
    Trusted,
    /// `user.overlay.*`, for everybody else; overlays are mounted with `userxattr`.
    User,
}

impl OverlayXattrs {
    /// The name space for this process, from its user namespace.
    pub(crate) fn detect() -> Self {
        let map = atomic::read(Path::new("/proc/self/uid_map")).unwrap_or_default();
        Self::from_map(&String::from_utf8_lossy(&map))
    }

    /// The initial user namespace is the one that maps every id to itself.
    fn from_map(map: &str) -> Self {
        let words: Vec<_> = map.split_whitespace().collect();
        match words.as_slice() {
            ["0", "0", "4294967295"] => Self::Trusted,
            _ => Self::User,
        }
    }

    /// The name of the attribute that makes a directory opaque.
    #[must_use]
    pub const fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }
}

/// The part after `trusted.overlay.` or `user.overlay.`, if `name` is overlayfs' own.
pub(crate) fn overlay_attribute(name: &[u8]) -> Option<&[u8]> {
    [b"trusted.overlay.".as_slice(), b"user.overlay."]
        .iter()
        .find_map(|prefix| name.strip_prefix(*prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_identity_map_is_the_initial_namespace() {
        let initial = "         0          0 4294967295\n";
        assert_eq!(OverlayXattrs::from_map(initial), OverlayXattrs::Trusted);
        for map in ["", "0 1000 1\n", "0 1000 1\n1 100000 65536\n"] {
            assert_eq!(OverlayXattrs::from_map(map), OverlayXattrs::User, "{map}");
        }
        assert_eq!(
            overlay_attribute(b"user.overlay.redirect"),
            Some(&b"redirect"[..])
        );
        assert_eq!(overlay_attribute(b"user.overlays"), None);
    }
}
