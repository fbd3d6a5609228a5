//! What a pruning removes and what it leaves, each with the reason. The pruning itself and
//! `--dry-run` ask the same questions.

use std::collections::BTreeMap;

use hoist_core::time::Timestamp;
use hoist_store::ImageSummary;

use super::{
    prune::{Prunable, PruneRequest},
    usage::directory_size,
};
use crate::{
    container::Container, error::EngineError, image::Uses, root::Engine, status::State,
    volume::Volume,
};

/// Which containers and images a pruning is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneFilter {
    /// Labels that one must have, `name` or `name=value`.
    pub labels: Vec<String>,
    /// Labels that one must not have.
    pub without_labels: Vec<String>,
    /// One must have been made before.
    pub until: Option<Timestamp>,
}

/// Something that may go, and whether it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What it is.
    pub kind: PlannedKind,
    /// The whole id; of a volume, the name.
    pub id: String,
    /// Names of an image; the name of a container.
    pub names: Vec<String>,
    /// Bytes that it has, layers that others have, too, among them.
    pub bytes: u64,
    /// Whether it goes, and why.
    pub verdict: Verdict,
}

/// What something planned is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlannedKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
}

impl PlannedKind {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
        }
    }
}

/// Whether something goes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes.
    Goes(String),
    /// It stays.
    Stays(String),
}

impl Verdict {
    /// Whether it goes.
    #[must_use]
    pub const fn goes(&self) -> bool {
        matches!(self, Self::Goes(_))
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Goes(reason) | Self::Stays(reason) => reason,
        }
    }
}

/// What would be pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// Everything of the kinds that are pruned, with its fate.
    pub planned: Vec<Planned>,
    /// Bytes that would be freed, except those of the build cache.
    pub space: u64,
}

impl Engine {
    /// What [`prune`](Self::prune), or with `what` [`prune_only`](Self::prune_only), would do.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn plan_prune(
        &self,
        what: Option<Prunable>,
        request: &PruneRequest,
    ) -> Result<PrunePlan, EngineError> {
        let mut plan = PrunePlan::default();
        let mut gone = Vec::new();
        if what != Some(Prunable::Images) {
            self.plan_containers(request, &mut plan, &mut gone)?;
        }
        if what.is_none() && request.volumes {
            self.plan_volumes(&mut plan, &gone)?;
        }
        if what != Some(Prunable::Containers) {
            let mut uses = self.uses()?;
            // What only uses an image until then does not keep it.
            uses.without_containers(&gone);
            let mut images = Vec::new();
            for summary in self.store().images()? {
                let verdict = image_verdict(&summary, &uses, request);
                if verdict.goes() {
                    images.push(summary.id);
                }
                plan.planned.push(self.planned_image(&summary, verdict));
            }
            plan.space += self.bytes_freed(&images, &request.kept_layers)?;
        }
        plan.planned.sort_by_key(|planned| !planned.verdict.goes());
        Ok(plan)
    }

    fn plan_containers(
        &self,
        request: &PruneRequest,
        plan: &mut PrunePlan,
        gone: &mut Vec<Container>,
    ) -> Result<(), EngineError> {
        for container in self.containers()? {
            let record = &container.record;
            let bytes = directory_size(&self.container_dir(&record.id))?;
            let verdict = container_verdict(&container, request);
            plan.planned.push(Planned {
                kind: PlannedKind::Container,
                id: record.id.to_string(),
                names: vec![record.name.clone()],
                bytes,
                verdict: verdict.clone(),
            });
            if verdict.goes() {
                plan.space += bytes;
                gone.push(container);
            }
        }
        Ok(())
    }

    fn plan_volumes(&self, plan: &mut PrunePlan, gone: &[Container]) -> Result<(), EngineError> {
        let used = self.used_volumes_without(gone)?;
        for volume in self.volumes()? {
            let bytes = directory_size(&self.volume_data(&volume.name))?;
            let verdict = volume_verdict(&volume, used.contains(&volume.name));
            if verdict.goes() {
                plan.space += bytes;
            }
            plan.planned.push(Planned {
                kind: PlannedKind::Volume,
                id: volume.name,
                names: Vec::new(),
                bytes,
                verdict,
            });
        }
        Ok(())
    }
}

/// Whether a container goes.
pub(super) fn container_verdict(container: &Container, request: &PruneRequest) -> Verdict {
    let Container { record, status } = container;
    if status.state == State::Running {
        return Verdict::Stays("it runs".to_owned());
    }
    match request
        .filter
        .excludes(&record.config.labels, Some(record.created))
    {
        Some(reason) => Verdict::Stays(reason),
        None => Verdict::Goes(format!("it is {}", status.state.as_str())),
    }
}

/// Whether an image goes.
pub(super) fn image_verdict(
    summary: &ImageSummary,
    uses: &Uses,
    request: &PruneRequest,
) -> Verdict {
    if let Some(user) = uses.of(&summary.id).first() {
        return Verdict::Stays(format!("{} uses it", user.words));
    }
    let nameless = summary.references.is_empty();
    if !nameless && !request.all_images {
        return Verdict::Stays("it has a name".to_owned());
    }
    let created = summary
        .created
        .as_deref()
        .and_then(|text| text.parse().ok());
    match request.filter.excludes(&summary.labels, created) {
        Some(reason) => Verdict::Stays(reason),
        None if nameless => Verdict::Goes("it has no name and no container".to_owned()),
        None => Verdict::Goes("no container uses it".to_owned()),
    }
}

/// Whether a volume goes.
pub(super) fn volume_verdict(volume: &Volume, is_used: bool) -> Verdict {
    match (is_used, volume.anonymous) {
        (true, _) => Verdict::Stays("a container uses it".to_owned()),
        (false, false) => Verdict::Stays("it has a name".to_owned()),
        (false, true) => Verdict::Goes("it has no name and no container".to_owned()),
    }
}

impl PruneFilter {
    /// Why something with these labels, made then, is not meant.
    fn excludes(
        &self,
        labels: &BTreeMap<String, String>,
        created: Option<Timestamp>,
    ) -> Option<String> {
        if let Some(missing) = self.labels.iter().find(|label| !has_label(labels, label)) {
            return Some(format!("it lacks the label {missing}"));
        }
        let unwanted = self.without_labels.iter();
        if let Some(unwanted) = unwanted.into_iter().find(|label| has_label(labels, label)) {
            return Some(format!("it has the label {unwanted}"));
        }
        let until = self.until?;
        (created.unwrap_or_default() >= until).then(|| format!("it was not made before {until}"))
    }
}

fn has_label(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|have| have == value),
        None => labels.contains_key(wanted),
    }
}
