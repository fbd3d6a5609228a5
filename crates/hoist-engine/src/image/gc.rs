//! Images that go by themselves: by age and by size, except those that a policy names.
//!
//! Only what nothing stands on can go: never the image of a container, whatever its state, and never
//! a volume. Without a policy of the user's, nameless images go that were not used for 30 days;
//! images with a name stay.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use hoist_core::{Digest, duration, pattern, units};
use hoist_store::{ImageSummary, Removal};
use serde::Deserialize;

use super::Uses;
use crate::{
    error::EngineError,
    root::Engine,
    system::{Planned, PlannedKind, Verdict, clock},
};

/// The file of the policy, below the data root.
const FILE: &str = "gc.json";

/// Nameless images that were not used for so long go.
const DANGLING_AGE: Duration = Duration::from_hours(30 * 24);

/// Which images go by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GcPolicy {
    /// Nameless images that were not used for so long go; `None`: none for their age.
    pub dangling_max_age: Option<Duration>,
    /// Images with a name that were not used for so long go; `None`: none for their age.
    pub max_age: Option<Duration>,
    /// When all images together are larger, those that were not used for the longest time go first.
    /// In bytes.
    pub max_bytes: Option<u64>,
    /// Patterns of names; an image with a name that fits one stays.
    pub keep: Vec<String>,
}

impl Default for GcPolicy {
    fn default() -> Self {
        Self {
            dangling_max_age: Some(DANGLING_AGE),
            max_age: None,
            max_bytes: None,
            keep: Vec::new(),
        }
    }
}

/// `gc.json`, as users write it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct Written {
    dangling_max_age: Option<String>,
    max_age: Option<String>,
    max_size: Option<String>,
    keep: Vec<String>,
}

/// What a collection does, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Every image with its fate, those that go first.
    pub planned: Vec<Planned>,
    /// Names and images that were removed.
    pub removed: Vec<Removal>,
    /// Bytes that were, or would be, freed.
    pub space: u64,
}

impl Engine {
    /// The policy of this data root: that of `gc.json`, or the default one.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] when the file is no policy, with the place and the reason.
    pub fn gc_policy(&self) -> Result<GcPolicy, EngineError> {
        let path = self.gc_policy_file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(GcPolicy::default());
            }
            Err(error) => return Err(EngineError::file("read", path)(error)),
        };
        parse(&text).map_err(|reason| EngineError::Invalid {
            message: format!("{} is no policy: {reason}", path.display()),
            hint: Some(
                r#"write: {"danglingMaxAge": "30d", "maxAge": "90d", "maxSize": "50GB", "keep": ["python:*"]}"#
                    .to_owned(),
            ),
        })
    }

    /// Where the policy lies.
    #[must_use]
    pub fn gc_policy_file(&self) -> PathBuf {
        self.settings().root.join(FILE)
    }

    /// What a collection by `policy` would remove, and why everything else stays.
    ///
    /// # Errors
    /// When the images or their users cannot be read.
    pub fn plan_gc(
        &self,
        policy: &GcPolicy,
        kept_layers: &[Digest],
    ) -> Result<GcReport, EngineError> {
        let images = self.store().images()?;
        let uses = self.uses()?;
        let verdicts = verdicts(&images, policy, &uses, &self.sizes(kept_layers)?, clock());
        let gone: Vec<Digest> = verdicts
            .iter()
            .filter(|(_, verdict)| verdict.goes())
            .map(|(id, _)| *id)
            .collect();
        let mut planned: Vec<Planned> = images
            .iter()
            .filter_map(|image| {
                let verdict = verdicts.get(&image.id)?.clone();
                Some(self.planned_image(image, verdict))
            })
            .collect();
        planned.sort_by_key(|planned| !planned.verdict.goes());
        Ok(GcReport {
            space: self.bytes_freed(&gone, kept_layers)?,
            planned,
            removed: Vec::new(),
        })
    }

    /// Remove what `policy` says. `kept_layers` stay: the build cache holds them.
    ///
    /// # Errors
    /// As [`plan_gc`](Self::plan_gc), and when something cannot be removed.
    pub fn collect_images(
        &self,
        policy: &GcPolicy,
        kept_layers: &[Digest],
    ) -> Result<GcReport, EngineError> {
        let mut report = self.plan_gc(policy, kept_layers)?;
        let gone = report
            .planned
            .iter()
            .filter(|planned| planned.verdict.goes());
        for planned in gone {
            report
                .removed
                .extend(self.remove_unused(&planned.id, kept_layers)?);
        }
        Ok(report)
    }

    /// The layers that count for the size of all images, with their bytes.
    fn sizes(&self, kept_layers: &[Digest]) -> Result<Vec<(u64, Vec<Digest>)>, EngineError> {
        let layers = self.store().usage()?.layers.into_iter();
        Ok(layers
            .filter(|layer| !layer.images.is_empty() && !kept_layers.contains(&layer.diff_id))
            .map(|layer| (layer.size, layer.images))
            .collect())
    }
}

