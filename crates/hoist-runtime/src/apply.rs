//! Carrying out a plan, in the process that will become the container.
//!
//! A dull loop over the steps. Descriptors that are needed no more are not closed one by one: all
//! are close-on-exec, and `execve` closes them in one go.

mod devices;
mod execute;
mod init;
mod mounts;
mod process;
mod root;
mod terminal;

use std::{
    ffi::CString,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use hoist_sys::{clone::Namespaces, process::Arguments, seccomp::Instruction};

use crate::{
    cgroup::Cgroup,
    plan::{Plan, Step},
    report::{Failure, Reporter},
};

type Result<T> = std::result::Result<T, Failure>;

/// What was made ready before the process existed.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    /// The steps.
    pub(crate) plan: &'a Plan,
    /// Standard input, output and error, if given.
    pub(crate) stdio: Option<[OwnedFd; 3]>,
    /// The cgroups.
    pub(crate) cgroup: Option<&'a Cgroup>,
    /// Arguments and environment.
    pub(crate) arguments: &'a Arguments,
    /// The paths at which to look for the command.
    pub(crate) candidates: &'a [CString],
    /// The system-call filter.
    pub(crate) filter: &'a [Instruction],
    /// The user, who will own the terminal.
    pub(crate) owner: u32,
    /// Root of a user namespace.
    pub(crate) rootless: bool,
    /// The container to join, for a further process.
    pub(crate) target: Option<Joined<'a>>,
}

/// A running container, for a further process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined<'a> {
    /// Its first process.
    pub(crate) pidfd: BorrowedFd<'a>,
    /// Which of its namespaces to join.
    pub(crate) namespaces: Namespaces,
}

/// The state between steps.
struct Context<'a> {
    prepared: Prepared<'a>,
    reporter: Reporter,
    /// The root of the container, once it is mounted.
    root: Option<OwnedFd>,
    /// Held sources of bind mounts.
    sources: Vec<OwnedFd>,
    /// A procfs of this PID namespace, mounted by us, hence the real one.
    procfs: Option<OwnedFd>,
    /// The host's `/dev/null` and an empty read-only directory, for masks.
    null: Option<OwnedFd>,
    empty: Option<OwnedFd>,
    /// The directory in which the last device was made.
    last_parent: Option<(std::path::PathBuf, OwnedFd)>,
    /// Kept open until `execve`.
    kept: Vec<OwnedFd>,
    /// Whether hoist stays as init.
    init: bool,
    /// Whether to check for a parent that is gone.
    bound_to_parent: bool,
}

impl Context<'_> {
    fn root(&self) -> Result<BorrowedFd<'_>> {
        self.root
            .as_ref()
            .map(AsFd::as_fd)
            .ok_or_else(|| io::Error::other("no root").into())
    }

    /// Keeps a descriptor open until `execve`.
    fn keep(&mut self, descriptor: OwnedFd) {
        self.kept.push(descriptor);
    }
}

/// Runs the plan; returns the exit code of a process that failed (or of init).
pub(crate) fn run(prepared: Prepared<'_>, reporter: Reporter) -> i32 {
    let plan = prepared.plan;
    let mut context = Context {
        prepared,
        reporter,
        root: None,
        sources: Vec::new(),
        procfs: None,
        null: None,
        empty: None,
        last_parent: None,
        kept: Vec::new(),
        init: false,
        bound_to_parent: false,
    };
    for step in &plan.steps {
        if let Err(mut failure) = apply(&mut context, step) {
            if failure.step.is_empty() {
                failure.step = step.to_string();
            }
            context.reporter.failed(&failure);
            return 125;
        }
    }
    125
}

fn apply(context: &mut Context<'_>, step: &Step) -> Result<()> {
    match step {
        Step::DieWithParent => process::die_with_parent(context),
        Step::Stdio => process::take_stdio(context),
        Step::NewSession => process::new_session(),
        Step::JoinCgroups => process::join_cgroups(context),
        Step::NewCgroupNamespace => process::new_cgroup_namespace(),
        Step::JoinNamespace(namespace) => process::join_namespace(namespace),
        Step::JoinContainer => process::join_container(context),
        Step::Loopback => Ok(hoist_sys::loopback::up()?),
        Step::Hostname(name) => Ok(rustix::system::sethostname(name.as_bytes())?),
        Step::OpenSource {
            source,
            destination,
            recursive,
        } => mounts::open_source(context, source, destination, *recursive),
        Step::IsolateMounts => root::isolate(),
        Step::MountRoot(rootfs) => root::mount(context, rootfs),
        Step::MountFilesystem(filesystem) => mounts::filesystem(context, filesystem),
        Step::MountSource(bind) => mounts::source(context, bind),
        Step::MountCgroups {
            destination,
            attributes,
        } => mounts::cgroups(context, destination, *attributes),
        Step::Device { device, bind } => devices::device(context, device, *bind),
        Step::Link { target, path } => devices::link(context, target, path),
        Step::Sysctl { name, value } => process::sysctl(context, name, value),
        Step::Mask(path) => mounts::mask(context, path),
        Step::ReadOnly(path) => mounts::read_only(context, path),
        Step::MakeWorkingDirectory(path) => root::make_working_directory(context, path),
        Step::Terminal { size, console } => terminal::open(context, *size, *console),
        Step::ReadOnlyRoot => root::make_read_only(context),
        Step::PivotRoot(propagation) => root::pivot(context, *propagation),
        Step::NewKeyring => Ok(hoist_sys::process::new_session_keyring()?),
        Step::OomScore(score) => process::oom_score(context, *score),
        Step::Rlimit(limit) => process::rlimit(limit),
        Step::Seccomp(_) => Ok(hoist_sys::seccomp::load(context.prepared.filter)?),
        Step::Bounding(set) => Ok(hoist_sys::capability::limit_bounding_set(*set)?),
        Step::User(user) => process::become_user(context, user),
        Step::Capabilities {
            effective,
            permitted,
            inheritable,
            ambient,
        } => process::capabilities(*effective, *permitted, *inheritable, *ambient),
        Step::NoNewPrivileges => Ok(rustix::thread::set_no_new_privs(true)?),
        Step::WorkingDirectory(path) => process::enter_directory(path),
        Step::AwaitStart => execute::await_start(context),
        Step::Init => {
            context.init = true;
            Ok(())
        }
        Step::Execute(arguments) => execute::execute(context, arguments),
    }
}
