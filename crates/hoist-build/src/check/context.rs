//! What COPY takes from the context and better had not: ClutterCopied, SecretFileCopied,
//! DockerignoreTopLevelOnly.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use hoist_dockerfile::{Instruction, Spanned, instruction::InstructionKind, lint::Rule};
use rustix::fs::OFlags;

use super::{Checks, Words};
use crate::{
    context::{Context, IgnoreFile},
    error::BuildError,
    plan::{Action, Plan},
    sources::Source,
    tree::{Entry, Kind, Root, below, filter::Filter, resolve::resolve, walk},
};

pub(super) const CLUTTER_COPIED: Rule = Rule::hoist(
    "ClutterCopied",
    "COPY should not take repositories, caches and virtual environments from the context",
);
pub(super) const SECRET_FILE_COPIED: Rule = Rule::hoist(
    "SecretFileCopied",
    "COPY of a directory should not take private keys and .env files along",
);
pub(super) const DOCKERIGNORE_TOP_LEVEL_ONLY: Rule = Rule::hoist(
    "DockerignoreTopLevelOnly",
    "A pattern of .dockerignore should not miss the same names in directories below",
);

/// Directories that belong to tools, not to the program.
const CLUTTER: [&str; 13] = [
    ".git",
    ".hg",
    ".svn",
    ".venv",
    "__pycache__",
    "node_modules",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
    ".nox",
    ".idea",
    ".vscode",
];

/// Names of files that hold secrets.
const SECRETS: [&str; 8] = [
    ".env",
    ".netrc",
    ".pypirc",
    ".git-credentials",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
];

/// What a `.env.example` ends with: a file that is meant to be seen.
const TEMPLATES: [&str; 5] = ["example", "sample", "template", "dist", "defaults"];

/// So many files are opened to see whether they hold a private key.
const MAX_OPENED: usize = 50;

/// Where a private key says that it is one.
const KEY_MARK: &[u8] = b"PRIVATE KEY-----";

/// One thing that was found in the context.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    rule: &'static Rule,
    /// The pattern for it at the top level: `*.pyc`, `.git`.
    pattern: String,
    /// Below the context.
    path: PathBuf,
}

/// Check what a build has gathered for its steps.
pub(super) fn gathered(
    checks: &mut Checks<'_>,
    context: &Context,
    plan: &Plan,
    prepared: &BTreeMap<(usize, usize), Vec<Source>>,
) {
    let mut reporter = Reporter::new(&context.root, context.ignore.as_ref());
    for step in plan.stages.iter().flat_map(|stage| stage.steps()) {
        let (Action::Copy(_), Some(sources)) = (&step.action, prepared.get(&(step.index, 0)))
        else {
            continue;
        };
        if let Some(instruction) = checks.instruction(step.span) {
            let trees = sources
                .iter()
                .map(|source| (source.start.as_path(), source.entries.as_slice()));
            reporter.report(checks, instruction, trees);
        }
    }
}

/// Check what a build of the stages `needed` (all when unknown) would take, by walking through
/// the context. Sources with variables are passed over.
pub(super) fn look(
    checks: &mut Checks<'_>,
    root: &Root,
    ignore: Option<&IgnoreFile>,
    needed: Option<&Vec<usize>>,
) -> Result<(), BuildError> {
    let mut reporter = Reporter::new(root, ignore);
    let dockerfile = checks.dockerfile;
    let stages = dockerfile
        .stages
        .iter()
        .filter(|stage| needed.is_none_or(|needed| needed.contains(&stage.index)));
    for instruction in stages.flat_map(|stage| &stage.instructions) {
        let (sources, exclude) = match &instruction.kind {
            InstructionKind::Copy(copy) if copy.from.is_none() => (&copy.sources, &copy.exclude),
            InstructionKind::Add(add) => (&add.sources, &add.exclude),
            _ => continue,
        };
        let mut trees = Vec::new();
        for source in sources {
            trees.extend(trees_of(root, ignore, source, exclude)?);
        }
        let trees = trees
            .iter()
            .map(|(start, entries)| (start.as_path(), entries.as_slice()));
        reporter.report(checks, instruction, trees);
    }
    Ok(())
}