fn parse(text: &str) -> Result<GcPolicy, String> {
    // An array would do for a structure whose fields may all be absent.
    if !text.trim_start().starts_with('{') {
        return Err("it is no JSON object".to_owned());
    }
    let written: Written = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let age = |text: Option<String>| match text {
        None => Ok(None),
        Some(text) => duration::parse_age(&text)
            .map(Some)
            .map_err(|error| error.to_string()),
    };
    let bytes = written.max_size.map(|text| units::parse_bytes(&text));
    Ok(GcPolicy {
        dangling_max_age: age(written.dangling_max_age)?.or(Some(DANGLING_AGE)),
        max_age: age(written.max_age)?,
        max_bytes: bytes.transpose().map_err(|error| error.to_string())?,
        keep: written.keep,
    })
}

/// What becomes of each image.
fn verdicts(
    images: &[ImageSummary],
    policy: &GcPolicy,
    uses: &Uses,
    layers: &[(u64, Vec<Digest>)],
    now: SystemTime,
) -> BTreeMap<Digest, Verdict> {
    let mut verdicts = BTreeMap::new();
    let mut candidates = Vec::new();
    for image in images {
        let age = now.duration_since(image.last_used).unwrap_or_default();
        let used = format!("used {} ago", duration::human(age).to_lowercase());
        let most = if image.references.is_empty() {
            policy.dangling_max_age
        } else {
            policy.max_age
        };
        let verdict = match (uses.of(&image.id).first(), most) {
            (Some(user), _) => Verdict::Stays(format!("{} uses it", user.words)),
            _ if kept_by(image, &policy.keep).is_some() => {
                let pattern = kept_by(image, &policy.keep).unwrap_or_default();
                Verdict::Stays(format!("the policy keeps {pattern}"))
            }
            (None, Some(most)) if age >= most => Verdict::Goes(format!(
                "not used for {} (limit {})",
                duration::human(age).to_lowercase(),
                duration::human(most).to_lowercase()
            )),
            _ => {
                candidates.push(image);
                Verdict::Stays(used)
            }
        };
        verdicts.insert(image.id, verdict);
    }
    let Some(limit) = policy.max_bytes else {
        return verdicts;
    };
    candidates.sort_by_key(|image| image.last_used);
    let mut candidates = candidates.into_iter();
    loop {
        let stays = |id: &Digest| verdicts.get(id).is_some_and(|verdict| !verdict.goes());
        let kept = layers.iter().filter(|(_, images)| images.iter().any(stays));
        let total: u64 = kept.map(|(size, _)| size).sum();
        let Some(oldest) = candidates.next().filter(|_| total > limit) else {
            return verdicts;
        };
        let reason = format!(
            "all images together have {} (limit {}), and it was not used for the longest time",
            units::human_size(total),
            units::human_size(limit)
        );
        verdicts.insert(oldest.id, Verdict::Goes(reason));
    }
}

