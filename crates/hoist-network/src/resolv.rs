//! `/etc/resolv.conf` for containers (`resolv.conf(5)`).

use std::net::IpAddr;

/// Where `systemd-resolved` keeps the name servers that its stub at 127.0.0.53 asks.
pub const SYSTEMD_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";

/// The name servers for containers when the host's are all out of their reach: Google's public
/// ones, as Docker has it.
const FALLBACK: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// Whether the host asks only the stub of `systemd-resolved`, so that the text to pass to
/// [`resolv_conf`] is that of [`SYSTEMD_RESOLVED`].
#[must_use]
pub fn uses_systemd_resolved(host_text: &str) -> bool {
    let mut servers = host_text.lines().filter_map(name_server).peekable();
    servers.peek().is_some() && servers.all(|address| matches!(address, "127.0.0.53"))
}

/// The container's `resolv.conf`, made from the host's.
///
/// Name servers on loopback are dropped (they are the host's own, and the container's loopback
/// is another), and those of IPv6 (the bridge has none). When no server is left, `8.8.8.8` and
/// `8.8.4.4` stand in. `search`, `options`, comments and all other lines stay as they are.
#[must_use]
pub fn resolv_conf(host_text: &str) -> String {
    let mut text = String::with_capacity(host_text.len() + 40);
    let mut reachable = false;
    for line in host_text.lines() {
        if let Some(address) = name_server(line) {
            if !is_reachable(address) {
                continue;
            }
            reachable = true;
        }
        text.push_str(line);
        text.push('\n');
    }
    if !reachable {
        for server in FALLBACK {
            text.push_str("nameserver ");
            text.push_str(server);
            text.push('\n');
        }
    }
    text
}

/// The address of a `nameserver` line.
fn name_server(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace();
    (words.next() == Some("nameserver")).then(|| words.next().unwrap_or(""))
}

fn is_reachable(address: &str) -> bool {
    match address.parse() {
        Ok(IpAddr::V4(address)) => !address.is_loopback() && !address.is_unspecified(),
        Ok(IpAddr::V6(_)) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn loopback_servers_go_and_the_rest_stays() {
        let host = "# made by hand\nnameserver 127.0.0.53\nnameserver\t10.0.0.2\nsearch a.example b.example\noptions edns0 trust-ad\nnameserver ::1\nnameserver fd00::1";
        assert_eq!(
            resolv_conf(host),
            "# made by hand\nnameserver\t10.0.0.2\nsearch a.example b.example\noptions edns0 trust-ad\n"
        );
    }

    #[test]
    fn without_a_reachable_server_public_ones_stand_in() {
        for host in [
            "",
            "nameserver 127.0.0.1\n",
            "nameserver ::1",
            "nameserver",
            "nameserver x",
        ] {
            assert_eq!(
                resolv_conf(host),
                "nameserver 8.8.8.8\nnameserver 8.8.4.4\n",
                "{host:?}"
            );
        }
        assert_eq!(
            resolv_conf("search corp.example\nnameserver 127.0.0.1"),
            "search corp.example\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
    }

    #[test]
    fn the_stub_of_systemd_is_recognised() {
        assert!(uses_systemd_resolved(
            "nameserver 127.0.0.53\noptions edns0\n"
        ));
        assert!(!uses_systemd_resolved(
            "nameserver 127.0.0.53\nnameserver 1.1.1.1\n"
        ));
        assert!(!uses_systemd_resolved("nameserver 127.0.0.1\n"));
        assert!(!uses_systemd_resolved(""));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_file_with_a_server(host in "(nameserver |search |\n|[0-9.:a-f]{0,9})*") {
            let text = resolv_conf(&host);
            prop_assert!(text.lines().filter_map(name_server).all(is_reachable));
            prop_assert!(text.lines().any(|line| name_server(line).is_some()));
            prop_assert_eq!(resolv_conf(&text), text.clone());
        }
    }
}
