//! Which entry of an index is for a platform: the rules of containerd's `platforms`, which Docker
//! follows.

use hoist_core::{Platform, image::Descriptor};

/// The entry that fits best; the first of equals.
pub(crate) fn choose<'a>(entries: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    let fits = |entry: &'a Descriptor| {
        let platform = entry.platform.as_ref()?;
        Some((distance(platform, wanted)?, entry))
    };
    let best = entries
        .iter()
        .filter_map(fits)
        .min_by_key(|(distance, _)| *distance);
    best.map(|(_, entry)| entry).or_else(|| match entries {
        // An index around one image that does not say for what.
        [only] if only.platform.is_none() => Some(only),
        _ => None,
    })
}

/// The platforms of an index, without the attestations of BuildKit.
pub(crate) fn available(entries: &[Descriptor]) -> Vec<Platform> {
    let known = |platform: &&Platform| platform.os != "unknown";
    entries
        .iter()
        .filter_map(|entry| entry.platform.as_ref())
        .filter(known)
        .cloned()
        .collect()
}

/// How far an offer is from what is wanted; `None` when it does not run there.
fn distance(offer: &Platform, wanted: &Platform) -> Option<u32> {
    let (offer_os, wanted_os) = (
        offer.os.to_ascii_lowercase(),
        wanted.os.to_ascii_lowercase(),
    );
    let (offer, wanted) = (normal(offer), normal(wanted));
    if offer_os != wanted_os || offer.0 != wanted.0 {
        return None;
    }
    if offer.1 == wanted.1 {
        return Some(0);
    }
    // v7 runs v6, v3 runs v2, …; anything else must be the same.
    let number = |variant: &str| variant.strip_prefix('v')?.parse::<u32>().ok();
    let ordered = matches!(wanted.0.as_str(), "arm" | "arm64" | "amd64");
    match (number(&offer.1), number(&wanted.1)) {
        (Some(offer), Some(wanted)) if ordered => wanted.checked_sub(offer),
        _ => None,
    }
}

/// Architecture and variant in one way of writing each.
fn normal(platform: &Platform) -> (String, String) {
    let architecture = platform.architecture.to_ascii_lowercase();
    let variant = platform
        .variant
        .as_deref()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let architecture = match architecture.as_str() {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "armhf" => "arm",
        "i386" | "i686" => "386",
        other => other,
    };
    let variant = match (architecture, variant.as_str()) {
        ("arm64", "" | "8") => "v8",
        ("arm", "" | "7") => "v7",
        ("arm", "6") => "v6",
        ("arm", "5") => "v5",
        ("amd64", "") => "v1",
        (_, other) => other,
    };
    (architecture.to_owned(), variant.to_owned())
}

#[cfg(test)]
mod tests {
    use hoist_core::Digest;

    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform {
            os: parts.next().unwrap(),
            architecture: parts.next().unwrap(),
            variant: parts.next(),
        }
    }

    fn entries(list: &[&str]) -> Vec<Descriptor> {
        let entry = |text: &&str| Descriptor {
            media_type: String::new(),
            digest: Digest::of(text.as_bytes()),
            size: 0,
            platform: Some(platform(text)),
            annotations: Default::default(),
        };
        list.iter().map(entry).collect()
    }

    #[test]
    fn the_nearest_variant_is_chosen() {
        let all = [
            "windows/amd64",
            "linux/arm/v5",
            "linux/amd64",
            "linux/arm/v7",
            "linux/arm64/v8",
            "linux/amd64/v3",
            "unknown/unknown",
            "linux/arm/v6",
            "linux/riscv64",
        ];
        let index = entries(&all);
        let table = [
            ("linux/amd64", Some("linux/amd64")),
            ("linux/amd64/v2", Some("linux/amd64")),
            ("linux/amd64/v4", Some("linux/amd64/v3")),
            ("linux/x86_64", Some("linux/amd64")),
            ("linux/arm64", Some("linux/arm64/v8")),
            ("linux/arm", Some("linux/arm/v7")),
            ("linux/arm/v6", Some("linux/arm/v6")),
            ("linux/arm/v4", None),
            ("linux/riscv64", Some("linux/riscv64")),
            ("linux/s390x", None),
            ("windows/amd64", Some("windows/amd64")),
        ];
        for (wanted, expected) in table {
            let chosen = choose(&index, &platform(wanted)).and_then(|entry| entry.platform.clone());
            assert_eq!(chosen, expected.map(platform), "{wanted}");
        }
        assert_eq!(available(&index).len(), all.len() - 1);
        let mut lonely = entries(&["linux/amd64"]);
        lonely[0].platform = None;
        assert!(choose(&lonely, &platform("linux/arm64")).is_some());
    }
}
