//! Differences between objects (`gitformat-pack`, "Deltified representation").

use super::objects::LARGEST;

/// The object that `delta` makes of `base`; `None` for a difference that makes no sense.
pub(super) fn apply(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let mut delta = delta;
    if number(&mut delta)? != base.len() as u64 {
        return None;
    }
    let size = number(&mut delta).filter(|size| *size <= LARGEST)?;
    let size = usize::try_from(size).ok()?;
    let mut made = Vec::new();
    while let Some(instruction) = byte(&mut delta) {
        let piece = match instruction {
            0 => return None,
            // As many bytes follow.
            1..=0x7f => {
                let (piece, rest) = delta.split_at_checked(usize::from(instruction))?;
                delta = rest;
                piece
            }
            // Bytes of the base: each bit says whether a byte of offset or length follows.
            _ => {
                let mut place = [0_usize; 2];
                for bit in 0..7 {
                    if instruction >> bit & 1 == 1 {
                        let (number, shift) = if bit < 4 { (0, bit) } else { (1, bit - 4) };
                        place[number] |= usize::from(byte(&mut delta)?) << (8 * shift);
                    }
                }
                let [offset, length] = place;
                let length = if length == 0 { 0x1_0000 } else { length };
                base.get(offset..offset.checked_add(length)?)?
            }
        };
        if made.len() + piece.len() > size {
            return None;
        }
        made.extend_from_slice(piece);
    }
    (made.len() == size).then_some(made)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// Seven bits a byte, the lowest first.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let byte = byte(bytes)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pieces_of_the_base_and_new_bytes_are_put_together() {
        let base = b"0123456789";
        // Bytes 2 to 5 of the base, then "ab", then its first byte.
        let delta = [10, 7, 0b1001_0001, 2, 4, 2, b'a', b'b', 0b1001_0000, 1];
        assert_eq!(apply(base, &delta).as_deref(), Some(&b"2345ab0"[..]));
        assert_eq!(apply(b"short", &delta), None);
        assert_eq!(apply(base, &delta[..9]), None);
        assert_eq!(apply(base, &[10, 1, 0]), None);
    }

    proptest! {
        #[test]
        fn no_difference_makes_more_than_it_says(
            base in prop::collection::vec(any::<u8>(), 0..40),
            delta in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Some(made) = apply(&base, &delta) {
                prop_assert!(made.len() < 1 << 20);
            }
        }
    }
}
