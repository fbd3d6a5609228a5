//! Which kernel this is. What it can is better tried than guessed from its version; the version is for
//! messages, and for what cannot be tried without leaving something behind.

/// Major and minor version of the running kernel (`uname(2)`).
#[must_use]
pub fn version() -> (u32, u32) {
    parse(&rustix::system::uname().release().to_string_lossy())
}

fn parse(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|letter: char| !letter.is_ascii_digit())
        .map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases() {
        assert_eq!(parse("6.12.117+deb13-cloud-amd64"), (6, 12));
        assert_eq!(parse("5.4.0-150-generic"), (5, 4));
        assert_eq!(parse("6.18-rc1"), (6, 18));
        assert_eq!(parse("6"), (6, 0));
        assert_eq!(parse(""), (0, 0));
        assert!(version() > (5, 0));
    }
}
