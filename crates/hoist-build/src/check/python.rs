//! Where Python would find a module in an image, as far as its files tell.
//!
//! The search path of CPython on Linux is followed: the working directory, `PYTHONPATH`, the
//! standard library, `site-packages` (Debian's `dist-packages`), the user's own, and what `.pth`
//! files add. Where that cannot be followed (editable installs, a library in an archive), nothing is
//! said.

use std::path::{Path, PathBuf};

use super::view::{Closed, View, relative};

/// Modules that a build of CPython may have compiled in, so that no file shows them.
const BUILT_IN: [&str; 28] = [
    "array",
    "atexit",
    "audioop",
    "binascii",
    "builtins",
    "cmath",
    "crypt",
    "errno",
    "faulthandler",
    "fcntl",
    "gc",
    "grp",
    "itertools",
    "marshal",
    "math",
    "mmap",
    "nis",
    "posix",
    "pwd",
    "readline",
    "resource",
    "select",
    "spwd",
    "syslog",
    "termios",
    "time",
    "unicodedata",
    "zlib",
];

/// What becomes of `import NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Module {
    /// It works, or nothing can be said against it.
    Fine,
    /// It lies in this directory of the search path, and the user may not read that.
    Closed(PathBuf, Closed),
    /// It is not on the search path, but lies in this directory.
    Elsewhere(PathBuf),
    Missing,
}

/// A Python of the image.
pub(super) struct Python<'a> {
    view: &'a View<'a>,
    /// Every directory that `import` looks into, below the root.
    search: Vec<PathBuf>,
    /// `python3.11`.
    version: String,
    /// The search path is known to its end.
    is_complete: bool,
}

impl<'a> Python<'a> {
    /// The Python that runs as `program`; `None` when it is no Python, or of an unknown kind.
    pub(super) fn of(view: &'a View<'a>, program: &Path) -> Option<Self> {
        let name = program.file_name()?.to_str()?;
        if !name.starts_with("python") {
            return None;
        }
        let (real, _) = view.find(program)?;
        let environment = program.parent()?.parent()?;
        let is_virtual = view.has(&environment.join("pyvenv.cfg"));
        let base = real.parent()?.parent()?;
        let version = version(view, &real, base)?;
        let library = base.join("lib").join(&version);
        let archive = format!("{}.zip", version.replace('.', ""));
        if !view.has(&library) || view.has(&base.join("lib").join(archive)) {
            return None;
        }
        let mut python = Self {
            view,
            search: Vec::new(),
            version,
            is_complete: true,
        };
        python.search.push(view.working_directory());
        let path = view.variable("PYTHONPATH").unwrap_or_default();
        let given = path.split(':').filter(|path| !path.is_empty());
        python.search.extend(given.map(relative));
        python.search.push(library.join("lib-dynload"));
        python.search.push(library);
        for directory in python.sites(environment, base, is_virtual) {
            python.add_site(directory);
        }
        Some(python)
    }

    /// The directories of installed packages.
    fn sites(&self, environment: &Path, base: &Path, is_virtual: bool) -> Vec<PathBuf> {
        let packages = |prefix: &Path| prefix.join("lib").join(&self.version).join("site-packages");
        if is_virtual {
            let mut sites = vec![packages(environment)];
            let settings = self.view.text(&environment.join("pyvenv.cfg"));
            let shares = settings.is_some_and(|text| {
                let mut lines = text.lines();
                lines.any(|line| {
                    line.contains("include-system-site-packages") && line.contains("true")
                })
            });
            if shares {
                sites.push(packages(base));
            }
            return sites;
        }
        vec![
            packages(&self.view.home().join(".local")),
            packages(base),
            PathBuf::from("usr/local/lib")
                .join(&self.version)
                .join("dist-packages"),
            PathBuf::from("usr/lib/python3/dist-packages"),
        ]
    }

    fn add_site(&mut self, directory: PathBuf) {
        for name in self.view.names(&directory) {
            if !name.ends_with(".pth") {
                continue;
            }
            // Finders of editable installs are programs.
            self.is_complete &= !name.starts_with("__editable__");
            let text = self.view.text(&directory.join(&name)).unwrap_or_default();
            let lines = text.lines().map(str::trim);
            let paths = lines.filter(|line| {
                !line.is_empty() && !line.starts_with('#') && !line.starts_with("import ")
            });
            for path in paths {
                let path = directory.join(path);
                self.search.push(relative(&path.to_string_lossy()));
            }
        }
        self.search.push(directory);
    }

