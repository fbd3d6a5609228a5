//! Percent-encoding (RFC 3986, section 2.1).

/// `text` with every `%xx` as the byte that it means; a `%` without two hexadecimal digits stands for
/// itself.
#[must_use]
pub fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = (*byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let meant = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(meant.unwrap_or(*byte));
        at += if meant.is_some() { 3 } else { 1 };
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_decoded_and_the_rest_stays() {
        let table: [(&str, &[u8]); 6] = [
            ("a%20b", b"a b"),
            ("%C3%A9%00", b"\xc3\xa9\0"),
            ("100%", b"100%"),
            ("%+1%zz%4", b"%+1%zz%4"),
            ("é%é1", "é%é1".as_bytes()),
            ("", b""),
        ];
        for (text, bytes) in table {
            assert_eq!(decode(text), bytes, "{text}");
        }
    }
}
