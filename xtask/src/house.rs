//! The rules of the house (ARCHITECTURE.md), over `cargo metadata` and the sources: which crate may
//! import which, and where `unsafe` may stand. They hold as tests.

use std::fs;

use serde_json::Value;

use crate::workspace;

/// The crates and their floors. A crate imports only from floors below its own.
const FLOORS: [(&str, u8); 11] = [
    ("hoist-core", 0),
    ("hoist-sys", 0),
    ("hoist-store", 1),
    ("hoist-registry", 1),
    ("hoist-network", 1),
    ("hoist-runtime", 1),
    ("hoist-dockerfile", 1),
    ("hoist-engine", 2),
    ("hoist-build", 3),
    ("hoist-api", 4),
    ("hoist", 5),
];

/// Dependencies that have one home.
const HOMES: [(&str, &str); 6] = [
    ("clap", "hoist"),
    ("libc", "hoist-sys"),
    ("tokio", "hoist-api"),
    ("tokio-rustls", "hoist-api"),
    ("hyper", "hoist-api"),
    ("hyper-util", "hoist-api"),
];

fn floor(name: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, floor)| *floor)
}

/// Every import that the plan of the house forbids.
fn forbidden_imports(metadata: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        if !package["source"].is_null() || name == "xtask" {
            continue;
        }
        let Some(own) = floor(name) else {
            found.push(format!(
                "{name} has no floor: give it one in xtask/src/house.rs"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let import = dependency["name"].as_str().unwrap_or_default();
            if let Some(other) = floor(import).filter(|other| *other >= own) {
                found.push(format!(
                    "{name} (floor {own}) imports {import} (floor {other})"
                ));
            }
            if let Some((_, home)) = HOMES
                .iter()
                .find(|(what, home)| *what == import && *home != name)
            {
                found.push(format!("{name} imports {import}, whose home is {home}"));
            }
        }
    }
    found
}

/// Every crate that does not forbid `unsafe` although it is not `hoist-sys`, or that takes its lints
/// from elsewhere than the workspace.
fn open_doors() -> Vec<String> {
    let mut found = Vec::new();
    for (name, _) in FLOORS {
        let directory = workspace::root().join("crates").join(name);
        let root = if name == "hoist" {
            "src/main.rs"
        } else {
            "src/lib.rs"
        };
        let source = fs::read_to_string(directory.join(root)).unwrap_or_default();
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap_or_default();
        if name == "hoist-sys" {
            continue;
        }
        if !source.contains("#![forbid(unsafe_code)]") {
            found.push(format!(
                "crates/{name}/{root} does not say #![forbid(unsafe_code)]"
            ));
        }
        if !manifest.contains("[lints]\nworkspace = true") {
            found.push(format!(
                "crates/{name}/Cargo.toml does not take the lints of the workspace"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn crates_import_only_from_floors_below() {
        let metadata = workspace::metadata().unwrap();
        assert_eq!(forbidden_imports(&metadata), [""; 0]);
    }

    #[test]
    fn unsafe_code_has_one_home() {
        assert_eq!(open_doors(), [""; 0]);
    }

    #[test]
    fn a_neighbour_or_an_upper_floor_is_found_out() {
        let package = |name: &str, imports: &[&str]| {
            let imports: Vec<Value> = imports.iter().map(|name| json!({"name": name})).collect();
            json!({"name": name, "source": null, "dependencies": imports})
        };
        let metadata = json!({"packages": [
            package("hoist-store", &["hoist-core", "hoist-network"]),
            package("hoist-core", &["hoist-engine", "serde"]),
            package("hoist-engine", &["hoist-store", "clap"]),
            package("hoist-attic", &[]),
        ]});
        assert_eq!(
            forbidden_imports(&metadata),
            [
                "hoist-store (floor 1) imports hoist-network (floor 1)",
                "hoist-core (floor 0) imports hoist-engine (floor 2)",
                "hoist-engine imports clap, whose home is hoist",
                "hoist-attic has no floor: give it one in xtask/src/house.rs",
            ]
        );
    }
}
