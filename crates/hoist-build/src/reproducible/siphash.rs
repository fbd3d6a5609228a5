//! SipHash (Aumasson and Bernstein, 2012), by which Python recognises the source of a compiled
//! module: 1-3 since Python 3.11, 2-4 before.

/// How many rounds are done for each word, and at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounds {
    /// SipHash-1-3.
    OneThree,
    /// SipHash-2-4.
    TwoFour,
}

/// The hash of `bytes` under the key `(key, other)`.
pub(crate) fn siphash(rounds: Rounds, (key, other): (u64, u64), bytes: &[u8]) -> u64 {
    let (each, last) = match rounds {
        Rounds::OneThree => (1, 3),
        Rounds::TwoFour => (2, 4),
    };
    let mut state = [
        key ^ 0x736f_6d65_7073_6575,
        other ^ 0x646f_7261_6e64_6f6d,
        key ^ 0x6c79_6765_6e65_7261,
        other ^ 0x7465_6462_7974_6573,
    ];
    let mut word = |word: u64| {
        state[3] ^= word;
        mix(&mut state, each);
        state[0] ^= word;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for chunk in words {
        word(u64::from_le_bytes(*chunk));
    }
    let mut end = [0; 8];
    end[..rest.len()].copy_from_slice(rest);
    // The length modulo 256 is the last byte.
    end[7] = bytes.len().to_le_bytes()[0];
    word(u64::from_le_bytes(end));
    state[2] ^= 0xff;
    mix(&mut state, last);
    state.iter().fold(0, |sum, part| sum ^ part)
}

fn mix(state: &mut [u64; 4], rounds: usize) {
    let [a, b, c, d] = state;
    for _ in 0..rounds {
        *a = a.wrapping_add(*b);
        *b = b.rotate_left(13) ^ *a;
        *a = a.rotate_left(32);
        *c = c.wrapping_add(*d);
        *d = d.rotate_left(16) ^ *c;
        *a = a.wrapping_add(*d);
        *d = d.rotate_left(21) ^ *a;
        *c = c.wrapping_add(*b);
        *b = b.rotate_left(17) ^ *c;
        *c = c.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_paper_and_of_python() {
        // Appendix A of the paper: key 00 01 … 0f, message 00 01 … 0e.
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        let message: Vec<u8> = (0..15).collect();
        assert_eq!(
            siphash(Rounds::TwoFour, key, &message),
            0xa129_ca61_49be_45e5
        );
        // `_imp.source_hash(importlib.util._RAW_MAGIC_NUMBER, b"x = 1\n")` of Python 3.11.
        let python = siphash(Rounds::OneThree, (0x0a0d_0da7, 0), b"x = 1\n");
        assert_eq!(
            python.to_le_bytes(),
            [0x4c, 0x03, 0x72, 0xaa, 0x93, 0xf7, 0x52, 0x52]
        );
    }
}