fn trees_of(
    root: &Root,
    ignore: Option<&IgnoreFile>,
    source: &Spanned<String>,
    exclude: &[Spanned<String>],
) -> Result<Vec<(PathBuf, Vec<Entry>)>, BuildError> {
    if source.contains('$') || source.contains("://") || source.starts_with("git@") {
        return Ok(Vec::new());
    }
    let exclude: Vec<String> = exclude.iter().map(|text| text.value.clone()).collect();
    let mut trees = Vec::new();
    for found in resolve(root, source)? {
        let patterns = ignore.map(|file| &file.patterns);
        let Ok(filter) = Filter::ignoring(patterns).excluding(&exclude) else {
            continue;
        };
        let entries = walk(root, &found.path, &filter)?;
        trees.push((found.path, entries));
    }
    Ok(trees)
}

/// Tells of each kind of thing once, at the first instruction that takes it.
struct Reporter<'a> {
    root: &'a Root,
    ignore: Option<&'a IgnoreFile>,
    told: BTreeSet<(&'static str, String)>,
    opened: usize,
}

impl<'a> Reporter<'a> {
    fn new(root: &'a Root, ignore: Option<&'a IgnoreFile>) -> Self {
        Self {
            root,
            ignore,
            told: BTreeSet::new(),
            opened: 0,
        }
    }

