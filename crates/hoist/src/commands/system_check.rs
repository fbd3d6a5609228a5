//! `system check`: is everything in the data root what it should be?

use std::process::ExitCode;

use hoist_core::{Describe as _, Digest, Reference, units};
use hoist_engine::{Engine, EngineError};
use hoist_store::{CheckReport, CheckStep, Depth, Finding, Mode, Outcome, Remedy, check_format};
use serde_json::{Value, json};

use crate::{
    args::store::SystemCheckFlags,
    cli::Call,
    error::{CliError, Failure},
    format, settings,
    ui::{self, terminal},
};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "
  Verify every byte of every image:
    hoist system check

  Mend what can be mended, and say what must be pulled or built again:
    hoist system check --repair
";

/// `system check [OPTIONS]`.
pub(crate) fn check(
    _: &Call<'_>,
    flags: &SystemCheckFlags,
    _: &[String],
) -> Result<ExitCode, CliError> {
    let mode = if flags.repair {
        Mode::Repair
    } else {
        Mode::Look
    };
    let depth = if flags.quick {
        Depth::Structure
    } else {
        Depth::Content
    };
    let settings = settings::engine()?;
    if settings.rootless {
        hoist_engine::rootless::enter()?;
    }
    let format = check_format(&settings.root, mode).map_err(EngineError::from)?;
    let (engine, report) = match format {
        // Nothing else can be looked at while that is so.
        Some(finding) if !finding.is_settled() => {
            let report = CheckReport {
                findings: vec![finding],
                ..CheckReport::default()
            };
            (None, report)
        }
        format => {
            let engine = Engine::open(settings)?;
            let mut line = Line::new();
            let mut report = engine.check_root(depth, mode, &mut |step| line.show(step))?;
            drop(line);
            report.findings.splice(0..0, format);
            (Some(engine), report)
        }
    };
    let names = Names(engine.as_ref());
    if flags.format.is_some() {
        ui::line(&format::indented(&document(&report, &names)))?;
    } else {
        let found = report.findings.iter();
        ui::out(
            &found
                .map(|finding| text(finding, &names))
                .collect::<String>(),
        )?;
        ui::out(&summary(&report, flags))?;
    }
    Ok(if report.findings.iter().all(Finding::is_settled) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The line on a terminal that says how far the check is.
struct Line(bool);

impl Line {
    fn new() -> Self {
        Self(terminal::stderr_is_terminal() && !settings::dumb_terminal())
    }

    fn show(&mut self, step: CheckStep) {
        if self.0 {
            ui::error(&format!(
                "\r\x1b[KChecking {} {} of {} ({} read)",
                step.part.as_str(),
                step.number,
                step.total,
                units::human_size(step.bytes)
            ));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.0 {
            ui::error("\r\x1b[K");
        }
    }
}

/// What images are called, as far as the names can be read.
struct Names<'a>(Option<&'a Engine>);

impl Names<'_> {
    fn of(&self, id: &Digest) -> Vec<Reference> {
        self.0
            .and_then(|engine| engine.store().references(id).ok())
            .unwrap_or_default()
    }

    fn shown(&self, id: &Digest) -> String {
        let names = self.of(id);
        if names.is_empty() {
            return id.short();
        }
        let names: Vec<String> = names.iter().map(Reference::familiar).collect();
        names.join(", ")
    }

    /// What brings the images of a finding again.
    fn fetches(&self, finding: &Finding) -> Vec<String> {
        let mut ways = Vec::new();
        for id in &finding.images {
            for name in self.of(id) {
                let known = self
                    .0
                    .and_then(|engine| engine.store().registry_digest(&name).ok().flatten());
                let name = name.familiar();
                ways.push(match known {
                    Some(_) => format!("hoist pull {name}"),
                    None => format!("build, load or import {name} again"),
                });
            }
        }
        if ways.is_empty() {
            ways.push(match finding.part {
                hoist_store::Part::Name => {
                    format!("hoist pull {0}, or hoist tag IMAGE {0}", finding.id)
                }
                _ => "pull, build, load or import what needs it again".to_owned(),
            });
        }
        ways.dedup();
        ways
    }
}

fn text(finding: &Finding, names: &Names<'_>) -> String {
    let mut text = format!(
        "{} {}: {}\n  at {}\n",
        finding.part.as_str(),
        finding.id,
        finding.problem,
        finding.path.display()
    );
    if !finding.images.is_empty() {
        let shown: Vec<String> = finding.images.iter().map(|id| names.shown(id)).collect();
        text.push_str(&format!("  images: {}\n", shown.join(", ")));
    }
    if !finding.containers.is_empty() {
        text.push_str(&format!(
            "  containers: {}\n",
            finding.containers.join(", ")
        ));
    }
    for line in advice(finding, names) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// What was done, and what is to be done.
fn advice(finding: &Finding, names: &Names<'_>) -> Vec<String> {
    let fetch = || {
        let ways = names.fetches(finding);
        format!("to mend it: {}", ways.join("; "))
    };
    let mut lines = match &finding.outcome {
        Outcome::Mended => return vec!["mended".to_owned()],
        Outcome::Failed(reason) => vec![format!("could not be mended: {reason}")],
        Outcome::SetAside(place) => vec![format!("set aside: {}", place.display())],
        Outcome::Open | Outcome::Missing => Vec::new(),
    };
    let is_open = finding.outcome == Outcome::Open;
    match finding.remedy {
        Remedy::Mend if is_open => lines.push(
            "to mend it: hoist system check --repair makes it again from what is here".to_owned(),
        ),
        Remedy::SetAside if is_open => lines.push(
            "to mend it: hoist system check --repair sets it aside; nothing else needs it"
                .to_owned(),
        ),
        Remedy::Fetch if is_open => {
            lines.push("to mend it: hoist system check --repair, then".to_owned());
            lines.extend(
                names
                    .fetches(finding)
                    .into_iter()
                    .map(|way| format!("  {way}")),
            );
        }
        Remedy::Fetch => lines.push(fetch()),
        Remedy::ByHand => lines.push("only you can say what is right here".to_owned()),
        Remedy::Mend | Remedy::SetAside => {}
    }
    lines
}

fn summary(report: &CheckReport, flags: &SystemCheckFlags) -> String {
    let mut text = format!(
        "Checked {} layers, {} blobs, {} images and {} names ({} read)",
        report.layers,
        report.blobs,
        report.images,
        report.names,
        units::human_size(report.bytes)
    );
    let open = report
        .findings
        .iter()
        .filter(|finding| !finding.is_settled());
    text.push_str(&match (report.findings.len(), open.count()) {
        (0, _) if flags.quick => ": nothing is missing\n".to_owned(),
        (0, _) => ": everything is as it should be\n".to_owned(),
        (found, 0) => format!(": {found} found, all mended\n"),
        (found, open) if flags.repair => format!(": {found} found, {open} not mended yet\n"),
        (found, _) => format!(": {found} found\n"),
    });
    if report.downloads > 0 {
        text.push_str(&format!(
            "Interrupted pulls have left {}, with which the next pull goes on\n",
            units::human_size(report.downloads)
        ));
    }
    let aside = |finding: &Finding| matches!(finding.outcome, Outcome::SetAside(_));
    if report.findings.iter().any(aside) {
        text.push_str("hoist system prune deletes what was set aside\n");
    }
    text
}

fn document(report: &CheckReport, names: &Names<'_>) -> Value {
    let findings = report.findings.iter().map(|finding| {
        let images = finding.images.iter().map(|id| {
            let names: Vec<String> = names.of(id).iter().map(Reference::familiar).collect();
            json!({ "Id": id, "Names": names })
        });
        let (outcome, detail) = match &finding.outcome {
            Outcome::Open => ("open", Value::Null),
            Outcome::Mended => ("mended", Value::Null),
            Outcome::SetAside(place) => ("set-aside", json!(place)),
            Outcome::Missing => ("missing", Value::Null),
            Outcome::Failed(reason) => ("failed", json!(reason)),
        };
        json!({
            "Part": finding.part.as_str(),
            "Id": finding.id,
            "Path": finding.path,
            "Problem": finding.problem,
            "Images": images.collect::<Vec<_>>(),
            "Containers": finding.containers,
            "Remedy": match finding.remedy {
                Remedy::Mend => "repair",
                Remedy::SetAside => "set-aside",
                Remedy::Fetch => "fetch",
                Remedy::ByHand => "by-hand",
            },
            "Outcome": outcome,
            "Detail": detail,
            "Settled": finding.is_settled(),
        })
    });
    json!({
        "Layers": report.layers,
        "Blobs": report.blobs,
        "Images": report.images,
        "Names": report.names,
        "Bytes": report.bytes,
        "Downloads": report.downloads,
        "Sound": report.findings.iter().all(Finding::is_settled),
        "Findings": findings.collect::<Vec<_>>(),
    })
}

/// A container that a list passes over, in words.
pub(super) fn damaged(damaged: &hoist_engine::container::DamagedContainer) -> String {
    let mut failure = Failure::from_error(&damaged.error);
    failure.message = format!("container {}: {}", damaged.id.short(), failure.message);
    failure.hints = damaged.error.hints();
    failure.text("Warning")
}