/// The pattern that keeps an image.
fn kept_by<'a>(image: &ImageSummary, keep: &'a [String]) -> Option<&'a str> {
    let fits = |pattern: &&String| {
        let mut names = image.references.iter();
        names.any(|name| pattern::fits_reference(pattern, name))
    };
    keep.iter().find(fits).map(String::as_str)
}

impl Engine {
    /// An image as a line of a plan.
    pub(crate) fn planned_image(&self, image: &ImageSummary, verdict: Verdict) -> Planned {
        Planned {
            kind: PlannedKind::Image,
            id: image.id.to_string(),
            names: image
                .references
                .iter()
                .map(hoist_core::Reference::familiar)
                .collect(),
            bytes: image.size,
            verdict,
        }
    }

    /// Bytes of the layers that only these images have.
    pub(crate) fn bytes_freed(
        &self,
        gone: &[Digest],
        kept_layers: &[Digest],
    ) -> Result<u64, EngineError> {
        let layers = self.sizes(kept_layers)?.into_iter();
        let free = layers.filter(|(_, images)| images.iter().all(|image| gone.contains(image)));
        Ok(free.map(|(size, _)| size).sum())
    }
}

#[cfg(test)]
mod tests {
    use hoist_core::Reference;

    use super::*;

    #[test]
    fn the_policy_is_read_with_days_and_refused_with_a_reason() {
        let policy = parse(
            r#"{"maxAge":"2d","maxSize":"1.5GiB","keep":["python:*"],"danglingMaxAge":"1h30m"}"#,
        )
        .unwrap();
        assert_eq!(
            policy,
            GcPolicy {
                dangling_max_age: Some(Duration::from_mins(90)),
                max_age: Some(Duration::from_hours(48)),
                max_bytes: Some(1_610_612_736),
                keep: vec!["python:*".to_owned()],
            }
        );
        assert_eq!(parse("{}").unwrap(), GcPolicy::default());
        for text in [
            "",
            "[]",
            r#"{"maxAge":"old"}"#,
            r#"{"maxage":"1d"}"#,
            r#"{"maxSize":"x"}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_old_goes_and_then_what_is_too_much() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let image = |name: &str, age: u64| ImageSummary {
            id: Digest::of(name.as_bytes()),
            references: name
                .starts_with(char::is_alphabetic)
                .then(|| Reference::parse(name).unwrap())
                .into_iter()
                .collect(),
            created: None,
            size: 10,
            labels: BTreeMap::new(),
            last_used: now - Duration::from_secs(age),
        };
        let images = ["new", "old", "keep/old", "-young", "-old"];
        let images = [1, 50, 60, 5, 40]
            .iter()
            .zip(images)
            .map(|(age, name)| image(name, *age));
        let images: Vec<ImageSummary> = images.collect();
        let layers: Vec<_> = images.iter().map(|image| (10, vec![image.id])).collect();
        let policy = |dangling: Option<u64>, age: Option<u64>, max_bytes| GcPolicy {
            dangling_max_age: dangling.map(Duration::from_secs),
            max_age: age.map(Duration::from_secs),
            max_bytes,
            keep: vec!["keep/*".to_owned()],
        };
        let table = [
            (policy(None, None, None), ""),
            (policy(Some(30), None, None), "-old"),
            (policy(None, Some(30), None), "old"),
            (policy(None, None, Some(30)), "old -old"),
            (policy(None, None, Some(0)), "new old -young -old"),
            (policy(Some(30), Some(30), Some(30)), "old -old"),
        ];
        for (policy, expected) in table {
            let verdicts = verdicts(&images, &policy, &Uses::default(), &layers, now);
            let names = ["new", "old", "keep/old", "-young", "-old"];
            let gone: Vec<_> = names
                .into_iter()
                .filter(|name| verdicts[&Digest::of(name.as_bytes())].goes())
                .collect();
            assert_eq!(gone.join(" "), expected, "{policy:?}");
        }
    }
}