    fn report<'t>(
        &mut self,
        checks: &mut Checks<'_>,
        instruction: &Instruction,
        trees: impl Iterator<Item = (&'t Path, &'t [Entry])>,
    ) {
        let mut kinds: BTreeMap<(&'static str, String), Vec<Found>> = BTreeMap::new();
        for (start, entries) in trees {
            for found in self.unwanted(start, entries) {
                let kind = (found.rule.name, found.pattern.clone());
                kinds.entry(kind).or_default().push(found);
            }
        }
        kinds.retain(|kind, _| self.told.insert(kind.clone()));
        let mut others: Vec<Vec<Found>> = Vec::new();
        for found in kinds.into_values() {
            match self.too_shallow(&found) {
                Some(words) => checks.add(&DOCKERIGNORE_TOP_LEVEL_ONLY, instruction, words),
                None => others.push(found),
            }
        }
        for rule in [&CLUTTER_COPIED, &SECRET_FILE_COPIED] {
            let of_rule: Vec<&[Found]> = others
                .iter()
                .filter(|found| found[0].rule == rule)
                .map(Vec::as_slice)
                .collect();
            if !of_rule.is_empty() {
                checks.add(rule, instruction, self.words(rule, &of_rule));
            }
        }
    }

    /// What of one source is not wanted. The source itself is: it was named.
    fn unwanted(&mut self, start: &Path, entries: &[Entry]) -> Vec<Found> {
        let named = |name: &&str| start.iter().any(|part| part.as_bytes() == name.as_bytes());
        if CLUTTER.iter().any(named) {
            return Vec::new();
        }
        let environments = virtual_environments(entries);
        let mut found = Vec::new();
        let mut inside: Option<&Path> = None;
        for entry in entries.iter().skip(1) {
            if inside.is_some_and(|directory| entry.path.starts_with(directory)) {
                continue;
            }
            let kind = if environments.contains(entry.path.as_path()) {
                let name = entry.path.file_name().unwrap_or_default();
                Some((&CLUTTER_COPIED, name.to_string_lossy().into_owned()))
            } else {
                self.kind(start, entry)
            };
            if let Some((rule, pattern)) = kind {
                inside = entry.is_directory().then_some(entry.path.as_path());
                let path = below(start, &entry.path);
                found.push(Found {
                    rule,
                    pattern,
                    path,
                });
            }
        }
        found
    }

    /// The rule that does not want `entry`, and the pattern that keeps it out at the top level.
    fn kind(&mut self, start: &Path, entry: &Entry) -> Option<(&'static Rule, String)> {
        let name = entry.path.file_name()?.to_str()?;
        if entry.is_directory() {
            let clutter = CLUTTER.contains(&name);
            return clutter.then(|| (&CLUTTER_COPIED, name.to_owned()));
        }
        if matches!(entry.kind, Kind::Special { .. }) {
            return None;
        }
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        if extension == Some("pyc") {
            return Some((&CLUTTER_COPIED, "*.pyc".to_owned()));
        }
        let of_stage = name
            .strip_prefix(".env.")
            .is_some_and(|stage| !TEMPLATES.contains(&stage));
        if SECRETS.contains(&name) || of_stage {
            return Some((&SECRET_FILE_COPIED, name.to_owned()));
        }
        let may_be_key = matches!(extension, Some("pem" | "key")) && entry.kind == Kind::File;
        if may_be_key && self.holds_private_key(&below(start, &entry.path)) {
            let pattern = format!("*.{}", extension.unwrap_or_default());
            return Some((&SECRET_FILE_COPIED, pattern));
        }
        None
    }

    fn holds_private_key(&mut self, path: &Path) -> bool {
        if self.opened >= MAX_OPENED {
            return false;
        }
        self.opened += 1;
        let Ok(fd) = self.root.open(path, OFlags::RDONLY | OFlags::NONBLOCK) else {
            return false;
        };
        let mut head = Vec::new();
        let read = std::fs::File::from(fd).take(4096).read_to_end(&mut head);
        read.is_ok() && head.windows(KEY_MARK.len()).any(|part| part == KEY_MARK)
    }

    /// The pattern is there and would have matched at the top level: the usual mistake.
    fn too_shallow(&self, found: &[Found]) -> Option<Words> {
        let file = self.ignore?;
        let first = found.first()?;
        let name = first.path.file_name()?;
        let decision = file.patterns.decision(name.as_bytes())?;
        if decision.negated {
            return None;
        }
        let (pattern, line) = (&first.pattern, decision.line);
        Some(Words {
            message: format!(
                "{} below the top level {} taken from the context ({}): line {line} of {} says {}, \
                 which matches at the top level only",
                counted(found.len(), pattern),
                if found.len() == 1 { "is" } else { "are" },
                examples(found),
                file.name,
                decision.pattern,
            ),
            help: Some(format!("write **/{pattern}")),
        })
    }

    fn words(&self, rule: &Rule, kinds: &[&[Found]]) -> Words {
        let listed: Vec<String> = kinds
            .iter()
            .map(|found| match found {
                [only] => only.path.display().to_string(),
                several => format!(
                    "{} ({})",
                    counted(several.len(), &several[0].pattern),
                    examples(several)
                ),
            })
            .collect();
        let listed = listed.join(", ");
        let message = if *rule == SECRET_FILE_COPIED {
            format!(
                "this takes {listed} from the context: whoever has the image can read what is in it"
            )
        } else {
            format!(
                "this takes {listed} from the context: it makes the image bigger, and each change \
                 in there runs the steps from here on again"
            )
        };
        let lines: Vec<String> = kinds
            .iter()
            .map(|found| format!("**/{}", found[0].pattern))
            .collect();
        let file = self
            .ignore
            .map_or("a new file .dockerignore", |file| file.name.as_str());
        Words {
            message,
            help: Some(format!("write into {file}: {}", lines.join("  "))),
        }
    }
}

/// Directories with a `pyvenv.cfg`, below the start of the walk.
fn virtual_environments(entries: &[Entry]) -> BTreeSet<&Path> {
    let marks = entries.iter().filter(|entry| {
        entry
            .path
            .file_name()
            .is_some_and(|name| name == "pyvenv.cfg")
    });
    marks
        .filter_map(|entry| entry.path.parent())
        .filter(|path| !path.as_os_str().is_empty())
        .collect()
}

/// `12 __pycache__`, or `__pycache__`.
fn counted(count: usize, pattern: &str) -> String {
    if count == 1 {
        pattern.to_owned()
    } else {
        format!("{count} {pattern}")
    }
}

