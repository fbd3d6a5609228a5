//! Whether this machine runs programs of a platform: its own, or with an emulator that the kernel
//! knows (`binfmt_misc`).

use std::path::Path;

use hoist_core::Platform;

/// Where the kernel lists the formats that it hands to other programs.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// Architectures with another name in QEMU than in images.
const NAMES: [(&str, &str); 5] = [
    ("amd64", "x86_64"),
    ("386", "i386"),
    ("arm64", "aarch64"),
    ("loong64", "loongarch64"),
    ("mips64le", "mips64el"),
];

/// True when programs for `platform` run on this machine.
pub(crate) fn can_run(platform: &Platform) -> bool {
    let host = Platform::host();
    if platform.os != host.os {
        return false;
    }
    let native = platform.architecture == host.architecture
        || (host.architecture == "amd64" && platform.architecture == "386");
    native || has_emulator(Path::new(BINFMT), &platform.architecture)
}

/// True when a file of `directory` is a handler for `architecture`.
fn has_emulator(directory: &Path, architecture: &str) -> bool {
    let known = NAMES.iter().find(|(name, _)| *name == architecture);
    let name = known.map_or(architecture, |(_, name)| name);
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .any(|text| is_handler(&text, name))
}

/// True when `text`, as the kernel shows a handler, is an enabled emulator for `name` whose program
/// is open already (flag `F`): within a container its path leads nowhere.
fn is_handler(text: &str, name: &str) -> bool {
    let value = |key: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(key)).map(str::trim)
    };
    let program = value("interpreter ").and_then(|path| path.rsplit('/').next());
    let emulates = program
        .and_then(|program| program.strip_prefix("qemu-"))
        .is_some_and(|rest| rest.split('-').next() == Some(name));
    let stays_open = value("flags:").is_some_and(|flags| flags.contains('F'));
    text.lines().next() == Some("enabled") && emulates && stays_open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_must_be_enabled_and_open() {
        let handler = |state: &str, program: &str, flags: &str| {
            format!("{state}\ninterpreter /usr/bin/{program}\nflags: {flags}\noffset 0\n")
        };
        let table = [
            (handler("enabled", "qemu-aarch64-static", "OCF"), true),
            (handler("enabled", "qemu-aarch64", "F"), true),
            (handler("disabled", "qemu-aarch64", "F"), false),
            (handler("enabled", "qemu-aarch64", "OC"), false),
            (handler("enabled", "qemu-aarch64_be", "F"), false),
            (handler("enabled", "wine", "F"), false),
            (String::new(), false),
        ];
        for (text, expected) in table {
            assert_eq!(is_handler(&text, "aarch64"), expected, "{text}");
        }
        let directory = tempfile::tempdir().unwrap();
        assert!(!has_emulator(directory.path(), "arm64"));
        let text = handler("enabled", "qemu-aarch64", "F");
        std::fs::write(directory.path().join("qemu-aarch64"), text).unwrap();
        assert!(has_emulator(directory.path(), "arm64"));
        assert!(can_run(&Platform::host()));
    }
}
