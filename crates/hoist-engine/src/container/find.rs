//! Finding containers by name, id or prefix, and listing them.

use std::{fs, io};

use hoist_core::ContainerId;

use super::Container;
use crate::{
    error::EngineError,
    record::Record,
    root::{Engine, read_json},
    status::State,
};

/// Everything that looks like a container.
#[derive(Debug, Default)]
pub struct Survey {
    /// Those that can be read, the newest first.
    pub containers: Vec<Container>,
    /// Those that cannot.
    pub damaged: Vec<DamagedContainer>,
}

/// A container whose record or status cannot be read.
#[derive(Debug)]
pub struct DamagedContainer {
    /// Its id.
    pub id: ContainerId,
    /// Why.
    pub error: EngineError,
}

impl Engine {
    /// The container that `text` names: its whole id, its name, or the start of its id.
    ///
    /// # Errors
    /// When there is none, or the start fits several.
    pub fn find(&self, text: &str) -> Result<Container, EngineError> {
        let id = self.find_id(text)?;
        self.container(&id)?
            .ok_or_else(|| EngineError::NoSuchContainer(text.to_owned()))
    }

    /// The container with this id, if its record exists.
    pub(crate) fn container(&self, id: &ContainerId) -> Result<Option<Container>, EngineError> {
        let path = self.container_dir(id).join("record.json");
        let Some(record) = read_json::<Record>(&path)? else {
            return Ok(None);
        };
        let status = self.observe(&record)?;
        // One that was removed between the two looks has no status any more.
        if status.state != State::Running && !self.exists(id) {
            return Ok(None);
        }
        Ok(Some(Container { record, status }))
    }

    /// All containers, the newest first.
    ///
    /// # Errors
    /// When the root cannot be read, or a record is damaged: whoever removes something must not pass
    /// over a container that may need it. [`survey`](Self::survey) does.
    pub fn containers(&self) -> Result<Vec<Container>, EngineError> {
        let mut survey = self.survey()?;
        match survey.damaged.pop() {
            Some(damaged) => Err(damaged.error),
            None => Ok(survey.containers),
        }
    }

    /// All containers whose records can be read, the newest first, and the others with the reason.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn survey(&self) -> Result<Survey, EngineError> {
        let mut survey = Survey::default();
        for id in self.container_ids()? {
            match self.container(&id) {
                Ok(container) => survey.containers.extend(container),
                Err(error) => survey.damaged.push(DamagedContainer { id, error }),
            }
        }
        survey
            .containers
            .sort_by_key(|container| std::cmp::Reverse(container.record.created));
        Ok(survey)
    }

    /// Ids of all directories of containers.
    pub(crate) fn container_ids(&self) -> Result<Vec<ContainerId>, EngineError> {
        let directory = self.containers_dir();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(EngineError::file("list", directory)(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(EngineError::file("list", &directory))?;
            ids.extend(
                entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<ContainerId>().ok()),
            );
        }
        Ok(ids)
    }

    /// Who claims the name, if its container exists.
    pub(crate) fn name_owner(&self, name: &str) -> Option<ContainerId> {
        let target = fs::read_link(self.name_claim(name)).ok()?;
        let id: ContainerId = target.to_str()?.parse().ok()?;
        self.exists(&id).then_some(id)
    }

    fn find_id(&self, text: &str) -> Result<ContainerId, EngineError> {
        let missing = || EngineError::NoSuchContainer(text.to_owned());
        if let Ok(id) = text.parse::<ContainerId>() {
            return Ok(id);
        }
        let name = text.strip_prefix('/').unwrap_or(text);
        if name.is_empty() || name.contains('/') {
            return Err(missing());
        }
        if let Some(id) = self.name_owner(name) {
            return Ok(id);
        }
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let mut fitting: Vec<_> = self.container_ids()?;
        fitting.retain(|id| id.as_str().starts_with(text));
        match fitting.len() {
            0 => Err(missing()),
            1 => Ok(fitting.remove(0)),
            _ => Err(EngineError::AmbiguousContainer {
                prefix: text.to_owned(),
                ids: fitting.iter().map(|id| id.short().to_owned()).collect(),
            }),
        }
    }
}
