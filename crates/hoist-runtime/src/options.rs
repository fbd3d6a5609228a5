//! Mount options in fstab's words (`ro`, `nosuid`, `rbind`, `size=64m`), taken apart.

use hoist_sys::mount::{Attributes, Propagation};

/// The options of one mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Attributes to set.
    pub(crate) set: Attributes,
    /// Attributes to clear.
    pub(crate) clear: Attributes,
    /// Propagation, with whether it goes for the mounts below.
    pub(crate) propagation: Option<(Propagation, bool)>,
    /// `bind` (false) or `rbind` (true).
    pub(crate) bind: Option<bool>,
    /// What is left: parameters of the file system, each with its value if it has one.
    pub(crate) parameters: Vec<(String, Option<String>)>,
}

impl Options {
    fn apply(&mut self, attribute: Attributes, on: bool) {
        // Access-time modes share a field, which the kernel wants cleared before one is set.
        let modes = Attributes::NO_ACCESS_TIME.with(Attributes::STRICT_ACCESS_TIME);
        let is_mode = modes.contains(attribute);
        self.set = self.set.without(if is_mode { modes } else { attribute });
        self.clear = self.clear.without(attribute);
        if on {
            self.set = self.set.with(attribute);
            if is_mode {
                self.clear = self.clear.with(Attributes::ACCESS_TIME_MODES);
            }
        } else {
            self.clear = self.clear.with(attribute);
        }
    }
}

/// Takes `options` apart; the last one wins. Options of fstab that mean nothing here (`defaults`,
/// `async`, …) are dropped, and so are Podman's `z`/`Z` labels of systems without SELinux.
pub(crate) fn parse(options: &[String]) -> Options {
    let mut parsed = Options::default();
    for option in options {
        if let Some((attribute, on)) = attribute(option) {
            parsed.apply(attribute, on);
            continue;
        }
        if let Some(propagation) = propagation(option) {
            parsed.propagation = Some(propagation);
            continue;
        }
        match option.as_str() {
            "bind" => parsed.bind = Some(false),
            "rbind" => parsed.bind = Some(true),
            // A mount is writable unless told otherwise; a read-only source stays what it is.
            "rw" | "rrw" => parsed.set = parsed.set.without(Attributes::READ_ONLY),
            "" | "defaults" | "async" | "auto" | "noauto" | "user" | "nouser" | "_netdev"
            | "nofail" | "relatime" | "norelatime" | "nostrictatime" | "loud" | "silent" | "z"
            | "Z" | "tmpcopyup" | "notmpcopyup" => {}
            parameter => parsed.parameters.push(match parameter.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (parameter.to_owned(), None),
            }),
        }
    }
    parsed
}

/// An attribute by its word, and whether the word sets it. An `r` before a word (`rro`) says that
/// it goes for the mounts below, as it always does here.
fn attribute(word: &str) -> Option<(Attributes, bool)> {
    Some(match word {
        "ro" | "rro" => (Attributes::READ_ONLY, true),
        "nosuid" | "rnosuid" => (Attributes::NO_SUID, true),
        "suid" | "rsuid" => (Attributes::NO_SUID, false),
        "nodev" | "rnodev" => (Attributes::NO_DEVICES, true),
        "dev" | "rdev" => (Attributes::NO_DEVICES, false),
        "noexec" | "rnoexec" => (Attributes::NO_EXEC, true),
        "exec" | "rexec" => (Attributes::NO_EXEC, false),
        "noatime" | "rnoatime" => (Attributes::NO_ACCESS_TIME, true),
        "strictatime" | "rstrictatime" => (Attributes::STRICT_ACCESS_TIME, true),
        "nodiratime" | "rnodiratime" => (Attributes::NO_DIRECTORY_ACCESS_TIME, true),
        "diratime" | "rdiratime" => (Attributes::NO_DIRECTORY_ACCESS_TIME, false),
        "nosymfollow" | "rnosymfollow" => (Attributes::NO_SYMLINKS, true),
        "symfollow" | "rsymfollow" => (Attributes::NO_SYMLINKS, false),
        _ => return None,
    })
}

fn propagation(word: &str) -> Option<(Propagation, bool)> {
    Some(match word {
        "private" => (Propagation::Private, false),
        "rprivate" => (Propagation::Private, true),
        "slave" => (Propagation::Slave, false),
        "rslave" => (Propagation::Slave, true),
        "shared" => (Propagation::Shared, false),
        "rshared" => (Propagation::Shared, true),
        "unbindable" => (Propagation::Unbindable, false),
        "runbindable" => (Propagation::Unbindable, true),
        _ => return None,
    })
}

/// The words of an attribute set, for people.
pub(crate) fn words(attributes: Attributes) -> Vec<&'static str> {
    [
        (Attributes::READ_ONLY, "ro"),
        (Attributes::NO_SUID, "nosuid"),
        (Attributes::NO_DEVICES, "nodev"),
        (Attributes::NO_EXEC, "noexec"),
        (Attributes::NO_ACCESS_TIME, "noatime"),
        (Attributes::STRICT_ACCESS_TIME, "strictatime"),
        (Attributes::NO_DIRECTORY_ACCESS_TIME, "nodiratime"),
        (Attributes::NO_SYMLINKS, "nosymfollow"),
    ]
    .into_iter()
    .filter(|(attribute, _)| attributes.contains(*attribute))
    .map(|(_, word)| word)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(options: &str) -> Options {
        parse(&options.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_become_attributes() {
        let options = parsed("rbind,ro,nosuid,nodev,rslave");
        assert_eq!(options.bind, Some(true));
        assert_eq!(words(options.set), ["ro", "nosuid", "nodev"]);
        assert_eq!(options.propagation, Some((Propagation::Slave, true)));
        assert_eq!(options.parameters, []);

        let options = parsed("noexec,exec,size=64m,mode=1777,newinstance");
        assert!(options.set.is_empty());
        assert_eq!(words(options.clear), ["noexec"]);
        assert_eq!(
            options.parameters,
            [
                ("size".to_owned(), Some("64m".to_owned())),
                ("mode".to_owned(), Some("1777".to_owned())),
                ("newinstance".to_owned(), None),
            ]
        );
    }

    #[test]
    fn writable_undoes_read_only() {
        assert!(parsed("ro,rw").set.is_empty());
    }
}
