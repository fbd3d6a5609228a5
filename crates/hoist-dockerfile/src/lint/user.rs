//! Who the container runs as: RunsAsRoot, UserCannotRead.

use super::{Checker, Note, Rule};
use crate::dockerfile::Stage;
use crate::source::{Span, Spanned};

pub(super) const RUNS_AS_ROOT: Rule = Rule::hoist(
    "RunsAsRoot",
    "The last USER of the image should not be root",
);
/// `UserCannotRead`: also decided by the built image, where there is one.
pub const USER_CANNOT_READ: Rule = Rule::hoist(
    "UserCannotRead",
    "What the container needs should not lie in /root when USER is not root",
);

/// What a stage has seen so far of users and of root's home.
#[derive(Debug, Clone, Default)]
pub(super) struct Users {
    /// The last USER, expanded, with the place of its instruction in this file if it has one.
    pub(super) user: Option<Spanned<String>>,
    /// Something was put below /root: the path, and where.
    pub(super) in_root_home: Option<Spanned<String>>,
    /// PATH names a directory below /root: where that was set.
    pub(super) root_on_path: Option<Span>,
}

/// Whether `user` is root.
fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or_default();
    matches!(name, "" | "root" | "0")
}

/// Looks at the stage that becomes the image. `base` is the image it goes back to.
pub(super) fn check(checker: &mut Checker<'_>, stage: &Stage, users: &Users, base: &str) {
    let user = users.user.as_ref().map_or("", |user| user.as_str());
    if !is_root(user) {
        check_home(checker, stage, users);
        return;
    }
    if base.contains("nonroot") || base.contains("rootless") || base.contains("unprivileged") {
        return;
    }
    let (span, message) = match &users.user {
        Some(user) if !user.is_empty() => (
            user.span,
            "the container runs as root: this is the last USER",
        ),
        _ => (
            stage.keyword.span.to(stage.base_span),
            "the container runs as root: there is no USER",
        ),
    };
    checker.report(
        &stage.comments,
        Note::new(&RUNS_AS_ROOT, span, message)
            .help("RUN useradd -m -u 1000 app, and USER app before CMD"),
    );
}

fn check_home(checker: &mut Checker<'_>, stage: &Stage, users: &Users) {
    let (Some(user), Some(path)) = (&users.user, &users.in_root_home) else {
        return;
    };
    let put = checker.line(path.span);
    let on_path = users
        .root_on_path
        .map(|span| format!(", and PATH names it (line {})", checker.line(span)))
        .unwrap_or_default();
    let message = format!(
        "{user} cannot read {path}: /root is closed to everyone but root. It was put there in \
         line {put}{on_path}"
    );
    checker.report(
        &stage.comments,
        Note::new(&USER_CANNOT_READ, user.span, message).help(
            "install into a virtual environment such as /opt/venv and copy that, or give the user \
             its own copy with COPY --chown",
        ),
    );
}