/// The first of them.
fn examples(found: &[Found]) -> String {
    let first: Vec<String> = found
        .iter()
        .take(2)
        .map(|found| found.path.display().to_string())
        .collect();
    let more = if found.len() > 2 { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hoist_dockerfile::{Source as Text, ignore::Ignore, lint, parse};

    use super::*;
    use crate::{excerpt::Listing, tree::Ownership};

    const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\n";

    /// What is found about `COPY . .` in a context with these files.
    fn found(files: &[(&str, &str)], ignore: Option<&str>, dockerfile: &str) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let fd = fs::File::open(dir.path()).unwrap().into();
        let root = Root::new(fd, dir.path().to_owned(), Ownership::Root);
        let ignore = ignore.map(|text| IgnoreFile {
            bytes: text.len() as u64,
            path: ".dockerignore".into(),
            name: ".dockerignore".to_owned(),
            patterns: Ignore::parse(text).unwrap(),
        });
        let listing = Listing {
            name: "Dockerfile".to_owned(),
            source: Text::new(dockerfile),
        };
        let dockerfile = parse(dockerfile).unwrap();
        let report = lint::Report {
            findings: Vec::new(),
            options: lint::Options::default(),
        };
        let mut checks = Checks::new(&dockerfile, &listing, report);
        look(&mut checks, &root, ignore.as_ref(), None).unwrap();
        let report = checks.into_report();
        let shown = report.findings.iter().map(|finding| {
            let found = &finding.diagnostic;
            let help = found.help.as_deref().unwrap_or_default();
            format!("{}: {} [{help}]", finding.rule.name, found.message)
        });
        shown.collect()
    }

    const COPY: &str = "FROM scratch\nCOPY . /app\n";

    #[test]
    fn patterns_without_stars_miss_what_lies_deeper() {
        let files = [
            ("__pycache__/x.pyc", ""),
            ("src/__pycache__/a.pyc", ""),
            ("src/deep/__pycache__/b.pyc", ""),
            ("src/c.pyc", ""),
            (".env", ""),
        ];
        let ignore = "# caches\n__pycache__/\n*.pyc\n.env\n";
        insta::assert_snapshot!(found(&files, Some(ignore), COPY).join("\n"), @"
        DockerignoreTopLevelOnly: *.pyc below the top level is taken from the context (src/c.pyc): line 3 of .dockerignore says *.pyc, which matches at the top level only [write **/*.pyc]
        DockerignoreTopLevelOnly: 2 __pycache__ below the top level are taken from the context (src/__pycache__, src/deep/__pycache__): line 2 of .dockerignore says __pycache__/, which matches at the top level only [write **/__pycache__]
        ");
        let ignore = "**/__pycache__\n**/*.pyc\n**/.env\n";
        assert_eq!(found(&files, Some(ignore), COPY), [""; 0]);
    }

    #[test]
    fn clutter_and_secrets_are_named() {
        let files = [
            (".git/HEAD", ""),
            ("env/pyvenv.cfg", ""),
            ("env/bin/python", ""),
            ("env/lib/__pycache__/x.pyc", ""),
            ("web/node_modules/a/node_modules/b.js", ""),
            (".env", "A=1"),
            (".env.example", "A="),
            ("tls/server.pem", KEY),
            ("tls/ca.pem", "-----BEGIN CERTIFICATE-----\n"),
            ("main.py", ""),
        ];
        insta::assert_snapshot!(found(&files, None, COPY).join("\n"), @"
        ClutterCopied: this takes .git, env, web/node_modules from the context: it makes the image bigger, and each change in there runs the steps from here on again [write into a new file .dockerignore: **/.git  **/env  **/node_modules]
        SecretFileCopied: this takes tls/server.pem, .env from the context: whoever has the image can read what is in it [write into a new file .dockerignore: **/*.pem  **/.env]
        ");
    }

    #[test]
    fn what_is_named_is_wanted_and_said_once() {
        let files = [(".env", ""), ("node_modules/a/node_modules/b", "")];
        let named = "FROM scratch\nCOPY .env /\nCOPY node_modules /node_modules\nCOPY $X /\n";
        assert_eq!(found(&files, None, named), [""; 0]);
        let twice = "FROM scratch\nCOPY . /a\nCOPY . /b\n";
        assert_eq!(found(&files, None, twice).len(), 2);
        let skipped = "FROM scratch\n# check=skip=ClutterCopied,SecretFileCopied\nCOPY . /a\n";
        assert_eq!(found(&files, None, skipped), [""; 0]);
        let excluded = "FROM scratch\nCOPY --exclude=.env --exclude=node_modules . /a\n";
        assert_eq!(found(&files, None, excluded), [""; 0]);
    }
}
