//! The keys that detach a terminal from a container: Ctrl-P, then Ctrl-Q, as in Docker.

/// Ctrl-P Ctrl-Q.
const KEYS: [u8; 2] = [0x10, 0x11];

/// Looks for the keys in what is typed.
#[derive(Debug, Default)]
pub(super) struct DetachKeys {
    /// How many of the keys have been typed and held back.
    typed: usize,
}

impl DetachKeys {
    /// What of `bytes` is for the container, and whether the keys are complete; what comes after
    /// them is for nobody.
    ///
    /// The first key is held back until the next byte shows what it meant.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(bytes.len() + self.typed);
        for &byte in bytes {
            if byte == KEYS[self.typed] {
                self.typed += 1;
                if self.typed == KEYS.len() {
                    return (passed, true);
                }
                continue;
            }
            passed.extend_from_slice(&KEYS[..self.typed]);
            self.typed = usize::from(byte == KEYS[0]);
            if self.typed == 0 {
                passed.push(byte);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What passes of pieces that are typed one after the other, and whether they detach.
    fn typed(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut keys = DetachKeys::default();
        let mut all = Vec::new();
        let mut detached = false;
        for piece in pieces {
            let (mut passed, end) = keys.pass(piece);
            all.append(&mut passed);
            detached |= end;
        }
        (all, detached)
    }

    #[test]
    fn the_keys_detach_also_in_two_pieces() {
        assert_eq!(typed(&[b"\x10\x11"]), (b"".to_vec(), true));
        assert_eq!(typed(&[b"ab\x10", b"\x11cd"]), (b"ab".to_vec(), true));
        assert_eq!(typed(&[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
    }

    #[test]
    fn everything_else_passes() {
        assert_eq!(typed(&[b"ls\n"]), (b"ls\n".to_vec(), false));
        assert_eq!(typed(&[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
        assert_eq!(typed(&[b"\x11\x11"]), (b"\x11\x11".to_vec(), false));
        assert_eq!(typed(&[b"\x10"]), (Vec::new(), false));
    }
}
