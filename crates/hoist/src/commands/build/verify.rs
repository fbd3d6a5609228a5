//! `build --verify`: builds again, and says what came out differently.

use std::{process::ExitCode, sync::atomic::AtomicBool};

use hoist_build::{
    BuildRequest, Built, Change, ConfigDifference, Difference, StepDifference, Verification,
};
use hoist_core::time::Timestamp;
use hoist_engine::Engine;

use crate::{
    error::CliError,
    format::counted,
    ui::{
        self,
        progress::{Progress, Style},
    },
};

/// Build `request` a second time and compare with what it gave first. The exit code is 1 when that
/// is another image.
pub(super) fn verify(
    engine: &Engine,
    request: &BuildRequest,
    built: &Built,
    style: Style,
    cancelled: &AtomicBool,
) -> Result<ExitCode, CliError> {
    let progress = Progress::new(style);
    let verified = hoist_build::verify(
        engine,
        request,
        built,
        &|event| progress.event(&event),
        cancelled,
    );
    drop(progress);
    let verified = verified.map_err(|error| super::explain(&error, style))?;
    ui::error(&text(&verified));
    Ok(ExitCode::from(u8::from(!verified.is_equal())))
}

fn text(verified: &Verification) -> String {
    if verified.is_equal() {
        return format!("verify: both builds gave {}\n", verified.first);
    }
    let paths: usize = verified
        .steps
        .iter()
        .map(|step| step.differences.len())
        .sum();
    let mut text = format!(
        "verify: the second build differs in {} of {} and {} of the configuration\n",
        counted(paths, "path"),
        counted(verified.steps.len(), "step"),
        counted(verified.config.len(), "field"),
    );
    for StepDifference {
        stage,
        instruction,
        differences,
    } in &verified.steps
    {
        text.push_str(&format!("[{stage}] {}\n", one_line(instruction)));
        for Difference { path, changes } in differences {
            let changes: Vec<String> = changes.iter().map(described).collect();
            text.push_str(&format!(
                "  {}: {}\n",
                one_line(&path.display().to_string()),
                changes.join(", ")
            ));
        }
    }
    if !verified.config.is_empty() {
        text.push_str("configuration\n");
    }
    for ConfigDifference {
        field,
        first,
        second,
    } in &verified.config
    {
        text.push_str(&format!("  {field}: {first} and {second}\n"));
    }
    text
}

/// `text` without characters that would write over other lines.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

fn described(change: &Change) -> String {
    let time = |seconds: i64| Timestamp::from_seconds(seconds).to_string();
    match change {
        Change::OnlyFirst => "only in the first build".to_owned(),
        Change::OnlySecond => "only in the second build".to_owned(),
        Change::Kind => "another kind of file".to_owned(),
        Change::Content => "content".to_owned(),
        Change::Mode => "mode".to_owned(),
        Change::Owner => "owner".to_owned(),
        Change::Time(first, second) => format!("time {} and {}", time(*first), time(*second)),
        Change::Attributes => "extended attributes".to_owned(),
        Change::Links => "hard links".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use hoist_core::Digest;

    use super::*;

    #[test]
    fn a_report_names_steps_paths_and_fields() {
        let difference = |path: &str, changes: &[Change]| Difference {
            path: path.into(),
            changes: changes.to_vec(),
        };
        let verified = Verification {
            first: Digest::of(b"1"),
            second: Digest::of(b"2"),
            steps: vec![
                StepDifference {
                    stage: "builder".to_owned(),
                    instruction: "RUN date > /x".to_owned(),
                    differences: vec![difference(
                        "/x",
                        &[Change::Content, Change::Time(0, 1_700_000_000)],
                    )],
                },
                StepDifference {
                    stage: "stage-1".to_owned(),
                    instruction: "COPY --from=builder /x /a\nb".to_owned(),
                    differences: vec![
                        difference("/a\nb", &[Change::OnlyFirst]),
                        difference(
                            "/c",
                            &[
                                Change::Mode,
                                Change::Owner,
                                Change::Attributes,
                                Change::Links,
                            ],
                        ),
                        difference("/d", &[Change::Kind]),
                        difference("/e", &[Change::OnlySecond]),
                    ],
                },
            ],
            config: vec![ConfigDifference {
                field: "created".to_owned(),
                first: "\"a\"".to_owned(),
                second: "null".to_owned(),
            }],
        };
        insta::assert_snapshot!(text(&verified), @r#"
        verify: the second build differs in 5 paths of 2 steps and 1 field of the configuration
        [builder] RUN date > /x
          /x: content, time 1970-01-01T00:00:00Z and 2023-11-14T22:13:20Z
        [stage-1] COPY --from=builder /x /a?b
          /a?b: only in the first build
          /c: mode, owner, extended attributes, hard links
          /d: another kind of file
          /e: only in the second build
        configuration
          created: "a" and null
        "#);
        let equal = Verification {
            second: verified.first,
            steps: Vec::new(),
            config: Vec::new(),
            ..verified
        };
        insta::assert_snapshot!(text(&equal), @"verify: both builds gave sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b");
    }
}
