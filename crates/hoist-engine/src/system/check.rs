//! `system check`: the store, and what containers expect of it.

use std::{fs, io, os::unix::fs::symlink, path::Path};

use hoist_core::{ContainerId, Digest, error::chain};
use hoist_store::{CheckReport, CheckStep, Depth, Finding, Mode, Outcome, Part, Remedy};

use crate::{
    error::EngineError,
    record::Record,
    root::{Engine, read_json},
    status::Status,
    volume::Volume,
};

impl Engine {
    /// Look at everything: the store ([`hoist_store::Store::check`]), containers with what they stand
    /// on, the records of volumes. Findings name the containers that they touch. Volumes are never
    /// repaired.
    ///
    /// # Errors
    /// As [`hoist_store::Store::check`]; when the directories of containers cannot be read.
    pub fn check_root(
        &self,
        depth: Depth,
        mode: Mode,
        progress: &mut dyn FnMut(CheckStep),
    ) -> Result<CheckReport, EngineError> {
        let mut report = self.store().check(depth, mode, progress)?;
        let records = self.check_containers(mode, &mut report)?;
        for finding in &mut report.findings {
            let needs = |record: &&Record| {
                let layer = finding.part == Part::Layer
                    && record
                        .layers
                        .iter()
                        .any(|layer| layer.to_string() == finding.id);
                layer || finding.images.contains(&record.image)
            };
            let touched = records.iter().filter(needs);
            let names: Vec<String> = touched.map(|record| record.name.clone()).collect();
            finding.containers.extend(names);
        }
        self.check_volumes(&mut report)?;
        Ok(report)
    }

    /// The records that can be read.
    fn check_containers(
        &self,
        mode: Mode,
        report: &mut CheckReport,
    ) -> Result<Vec<Record>, EngineError> {
        let mut records = Vec::new();
        for id in self.container_ids()? {
            let path = self.container_dir(&id).join("record.json");
            match read_json::<Record>(&path) {
                // No container, but what a crash left of one: a prune sweeps it.
                Ok(None) => {}
                Ok(Some(record)) if record.id == id => {
                    self.check_container(&record, mode, report);
                    records.push(record);
                }
                Ok(Some(record)) => {
                    let problem = format!("its record is that of container {}", record.id);
                    report
                        .findings
                        .push(self.lost_container(&id, &path, problem, mode));
                }
                Err(error) => {
                    let problem = chain(&error);
                    report
                        .findings
                        .push(self.lost_container(&id, &path, problem, mode));
                }
            }
        }
        Ok(records)
    }

    /// A container whose record is gone: it is set aside with what it has written.
    fn lost_container(
        &self,
        id: &ContainerId,
        path: &Path,
        problem: String,
        mode: Mode,
    ) -> Finding {
        let mut finding = Finding::new(Part::Container, id.to_string(), path, problem);
        if self.is_monitored(id) {
            finding.problem.push_str("; it runs, and goes on");
            return finding;
        }
        finding.remedy = Remedy::SetAside;
        if mode == Mode::Repair {
            finding.outcome = self.moved_aside(&self.container_dir(id));
        }
        finding
    }

    fn check_container(&self, record: &Record, mode: Mode, report: &mut CheckReport) {
        let directory = self.container_dir(&record.id);
        let finding = |path: &Path, problem: String| {
            Finding::new(Part::Container, record.name.clone(), path, problem)
        };
        let status = directory.join("status.json");
        if let Err(error) = read_json::<Status>(&status) {
            // Its last words; without them it is one that never ran.
            let mut found = finding(&status, chain(&error)).with(Remedy::SetAside);
            if mode == Mode::Repair {
                found.outcome = self.moved_aside(&status);
            }
            report.findings.push(found);
        }
        for name in ["upper", "work"] {
            let path = directory.join(name);
            if !path.is_dir() {
                let mut found =
                    finding(&path, "the directory is missing".to_owned()).with(Remedy::Mend);
                if mode == Mode::Repair {
                    found.outcome = made(fs::create_dir(&path));
                }
                report.findings.push(found);
            }
        }
        let claim = self.name_claim(&record.name);
        let claimed = fs::read_link(&claim);
        if claimed.is_err() || self.name_owner(&record.name).as_ref() != Some(&record.id) {
            let problem = match self.name_owner(&record.name) {
                Some(other) => format!("its name belongs to container {other}"),
                None => "its name is not claimed".to_owned(),
            };
            let mut found = finding(&claim, problem);
            if self.name_owner(&record.name).is_none() {
                found.remedy = Remedy::Mend;
                if mode == Mode::Repair {
                    drop(fs::remove_file(&claim));
                    found.outcome = made(symlink(record.id.as_str(), &claim));
                }
            }
            report.findings.push(found);
        }
        self.check_layers(record, report);
    }

    /// Layers of a container whose image does not have them any more, for those of images are found
    /// with these.
    fn check_layers(&self, record: &Record, report: &mut CheckReport) {
        let known = |layer: &Digest| {
            report
                .findings
                .iter()
                .any(|finding| finding.part == Part::Layer && finding.id == layer.to_string())
        };
        let missing: Vec<Digest> = record
            .layers
            .iter()
            .filter(|layer| self.store().layer(layer).is_err() && !known(layer))
            .copied()
            .collect();
        for layer in missing {
            let problem = format!(
                "its layer {layer}, of the image {}, is missing",
                record.image_name
            );
            let path = self.container_dir(&record.id).join("record.json");
            report.findings.push(
                Finding::new(Part::Container, record.name.clone(), &path, problem)
                    .touching(&[record.image])
                    .with(Remedy::Fetch),
            );
        }
    }

    fn check_volumes(&self, report: &mut CheckReport) -> Result<(), EngineError> {
        let directory = self.volumes_dir();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(EngineError::file("list", directory)(error)),
        };
        for entry in entries.flatten() {
            let path = entry.path().join("volume.json");
            if let Err(error) = read_json::<Volume>(&path) {
                let name = entry.file_name().to_string_lossy().into_owned();
                let mut problem = chain(&error);
                problem.push_str("; its content, in _data, is not touched");
                report
                    .findings
                    .push(Finding::new(Part::Volume, name, &path, problem));
            }
        }
        Ok(())
    }

    fn moved_aside(&self, path: &Path) -> Outcome {
        match self.store().set_aside(path) {
            Ok(Some(place)) => Outcome::SetAside(place),
            Ok(None) => Outcome::Missing,
            Err(error) => Outcome::Failed(chain(&error)),
        }
    }
}

fn made(result: io::Result<()>) -> Outcome {
    match result {
        Ok(()) => Outcome::Mended,
        Err(error) => Outcome::Failed(error.to_string()),
    }
}