    /// What becomes of importing `module`.
    pub(super) fn import(&self, module: &str) -> Module {
        let name = module.split('.').next().unwrap_or(module);
        if name.is_empty() || name.starts_with('_') || BUILT_IN.contains(&name) || name == "sys" {
            return Module::Fine;
        }
        let mut closed = None;
        for directory in &self.search {
            let Some(file) = self.holds(directory, name) else {
                continue;
            };
            let real = self.view.find(&file).map(|(real, _)| real);
            match real.and_then(|real| self.view.closed(&real)) {
                None => return Module::Fine,
                Some(found) => closed = Some(Module::Closed(directory.clone(), found)),
            }
        }
        if let Some(closed) = closed {
            return closed;
        }
        if !self.is_complete {
            return Module::Fine;
        }
        match self.elsewhere(name) {
            Some(directory) => Module::Elsewhere(directory),
            None => Module::Missing,
        }
    }

    /// The file or directory of the module `name` in `directory`.
    fn holds(&self, directory: &Path, name: &str) -> Option<PathBuf> {
        for candidate in [name.to_owned(), format!("{name}.py")] {
            let path = directory.join(candidate);
            if self.view.has(&path) {
                return Some(path);
            }
        }
        let extension = format!("{name}.");
        let names = self.view.names(directory);
        let library = names
            .into_iter()
            .find(|file| file.starts_with(&extension) && file.ends_with(".so"));
        library.map(|file| directory.join(file))
    }

    /// A directory of packages that has the module and is not on the search path.
    fn elsewhere(&self, name: &str) -> Option<PathBuf> {
        let mut prefixes: Vec<PathBuf> = ["usr/local", "usr", "root/.local", "venv", ".venv"]
            .iter()
            .map(PathBuf::from)
            .collect();
        for parent in ["opt", "home", "app", "srv"] {
            for child in self.view.names(Path::new(parent)) {
                let child = Path::new(parent).join(child);
                prefixes.push(child.join(".local"));
                prefixes.push(child);
            }
        }
        for prefix in prefixes {
            let library = prefix.join("lib");
            let versions = self.view.names(&library);
            for version in versions.iter().filter(|name| name.starts_with("python3")) {
                for packages in ["site-packages", "dist-packages"] {
                    let directory = library.join(version).join(packages);
                    if !self.search.contains(&directory) && self.holds(&directory, name).is_some() {
                        return Some(directory);
                    }
                }
            }
        }
        None
    }
}

/// `python3.11`: what the interpreter is called, or the only library that there is.
fn version(view: &View<'_>, interpreter: &Path, base: &Path) -> Option<String> {
    let name = interpreter.file_name()?.to_str()?;
    if name.starts_with("python3.") {
        return Some(name.to_owned());
    }
    let names = view.names(&base.join("lib"));
    let mut versions = names
        .into_iter()
        .filter(|name| name.starts_with("python3."));
    let only = versions.next()?;
    versions.next().is_none().then_some(only)
}

/// The modules that a program given with `-c` imports, by their first names.
pub(super) fn imports(program: &str) -> Vec<String> {
    let mut found = Vec::new();
    for statement in program.split([';', '\n']) {
        // What is tried may fail.
        if statement.trim_start().starts_with("try:") {
            return Vec::new();
        }
        let statement = statement.trim();
        if let Some(names) = statement.strip_prefix("import ") {
            found.extend(names.split(',').filter_map(first_name));
        } else if let Some(rest) = statement.strip_prefix("from ") {
            found.extend(first_name(rest));
        }
    }
    found
}

/// `urllib` of `urllib.request as u`.
fn first_name(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let name = word.split('.').next()?;
    let is_name = |name: &str| name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (!name.is_empty() && is_name(name)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::imports;

    #[test]
    fn imports_of_a_program_are_found() {
        let table = [
            ("import requests; requests.get('x')", vec!["requests"]),
            (
                "import urllib.request as u, sys\nfrom a.b import c",
                vec!["urllib", "sys", "a"],
            ),
            ("from .x import y", vec![]),
            ("print('import x')", vec![]),
            ("try: import x", vec![]),
        ];
        for (program, expected) in table {
            assert_eq!(imports(program), expected, "{program}");
        }
    }
}
