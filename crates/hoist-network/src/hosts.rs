//! `/etc/hosts` for containers (`hosts(5)`).

use std::{fmt::Write as _, net::Ipv4Addr};

/// What every container has, as Docker writes it.
const DEFAULT: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// The container's `hosts` file.
///
/// `extra` are the names and addresses of `--add-host`, in the order given; `host-gateway` is
/// replaced by the caller, who knows the gateway. The container's own line comes last and only
/// when it has an address; with a domain it has the full name first.
#[must_use]
pub fn hosts_file(
    hostname: &str,
    domain: Option<&str>,
    address: Option<Ipv4Addr>,
    extra: &[(String, String)],
) -> String {
    let mut text = DEFAULT.to_owned();
    for (name, address) in extra {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "{address}\t{name}");
    }
    if let Some(address) = address {
        let _ = match domain.filter(|domain| !domain.is_empty()) {
            Some(domain) => writeln!(text, "{address}\t{hostname}.{domain} {hostname}"),
            None => writeln!(text, "{address}\t{hostname}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_own_line_comes_last() {
        let extra = [("db".to_owned(), "10.0.0.5".to_owned())];
        let text = hosts_file(
            "web",
            Some("example.org"),
            Some(Ipv4Addr::new(172, 17, 0, 2)),
            &extra,
        );
        insta::assert_snapshot!(text, @r"
        127.0.0.1	localhost
        ::1	localhost ip6-localhost ip6-loopback
        fe00::	ip6-localnet
        ff00::	ip6-mcastprefix
        ff02::1	ip6-allnodes
        ff02::2	ip6-allrouters
        10.0.0.5	db
        172.17.0.2	web.example.org web
        ");
    }

    #[test]
    fn without_an_address_there_is_no_own_line() {
        assert_eq!(hosts_file("web", None, None, &[]), DEFAULT);
        let text = hosts_file("web", None, Some(Ipv4Addr::new(172, 17, 0, 2)), &[]);
        assert!(text.ends_with("ip6-allrouters\n172.17.0.2\tweb\n"));
    }
}
